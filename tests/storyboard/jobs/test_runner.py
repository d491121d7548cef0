"""Duties of every runner: refusals, plans at a job's turn, and ends that stay until read."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from pipelines.errors import ModelError, UserError
from pipelines.events import FrameStarted, MaskFound, ModelLoading
from storyboard.board import Frame
from storyboard.errors import ProjectError
from storyboard.jobs.events import JobEnded, JobFailed, JobProgress, TakeSaved
from storyboard.jobs.job import Job
from storyboard.jobs.local import LocalRunner
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from tests.pipelines.pictures import reference
from tests.storyboard.fakes import FakeEngine
from tests.storyboard.jobs.stories import BOARD, finish, give_picture


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


def test_old_jobs_keep_their_ends_and_not_every_step(project: Project, runner: LocalRunner) -> None:
    jobs = [runner.start(project, ["a"]) for _ in range(12)]
    for job in jobs:
        finish(job)
    finish(runner.start(project, ["a"]))
    kinds = [{type(event) for event in job.events()} for job in jobs]
    assert kinds[0] == {ModelLoading, FrameStarted, TakeSaved, JobEnded}
    assert {JobProgress, MaskFound} <= kinds[-1]


@pytest.mark.parametrize("cancelled", [False, True])
def test_every_end_is_logged(
    project: Project,
    runner: LocalRunner,
    engine: FakeEngine,
    caplog: pytest.LogCaptureFixture,
    cancelled: bool,
) -> None:
    engine.permits = threading.Semaphore(1)
    job = runner.start(project, None)
    with caplog.at_level(logging.INFO):
        if cancelled:
            next(job.events())
            job.cancel()
        engine.permits.release(1000)
        finish(job)
        runner.close()
    (record,) = [entry for entry in caplog.records if job.id in entry.getMessage()]
    assert record.getMessage().endswith("was cancelled" if cancelled else "was finished")
    assert project.id in record.getMessage() and record.levelno == logging.INFO


def test_a_frame_that_is_locked_while_its_job_waits_keeps_its_take(
    project: Project, runner: LocalRunner, engine: FakeEngine
) -> None:
    finish(runner.start(project, None))
    before = project.load()
    engine.permits = threading.Semaphore(0)
    job = runner.start(project, None)
    frames = tuple(f.model_copy(update={"locked": f.id == "b"}) for f in before.frames)
    project.edit(lambda board: board.model_copy(update={"frames": frames}))
    engine.permits.release(1000)
    finish(job)
    after = project.load()
    changed = [f.take != g.take for f, g in zip(before.frames, after.frames, strict=True)]
    assert changed == [True, False, True]
    assert len(project.takes()) == 6  # the other take is there to be chosen
