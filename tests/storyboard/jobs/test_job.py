"""Jobs: their events, several readers, and cancel at any moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import OutOfMemoryError
from pipelines.events import FrameStarted, MaskFound, ModelLoading, Notice, Preview
from storyboard.board import Take
from storyboard.jobs.events import JobEnded, JobEvent, JobFailed, JobProgress, TakeSaved
from storyboard.jobs.job import Job
from storyboard.jobs.local import LocalRunner
from storyboard.storage.project import Project
from tests.storyboard.fakes import FakeEngine
from tests.storyboard.jobs.stories import BOARD, PATIENCE, finish, takes_of


@pytest.mark.parametrize("reached", range(1, 9))
def test_cancel_stops_within_one_event(
    project: Project, runner: LocalRunner, engine: FakeEngine, reached: int
) -> None:
    engine.permits = threading.Semaphore(0)
    job = runner.start(project, None)
    seen = job.events()
    for _ in range(reached):
        engine.permits.release()
        next(seen)
    job.cancel()
    engine.permits.release()
    events = finish(job)
    assert job.state == "cancelled"
    assert events[-1] == JobEnded(cancelled=True)
    runner.close()  # where a model was being loaded, the job was over before the engine
    assert engine.yielded <= reached + 1
    assert engine.closed == 1
    assert len(project.takes()) == len(takes_of(events))


def test_cancel_is_over_at_once_while_a_model_loads(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    engine.permits = threading.Semaphore(1)  # for the news that the model loads, and no more
    job = runner.start(project, None)
    assert isinstance(next(job.events()), ModelLoading)
    job.cancel()
    assert job.state == "cancelled" and not runner.pending(project.id)
    following = runner.start(project, None)
    engine.permits.release(1000)
    assert finish(following)[-1] == JobEnded()
    assert finish(job) == [ModelLoading("miniature"), JobEnded(cancelled=True)]


@pytest.mark.parametrize(
    "events",
    [
        (),
        (ModelLoading("miniature"), Notice("memory", "", "It fits in less memory only.")),
        # Memory ran out, and the model is loaded again.
        (ModelLoading("miniature"), FrameStarted("a"), ModelLoading("miniature")),
    ],
)
def test_cancel_is_over_at_once_while_no_frame_is_rendered(
    project: Project, events: tuple[JobEvent, ...]
) -> None:
    job = Job(project, BOARD, ("a",))
    assert job.begin()
    for event in events:
        job.report(event)
    job.cancel()
    assert list(job.events()) == [*events, JobEnded(cancelled=True)]
    job.report(FrameStarted("a"))
    job.end(None)
    assert job.state == "cancelled" and list(job.events())[-1] == JobEnded(cancelled=True)


def test_cancel_waits_for_the_step_of_a_frame(project: Project) -> None:
    job = Job(project, BOARD, ("a",))
    assert job.begin()
    job.report(FrameStarted("a"))
    job.cancel()
    assert job.cancelling and not job.over


def test_takes_made_before_a_cancel_are_kept(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    engine.permits = threading.Semaphore(6)
    job = runner.start(project, None)
    taken = next(e for e in job.events() if isinstance(e, TakeSaved))
    job.cancel()
    engine.permits.release()
    finish(job)
    assert project.load().frame("a").take == taken.take.id
    assert [f.take for f in project.load().frames[1:]] == [None, None]
    engine.permits.release(1000)
    assert finish(runner.start(project, None))[-1] == JobEnded()


def test_a_queued_job_is_cancelled_at_once_and_never_runs(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    engine.permits = threading.Semaphore(0)
    running, queued = runner.start(project, ["a"]), runner.start(project, ["b"])
    queued.cancel()
    assert queued.state == "cancelled"
    assert list(queued.events()) == [JobEnded(cancelled=True)]
    engine.permits.release(1000)
    assert finish(running)[-1] == JobEnded()
    assert [r.targets for r in engine.requests] == [("a",)]


def test_events_are_replayed_and_shared_by_all_readers(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    engine.permits = threading.Semaphore(4)
    job = runner.start(project, None)
    read: list[list[JobEvent]] = [[], []]

    def read_all(index: int) -> None:
        read[index].extend(job.events())

    readers = [threading.Thread(target=read_all, args=(i,)) for i in range(2)]
    for reader in readers:
        reader.start()
    engine.permits.release(1000)
    for reader in readers:
        reader.join(PATIENCE)
    history = finish(job)
    assert [list(map(id, h)) for h in read] == [list(map(id, history))] * 2
    assert list(map(id, job.events(start=5))) == list(map(id, history[5:]))
    assert list(job.events(start=len(history))) == []


def test_only_the_newest_preview_of_a_frame_is_kept(project: Project) -> None:
    job = Job(project, BOARD, ("a", "b"))
    assert job.begin()
    images = [Image.new("RGB", (4, 4), (shade, 0, 0)) for shade in range(100)]
    job.report(FrameStarted("a"))
    following = job.events()
    assert next(following) == FrameStarted("a")
    for image in images:
        job.report(Preview("a", image))
        job.report(Preview("b", image))
    assert [(e.frame_id, e.image) for e in shown(following, 2)] == [
        ("a", images[-1]),
        ("b", images[-1]),
    ]
    late = shown(job.events(), 3)
    assert late[0] == FrameStarted("a")
    assert [e.image for e in late[1:]] == [images[-1]] * 2

    take = Take(frame_id="a", seconds=1, seed=1, foreground=0.2, prompt="x", model="tiny")
    job.report(TakeSaved("a", take))
    job.report(Preview("b", images[0]))
    assert shown(following, 2) == [TakeSaved("a", take), Preview("b", images[0])]
    assert shown(job.events(), 3)[2] == Preview("b", images[0])
    job.end(None)
    assert list(following) == [JobEnded()]
    assert list(job.events()) == [FrameStarted("a"), TakeSaved("a", take), JobEnded()]


def shown(events: Iterator[JobEvent], count: int) -> list[Any]:
    """The next events of a job that goes on, which would wait for more."""
    return [next(events) for _ in range(count)]


def test_readers_that_wait_get_previews(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    engine.previews, engine.permits = True, threading.Semaphore(4)
    job = runner.start(project, ["a"])
    following = job.events()
    assert [type(next(following)) for _ in range(4)] == [
        ModelLoading,
        FrameStarted,
        JobProgress,
        Preview,
    ]
    engine.permits.release(1000)
    rest = [type(event) for event in following]
    assert rest == [JobProgress, MaskFound, TakeSaved, JobEnded]
    assert Preview not in map(type, finish(job))


def test_an_error_for_people_is_passed_on_in_its_words(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    engine.fault, engine.fault_at = OutOfMemoryError("It does not fit.", "Make it smaller."), 1
    job = runner.start(project, None)
    events = finish(job)
    assert job.state == "failed"
    assert events[-1] == JobFailed("It does not fit.", "Make it smaller.")
    assert takes_of(events) == ["a"]
    assert [t.frame_id for t in project.takes()] == ["a"]
    engine.fault = None
    assert finish(runner.start(project, None))[-1] == JobEnded()


def test_wait_gives_up(project: Project, runner: LocalRunner, engine: FakeEngine) -> None:
    engine.permits = threading.Semaphore(0)
    assert not runner.start(project, None).wait(0.01)


def test_events_are_followed_without_waiting(project: Project) -> None:
    job = Job(project, BOARD, ("a",))
    fresh, other = job.follow(), job.follow()
    assert job.begin() and fresh() == []
    job.report(FrameStarted("a"))
    image = Image.new("RGB", (4, 4))
    job.report(Preview("a", image))
    assert fresh() == [FrameStarted("a")] and fresh() == []
    assert job.previews_now() == (1, {"a": Preview("a", image)})
    job.end(None)
    assert fresh() == [JobEnded()]
    assert other() == [FrameStarted("a"), JobEnded()]
    assert job.previews_now() == (1, {})


def test_a_job_that_is_over_drops_its_steps_and_masks_for_later_readers(project: Project) -> None:
    job = Job(project, BOARD, ("a",))
    assert job.begin()
    mask = np.ones((4, 4), dtype=bool)
    begun, found = FrameStarted("a"), MaskFound("a", "render", mask, raw=mask, matches=None)
    step = JobProgress("a", "render", 1, 2, 0.5, None)
    reading, fresh = job.events(), job.follow()
    for event in (begun, step, found):
        job.report(event)
    job.shorten()  # it still runs
    assert shown(reading, 2) == [begun, step]
    job.end(None)
    job.shorten()
    assert list(map(type, reading)) == [MaskFound, JobEnded]
    assert list(map(type, fresh())) == [FrameStarted, JobProgress, MaskFound, JobEnded]
    assert list(job.events()) == [begun, JobEnded()]


def test_a_failure_has_one_text() -> None:
    assert JobFailed("It does not fit.", "Make it smaller.").message == (
        "It does not fit. Make it smaller."
    )
    assert JobFailed("It does not fit.").message == "It does not fit."
