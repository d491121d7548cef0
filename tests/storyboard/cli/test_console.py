"""Output on consoles of few letters, on full disks, and into pipes whose reader has gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storyboard.board import Storyboard, Take
from storyboard.cli.console import announce
from storyboard.cli.progress_bar import ProgressBar
from storyboard.jobs.events import TakeSaved

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "storyboard"]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "0", "PYTHONUNBUFFERED": ""} | more


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_console_of_few_letters_shows_the_others_as_codes(tmp_path: Path, encoding: str) -> None:
    name = "女-\udcff.yaml"  # and a byte that is no letter at all
    run = subprocess.run(
        [*COMMAND, "new", name],
        cwd=tmp_path,
        env=environment(PYTHONIOENCODING=encoding),
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / name).is_file()
    assert b"\\udcff.yaml" in run.stdout
    assert ("女".encode() if encoding == "utf-8" else b"\\u5973") in run.stdout


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_one_line(tmp_path: Path, unbuffered: str) -> None:
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [*COMMAND, "new", "story.yaml"],
            cwd=tmp_path,
            env=environment(PYTHONUNBUFFERED=unbuffered),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "the output cannot be written (No space left on device)" in run.stderr


@pytest.mark.skipif(os.name != "posix", reason="pipes close otherwise there")
@pytest.mark.parametrize("arguments", [["--help"], ["new", "story.yaml"]], ids=" ".join)
@pytest.mark.parametrize("both", [False, True])
def test_a_reader_that_has_gone_is_no_fault(
    tmp_path: Path, arguments: list[str], both: bool
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        env=environment(),
        stdout=writing,
        stderr=writing if both else subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert run.returncode == 141
    assert not run.stderr


def test_frames_are_rendered_where_nobody_reads_the_progress(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", buffering=1) as closed:
        monkeypatch.setattr(sys, "stderr", closed)
        board = Storyboard.model_validate({"title": "t", "frames": [{"action": "waving"}]})
        bar = ProgressBar([board])
        frame = board.frames[0].id
        values = {"seconds": 1, "seed": 1, "matches": 0, "foreground": 0.5, "prompt": "p"}
        take = Take(frame_id=frame, model="m", **values)
        saved = TakeSaved(frame, take)
        for _ in range(2):
            bar.show(0, saved)
        bar.close()


def test_an_announcement_stops_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        announce("Throughline is here", closed)
        announce("and there", closed)
