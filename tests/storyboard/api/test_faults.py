"""Messages on the page where files are damaged, and where a run ended in the midst of its work."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import UserError
from storyboard.errors import ProjectError
from storyboard.storage.projects import Store
from tests.storyboard.api.backend import Backend, backend_in, rendered, revision, story
from tests.storyboard.fakes import FakeEngine


def stored(backend: Backend, frames: int = 3) -> str:
    document = story(backend, frames)
    rendered(backend, document)
    project: str = document["project"]
    return project


def test_a_missing_picture_costs_its_take_alone(backend: Backend) -> None:
    project = stored(backend)
    opened = backend.store.open(project)
    first, second = (frame.take for frame in opened.load().frames[:2])
    assert first and second
    opened.image_path(first).unlink()
    (opened.path / "takes" / second / "take.json").write_text("{")
    answer = backend.actions.open(project)
    takes = [take for one in answer["results"].values() for take in one["takes"]]
    assert [take["fault"] for take in takes] == ["The picture of this take is missing.", ""]
    assert [words.split(first)[0] for words in answer["damaged"] if first in words] == [
        "The picture of frame 1, take "
    ]
    assert sum(second in words for words in answer["damaged"]) == 1
    assert str(backend.store.root) not in " ".join(answer["damaged"])
    (board,) = backend.actions.shelf.boards()["boards"]
    assert board["fault"] == ""


def test_a_damaged_board_is_listed_with_the_reason_and_can_be_deleted(backend: Backend) -> None:
    project = stored(backend, frames=1)
    (backend.store.root / project / "storyboard.json").write_text("[" * 100_000)
    (board,) = backend.actions.shelf.boards()["boards"]
    assert board["id"] == project and "storyboard.json is damaged" in board["fault"]
    with pytest.raises(ProjectError, match="damaged"):
        backend.actions.open(project)
    backend.actions.shelf.delete_board(project)
    assert backend.actions.shelf.boards()["boards"] == []
    assert backend.actions.shelf.restore_board(project) == {"project": project}


def test_a_board_whose_first_save_failed_is_saved_again(backend: Backend) -> None:
    document = story(backend, frames=1)
    (backend.store.root / document["project"]).mkdir(parents=True)
    answer = backend.actions.save(document["project"], document, "")
    assert answer["revision"] == revision(backend, document)


def test_frames_of_a_run_that_ended_are_offered_until_they_are_wanted_or_not(
    tmp_path: Path, backend: Backend
) -> None:
    project = stored(backend)
    frames = [frame.id for frame in backend.store.open(project).load().frames]
    assert backend.store.open(project).unfinished.now().frames == ()
    assert backend.actions.open(project)["left"] == []
    # The run that renders the last two ends; this one only looks on.
    dead = Store(backend.store.root)
    with dead.presence:
        dead.open(project).unfinished.begin(dead.presence.run, frames[1:])
        assert backend.actions.open(project)["left"] == []  # it goes on
    assert backend.actions.open(project)["left"] == frames[1:]
    assert backend.actions.news(project)["left"] == frames[1:]
    assert backend.actions.forget_left(project) == {}
    assert backend.actions.open(project)["left"] == []


def test_a_job_in_the_middle_of_its_work_is_remembered_and_a_cancelled_one_is_not(
    tmp_path: Path,
) -> None:
    import threading

    engine = FakeEngine(permits=threading.Semaphore(0))
    backend = backend_in(tmp_path / "projects", engine)
    document = story(backend, frames=2)
    project = document["project"]
    backend.actions.save(project, document, "")
    backend.actions.generate(project)
    frames = tuple(frame["id"] for frame in document["frames"])
    assert backend.store.open(project).unfinished.now().frames == frames
    assert backend.actions.news(project)["left"] == []
    # Another application finds them once this one is gone; its run was never entered here.
    other = backend_in(tmp_path / "projects", FakeEngine())
    assert other.actions.open(project)["left"] == list(frames)
    other.runner.close()
    backend.actions.cancel(project)
    assert backend.store.open(project).unfinished.now().frames == ()
    engine.permits and engine.permits.release(1000)
    backend.runner.close()


def test_a_job_that_is_refused_leaves_nothing_to_offer(backend: Backend) -> None:
    project = stored(backend, frames=1)
    with pytest.raises(UserError):
        backend.actions.generate(project, ["nowhere"])
    assert backend.store.open(project).unfinished.now().frames == ()
