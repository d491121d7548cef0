"""Jobs: their events, several readers, cancel, failures, and their order."""

from __future__ import annotations

import contextvars
import logging
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import ModelError, OutOfMemoryError, UserError
from pipelines.events import FrameStarted, MaskFound, ModelLoading, Notice, Preview
from storyboard.board import Character, Frame, RenderSettings, Storyboard, Style, Take
from storyboard.errors import ProjectError
from storyboard.jobs.events import JobEnded, JobEvent, JobFailed, JobProgress, TakeSaved
from storyboard.jobs.job import Job
from storyboard.jobs.local import LocalRunner
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from tests.pipelines.pictures import reference
from tests.storyboard.fakes import FakeEngine, mask_of

BOARD = Storyboard(
    character=Character(description="a girl"),
    frames=tuple(Frame(id=name, action="waving", location="beach") for name in "abc"),
    settings=RenderSettings(width=64, height=64),
)
PATIENCE = 20.0


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Store(tmp_path / "projects").create(BOARD)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def runner(engine: FakeEngine) -> Iterator[LocalRunner]:
    runner = LocalRunner(engine, random.Random(1))
    yield runner
    if engine.permits is not None:
        engine.permits.release(1000)
    runner.close()


def finish(job: Job) -> list[JobEvent]:
    assert job.wait(PATIENCE)
    return list(job.events())


def takes_of(events: list[JobEvent]) -> list[str]:
    return [e.frame_id for e in events if isinstance(e, TakeSaved)]


def test_a_job_reports_its_events_and_stores_takes(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    job = runner.start(project, None)
    events = finish(job)
    assert job.state == "finished"
    assert job.targets == ("a", "b", "c")
    assert events[0] == ModelLoading("miniature")
    assert [type(e) for e in events[1:6]] == [
        FrameStarted,
        JobProgress,
        JobProgress,
        MaskFound,
        TakeSaved,
    ]
    assert events[-1] == JobEnded()
    assert takes_of(events) == ["a", "b", "c"]
    progress = [e for e in events if isinstance(e, JobProgress)]
    assert [round(e.fraction * 6) for e in progress] == [1, 2, 3, 4, 5, 6]
    assert progress[0].seconds_left is None
    assert progress[-1].seconds_left == 0
    request = engine.requests[0]
    for event in (e for e in events if isinstance(e, TakeSaved)):
        frame = next(f for f in request.frames if f.frame_id == event.frame_id)
        assert project.load().frame(event.frame_id).take == event.take.id
        assert project.take(event.take.id) == event.take
        assert project.request(event.take.id) == request
        assert (event.take.seed, event.take.prompt) == (frame.seed, frame.prompt.text)
        assert event.take.foreground == 1 / 16
    masks = [e for e in events if isinstance(e, MaskFound)]
    assert np.array_equal(masks[0].mask, mask_of(request.frames[0]))


def test_redoing_one_frame_leaves_the_others(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    finish(runner.start(project, None))
    before = project.load()
    job = runner.start(project, ["b"])
    events = finish(job)
    assert job.targets == ("b",)
    assert takes_of(events) == ["b"]
    assert [e.frame_id for e in events if isinstance(e, FrameStarted)] == ["b"]
    assert {e.frame_id for e in events if isinstance(e, JobProgress)} == {"a", "b"}
    after = project.load()
    assert [f.take == g.take for f, g in zip(before.frames, after.frames, strict=True)] == [
        True,
        False,
        True,
    ]
    assert [take.frame_id for take in project.takes()].count("b") == 2
    assert engine.requests[1].frames[0].seed == engine.requests[0].frames[0].seed


def test_a_job_renders_the_frames_as_they_were_when_it_was_started(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    engine.permits = threading.Semaphore(0)
    first = runner.start(project, ["a"])
    second = runner.start(project, ["b"])
    edited = Frame(id="b", action="edited since", location="beach")
    frames = tuple(edited if f.id == "b" else f for f in project.load().frames)
    project.edit(lambda board: board.model_copy(update={"frames": frames}))
    engine.permits.release(1000)
    finish(first)
    finish(second)
    assert engine.requests[1].frames[-1].prompt.action == "waving"
    assert project.load().frame("b").action == "edited since"
    # The take that was chosen while the job was queued is what it matches.
    assert engine.requests[1].targets == ("a", "b")


def test_a_queued_job_matches_the_take_chosen_before_its_turn(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    finish(runner.start(project, None))
    engine.permits = threading.Semaphore(0)
    jobs = [runner.start(project, ["a"]), runner.start(project, ["b"])]
    engine.permits.release(1000)
    for job in jobs:
        finish(job)
    source = engine.requests[2].frames[0]
    assert source.seed == engine.requests[1].frames[0].seed
    assert source.seed != engine.requests[0].frames[0].seed


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


def test_a_queued_job_knows_the_jobs_of_others_before_it(
    tmp_path: Path, project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    engine.permits = threading.Semaphore(0)
    first = runner.start(project, None)
    other = Store(tmp_path / "other").create(project.load())
    mine, again = runner.start(other, None), runner.start(other, None)
    assert [runner.ahead(job) for job in (first, mine, again)] == [0, 1, 1]
    engine.permits.release(1000)
    finish(again)


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


def test_an_unforeseen_fault_is_logged_and_shown_without_its_trace(
    project: Project,
    runner: LocalRunner,
    engine: FakeEngine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine.fault = ValueError("shapes 3 and 4")
    with caplog.at_level(logging.ERROR):
        last = finish(runner.start(project, None))[-1]
    assert isinstance(last, JobFailed)
    assert "ValueError" in last.message
    assert "shapes 3 and 4" not in last.message
    assert "shapes 3 and 4" in caplog.text and "Traceback" in caplog.text
    engine.fault = None
    assert finish(runner.start(project, None))[-1] == JobEnded()


def test_a_project_that_vanishes_fails_its_job(project: Project, runner: LocalRunner) -> None:
    (project.path / "takes").write_text("a file where the folder should be")
    last = finish(runner.start(project, None))[-1]
    assert isinstance(last, JobFailed) and "takes" in last.message


def test_a_frame_whose_take_is_damaged_can_be_rendered_again(
    project: Project, runner: LocalRunner
) -> None:
    finish(runner.start(project, None))
    take = project.load().frame("a").take
    assert take is not None
    (project.path / "takes" / take / "take.json").unlink()
    job = runner.start(project, ["b"])
    assert finish(job)[-1] == JobEnded()
    assert job.targets == ("a", "b")
    assert project.load().frame("a").take != take


def test_a_render_that_cannot_be_planned_is_refused_at_once(
    project: Project, runner: LocalRunner
) -> None:
    with pytest.raises(UserError):
        runner.start(project, ["gone"])
    (project.path / "storyboard.json").unlink()
    with pytest.raises(ProjectError):
        runner.start(project, None)
    assert runner.active(project.id) is None


def test_jobs_run_in_order_and_are_listed(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    engine.permits = threading.Semaphore(0)
    jobs = [runner.start(project, [name]) for name in "abc"]
    assert runner.active(project.id) is jobs[0]
    assert runner.pending(project.id) == tuple(jobs)
    assert runner.active("other") is None
    engine.permits.release(1000)
    for job in jobs:
        finish(job)
    assert [r.targets[-1] for r in engine.requests] == ["a", "b", "c"]
    assert runner.pending(project.id) == ()


def test_close_cancels_what_runs_and_what_waits(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    engine.permits = threading.Semaphore(0)
    jobs = [runner.start(project, [name]) for name in "ab"]
    engine.permits.release()
    next(jobs[0].events())
    closing = threading.Thread(target=runner.close)
    closing.start()
    engine.permits.release(1)
    closing.join(PATIENCE)
    assert not closing.is_alive()
    assert [job.state for job in jobs] == ["cancelled", "cancelled"]
    assert [list(job.events())[-1] for job in jobs] == [JobEnded(cancelled=True)] * 2


def give_picture(project: Project) -> str:
    """Give the project's character a reference picture, and a model that can use it."""
    name = project.references.add(reference())
    character = BOARD.character.model_copy(update={"reference": name})
    styles = (Style(source="owner/ink"),)
    settings = BOARD.settings.model_copy(update={"model": "flux1-dev", "styles": styles})
    changes = {"character": character, "settings": settings}
    project.edit(lambda board: board.model_copy(update=changes))
    return name


def test_the_engine_gets_the_projects_pictures_and_its_notices_are_reported(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    name = give_picture(project)
    engine.doubt = "It may show somebody else."
    events = finish(runner.start(project, None))
    assert engine.pictures == [project.references.folder]
    assert engine.requests[0].references == {name}
    assert Notice("reference", name, engine.doubt) in events
    assert Notice("style", "owner/ink", engine.doubt) in events
    assert takes_of(events) == ["a", "b", "c"]
    assert {project.request(t.id).references for t in project.takes()} == {frozenset({name})}


def test_a_refusal_of_the_engine_comes_at_once(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    engine.refusal = ModelError("It cannot use pictures.")
    with pytest.raises(ModelError, match="cannot use"):
        runner.start(project, None)
    assert runner.active(project.id) is None and not engine.requests


def test_a_missing_picture_is_refused_at_once(project: Project, runner: LocalRunner) -> None:
    name = give_picture(project)
    project.references.path(name).unlink()
    with pytest.raises(ProjectError, match="is missing"):
        runner.start(project, None)
    assert runner.active(project.id) is None


def test_a_source_whose_picture_is_missing_becomes_a_target(
    project: Project, runner: LocalRunner, caplog: pytest.LogCaptureFixture
) -> None:
    old = give_picture(project)
    finish(runner.start(project, None))
    project.references.path(old).unlink()
    name = project.references.add(reference((1, 2, 3)))
    character = project.load().character.model_copy(update={"reference": name})
    project.edit(lambda board: board.model_copy(update={"character": character}))
    job = runner.start(project, ["c"])
    finish(job)
    assert job.targets == ("a", "c")
    assert "is missing" in caplog.text


def test_wait_gives_up(project: Project, runner: LocalRunner, engine: FakeEngine) -> None:
    engine.permits = threading.Semaphore(0)
    assert not runner.start(project, None).wait(0.01)


def test_the_callers_context_reaches_the_engine(project: Project) -> None:
    visitor = contextvars.ContextVar("visitor", default="nobody")
    seen: list[str] = []

    class Curious(FakeEngine):
        def describe(self) -> str:
            return visitor.get()

        def render(self, request, pictures=None):  # type: ignore[no-untyped-def]
            seen.append(self.describe())
            yield from super().render(request, pictures)

    runner = LocalRunner(Curious())
    visitor.set("Maya")
    finish(runner.start(project, None))
    runner.close()
    assert seen == ["Maya"]


# ---- ends that stay until they are read


def test_ends_are_remembered_in_order_until_read(
    project: Project, runner: LocalRunner, engine: FakeEngine, tmp_path: Path
) -> None:
    other = Store(tmp_path / "others").create(BOARD)
    jobs = [runner.start(each, ["a"]) for each in (project, other, project)]
    for job in jobs:
        finish(job)
    first, foreign, second = jobs
    assert runner.ended(project.id) == (first, second)
    assert runner.ended(other.id) == (foreign,)
    assert not any(job.read for job in jobs)
    runner.read(project.id, foreign.id)  # a project reads its own jobs
    runner.read(project.id, "unknown")
    assert not any(job.read for job in jobs)
    runner.read(project.id, second.id)
    runner.read(project.id, second.id)
    assert [job.read for job in jobs] == [False, False, True]


def test_a_job_that_runs_is_neither_ended_nor_read(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    engine.permits = threading.Semaphore(0)
    job = runner.start(project, ["a"])
    runner.read(project.id, job.id)
    assert runner.ended(project.id) == () and not job.read
    engine.permits.release(1000)
    finish(job)
    assert runner.ended(project.id) == (job,) and not job.read


def test_the_last_200_ends_are_remembered_and_no_more(project: Project) -> None:
    class Waiting(LocalRunner):
        """Runner whose jobs wait."""

        def _begin(self, job: Job) -> None:
            pass

    runner = Waiting(FakeEngine())
    kept = runner.start(project, None)
    jobs = []
    for _ in range(210):
        jobs.append(runner.start(project, None))
        jobs[-1].end(None)
    runner.start(project, None)
    assert runner.ended(project.id) == tuple(jobs[-200:])
    assert runner.pending(project.id)[0] is kept  # a job that is not over is never forgotten
    runner.close()


def test_a_job_that_fails_at_once_is_remembered_and_logged(
    project: Project, runner: LocalRunner, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.fault = ModelError("FLUX is not there.", "Download it first.")
    job = runner.start(project, None)
    assert finish(job)[-1] == JobFailed("FLUX is not there.", "Download it first.")
    assert runner.ended(project.id) == (job,)
    (record,) = [entry for entry in caplog.records if job.id in entry.getMessage()]
    assert "FLUX is not there. Download it first." in record.getMessage()
    assert project.id in record.getMessage()
    assert record.exc_info is None  # an error for people needs no trace


def test_a_cancel_is_no_fault_in_the_log(
    project: Project, runner: LocalRunner, engine: FakeEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine.permits = threading.Semaphore(2)
    job = runner.start(project, None)
    job.cancel()
    engine.permits.release(1000)
    finish(job)
    assert job.state == "cancelled" and runner.ended(project.id) == (job,)
    assert not [entry for entry in caplog.records if entry.levelno >= logging.WARNING]


def test_events_so_far_are_given_without_waiting(project: Project) -> None:
    job = Job(project, BOARD, ("a",))
    assert job.begin() and job.events_now() == []
    job.report(FrameStarted("a"))
    image = Image.new("RGB", (4, 4))
    job.report(Preview("a", image))
    assert job.events_now() == [FrameStarted("a")] and job.events_now(1) == []
    assert job.previews_now() == (1, {"a": Preview("a", image)})
    job.end(None)
    assert job.events_now(1) == [JobEnded()]
    assert job.previews_now() == (1, {})


def test_a_failure_has_one_text() -> None:
    assert JobFailed("It does not fit.", "Make it smaller.").message == (
        "It does not fit. Make it smaller."
    )
    assert JobFailed("It does not fit.").message == "It does not fit."
