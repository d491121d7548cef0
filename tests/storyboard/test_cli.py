"""The command line: as a subprocess with the real miniature, and its usage in this process."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.registry import BIREFNET, INSTANT_CHARACTER, MODELS
from pipelines.request import RenderRequest
from pipelines.style import StyleLora
from storyboard import __version__
from storyboard.board import Character, Storyboard
from storyboard.characterfile import save_character
from storyboard.cli import main
from storyboard.consents import Consents
from storyboard.engine import Engine
from storyboard.references import References
from storyboard.settings import ROOT, Settings
from storyboard.store import REQUEST_KEY, Store
from storyboard.storyfile import EXAMPLE_STORY
from tests.pipelines.tiny_subject import save_tiny_model
from tests.storyboard.fakes import FakeEngine
from tests.storyboard.pictures import drawing, reference

STORY = """\
title: Maya's day
character: a girl in a red hoodie
size: 64x64
steps: 2
frames:
  - {location: on a beach, action: waving, share_background: true}
  - {location: on a beach, action: jumping, share_background: true, seed: 5}
"""
LINES = """\
on a beach#a girl#waving
in a forest#a girl#running

in a kitchen#a man#sitting
"""
PATIENCE = 120.0


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "storyboard", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "THROUGHLINE_DEVICE": "cpu"}


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def manifest_of(out: Path) -> Any:
    return json.loads((out / "manifest.json").read_text("utf-8"))


def requests_of(out: Path) -> list[RenderRequest]:
    return [RenderRequest.from_dict(group["request"]) for group in manifest_of(out)["groups"]]


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "story.yaml"
    path.write_text(STORY, encoding="utf-8")
    return path


def test_a_story_becomes_pictures_masks_and_a_manifest(story: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("render", story, "--out", out, "--save-masks", "--no-merge", "--seed", 3)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(out / "manifest.json")
    assert "frame 2 of 2 done" in done.stderr
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr
    (request,) = requests_of(out)
    assert (request.model, request.steps, request.consistency.merge) == ("miniature", 2, False)
    assert [f.seed for f in request.frames] == [3, 3]
    assert request.frames[1].background_from == request.frames[0].frame_id
    manifest = manifest_of(out)
    assert manifest["complete"] is True
    for line in manifest["groups"][0]["frames"]:
        picture = out / line["image"]["path"]
        assert hashlib.sha256(picture.read_bytes()).hexdigest() == line["image"]["sha256"]
        with Image.open(picture) as image, Image.open(out / line["mask"]["path"]) as mask:
            assert (image.size, image.mode) == ((64, 64), "RGB")
            assert (mask.size, mask.mode) == ((64, 64), "L")
            assert set(np.unique(np.asarray(mask))) <= {0, 255}


def test_a_folder_that_holds_something_is_left_alone_unless_told(
    story: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THROUGHLINE_DEVICE", "cpu")
    out = tmp_path / "out"
    out.mkdir()
    kept, replaced = out / "notes.txt", out / "01-waving-on-a-beach.png"
    kept.write_text("mine")
    replaced.write_text("old")
    assert main(["render", str(story), "--out", str(out)]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "not empty" in errors
    assert {p: p.read_text() for p in out.iterdir()} == {kept: "mine", replaced: "old"}
    assert main(["render", str(story), "--out", str(out), "--overwrite", "--plain"]) == 0
    assert kept.read_text() == "mine"
    with Image.open(replaced) as image:
        assert image.size == (64, 64)
    (request,) = requests_of(out)
    assert {(f.identity_from, f.background_from) for f in request.frames} == {(None, None)}


def test_guidance_is_the_files_unless_the_command_line_says_otherwise(
    story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storyboard.engine.Engine", lambda settings: FakeEngine())
    story.write_text(f"model: flux1-dev\nguidance: 6\n{STORY}", encoding="utf-8")
    for out, options, guidance in [("a", [], 6), ("b", ["--guidance", "2.5"], 2.5)]:
        assert main(["render", str(story), "--out", str(tmp_path / out), *options]) == 0
        (request,) = requests_of(tmp_path / out)
        assert request.guidance_scale == guidance


def test_a_prompt_file_becomes_a_folder_for_each_group(tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text(LINES, encoding="utf-8")
    done = run(
        *("render", prompts, "--out", out, "--size", "64x80", "--steps", 2),
        *("--share-background", "--model", ROOT / "assets" / "miniature"),
    )
    assert done.returncode == 0, done.stderr
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png")) == [
        "group-1/01-waving-on-a-beach.png",
        "group-1/02-running-in-a-forest.png",
        "group-2/01-sitting-in-a-kitchen.png",
    ]
    girl, man = requests_of(out)
    assert girl.frames[1].background_from == girl.frames[1].identity_from == girl.targets[0]
    assert {(f.width, f.height) for f in (*girl.frames, *man.frames)} == {(64, 80)}
    assert girl.model == str(ROOT / "assets" / "miniature")


def test_control_c_stops_and_keeps_what_is_done(tmp_path: Path) -> None:
    story, out = tmp_path / "story.yaml", tmp_path / "out"
    frames = "  - {location: on a beach, action: waving}\n" * 40
    story.write_text(f"size: 64x64\nsteps: 20\nframes:\n{frames}", encoding="utf-8")
    process = subprocess.Popen(
        command("render", story, "--out", out),
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + PATIENCE
        while not (out / "manifest.json").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and f"what is done is in {out}" in errors
    manifest = manifest_of(out)
    assert manifest["complete"] is False
    done = manifest["groups"][0]["frames"]
    assert 1 <= len(done) < 40
    pictures = sorted(p.name for p in out.glob("*.png"))
    assert pictures == [line["image"]["path"] for line in done]
    for name in pictures:
        with Image.open(out / name) as image:
            image.load()


def test_a_bad_file_is_one_line_with_its_place(tmp_path: Path) -> None:
    story = tmp_path / "story.yaml"
    story.write_text("frames:\n  - acton: waving\n", encoding="utf-8")
    done = run("render", story, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"throughline: {story}:2: a frame has no key 'acton' (did you mean 'action'?)\n"
    )
    assert not (tmp_path / "out").exists()


def test_help_answers_without_torch() -> None:
    code = (
        "import sys; from storyboard.cli import main\n"
        "try:\n    main(['render', '--help'])\n"
        "except SystemExit as stop:\n    sys.exit(stop.code or 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for option in ("--out", "--save-masks", "--share-background", "--no-merge", "--plain"):
        assert option in done.stdout
    for option in ("--reference", "--reference-strength", "--lora", "--character"):
        assert option in done.stdout
    for option in ("--seed", "--steps", "--guidance", "--size", "--model", "--overwrite"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: COMMAND"),
        (["paint"], "invalid choice: 'paint'"),
        (["render", "s.yaml"], "required: --out"),
        (["render", "s.yaml", "--out", "o", "--size", "100x100"], "multiples of 16"),
        (["render", "s.yaml", "--out", "o", "--steps", "0"], "from 1 to 200"),
        (["render", "s.yaml", "--out", "o", "--seed", "-1"], "from 0 to"),
        (["render", "s.yaml", "--out", "o", "--guidance", "0.5"], "'0.5' is not a number from 1"),
        (["render", "s.yaml", "--out", "o", "--guidance", "nan"], "'nan' is not a number from 1"),
        (["render", "s.yaml", "--out", "o", "--guidance", "much"], "'much' is not a number"),
        (["render", "s.yaml", "--out", "o", "--plain", "--share-background"], "not allowed with"),
        (["render", "s.yaml", "--out", "o", "--reference-strength", "3"], "number from 0 to 2"),
        (["render", "s.yaml", "--out", "o", "--lora", ""], "names no LoRA"),
        (["render", "s.yaml", "--out", "o", "--lora", "a.safetensors:strong"], "SOURCE:WEIGHT"),
        (["render", "s.yaml", "--out", "o", "--lora", "owner/ink:2.5"], "not from -2 to 2"),
    ],
)
def test_bad_usage_exits_with_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert words in capsys.readouterr().err


def test_what_is_found_wrong_later_exits_with_one_line(
    story: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "out")

    def expect(code: int, words: str, *arguments: str) -> None:
        assert main(["render", *arguments]) == code
        errors = capsys.readouterr().err
        assert errors.count("\n") == 1 and words in errors

    expect(2, "no such file", str(tmp_path / "none.yaml"), "--out", out)
    expect(2, "is a file", str(story), "--out", str(story))
    expect(2, "Did you mean", str(story), "--out", out, "--model", "minature")
    schnell = ("--model", "flux1-schnell", "--guidance", "3")
    expect(2, "has learnt no guidance", str(story), "--out", out, *schnell)
    story.write_text("frames:\n  - seed: 3\n", encoding="utf-8")
    expect(1, "Frame 1 has no words", str(story), "--out", out)
    monkeypatch.setenv("THROUGHLINE_DEVICE", "tpu")
    expect(1, "THROUGHLINE_DEVICE", str(story), "--out", out)
    assert not (tmp_path / "out").exists()


FLUX = ("--model", "flux1-dev", "--size", "64x64")


class CheckingEngine(FakeEngine):
    """Paints like a fake, and refuses like the real one."""

    def check(self, request: RenderRequest) -> None:
        Engine(Settings.from_environment(os.environ)).check(request)


@pytest.fixture
def agreed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of consents, in a place where research-only weights were agreed to."""
    monkeypatch.setenv("THROUGHLINE_PROJECTS", str(tmp_path / "projects"))
    monkeypatch.setattr("storyboard.engine.Engine", lambda settings: CheckingEngine())
    path = tmp_path / "projects" / "consents.json"
    Consents(path).give(INSTANT_CHARACTER.consent)
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    drawing().save(tmp_path / "hero.png")
    return tmp_path / "hero.png"


def test_frames_follow_the_picture_of_the_command_line(
    story: Path, tmp_path: Path, picture: Path, agreed: Path
) -> None:
    out = tmp_path / "out"
    options = ("--reference", str(picture), "--reference-strength", "0.5")
    assert main(["render", str(story), "--out", str(out), *FLUX, *options]) == 0
    (request,) = requests_of(out)
    (name,) = request.references
    assert [(f.reference, f.reference_strength) for f in request.frames] == [(name, 0.5)] * 2
    kept = References(out / "references").load(name)
    assert kept.source.tobytes() == drawing().tobytes()
    assert kept.image.getpixel((kept.image.width // 2, 20)) == (200, 30, 30)


def test_a_model_folder_with_a_bundle_paints_from_a_picture(
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
    painted = set()
    for number, options in enumerate(
        [(), ("--reference", str(picture)), ("--reference", str(tmp_path / "other.png"))]
    ):
        out = tmp_path / f"out-{number}"
        assert main([*command, "--out", str(out), *options]) == 0
        (request,) = requests_of(out)
        assert {p.name for p in out.glob("references/*") if "." not in p.stem} >= request.references
        with Image.open(out / "02-sits-the-city.png") as image:
            painted.add(image.tobytes())
    assert len(painted) == 3
    with Image.open(tmp_path / "out-1" / "01-waves-the-beach.png") as image:
        (name,) = RenderRequest.from_dict(json.loads(image.info[REQUEST_KEY])).references
    assert (tmp_path / "out-1" / "references" / name).is_file()


def test_frames_follow_the_picture_of_the_story_and_its_strengths(
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


def test_a_character_file_takes_the_place_of_the_storys_character(
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


def test_styles_of_the_command_line_take_the_place_of_the_storys(
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
    assert not Consents(agreed).given(BIREFNET.source)
    # No test reaches the hub, so that nothing more than this can be seen.
    assert main([*command, "--accept-code"]) == 1
    assert "cannot be loaded" in capsys.readouterr().err
    assert Consents(agreed).given(BIREFNET.source)


def test_what_is_wrong_with_a_picture_or_a_style_is_one_line(
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
    expect(1, "cannot follow a reference picture", *schnell)
    expect(2, "more than 4", *(5 * ("--lora", "owner/ink")))
    everyone = STORY.replace("action:", "character: a man, action:")
    story.write_text(everyone, encoding="utf-8")
    expect(2, "No frame follows the picture", *FLUX, "--reference", str(picture))
    lines = tmp_path / "lines.txt"
    lines.write_text("on a beach#a girl#waving\non a beach#a man#waving\n", encoding="utf-8")
    expect(2, "several characters", *FLUX, "--reference", str(picture), path=lines)
    assert not out.exists()


def test_a_style_file_that_is_none_stops_the_command(
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


def test_new_writes_the_example_and_never_over_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "story.yaml"
    assert main(["new", str(path)]) == 0
    assert path.read_text("utf-8") == EXAMPLE_STORY.read_text("utf-8")
    path.write_text("mine")
    assert main(["new", str(path)]) == 2
    assert path.read_text() == "mine"
    assert main(["new", str(tmp_path / "none" / "story.yaml")]) == 1
    assert capsys.readouterr().err.count("\n") == 2


def test_models_are_listed_with_licence_size_and_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THROUGHLINE_DEVICE", "cpu")
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    for spec in MODELS:
        assert re.search(rf"^{spec.name}  .*{spec.width}x{spec.height}", listed, re.MULTILINE)
        assert spec.licence in listed
    assert listed.count("reference pictures: ") == len(MODELS)
    assert "reference pictures: cannot follow any" in listed
    followed = f"reference pictures: followed with {INSTANT_CHARACTER.title}"
    assert f"{followed}, {INSTANT_CHARACTER.licence}, {INSTANT_CHARACTER.licence_url}" in listed
    assert "usable here: yes, on cpu" in listed


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"Throughline {__version__}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project.get("version", __version__) == __version__
    assert project["scripts"]["throughline"] == "storyboard.cli:main"
