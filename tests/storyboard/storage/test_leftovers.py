"""Runs that were killed: their presence ends, and what they left is cleared."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from storyboard.errors import ProjectError
from storyboard.settings import ROOT
from storyboard.storage.leftovers import clear_leftovers, run_folder
from storyboard.storage.presence import Presence
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from storyboard.storage.unfinished import Unfinished
from tests.storyboard.storage.test_projects import BOARD, add_take, project, store

__all__ = ["project", "store"]  # fixtures


def other_process(code: str, *arguments: Path | str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"import os, sys; from pathlib import Path\n{code}"]
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process


def test_a_run_is_present_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    with Presence(tmp_path) as own:
        assert not own.others() and own.is_running(own.run)
        process = other_process(
            "from storyboard.storage.presence import Presence\n"
            "with Presence(Path(sys.argv[1])) as own:\n"
            "    print(own.run, flush=True); sys.stdin.read()",
            tmp_path,
        )
        assert process.stdout is not None
        run = process.stdout.readline().strip()
        assert own.others() and own.is_running(run)
        process.kill()
        process.communicate()
        assert not own.others() and not own.is_running(run)
    assert list((tmp_path / ".locks").iterdir()) == []
    assert not own.is_running("../../etc/passwd")


def test_a_folder_that_cannot_be_locked_is_used_all_the_same(tmp_path: Path) -> None:
    (tmp_path / ".locks").write_text("a file")
    with Presence(tmp_path) as own:
        assert not own.others() and not own.is_running("another")


def test_what_a_killed_run_left_is_cleared_and_nothing_else(store: Store, project: Project) -> None:
    add_take(project, "t1")
    (project.path / "draft").mkdir()
    kept = sorted(store.root.rglob("*"))
    for folder in (store.root, project.path, project.path / "takes", project.path / "draft"):
        (folder / ".abc.tmp").write_bytes(b"x")
        (folder / ".new-abc" / "inside").mkdir(parents=True)
    (store.root / ".bin" / ".going-abc").mkdir(parents=True)
    notes = [project.path / "notes.tmp", project.path / ".hidden", project.path / "takes" / ".bin"]
    for path in notes:
        path.mkdir()
    assert clear_leftovers(store.root) == 9
    assert set(store.root.rglob("*")) - {store.root / ".bin"} == {*kept, *notes}
    assert clear_leftovers(store.root / "none") == 0


def test_temporary_files_of_a_run_end_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    code = (
        "import tempfile; from storyboard.storage.leftovers import run_folder\n"
        "with run_folder() as folder:\n"
        "    (folder / 'upload.png').write_bytes(b'x'); tempfile.mkdtemp()\n"
        "    print(folder, flush=True); sys.stdin.read()"
    )
    processes = [other_process(code), other_process(code)]
    killed, running = (Path((p.stdout and p.stdout.readline() or "").strip()) for p in processes)
    (tmp_path / "uploads" / "of-others").mkdir()
    processes[0].kill()
    processes[0].communicate()
    assert len(list(killed.iterdir())) == 3
    with run_folder() as own:
        assert not killed.exists() and (running / "upload.png").is_file()
        assert tempfile.gettempdir() == os.environ["GRADIO_TEMP_DIR"] == str(own)
        assert Path(tempfile.mkdtemp()).parent == own
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path / "uploads")
    processes[1].communicate(timeout=60)  # its end of input ends it
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == ["of-others"]


def test_a_temporary_folder_that_cannot_be_made_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "file"))
    with pytest.raises(ProjectError, match="cannot be written"), run_folder():
        pass


def test_frames_are_unfinished_until_their_take_is_stored(project: Project) -> None:
    assert project.unfinished.now() == Unfinished()
    project.unfinished.begin("one", ["a", "b"])
    project.unfinished.begin("one", ["b", "c"])
    assert project.unfinished.now() == Unfinished("one", ("a", "b", "c"))
    add_take(project, "t1")
    assert project.unfinished.now() == Unfinished("one", ("b", "c"))
    project.unfinished.begin("two", ["a"])
    assert project.unfinished.now() == Unfinished("two", ("a",))
    project.unfinished.finish()
    assert project.unfinished.now() == Unfinished()
    assert not (project.path / "unfinished.json").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"run": 1, "frames": null}', b"\xff"])
def test_a_damaged_record_of_unfinished_frames_costs_itself_alone(
    project: Project, content: bytes
) -> None:
    project.unfinished.begin("one", ["a"])
    (project.path / "unfinished.json").write_bytes(content)
    assert project.unfinished.now() == Unfinished() and project.load() == BOARD
    add_take(project, "t1")
    project.unfinished.begin("two", ["a"])
    assert project.unfinished.now() == Unfinished("two", ("a",))
