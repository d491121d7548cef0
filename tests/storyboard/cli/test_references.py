"""Reference pictures, characters and styles on the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from pipelines.models.catalog import BIREFNET, INSTANT_CHARACTER
from pipelines.request import RenderRequest, StyleLora
from storyboard.board import Character, Storyboard
from storyboard.cli.main import main
from storyboard.engine import Engine
from storyboard.settings import Settings
from storyboard.storage.character_file import save_character
from storyboard.storage.consents import Consents
from storyboard.storage.projects import Store
from storyboard.storage.reference_store import ReferenceStore
from storyboard.storage.take_files import REQUEST_KEY
from tests.pipelines.pictures import drawing, reference
from tests.pipelines.tiny_character import save_tiny_model
from tests.storyboard.cli.typed import STORY, requests_of
from tests.storyboard.fakes import FakeEngine


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "story.yaml"
    path.write_text(STORY, encoding="utf-8")
    return path


FLUX = ("--model", "flux1-dev", "--size", "64x64")


class CheckingEngine(FakeEngine):
    """Renders like a fake, and checks like the real one."""

    def check(self, request: RenderRequest) -> None:
        Engine(Settings.from_environment(os.environ)).check(request)


@pytest.fixture
def agreed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """File of consents, with one for research-only weights."""
    monkeypatch.setenv("THROUGHLINE_PROJECTS", str(tmp_path / "projects"))
    monkeypatch.setattr("storyboard.engine.Engine", lambda settings, previews: CheckingEngine())
    path = tmp_path / "projects" / "consents.json"
    Consents(path).give(INSTANT_CHARACTER.consent)
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    drawing().save(tmp_path / "hero.png")
    return tmp_path / "hero.png"


def test_frames_use_the_reference_of_the_command_line(
    story: Path, tmp_path: Path, picture: Path, agreed: Path
) -> None:
    out = tmp_path / "out"
    options = ("--reference", str(picture), "--reference-strength", "0.5")
    assert main(["render", str(story), "--out", str(out), *FLUX, *options]) == 0
    (request,) = requests_of(out)
    (name,) = request.references
    assert [(f.reference, f.reference_strength) for f in request.frames] == [(name, 0.5)] * 2
    kept = ReferenceStore(out / "references").load(name)
    assert kept.source.tobytes() == drawing().tobytes()
    assert kept.image.getpixel((kept.image.width // 2, 20)) == (200, 30, 30)


def test_a_model_folder_with_a_bundle_renders_from_a_reference(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THROUGHLINE_PROJECTS", str(tmp_path / "projects"))
    monkeypatch.setenv("THROUGHLINE_DEVICE", "cpu")
    save_tiny_model(tmp_path / "model")
    story = tmp_path / "story.yaml"
    story.write_text(
        "character: a girl in red hat\nsize: 64x64\nsteps: 2\nseed: 3\n"
        "frames: [{location: the beach, action: waves}, {location: the city, action: sits}]\n",
        encoding="utf-8",
    )
    command = ["render", str(story), "--model", str(tmp_path / "model")]
    drawing((30, 30, 200)).save(tmp_path / "other.png")
    rendered = set()
    for number, options in enumerate(
        [(), ("--reference", str(picture)), ("--reference", str(tmp_path / "other.png"))]
    ):
        out = tmp_path / f"out-{number}"
        assert main([*command, "--out", str(out), *options]) == 0
        (request,) = requests_of(out)
        assert {p.name for p in out.glob("references/*") if "." not in p.stem} >= request.references
        with Image.open(out / "02-sits-the-city.png") as image:
            rendered.add(image.tobytes())
    assert len(rendered) == 3
    with Image.open(tmp_path / "out-1" / "01-waves-the-beach.png") as image:
        (name,) = RenderRequest.from_dict(json.loads(image.info[REQUEST_KEY])).references
    assert (tmp_path / "out-1" / "references" / name).is_file()


def test_frames_use_the_reference_of_the_story_and_its_strengths(
    story: Path, tmp_path: Path, picture: Path, agreed: Path
) -> None:
    text = STORY.replace("a girl in a red hoodie", "{reference: hero.png, strength: 0.7}")
    story.write_text(text.replace("seed: 5", "reference_strength: 0.2"), encoding="utf-8")
    assert main(["render", str(story), "--out", str(tmp_path / "a"), *FLUX]) == 0
    (request,) = requests_of(tmp_path / "a")
    assert [f.reference_strength for f in request.frames] == [0.7, 0.2]
    assert request.frames[0].prompt.character == "a character,"
    stronger = ("--reference-strength", "1.5")
    assert main(["render", str(story), "--out", str(tmp_path / "b"), *FLUX, *stronger]) == 0
    (request,) = requests_of(tmp_path / "b")
    assert [f.reference_strength for f in request.frames] == [1.5, 0.2]


def test_a_character_file_replaces_the_storys_character(
    story: Path, tmp_path: Path, picture: Path, agreed: Path
) -> None:
    project = Store(tmp_path / "projects").create(Storyboard())
    name = project.references.add(reference((1, 2, 3)))
    hero = Character(description="a boy", strength=0.4, reference=name)
    project.save(Storyboard(character=hero))
    saved = ("--character", str(save_character(project, tmp_path / "boy.character")))
    assert main(["render", str(story), "--out", str(tmp_path / "a"), *FLUX, *saved]) == 0
    (request,) = requests_of(tmp_path / "a")
    assert request.references == {hero.reference}
    assert {f.prompt.character for f in request.frames} == {"a boy,"}
    assert {f.reference_strength for f in request.frames} == {0.4}
    both = (*saved, "--reference", str(picture))
    assert main(["render", str(story), "--out", str(tmp_path / "b"), *FLUX, *both]) == 0
    (request,) = requests_of(tmp_path / "b")
    assert request.references and request.references != {hero.reference}
    assert {f.prompt.character for f in request.frames} == {"a boy,"}


def test_styles_of_the_command_line_replace_the_storys(
    story: Path, tmp_path: Path, agreed: Path
) -> None:
    story.write_text(f"styles: [owner/oil]\n{STORY}", encoding="utf-8")
    loras = ("--lora", "owner/ink:0.5:in ink: black", "--lora", r"C:\ink.safetensors")
    for out, options, styles in [
        ("a", (), (StyleLora("owner/oil"),)),
        (
            "b",
            loras,
            (StyleLora("owner/ink", 0.5, "in ink: black"), StyleLora(r"C:\ink.safetensors")),
        ),
    ]:
        assert main(["render", str(story), "--out", str(tmp_path / out), *options]) == 0
        (request,) = requests_of(tmp_path / out)
        assert request.styles == styles


def test_research_only_weights_wait_for_consent(
    story: Path, tmp_path: Path, picture: Path, agreed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agreed.unlink()
    out = tmp_path / "out"
    command = ["render", str(story), "--out", str(out), *FLUX, "--reference", str(picture)]
    assert main(command) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "--accept-research-only" in errors
    assert INSTANT_CHARACTER.licence_url in errors
    assert not out.exists() and not agreed.exists()
    assert main([*command, "--accept-research-only"]) == 0
    assert Consents(agreed).given(INSTANT_CHARACTER.consent)
    assert main([*command, "--overwrite"]) == 0


def test_code_of_a_network_runs_only_after_consent(
    story: Path, tmp_path: Path, picture: Path, agreed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = ("--reference", str(picture), "--matting", "birefnet")
    command = ["render", str(story), "--out", str(tmp_path / "out"), *FLUX, *reference]
    assert main(command) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "Add --accept-code to agree" in errors
    assert not Consents(agreed).given(BIREFNET.consent)
    # No test reaches the hub, so that nothing more than this can be seen.
    assert main([*command, "--accept-code"]) == 1
    assert "cannot be loaded" in capsys.readouterr().err
    assert Consents(agreed).given(BIREFNET.consent)


def test_errors_about_pictures_and_styles_are_one_line(
    story: Path, tmp_path: Path, picture: Path, agreed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"

    def expect(code: int, words: str, *arguments: str, path: Path = story) -> None:
        assert main(["render", str(path), "--out", str(out), *arguments]) == code
        errors = capsys.readouterr().err
        assert errors.count("\n") == 1 and words in errors

    expect(1, "cannot be opened", *FLUX, "--reference", str(tmp_path / "none.png"))
    expect(1, "not a picture", *FLUX, "--reference", str(story))
    Image.new("RGB", (90, 90), "white").save(tmp_path / "blank.png")
    expect(1, "No figure", *FLUX, "--reference", str(tmp_path / "blank.png"))
    expect(2, "has no picture", *FLUX, "--reference-strength", "1")
    expect(1, "not a character", *FLUX, "--character", str(picture))
    schnell = ("--model", "flux1-schnell", "--reference", str(picture))
    expect(1, "cannot use a reference picture", *schnell)
    expect(2, "more than 4", *(5 * ("--lora", "owner/ink")))
    everyone = STORY.replace("action:", "character: a man, action:")
    story.write_text(everyone, encoding="utf-8")
    expect(2, "No frame uses the reference picture", *FLUX, "--reference", str(picture))
    lines = tmp_path / "lines.txt"
    lines.write_text("on a beach#a girl#waving\non a beach#a man#waving\n", encoding="utf-8")
    expect(2, "several characters", *FLUX, "--reference", str(picture), path=lines)
    assert not out.exists()


def test_a_file_that_is_no_style_stops_the_command(
    story: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THROUGHLINE_PROJECTS", str(tmp_path / "projects"))
    monkeypatch.setenv("THROUGHLINE_DEVICE", "cpu")
    style = tmp_path / "ink.safetensors"
    style.write_bytes(b"no LoRA at all")
    out = str(tmp_path / "out")
    assert main(["render", str(story), "--out", out, "--lora", str(style)]) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "ink.safetensors is no safetensors file" in errors
