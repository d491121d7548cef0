"""The shelf: copies, the bin, the example, and a list that is quick."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path

import pytest
from PIL import Image

from storyboard.board import SHORT_TEXT, Storyboard
from storyboard.errors import DeletedError, ProjectError
from storyboard.storage import locks, summaries
from storyboard.storage.own_pictures import SMALL_SIDE, small_picture
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from storyboard.storage.shelf import Shelf
from tests.pipelines.pictures import reference
from tests.storyboard.storage.test_projects import BOARD, add_take


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "projects")


@pytest.fixture
def shelf(store: Store) -> Shelf:
    return Shelf(store)


@pytest.fixture
def project(store: Store) -> Project:
    project = store.create(BOARD)
    name = project.references.add(reference())
    character = BOARD.character.model_copy(update={"reference": name})
    project.save(BOARD.model_copy(update={"character": character}))
    add_take(project, "t1", colour=1)
    add_take(project, "t2", colour=2)
    return project


def files_of(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_copy_has_all_takes_and_references_and_a_life_of_its_own(
    store: Store, shelf: Shelf, project: Project
) -> None:
    (project.path / "draft").mkdir()
    (project.path / "takes" / ".new-half").mkdir()
    before = files_of(project.path)
    copy = shelf.duplicate(project.id)
    assert copy.id != project.id
    assert copy.load() == project.load().model_copy(update={"title": "Maya's Day copy"})
    assert [take.id for take in copy.takes()] == ["t1", "t2"]
    assert copy.request("t1") == project.request("t1")
    name = copy.load().character.reference
    assert copy.references.load(name).image.tobytes() == reference().image.tobytes()
    add_take(copy, "t3", colour=3)
    assert files_of(project.path) == before
    assert sorted(path.name for path in store.root.glob("[!.]*")) == sorted([project.id, copy.id])


def test_a_copy_that_fails_half_way_leaves_nothing(
    store: Store, shelf: Shelf, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProjectError, match="No space left"):
        shelf.duplicate(project.id)
    assert [path.name for path in store.root.iterdir() if path.name != locks.FOLDER] == [project.id]


def test_titles_are_changed_and_bounded(shelf: Shelf, project: Project) -> None:
    assert shelf.rename(project.id, "Ein Tag").title == project.load().title == "Ein Tag"
    with pytest.raises(ProjectError, match="at most 500 characters"):
        shelf.rename(project.id, "x" * (SHORT_TEXT + 1))
    shelf.rename(project.id, "x" * SHORT_TEXT)
    assert len(shelf.duplicate(project.id).load().title) == SHORT_TEXT


def test_a_deleted_project_is_restored_as_it_was(
    store: Store, shelf: Shelf, project: Project
) -> None:
    before = files_of(project.path)
    shelf.delete(project.id)
    assert store.projects() == []
    (entry,) = Shelf(Store(store.root)).deleted()
    assert (entry.info.id, entry.info.title, entry.info.take) == (project.id, "Maya's Day", "t2")
    assert abs(entry.deleted.timestamp() - time.time()) < 60
    assert store.deleted(project.id).image_path("t2").is_file()
    restored = Shelf(Store(store.root)).restore(project.id)
    assert files_of(restored.path) == before
    assert shelf.deleted() == []
    assert [info.id for info in store.projects()] == [project.id]


def test_a_deleted_project_is_neither_opened_nor_made_anew(
    store: Store, shelf: Shelf, project: Project
) -> None:
    shelf.delete(project.id)
    for use in (lambda: store.open(project.id), lambda: store.create(Storyboard(), project.id)):
        with pytest.raises(DeletedError, match="in the bin") as caught:
            use()
        assert (caught.value.project, caught.value.restorable) == (project.id, True)
    with pytest.raises(ProjectError):  # what a page or a render that still holds it tries
        project.edit(lambda board: board)
    with pytest.raises(ProjectError):
        add_take(project, "t3")
    assert not project.path.exists()


def test_only_the_second_step_destroys(store: Store, shelf: Shelf, project: Project) -> None:
    with pytest.raises(ProjectError, match="in the bin"):
        shelf.destroy(project.id)
    assert project.image_path("t1").is_file()
    other = store.create(Storyboard(title="Other"))
    shelf.delete(project.id)
    shelf.delete(other.id)
    shelf.destroy(project.id)
    assert [entry.info.id for entry in shelf.deleted()] == [other.id]
    assert [path.name for path in (store.root / ".bin").iterdir()] == [other.id]
    with pytest.raises(ProjectError, match="in the bin"):
        shelf.restore(project.id)


def test_a_project_is_not_restored_over_something_else(
    store: Store, shelf: Shelf, project: Project
) -> None:
    shelf.delete(project.id)
    (store.root / project.id).mkdir()
    (store.root / project.id / "notes.txt").write_text("mine")
    with pytest.raises(ProjectError, match="cannot be moved"):
        shelf.restore(project.id)
    assert (store.root / project.id / "notes.txt").read_text() == "mine"
    assert len(shelf.deleted()) == 1


@pytest.mark.parametrize("name", ["../x", ".bin", "", "a/b"])
def test_foreign_identifiers_move_nothing(shelf: Shelf, project: Project, name: str) -> None:
    for use in (shelf.delete, shelf.restore, shelf.destroy, shelf.duplicate):
        with pytest.raises(ProjectError, match="not the name of"):
            use(name)
    assert project.load().title == BOARD.title


def test_the_example_is_found_after_a_restart_and_not_by_a_copy(
    store: Store, shelf: Shelf, project: Project
) -> None:
    assert shelf.example() is None
    shelf.mark_example(project)
    shelf.rename(project.id, "Mine by now")
    again = Shelf(Store(store.root))
    found = again.example()
    assert found is not None and found.id == project.id
    assert not again.is_example(again.duplicate(project.id).id)
    again.delete(project.id)
    assert again.example() is None
    again.restore(project.id)
    assert again.is_example(project.id)


def test_a_summary_is_read_again_when_its_file_has_changed(
    store: Store, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.projects()[0].take == "t2"
    reads = []
    read = summaries.read_storyboard
    monkeypatch.setattr(
        summaries, "read_storyboard", lambda path: reads.append(path.parent.name) or read(path)
    )
    assert store.projects()[0].title == "Maya's Day"
    assert reads == []
    path = project.path / "storyboard.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1).replace("Maya's", "Zoe's"))
    assert store.projects()[0].title == "Zoe's Day"
    assert reads == [project.id]


def test_small_pictures_are_made_once(project: Project) -> None:
    content = small_picture(project, "t1")
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "JPEG" and image.size == (48, 32)
    (path,) = (project.path / ".small").iterdir()
    stamp = path.stat().st_mtime_ns
    assert small_picture(project, "t1") == content and path.stat().st_mtime_ns == stamp
    Image.new("RGB", (1024, 512), (3, 3, 3)).save(project.image_path("t2"))
    with Image.open(io.BytesIO(small_picture(project, "t2"))) as image:
        assert image.size == (SMALL_SIDE, SMALL_SIDE // 2)
    with pytest.raises(ProjectError, match="missing"):
        small_picture(project, "other")
