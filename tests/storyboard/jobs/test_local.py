"""Jobs in this process: renders, their order, failures, and the end of the runner."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import UserError
from pipelines.events import FrameStarted, MaskFound, ModelLoading, Notice
from storyboard.board import Style
from storyboard.jobs.events import JobEnded, JobFailed, JobProgress, TakeSaved
from storyboard.jobs.local import LocalRunner
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from tests.storyboard.fakes import FakeEngine, mask_of
from tests.storyboard.jobs.stories import BOARD, PATIENCE, finish, give_picture, takes_of


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


# ---- styles are downloaded beside the renders

STYLED = {"styles": (Style(source="ann/ink"),)}


def styled(tmp_path: Path) -> Project:
    settings = BOARD.settings.model_copy(update=STYLED)
    return Store(tmp_path / "styled").create(BOARD.model_copy(update={"settings": settings}))


def test_nobody_waits_for_the_download_of_anothers_style(
    tmp_path: Path, project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    engine.hub = threading.Event()
    waits = runner.start(styled(tmp_path), None)
    finish(runner.start(project, None))
    assert engine.fetched == ["ann/ink"] and waits.state == "queued"
    assert ModelLoading("ann/ink") in waits.follow()()
    assert runner.ahead(waits) == 0
    engine.hub.set()
    finish(waits)
    assert len(engine.requests) == 2


def test_a_download_can_be_cancelled(
    tmp_path: Path, runner: LocalRunner, engine: FakeEngine
) -> None:
    engine.hub = threading.Event()
    job = runner.start(styled(tmp_path), None)
    while not engine.fetched:
        time.sleep(0.01)
    job.cancel()
    assert job.state == "cancelled"
    runner.close()  # waits for the download's thread
    assert engine.requests == []


def test_a_style_that_cannot_be_fetched_fails_its_job_alone(
    tmp_path: Path, project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    def fail(style: str, stopped: object) -> None:
        raise UserError(f"There is no {style}.", "Choose another.")

    engine.fetch = fail  # type: ignore[method-assign]
    job = runner.start(styled(tmp_path), None)
    assert finish(job)[-1] == JobFailed("There is no ann/ink.", "Choose another.")
    assert job.state == "failed"
    finish(runner.start(project, None))
    assert len(engine.requests) == 1
