"""The command line: as a subprocess with the real miniature, and its usage in this process."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.models.measured import describe
from pipelines.models.shortcuts import ShortcutName, find_shortcut
from storyboard import __version__
from storyboard.cli.main import main
from storyboard.importing.story_file import EXAMPLE_STORY
from storyboard.jobs.local import LocalRunner
from storyboard.settings import ROOT, Settings, Workers
from tests.storyboard.cli.typed import (
    PATIENCE,
    STORY,
    command,
    environment,
    manifest_of,
    requests_of,
    run,
)
from tests.storyboard.fakes import FakeEngine

pytestmark = pytest.mark.slow

LINES = """\
on a beach#a girl#waving
in a forest#a girl#running

in a kitchen#a man#sitting
"""


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


def test_a_folder_with_files_is_left_alone_without_overwrite(
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


def test_guidance_of_the_command_line_replaces_that_of_the_file(
    story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storyboard.engine.Engine", lambda settings, previews: FakeEngine())
    story.write_text(f"model: flux1-dev\nguidance: 6\n{STORY}", encoding="utf-8")
    for out, options, guidance in [("a", [], 6), ("b", ["--guidance", "2.5"], 2.5)]:
        assert main(["render", str(story), "--out", str(tmp_path / out), *options]) == 0
        (request,) = requests_of(tmp_path / out)
        assert request.guidance_scale == guidance


def test_a_shortcut_is_taken_and_its_cost_printed(
    story: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storyboard.engine.Engine", lambda settings, previews: FakeEngine())
    story.write_text(f"model: flux1-dev\nshortcut: coarse-probe\n{STORY}", encoding="utf-8")
    runs: list[tuple[str, list[str], ShortcutName]] = [
        ("a", [], "coarse-probe"),
        ("b", ["--shortcut", "both"], "both"),
        ("c", ["--shortcut", "exact"], "exact"),
    ]
    for out, options, name in runs:
        assert main(["render", str(story), "--out", str(tmp_path / out), *options]) == 0
        (request,) = requests_of(tmp_path / out)
        assert request.shortcuts == find_shortcut(name).shortcuts
        note = f"{find_shortcut(name).title}: {describe(name, 'flux1-dev')}\n"
        assert (note in capsys.readouterr().err) == (name != "exact")


def test_a_prompt_file_becomes_a_folder_for_each_group(tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text(LINES, encoding="utf-8")
    options = ["--size", "64x80", "--steps", "2", "--share-background"]
    options += ["--model", str(ROOT / "assets" / "miniature")]
    assert main(["render", str(prompts), "--out", str(out), *options]) == 0
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png")) == [
        "group-1/01-waving-on-a-beach.png",
        "group-1/02-running-in-a-forest.png",
        "group-2/01-sitting-in-a-kitchen.png",
    ]
    girl, man = requests_of(out)
    assert girl.frames[1].background_from == girl.frames[1].identity_from == girl.targets[0]
    assert {(f.width, f.height) for f in (*girl.frames, *man.frames)} == {(64, 80)}
    assert girl.model == str(ROOT / "assets" / "miniature")


def test_the_workers_of_the_settings_render(
    story: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Workers | None] = []

    def runner(settings: Settings, make_engine: object) -> LocalRunner:
        asked.append(settings.workers)
        return LocalRunner(FakeEngine())

    monkeypatch.setattr("storyboard.jobs.ray.runner.RayRunner", runner)
    monkeypatch.setenv("THROUGHLINE_WORKERS", "3@auto")
    assert main(["render", str(story), "--out", str(tmp_path / "out")]) == 0
    assert asked == [Workers(3, "auto")]
    assert manifest_of(tmp_path / "out")["complete"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_and_keeps_the_rendered_frames(
    tmp_path: Path, ending: signal.Signals
) -> None:
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
        process.send_signal(ending)
        _, errors = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and f"the rendered frames are in {out}" in errors
    manifest = manifest_of(out)
    assert manifest["complete"] is False
    done = manifest["groups"][0]["frames"]
    assert 1 <= len(done) < 40
    pictures = sorted(p.name for p in out.glob("*.png"))
    assert pictures == [line["image"]["path"] for line in done]
    for name in pictures:
        with Image.open(out / name) as image:
            image.load()


def test_a_second_control_c_ends_a_step_that_never_ends(story: Path, tmp_path: Path) -> None:
    code = (
        "import sys, threading; import storyboard.engine\n"
        "from storyboard.cli.main import main; from tests.storyboard.fakes import FakeEngine\n"
        "stuck = FakeEngine(permits=threading.Semaphore(1))\n"
        "storyboard.engine.Engine = lambda settings, previews: stuck\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "render", str(story), "--out", str(tmp_path / "out")],
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        assert process.stderr.readline().startswith("loading")
        process.send_signal(signal.SIGINT)
        while "Ctrl-C again" not in process.stderr.readline():
            assert process.poll() is None
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE) == 130
        assert time.monotonic() - began < 10  # the step takes 20 s
    finally:
        process.kill()
        process.communicate()


def test_a_bad_file_is_one_line_with_file_and_line(tmp_path: Path) -> None:
    story = tmp_path / "story.yaml"
    story.write_text("frames:\n  - acton: waving\n", encoding="utf-8")
    done = run("render", story, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"throughline: {story}:2: there is no key 'acton' (did you mean 'action'?)\n"
    )
    assert not (tmp_path / "out").exists()


def test_help_answers_without_torch() -> None:
    code = (
        "import sys; from storyboard.cli.main import main\n"
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
    for option in (
        "--seed",
        "--steps",
        "--shortcut",
        "--guidance",
        "--size",
        "--model",
        "--overwrite",
    ):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: COMMAND"),
        (["draw"], "invalid choice: 'draw'"),
        (["render", "s.yaml"], "required: --out"),
        (["render", "s.yaml", "--out", "o", "--size", "100x100"], "multiples of 16"),
        (["render", "s.yaml", "--out", "o", "--steps", "0"], "from 1 to 200"),
        (["render", "s.yaml", "--out", "o", "--seed", "-1"], "from 0 to"),
        (["render", "s.yaml", "--out", "o", "--guidance", "0.5"], "'0.5' is not a number from 1"),
        (["render", "s.yaml", "--out", "o", "--guidance", "nan"], "'nan' is not a number from 1"),
        (["render", "s.yaml", "--out", "o", "--guidance", "much"], "'much' is not a number"),
        (["render", "s.yaml", "--out", "o", "--shortcut", "quick"], "invalid choice: 'quick'"),
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


def test_errors_after_parsing_are_one_line(
    story: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = str(tmp_path / "out")

    def expect(code: int, words: str, *arguments: str) -> None:
        assert main(["render", *arguments]) == code
        errors = capsys.readouterr().err
        assert errors.count("\n") == 1 and words in errors

    expect(2, "no such file", str(tmp_path / "none.yaml"), "--out", out)
    expect(2, "is a file", str(story), "--out", str(story))
    expect(2, "File name too long", str(story), "--out", str(tmp_path / ("n" * 300)))
    expect(2, "cannot be written to", str(story), "--out", str(story / "below"))
    expect(2, "Did you mean", str(story), "--out", out, "--model", "minature")
    schnell = ("--model", "flux1-schnell", "--guidance", "3")
    expect(2, "has no learnt guidance", str(story), "--out", out, *schnell)
    story.write_text("frames:\n  - seed: 3\n", encoding="utf-8")
    expect(1, "Frame 1 has no words", str(story), "--out", out)
    monkeypatch.setenv("THROUGHLINE_DEVICE", "tpu")
    expect(1, "THROUGHLINE_DEVICE", str(story), "--out", out)
    assert not (tmp_path / "out").exists()


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


def test_an_unknown_memory_preset_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["render", "story.yaml", "--out", "out", "--memory", "leaf-ofload"])
    assert left.value.code == 2
    assert "Did you mean 'leaf-offload'?" in capsys.readouterr().err


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == f"Throughline {__version__}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project.get("version", __version__) == __version__
    assert project["scripts"]["throughline"] == "storyboard.cli.main:main"
