"""Disks that refuse: no chmod, no rename to elsewhere, no locks, nothing written, no long names."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storyboard.board import Storyboard
from storyboard.errors import ProjectError
from storyboard.settings import ROOT
from storyboard.storage.archive import write_archive
from storyboard.storage.files import write_atomically
from storyboard.storage.own_pictures import small_picture
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from storyboard.storage.shelf import Shelf
from tests.storyboard.storage.test_projects import BOARD, add_take, project, store

__all__ = ["project", "store"]  # fixtures


def refusing(code: int) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    return refuse


def test_a_disk_that_refuses_chmod_holds_projects(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("chmod", "fchmod", "utime"):
        monkeypatch.setattr(os, name, refusing(errno.EPERM))
    monkeypatch.setattr(shutil, "copystat", refusing(errno.EPERM))
    made = store.create(BOARD)
    add_take(made, "t1")
    shelf = Shelf(store)
    assert shelf.duplicate(made.id).load().frame("a").take == "t1"
    shelf.delete(made.id)
    assert shelf.restore(made.id).image_path("t1").is_file()


def test_files_may_be_read_by_whom_the_umask_lets(store: Store) -> None:
    before = os.umask(0o027)
    try:
        made = store.create(BOARD)
        add_take(made, "t1")
    finally:
        os.umask(before)
    assert made.image_path("t1").stat().st_mode & 0o777 == 0o640
    assert made.image_path("t1").parent.stat().st_mode & 0o777 == 0o750


def test_a_project_is_deleted_to_another_disk_and_restored(
    store: Store, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_take(project, "t1")
    rename = Path.rename

    def on_one_disk(path: Path, target: Path) -> Path:
        if (".bin" in path.parts) != (".bin" in Path(target).parts):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", on_one_disk)
    shelf = Shelf(store)
    shelf.delete(project.id)
    assert store.projects() == [] and not project.path.exists()
    assert shelf.restore(project.id).load() == BOARD.with_take("a", "t1")
    assert [path.name for path in (store.root / ".bin").iterdir()] == []
    # Out of room on the way, the project stays where it is.
    monkeypatch.setattr(shutil, "copyfile", refusing(errno.ENOSPC))
    with pytest.raises(ProjectError, match="No space"):
        shelf.delete(project.id)
    assert store.open(project.id).image_path("t1").is_file()
    assert list((store.root / ".bin").iterdir()) == []


def test_a_disk_without_locks_holds_projects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    monkeypatch.setattr(fcntl, "flock", refusing(errno.ENOLCK))
    made = Store(tmp_path / "new").create(BOARD)
    assert made.edit(lambda board: board.model_copy(update={"title": "New"})).title == "New"


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP])
def test_a_disk_that_cannot_wait_holds_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "fsync", refusing(code))
    write_atomically(tmp_path / "a.json", b"one")
    assert (tmp_path / "a.json").read_bytes() == b"one"


@pytest.mark.skipif(os.name != "posix", reason="only there folders can be opened")
def test_names_are_on_the_disk_once_a_file_is_stored(
    store: Store, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, replace, rename = os.fsync, os.replace, Path.rename

    def synced(handle: int) -> None:
        done.append(f"sync {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        sync(handle)

    def moved(source: Path, target: Path) -> None:
        done.append(f"move {Path(target).name}")
        replace(source, target)

    def renamed(source: Path, target: Path) -> Path:
        done.append(f"move {Path(target).name}")
        return rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", moved)
    monkeypatch.setattr(Path, "rename", renamed)
    add_take(project, "t1")
    assert done[done.index("move t1") + 1] == "sync takes"
    assert done[done.index("move storyboard.json") + 1] == f"sync {project.id}"
    done.clear()
    built = store.build(lambda folder: write_atomically(folder / "storyboard.json", b"{}"))
    assert done[done.index(f"move {built.id}") + 1] == f"sync {store.root.name}"
    done.clear()
    Shelf(store).delete(project.id)
    after = done[done.index(f"move {project.id}") + 1 :]
    assert set(after) == {"sync .bin", f"sync {store.root.name}"}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_a_disk_that_cannot_be_written_says_so_and_shows_what_it_has(
    store: Store, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    add_take(project, "t1")
    project.save(BOARD)  # as a crash leaves it, so that there is something to mend
    with monkeypatch.context() as refused:
        real = Path.open

        def reading_only(path: Path, mode: str = "r", *more: Any, **named: Any) -> Any:
            if set(mode) & set("wxa+") and path.is_relative_to(store.root):
                raise OSError(code, os.strerror(code))
            return real(path, mode, *more, **named)

        refused.setattr(Path, "open", reading_only)
        refused.setattr(Path, "mkdir", refusing(code))
        refused.setattr(Path, "touch", refusing(code))
        for act in (
            lambda: project.save(Storyboard()),
            lambda: add_take(project, "t2"),
            lambda: project.star("t1", True),
            lambda: store.create(BOARD, "new"),
            lambda: Shelf(store).duplicate(project.id),
            lambda: Shelf(store).delete(project.id),
            lambda: project.remove_take("t1"),
        ):
            with pytest.raises(ProjectError, match=os.strerror(code)) as caught:
                act()
            assert caught.value.remedy
        assert project.load().frame("a").take == "t1"
        assert small_picture(project, "t1").startswith(b"\xff\xd8")
    assert write_archive(project, tmp_path / "board.zip").is_file()
    assert [path for path in project.path.rglob(".*.tmp")] == []
    assert [info.id for info in store.projects()] == [project.id]


def test_a_project_whose_first_save_failed_can_be_saved(store: Store) -> None:
    (store.root / "half").mkdir(parents=True)
    assert store.projects() == [] and not store.has("half")
    assert store.create(BOARD, "half").load() == BOARD
    with pytest.raises(ProjectError, match="exists already"):
        store.create(BOARD, "half")


def test_a_project_that_lost_its_storyboard_is_listed_and_has_its_takes_with_the_next(
    store: Store, project: Project
) -> None:
    add_take(project, "t1")
    (project.path / "storyboard.json").unlink()
    (info,) = store.projects()
    assert (info.id, info.fault) == (project.id, "storyboard.json is missing.")
    assert store.create(BOARD, project.id).load().frame("a").take == "t1"


@pytest.mark.parametrize("how", ["a folder", "a link to itself", "a pipe", "cut", "two frames"])
def test_a_damaged_storyboard_is_listed_with_the_reason_and_can_be_deleted(
    store: Store, project: Project, how: str
) -> None:
    path = project.path / "storyboard.json"
    content = path.read_text()
    path.unlink()
    match how:
        case "a folder":
            path.mkdir()
        case "a link to itself":
            path.symlink_to(path)
        case "a pipe":
            os.mkfifo(path)
        case "cut":
            path.write_text(content[:-20])
        case "two frames":
            path.write_text(content.replace('"id": "b"', '"id": "a"'))
    (info,) = store.projects()
    assert info.id == project.id and info.fault.startswith("storyboard.json ")
    with pytest.raises(ProjectError, match="exists already"):  # it is not overwritten either
        store.create(BOARD, project.id)
    with pytest.raises(ProjectError, match=r"storyboard\.json"):
        store.open(project.id).load()
    shelf = Shelf(store)
    shelf.delete(project.id)
    assert store.projects() == [] and [e.info.id for e in shelf.deleted()] == [project.id]
    shelf.restore(project.id)
    shelf.delete(project.id)
    shelf.destroy(project.id)
    assert shelf.deleted() == []


@pytest.mark.parametrize("name", ["x" * 249 + ".zip", "é" * 123 + ".zip"])
def test_a_name_as_long_as_the_disk_allows_is_no_hindrance(
    project: Project, tmp_path: Path, name: str
) -> None:
    assert write_archive(project, tmp_path / name).is_file()
    with pytest.raises(ProjectError, match="too long"):
        write_archive(project, tmp_path / f"{name}xxxxxx")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="another user is needed")
def test_what_may_not_be_read_costs_itself_alone(store: Store, project: Project) -> None:
    add_take(project, "t1")
    add_take(project, "t2")
    other = store.create(BOARD.model_copy(update={"title": "Locked"}))
    (project.path / "takes" / "t2").chmod(0)
    other.path.chmod(0)
    for folder in [store.root, *store.root.parents]:
        if folder.name.startswith(("pytest-", "popen-", "test_", "projects")):
            folder.chmod(0o755)
    script = (
        "import os, sys; from pathlib import Path\n"
        "from storyboard.storage.projects import Store\n"
        "from storyboard.storage.damage import damage_of\n"
        "os.setuid(65534)\n"
        "store = Store(Path(sys.argv[1])); project = store.open(sys.argv[2])\n"
        "print(project.load().frame('a').take, damage_of(project))\n"
        "print([(info.id, info.fault) for info in store.projects()])\n"
    )
    arguments = [sys.executable, "-c", script, str(store.root), project.id]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    for folder in (project.path / "takes" / "t2", other.path):
        folder.chmod(0o755)
    assert done.stdout.startswith("t1 ["), done.stderr
    assert "Take t2 of frame 1 cannot be shown: takes/t2/take.json cannot be read" in done.stdout
    assert f"('{project.id}', '')" in done.stdout
    assert f"('{other.id}', 'storyboard.json cannot be read (Permission denied).')" in done.stdout
