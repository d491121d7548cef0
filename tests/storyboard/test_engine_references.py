"""The engine with reference pictures and styles: preparing, following, consent, and faults."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from pipelines.errors import ModelError, NoFigureFound, PictureError
from pipelines.events import FrameDone, ModelLoading, Notice, PipelineEvent, StepDone
from pipelines.instant_character.bundle import SubjectBundle, save_bundle
from pipelines.instant_character.familiarity import fit_familiarity, summary
from pipelines.models.catalog import (
    BIREFNET,
    FLUX1_DEV,
    FLUX1_SCHNELL,
    INSTANT_CHARACTER,
    find_model,
)
from pipelines.models.specs import MattingSpec
from pipelines.reference.from_upload import prepare_reference
from pipelines.request import RenderRequest
from storyboard.board import Character, Frame, RenderSettings, Storyboard, Style
from storyboard.engine import Engine, NetworkMatting
from storyboard.errors import ConsentNeeded, ProjectError
from storyboard.planning import plan_render
from storyboard.settings import Settings
from storyboard.storage.consents import Consents
from storyboard.storage.reference_store import ReferenceStore
from storyboard.zero_gpu import requested_seconds
from tests.pipelines.reference.test_birefnet import folder as matting_folder
from tests.pipelines.tiny_character import tiny_character, tiny_encoders
from tests.storyboard.pictures import BOX, drawing, mask_of_drawing, reference

RED = (200, 30, 30)


def png(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


# Preparing a picture.


def test_a_figure_is_cut_out_and_put_on_white(tmp_path: Path) -> None:
    (tmp_path / "hero.png").write_bytes(png(drawing()))
    prepared = prepare_reference(tmp_path / "hero.png")
    left, top, right, bottom = BOX
    assert prepared.source.tobytes() == drawing().tobytes()
    found = np.asarray(prepared.mask) > 128
    assert found.sum() == pytest.approx((right - left) * (bottom - top), rel=0.05)
    assert found[top + 5 : bottom - 5, left + 5 : right - 5].all()
    assert prepared.image.width == prepared.image.height == pytest.approx(bottom - top, abs=4)
    side = prepared.image.width
    assert prepared.image.getpixel((side // 2, side // 2)) == RED
    assert prepared.image.getpixel((2, side // 2)) == (255, 255, 255)
    assert not prepared.doubt
    assert prepare_reference(png(drawing())).name == prepared.name
    assert prepare_reference(drawing()).name == prepared.name


def test_a_given_mask_and_the_strokes_of_a_brush_decide() -> None:
    whole = prepare_reference(drawing(), mask_of_drawing())
    assert whole.name == reference().name
    lower = Image.new("L", whole.source.size)
    lower.paste(255, (0, 68, 120, 128))
    upper_half = prepare_reference(drawing(), mask_of_drawing(), removed=lower)
    assert upper_half.image.size == (44, 44)
    back = prepare_reference(drawing(), upper_half.mask, added=mask_of_drawing())
    assert back.name == whole.name
    assert prepare_reference(drawing(), mask_of_drawing(), added=lower, removed=lower).mask == (
        upper_half.mask
    )


def test_a_mask_of_the_whole_picture_is_doubted() -> None:
    everything = Image.new("L", drawing().size, 255)
    assert "all four borders" in prepare_reference(drawing(), everything).doubt


def test_a_large_picture_gives_a_reference_of_at_most_1024_pixels() -> None:
    large = drawing().resize((1920, 2048), Image.Resampling.NEAREST)
    prepared = prepare_reference(large, Image.new("L", large.size, 255))
    assert prepared.image.size == (1024, 1024)
    assert prepared.source.size == (1920, 2048)


def test_a_picture_without_a_figure_can_still_be_painted_over() -> None:
    with pytest.raises(NoFigureFound, match="brush") as caught:
        prepare_reference(drawing(), Image.new("L", drawing().size))
    fault = caught.value
    assert fault.source.tobytes() == drawing().tobytes()
    assert (fault.mask.mode, fault.mask.size) == ("L", drawing().size)
    mended = prepare_reference(fault.source, fault.mask, added=mask_of_drawing())
    assert mended.name == reference().name
    plain = Image.new("RGB", (90, 90), (240, 240, 240))
    with pytest.raises(NoFigureFound):
        prepare_reference(plain)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"%PDF-1.7", "PDF"),
        (png(drawing())[:200], "damaged"),
        (png(Image.new("RGB", (20, 20))), "too small"),
    ],
)
def test_a_picture_that_cannot_be_opened_is_reported(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "hero.png"
    path.write_bytes(content)
    for picture, name in ((path, "hero.png"), (content, "The picture")):
        with pytest.raises(PictureError, match=words) as caught:
            prepare_reference(picture)
        assert name in str(caught.value)
        assert not isinstance(caught.value, NoFigureFound)
    with pytest.raises(PictureError, match="cannot be opened"):
        prepare_reference(tmp_path / "none.png")


def test_the_figure_can_be_found_in_another_way() -> None:
    seen: list[Image.Image] = []

    def find(picture: Image.Image) -> Image.Image:
        seen.append(picture)
        return mask_of_drawing()

    assert prepare_reference(png(drawing()), find=find).name == reference().name
    assert [picture.tobytes() for picture in seen] == [drawing().tobytes()]
    everything = Image.new("L", drawing().size, 255)
    assert prepare_reference(drawing(), everything, find=find).mask == everything
    assert len(seen) == 1


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MattingSpec:
    """A network with code of its own that takes everything for the figure."""
    source = tmp_path / "a_network"
    source.mkdir()
    cache = tmp_path / "modules"
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(cache))
    monkeypatch.setattr(sys, "path", [*sys.path])
    return replace(BIREFNET, source=str(matting_folder(source)))


def test_a_network_finds_figures_once_its_code_may_run(
    settings: Settings, network: MattingSpec
) -> None:

    def code_has_run() -> bool:
        return any(name.startswith("transformers_modules.a_network") for name in sys.modules)

    matting = NetworkMatting(settings, network)
    with pytest.raises(ConsentNeeded, match="its own Python code") as caught:
        matting.mask(drawing())
    assert (caught.value.key, caught.value.licence) == (network.source, BIREFNET.licence)
    assert not code_has_run()
    Consents(settings.consents).give(network.source)
    found = matting.mask(drawing())
    assert code_has_run()
    assert (found.mode, found.size, found.getextrema()) == ("L", drawing().size, (255, 255))
    (Path(network.source) / "config.json").unlink()
    assert matting.mask(drawing()) == found
    with pytest.raises(ModelError, match="built-in"):
        NetworkMatting(settings, network).mask(drawing())


# Checks before a render.


def board_for(model: str, picture: str = "", *styles: Style, frames: int = 2) -> Storyboard:
    return Storyboard(
        character=Character(description="a girl in a red hoodie", reference=picture),
        frames=tuple(
            Frame(id=f"f{i}", location="on a beach", action="waving", seed=i) for i in range(frames)
        ),
        settings=RenderSettings(model=model, width=64, height=64, steps=2, styles=styles),
    )


def request_for(model: str, picture: str = "", *styles: Style, frames: int = 2) -> RenderRequest:
    board = board_for(model, picture, *styles, frames=frames)
    return plan_render(board, None, {}, random.Random(0))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(projects=tmp_path / "projects", device="cpu", dtype="float32")


@pytest.fixture
def references(tmp_path: Path) -> ReferenceStore:
    references = ReferenceStore(tmp_path / "references")
    references.add(reference())
    return references


def test_research_only_weights_are_asked_for_once(
    settings: Settings, references: ReferenceStore
) -> None:
    engine = Engine(settings)
    request = request_for(FLUX1_DEV.name, reference().name)
    for refuse in (engine.check, lambda r: next(engine.render(r, references.folder))):
        with pytest.raises(ConsentNeeded, match="research only") as caught:
            refuse(request)
        asked = caught.value
        assert (asked.key, asked.title) == (INSTANT_CHARACTER.consent, INSTANT_CHARACTER.title)
        assert asked.licence_url in str(asked) and asked.download_bytes > 10**9
    engine.check(request_for(FLUX1_DEV.name))
    Consents(settings.consents).give(asked.key)
    engine.check(request)
    assert next(engine.render(request, references.folder)) == ModelLoading(FLUX1_DEV.title)


def test_a_model_that_cannot_use_references_is_not_given_any(settings: Settings) -> None:
    request = request_for(FLUX1_DEV.name, reference().name)
    with pytest.raises(ModelError, match=r"\[schnell\] cannot use a reference picture"):
        Engine(settings).check(replace(request, model=FLUX1_SCHNELL.name))


def test_references_add_to_the_time_of_a_reserved_gpu() -> None:
    plain = requested_seconds(request_for(FLUX1_DEV.name))
    assert plain < requested_seconds(request_for(FLUX1_DEV.name, reference().name)) < plain + 60


# References, on a copy of the miniature with a random bundle.


@pytest.fixture(scope="module")
def miniature_engine() -> Engine:
    return Engine(Settings(device="cpu", dtype="float32"))


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, miniature_folder: Path, miniature_engine: Engine
) -> Path:
    """Make a model folder whose bundle doubts every picture."""
    folder = tmp_path_factory.mktemp("model") / "doubtful"
    shutil.copytree(miniature_folder, folder, ignore=shutil.ignore_patterns("subject", "judge"))
    list(miniature_engine.render(request_for("miniature", frames=1)))
    loaded = miniature_engine._engine._loaded
    assert loaded is not None
    encoders = tiny_encoders()
    seen = summary(encoders([reference((0, 0, 250)).image]))
    bounds = fit_familiarity(torch.randn(40, seen.shape[1]), 0.0)
    weights = tiny_character(loaded.pipeline.transformer)
    save_bundle(folder / "subject", SubjectBundle(encoders, weights, bounds))
    return folder


@pytest.fixture(scope="module")
def loaded_engine(folder: Path) -> Engine:
    """Make an engine that has the folder's model loaded."""
    engine = Engine(Settings(device="cpu", dtype="float32"))
    list(engine.render(request_for(str(folder), frames=1)))
    return engine


def rendered(events: Iterator[PipelineEvent | ModelLoading]) -> dict[str, bytes]:
    return {e.frame_id: e.image.tobytes() for e in events if isinstance(e, FrameDone)}


def test_a_reference_conditions_a_render_and_its_bundle_is_loaded_once(
    folder: Path, references: ReferenceStore
) -> None:
    engine = Engine(Settings(device="cpu", dtype="float32"))
    model = str(folder)
    subject = find_model(model).character_adapter
    assert subject is not None
    plain = list(engine.render(request_for(model)))
    assert [e for e in plain if isinstance(e, ModelLoading)] == [ModelLoading("doubtful")]
    first = list(engine.render(request_for(model, reference().name), references.folder))
    assert [e for e in first if isinstance(e, ModelLoading)] == [ModelLoading(subject.title)]
    (doubt,) = (e for e in first if isinstance(e, Notice) and e.kind == "reference")
    assert doubt.about == reference().name and doubt.message
    again = list(engine.render(request_for(model, reference().name), references.folder))
    assert not any(isinstance(e, ModelLoading) for e in again)
    assert rendered(iter(again)) == rendered(iter(first))
    other = references.add(reference((0, 0, 250)))
    blue = rendered(engine.render(request_for(model, other), references.folder))
    assert blue["f0"] != rendered(iter(first))["f0"] != rendered(iter(plain))["f0"]
    assert rendered(engine.render(request_for(model))) == rendered(iter(plain))


def test_a_closed_render_with_a_reference_leaves_the_model_as_it_was(
    loaded_engine: Engine, folder: Path, references: ReferenceStore
) -> None:
    plain = rendered(loaded_engine.render(request_for(str(folder))))
    stopped = loaded_engine.render(request_for(str(folder), reference().name), references.folder)
    for event in stopped:
        if isinstance(event, StepDone) and event.frame_id == "f1":
            break
    stopped.close()
    assert rendered(loaded_engine.render(request_for(str(folder)))) == plain


def test_a_redone_frame_keeps_the_reference_of_its_take(
    loaded_engine: Engine, folder: Path, references: ReferenceStore
) -> None:
    board = board_for(str(folder), reference().name, frames=3)
    whole = plan_render(board, None, {}, random.Random(0))
    first = rendered(loaded_engine.render(whole, references.folder))
    chosen = {f.frame_id: whole for f in whole.frames}
    redone = plan_render(board, ["f2"], chosen, random.Random(0))
    assert rendered(loaded_engine.render(redone, references.folder)) == {"f2": first["f2"]}
    # Another reference since: the source frame still has the old one.
    other = references.add(reference((0, 0, 250)))
    character = board.character.model_copy(update={"reference": other})
    changed = plan_render(
        board.model_copy(update={"character": character}), ["f2"], chosen, random.Random(0)
    )
    assert changed.references == {reference().name, other}
    assert rendered(loaded_engine.render(changed, references.folder))["f2"] != first["f2"]


def test_a_picture_that_is_missing_or_changed_is_reported(
    loaded_engine: Engine, folder: Path, references: ReferenceStore
) -> None:
    request = request_for(str(folder), reference().name)
    references.path(reference().name).write_bytes(reference((1, 2, 3)).content)
    with pytest.raises(ProjectError, match="has changed"):
        list(loaded_engine.render(request, references.folder))
    references.path(reference().name).unlink()
    with pytest.raises(ProjectError, match="is missing"):
        list(loaded_engine.render(request, references.folder))


def test_a_damaged_bundle_is_reported_and_the_model_still_renders(
    folder: Path, tmp_path: Path, references: ReferenceStore
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "subject" / "adapter.safetensors").write_bytes(b"no weights")
    engine = Engine(Settings(device="cpu", dtype="float32"))
    with pytest.raises(ModelError):
        list(engine.render(request_for(str(broken), reference().name), references.folder))
    assert rendered(engine.render(request_for(str(broken), frames=1)))


# Styles.


def lora(path: Path, layer: str = "transformer_blocks.0.attn.to_q", width: int = 192) -> Style:
    """A style that changes one layer of the miniature."""
    tensors = {
        f"transformer.{layer}.lora_A.weight": torch.ones(2, width) / 4,
        f"transformer.{layer}.lora_B.weight": torch.ones(width, 2) / 4,
    }
    save_file(tensors, path)
    return Style(source=str(path), trigger="in ink")


def width_of(engine: Engine) -> int:
    assert engine._engine._loaded is not None
    return int(engine._engine._loaded.pipeline.transformer.inner_dim)


def test_a_style_changes_its_render_alone(
    loaded_engine: Engine, folder: Path, tmp_path: Path
) -> None:
    model = str(folder)
    style = lora(tmp_path / "ink.safetensors", width=width_of(loaded_engine))
    plain = rendered(loaded_engine.render(request_for(model)))
    styled = list(loaded_engine.render(request_for(model, "", style)))
    assert not any(isinstance(e, ModelLoading | Notice) for e in styled)
    assert rendered(iter(styled))["f0"] != plain["f0"]
    assert rendered(loaded_engine.render(request_for(model))) == plain


def test_a_style_that_cannot_be_used_is_reported_before_a_model_is_loaded(
    settings: Settings, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.safetensors"
    picture.write_bytes(reference().content)
    none = tmp_path / "none.safetensors"
    save_file({"weight": torch.ones(2, 2)}, none)
    engine = Engine(settings)
    for source, words in (
        (str(tmp_path / "gone.safetensors"), "no LoRA file"),
        (str(picture), "no safetensors file"),
        (str(none), "holds no LoRA"),
        ("~nobody-here/ink.safetensors", "nobody-here"),
    ):
        with pytest.raises(ModelError, match=words) as caught:
            list(engine.render(request_for("miniature", "", Style(source=source))))
        assert caught.value.remedy
    assert engine.describe() == ""


def test_a_style_for_another_model_is_reported_and_the_model_still_renders(
    loaded_engine: Engine, folder: Path, tmp_path: Path
) -> None:
    model = str(folder)
    plain = rendered(loaded_engine.render(request_for(model)))
    style = lora(tmp_path / "large.safetensors", width=3072)
    with pytest.raises(ModelError, match=r"large\.safetensors"):
        list(loaded_engine.render(request_for(model, "", style)))
    assert rendered(loaded_engine.render(request_for(model))) == plain
