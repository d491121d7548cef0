"""The engine with reference pictures and styles: consent, conditioning, errors."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipelines.errors import ModelError
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
from pipelines.request import RenderRequest
from storyboard.board import Character, Frame, RenderSettings, Storyboard, Style
from storyboard.engine import Engine, NetworkMatting
from storyboard.errors import ConsentNeeded, ProjectError
from storyboard.planning import plan_render
from storyboard.settings import Settings
from storyboard.storage.consents import Consents
from storyboard.storage.reference_store import ReferenceStore
from storyboard.zero_gpu import requested_seconds
from tests.pipelines.pictures import drawing, reference
from tests.pipelines.reference.test_birefnet import folder as matting_folder
from tests.pipelines.tiny_character import tiny_character, tiny_encoders


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
    assert (caught.value.key, caught.value.licence) == (network.consent, BIREFNET.licence)
    assert not code_has_run()
    # To other code of the same name, as it was or will be.
    for other in (network.source, replace(network, revision="another").consent):
        Consents(settings.consents).give(other)
        with pytest.raises(ConsentNeeded):
            matting.mask(drawing())
    assert not code_has_run()
    Consents(settings.consents).give(network.consent)
    found = matting.mask(drawing())
    assert code_has_run()
    assert (found.mode, found.size, found.getextrema()) == ("L", drawing().size, (255, 255))
    (Path(network.source) / "config.json").unlink()
    assert matting.mask(drawing()) == found
    with pytest.raises(ModelError, match="built-in"):
        NetworkMatting(settings, network).mask(drawing())


def test_the_networks_code_is_that_of_one_commit(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def load(source: str, *, revision: str, **_: object) -> None:
        asked.append((source, revision))
        raise OSError("offline")

    monkeypatch.setattr("transformers.AutoModelForImageSegmentation.from_pretrained", load)
    Consents(settings.consents).give(BIREFNET.consent)
    with pytest.raises(ModelError):
        NetworkMatting(settings).mask(drawing())
    assert asked == [(BIREFNET.source, BIREFNET.revision)]
    assert len(bytes.fromhex(BIREFNET.revision)) == 20


# Consent, and models that can use a reference picture.


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


def test_research_only_weights_need_consent_once(
    settings: Settings, references: ReferenceStore
) -> None:
    engine = Engine(settings)
    request = request_for(FLUX1_DEV.name, reference().name)
    for refuse in (engine.check, lambda r: next(engine.render(r, references.folder))):
        with pytest.raises(ConsentNeeded, match="research only") as caught:
            refuse(request)
        asked = caught.value
        assert asked.key == INSTANT_CHARACTER.consent and FLUX1_DEV.title in asked.problem
        assert asked.licence_url in str(asked) and asked.download_bytes > 10**9
    engine.check(request_for(FLUX1_DEV.name))
    Consents(settings.consents).give(asked.key)
    engine.check(request)
    assert next(engine.render(request, references.folder)) == ModelLoading(FLUX1_DEV.title)


def test_a_model_without_an_adapter_refuses_reference_pictures(settings: Settings) -> None:
    request = request_for(FLUX1_DEV.name, reference().name)
    with pytest.raises(ModelError, match=r"\[schnell\] cannot use a reference picture"):
        Engine(settings).check(replace(request, model=FLUX1_SCHNELL.name))


def test_reference_pictures_add_to_the_requested_time() -> None:
    plain = requested_seconds(request_for(FLUX1_DEV.name))
    assert plain < requested_seconds(request_for(FLUX1_DEV.name, reference().name)) < plain + 60


# Rendering with a reference picture, on a copy of the miniature with a random bundle.


@pytest.fixture(scope="module")
def miniature_engine() -> Engine:
    return Engine(Settings(device="cpu", dtype="float32"))


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, miniature_folder: Path, miniature_engine: Engine
) -> Path:
    """A model folder whose bundle takes every picture for a strange one."""
    folder = tmp_path_factory.mktemp("model") / "with-bundle"
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
    """An engine that has the folder's model loaded."""
    engine = Engine(Settings(device="cpu", dtype="float32"))
    list(engine.render(request_for(str(folder), frames=1)))
    return engine


def pictures_of(events: Iterator[PipelineEvent | ModelLoading]) -> dict[str, bytes]:
    return {e.frame_id: e.image.tobytes() for e in events if isinstance(e, FrameDone)}


def test_a_picture_changes_the_frames_and_its_bundle_is_loaded_once(
    folder: Path, references: ReferenceStore
) -> None:
    engine = Engine(Settings(device="cpu", dtype="float32"))
    model = str(folder)
    subject = find_model(model).character_adapter
    assert subject is not None
    plain = list(engine.render(request_for(model)))
    assert [e for e in plain if isinstance(e, ModelLoading)] == [ModelLoading("with-bundle")]
    first = list(engine.render(request_for(model, reference().name), references.folder))
    assert [e for e in first if isinstance(e, ModelLoading)] == [ModelLoading(subject.title)]
    (doubt,) = (e for e in first if isinstance(e, Notice) and e.kind == "reference")
    assert doubt.about == reference().name and doubt.message
    again = list(engine.render(request_for(model, reference().name), references.folder))
    assert not any(isinstance(e, ModelLoading) for e in again)
    assert pictures_of(iter(again)) == pictures_of(iter(first))
    other = references.add(reference((0, 0, 250)))
    blue = pictures_of(engine.render(request_for(model, other), references.folder))
    assert blue["f0"] != pictures_of(iter(first))["f0"] != pictures_of(iter(plain))["f0"]
    assert pictures_of(engine.render(request_for(model))) == pictures_of(iter(plain))


def test_a_closed_render_with_a_picture_leaves_the_model_as_it_was(
    loaded_engine: Engine, folder: Path, references: ReferenceStore
) -> None:
    plain = pictures_of(loaded_engine.render(request_for(str(folder))))
    stopped = loaded_engine.render(request_for(str(folder), reference().name), references.folder)
    for event in stopped:
        if isinstance(event, StepDone) and event.frame_id == "f1":
            break
    stopped.close()
    assert pictures_of(loaded_engine.render(request_for(str(folder)))) == plain


def test_a_redone_frame_uses_the_picture_of_its_take(
    loaded_engine: Engine, folder: Path, references: ReferenceStore
) -> None:
    board = board_for(str(folder), reference().name, frames=3)
    whole = plan_render(board, None, {}, random.Random(0))
    first = pictures_of(loaded_engine.render(whole, references.folder))
    chosen = {f.frame_id: whole for f in whole.frames}
    redone = plan_render(board, ["f2"], chosen, random.Random(0))
    assert pictures_of(loaded_engine.render(redone, references.folder)) == {"f2": first["f2"]}
    # The picture was changed since: the source frame is still rendered with the old one.
    other = references.add(reference((0, 0, 250)))
    character = board.character.model_copy(update={"reference": other})
    changed = plan_render(
        board.model_copy(update={"character": character}), ["f2"], chosen, random.Random(0)
    )
    assert changed.references == {reference().name, other}
    assert pictures_of(loaded_engine.render(changed, references.folder))["f2"] != first["f2"]


def test_a_picture_that_is_missing_or_changed_is_an_error(
    loaded_engine: Engine, folder: Path, references: ReferenceStore
) -> None:
    request = request_for(str(folder), reference().name)
    references.path(reference().name).write_bytes(reference((1, 2, 3)).content)
    with pytest.raises(ProjectError, match="has changed"):
        list(loaded_engine.render(request, references.folder))
    references.path(reference().name).unlink()
    with pytest.raises(ProjectError, match="is missing"):
        list(loaded_engine.render(request, references.folder))


def test_a_damaged_bundle_is_an_error_and_the_model_still_renders(
    folder: Path, tmp_path: Path, references: ReferenceStore
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "subject" / "adapter.safetensors").write_bytes(b"no weights")
    engine = Engine(Settings(device="cpu", dtype="float32"))
    with pytest.raises(ModelError):
        list(engine.render(request_for(str(broken), reference().name), references.folder))
    assert pictures_of(engine.render(request_for(str(broken), frames=1)))


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
    plain = pictures_of(loaded_engine.render(request_for(model)))
    styled = list(loaded_engine.render(request_for(model, "", style)))
    assert not any(isinstance(e, ModelLoading | Notice) for e in styled)
    assert pictures_of(iter(styled))["f0"] != plain["f0"]
    assert pictures_of(loaded_engine.render(request_for(model))) == plain


def test_a_style_that_cannot_be_used_is_an_error_before_a_model_is_loaded(
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


def test_a_style_for_another_model_is_an_error_and_the_model_still_renders(
    loaded_engine: Engine, folder: Path, tmp_path: Path
) -> None:
    model = str(folder)
    plain = pictures_of(loaded_engine.render(request_for(model)))
    style = lora(tmp_path / "large.safetensors", width=3072)
    with pytest.raises(ModelError, match=r"large\.safetensors"):
        list(loaded_engine.render(request_for(model, "", style)))
    assert pictures_of(loaded_engine.render(request_for(model))) == plain
