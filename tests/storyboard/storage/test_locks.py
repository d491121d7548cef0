"""Locks of projects, between threads and between processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from storyboard.board import Storyboard
from storyboard.storage import locks
from storyboard.storage.locks import ProjectLock
from storyboard.storage.projects import Store
from tests.conftest import ROOT

# Adds a letter to the title as often as it is told, as another application would.
WRITER = """
import sys
from pathlib import Path
from storyboard.storage.projects import Store
project = Store(Path(sys.argv[1])).open("shared")
for _ in range(int(sys.argv[2])):
    project.edit(lambda board: board.model_copy(update={"title": board.title + sys.argv[3]}))
"""


def test_no_change_is_lost_where_two_processes_write(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create(Storyboard(title=""), "shared")
    command = [sys.executable, "-c", WRITER, str(tmp_path), "40"]
    writers = [subprocess.Popen([*command, letter], cwd=ROOT) for letter in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    title = store.open("shared").load().title
    assert (title.count("a"), title.count("b")) == (40, 40)


def test_a_thread_takes_its_lock_again(tmp_path: Path) -> None:
    lock = ProjectLock(tmp_path, "one")
    with lock.held(), lock.held():
        assert (tmp_path / locks.FOLDER / "one.lock").exists()


def test_a_disk_without_locks_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    project = Store(tmp_path).create(Storyboard(title="A day"))
    assert project.load().title == "A day"


def test_locks_are_no_projects(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.create(Storyboard(), "one")
    assert [info.id for info in store.projects()] == ["one"]
