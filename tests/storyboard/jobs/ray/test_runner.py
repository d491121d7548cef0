"""Jobs on two workers: nothing is lost where a worker dies, fails, or is stopped."""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipelines.errors import UserError
from pipelines.events import FrameStarted, ModelLoading
from pipelines.models.catalog import FLUX1_DEV, MINIATURE
from pipelines.models.usability import Usability
from pipelines.request import RenderRequest
from storyboard.board import Character, Frame, RenderSettings, Storyboard
from storyboard.jobs.events import JobEnded, JobEvent, JobFailed, JobProgress, TakeSaved
from storyboard.jobs.job import Job
from storyboard.jobs.ray import runner as jobs_ray
from storyboard.jobs.ray.cluster import BankLost, BankSent, Cluster, WorkerLost
from storyboard.jobs.ray.request_parts import RequestPart
from storyboard.jobs.ray.runner import FRAMES_A_TURN, RayRunner
from storyboard.jobs.ray.worker import Assignment, WorkerEvent
from storyboard.settings import Settings, Workers
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from tests.storyboard.fakes import FakeEngine
from tests.storyboard.jobs.ray.ray_engines import STEP_SECONDS, STEPS, MortalEngine, ObedientEngine

pytestmark = pytest.mark.slow

PATIENCE = 200.0
# Of 255: what is left of roundings in float32 after all steps.
ROUNDING = 2
SMALL = RenderSettings(width=64, height=64, steps=4)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    projects = tmp_path_factory.mktemp("projects")
    return Settings(projects=projects, device="cpu", dtype="float32", workers=Workers(2))


@pytest.fixture(scope="module")
def ray_here(settings: Settings) -> Iterator[None]:
    """A Ray for all tests here: starting one takes much longer than a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "0" * 64)
        with closing(Cluster(Workers(2), settings)):
            yield


@pytest.fixture(scope="module")
def runner(ray_here: None, settings: Settings) -> Iterator[RayRunner]:
    with closing(RayRunner(settings, ObedientEngine, random.Random(1))) as runner:
        yield runner


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.projects)


def project_of(store: Store, *actions: str, share: bool = False) -> Project:
    frames = tuple(
        Frame(id=f"f{i}", action=action, location="on a beach", share_background=share, seed=i)
        for i, action in enumerate(actions)
    )
    character = Character(description="a girl")
    return store.create(Storyboard(character=character, frames=frames, settings=SMALL))


def finish(job: Job) -> list[JobEvent]:
    assert job.wait(PATIENCE)
    return list(job.events())


def takes_of(events: list[JobEvent]) -> list[str]:
    return sorted(e.frame_id for e in events if isinstance(e, TakeSaved))


def check_events(job: Job, events: list[JobEvent]) -> None:
    """Check what a page relies on, with any number of workers."""
    assert events[-1] == JobEnded(), events[-1]
    assert takes_of(events) == sorted(job.targets)
    fractions = [e.fraction for e in events if isinstance(e, JobProgress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    begun = [e.frame_id for e in events if isinstance(e, FrameStarted)]
    assert sorted(begun) == sorted(job.targets)
    saved = set()
    for event in events:
        if isinstance(event, TakeSaved):
            saved.add(event.frame_id)
        elif isinstance(event, FrameStarted) or (
            isinstance(event, JobProgress) and not event.source_only
        ):
            assert event.frame_id not in saved
    loading = [i for i, e in enumerate(events) if isinstance(e, ModelLoading)]
    assert loading == [] or loading == [0]


class DyingCluster:
    """Two workers that die before they answer."""

    def __init__(self, *_: object) -> None:
        self.closed = False

    def workers(self, _make_engine: object) -> list[DyingCluster]:
        return [self, DyingCluster()]

    def start(self) -> None:
        raise WorkerLost("out of memory")

    def close(self) -> None:
        self.closed = True


# First, while both workers are there: those that a test kills come back with the next job.
def test_workers_say_whether_a_model_runs(runner: RayRunner) -> None:
    while "none of them answers" in (found := runner.usability(MINIATURE)).words:
        time.sleep(0.5)  # they are still starting
    assert found == Usability(True, "Runs on the workers.")
    assert runner.usability(FLUX1_DEV) == Usability(False, "Does not run on the workers.")


def test_there_is_no_runner_where_no_worker_can_be_started(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = DyingCluster()
    monkeypatch.setattr("storyboard.jobs.ray.runner.Cluster", lambda *_: cluster)
    with pytest.raises(UserError, match=r"No worker.*log"):
        RayRunner(settings, ObedientEngine)
    assert cluster.closed
    logged = [record for record in caplog.records if "cannot be started" in record.message]
    assert len(logged) == 2  # of each worker, after its last attempt


class ForgetfulWorker:
    """Worker in this process that loses the first bank that it receives.

    Args:
        taken: set when the other part that receives the bank was taken.
        dropped: set once the runner knows that the bank is lost.
    """

    def __init__(self, taken: threading.Event, dropped: threading.Event) -> None:
        self._taken, self._dropped = taken, dropped

    def start(self) -> None:
        pass

    def stop(self, assignment_id: str) -> None:
        pass

    def close(self) -> None:
        pass

    def render(self, assignment: Assignment) -> Iterator[WorkerEvent | BankSent]:
        if assignment.received:
            assert self._taken.wait(PATIENCE)
            raise BankLost("its machine is gone")
        if not assignment.sends:
            self._dropped.set()
        for name in assignment.sends:
            yield BankSent(name, "a handle")
        yield from FakeEngine().render(assignment.request)


class LatePart(RequestPart):
    """Part whose worker takes long to begin."""

    taken, dropped = threading.Event(), threading.Event()

    def request(self, whole: RenderRequest) -> RenderRequest:
        self.taken.set()
        assert self.dropped.wait(PATIENCE)
        return super().request(whole)


def test_a_bank_that_is_lost_before_its_reader_begins_is_rendered_again(
    settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = (LatePart.taken, LatePart.dropped)
    workers = [ForgetfulWorker(*events) for _ in range(2)]

    class FakeCluster:
        def __init__(self, *_: object) -> None:
            pass

        def workers(self, _make_engine: object) -> list[ForgetfulWorker]:
            return workers

        def close(self) -> None:
            pass

    sent = frozenset({"f0"})
    parts = (
        RequestPart(0, ("f0",), 1.0, sends=sent),
        RequestPart(1, ("f1",), 1.0, receives=sent),
        LatePart(2, ("f2",), 1.0, receives=sent),
    )
    monkeypatch.setattr(jobs_ray, "Cluster", FakeCluster)
    monkeypatch.setattr(jobs_ray, "cut_request", lambda *_, **__: parts)
    with closing(RayRunner(settings, ObedientEngine)) as runner:
        job = runner.start(project_of(store, "waving", "running", "sitting"), None)
        check_events(job, finish(job))


def test_frames_are_spread_over_the_workers(
    runner: RayRunner, store: Store, tmp_path: Path
) -> None:
    project = project_of(store, *[f"meets {tmp_path}"] * 6)
    job = runner.start(project, None)
    events = finish(job)
    check_events(job, events)
    requests = {take.id: project.request(take.id) for take in project.takes()}
    # Every take has the whole request, as if one worker had rendered it.
    assert {request.targets for request in requests.values()} == {job.targets}
    assert [f.take in requests for f in project.load().frames] == [True] * 6
    assert len(list(tmp_path.iterdir())) == 2


def test_a_part_whose_worker_dies_is_rendered_by_another(
    runner: RayRunner, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mark = tmp_path / "mark"
    project = project_of(store, "waving", "waving", f"dies {mark}", "waving")
    job = runner.start(project, None)
    check_events(job, finish(job))
    assert mark.exists()
    assert len(project.takes()) == 4
    assert "A worker died" in caplog.text


def test_a_part_that_kills_its_workers_is_given_up(runner: RayRunner, store: Store) -> None:
    project = project_of(store, "waving", "dies")
    events = finish(runner.start(project, None))
    last = events[-1]
    assert isinstance(last, JobFailed)
    assert "3 workers died" in last.message and "frame 2" in last.message
    job = runner.start(project, ["f0"])
    check_events(job, finish(job))


def test_an_error_for_people_comes_in_its_words(runner: RayRunner, store: Store) -> None:
    project = project_of(store, "waving", "waving", "fails", "waving")
    events = finish(runner.start(project, None))
    assert events[-1] == JobFailed("It does not fit.", "Make it smaller.")
    assert takes_of(events) == sorted(take.frame_id for take in project.takes())


def test_an_unforeseen_fault_is_logged_where_it_happened(
    runner: RayRunner, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        last = finish(runner.start(project_of(store, "breaks"), None))[-1]
    assert isinstance(last, JobFailed)
    assert "ValueError" in last.message and "shapes" not in last.message
    assert "in obey" in caplog.text and "shapes 3 and 4" in caplog.text


def test_cancel_stops_within_a_step_on_all_workers(runner: RayRunner, store: Store) -> None:
    project = project_of(store, *["waving"] * 40)
    job = runner.start(project, None)
    next(e for e in job.events() if isinstance(e, TakeSaved))
    job.cancel()
    cancelled = time.monotonic()
    events = finish(job)
    took = time.monotonic() - cancelled
    assert events[-1] == JobEnded(cancelled=True)
    assert took < 40 * STEPS * STEP_SECONDS / 4
    assert takes_of(events) == sorted(take.frame_id for take in project.takes())
    again = runner.start(project, ["f0"])
    check_events(again, finish(again))


def test_storyboards_of_several_people_take_turns(runner: RayRunner, store: Store) -> None:
    actions = ["waving"] * (4 * FRAMES_A_TURN)
    long = [runner.start(project_of(store, *actions), None) for _ in range(2)]
    next(e for e in long[1].events() if isinstance(e, TakeSaved))
    short = runner.start(project_of(store, "waving", "running"), None)
    check_events(short, finish(short))
    assert not any(job.over for job in long)
    for job in long:
        check_events(job, finish(job))


def test_jobs_of_one_project_match_each_other(runner: RayRunner, store: Store) -> None:
    project = project_of(store, "waving", "running")
    jobs = [runner.start(project, None), runner.start(project, ["f1"])]
    assert runner.active(project.id) is jobs[0]
    assert runner.pending(project.id) == tuple(jobs)
    for job in jobs:
        check_events(job, finish(job))
    # The second job used the first frame as the first job had rendered it.
    assert jobs[1].targets == ("f1",) or jobs[1].targets == ("f0", "f1")
    assert runner.pending(project.id) == ()


def test_a_queued_job_is_cancelled_at_once(runner: RayRunner, store: Store) -> None:
    project = project_of(store, "waving", "running")
    running, queued = runner.start(project, None), runner.start(project, ["f1"])
    queued.cancel()
    assert list(queued.events()) == [JobEnded(cancelled=True)]
    check_events(running, finish(running))


def test_a_bank_is_sent_to_the_workers_that_read_it(
    runner: RayRunner, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_of(store, "waving", "waving", f"dies {tmp_path / 'mark'}", "waving", "waving")
    monkeypatch.setattr(jobs_ray, "cut_request", with_banks)
    job = runner.start(project, None)
    events = finish(job)
    check_events(job, events)
    assert (tmp_path / "mark").exists()
    # The source frame is rendered once: no other worker renders it, not even unseen.
    assert not any(isinstance(e, JobProgress) and e.source_only for e in events)


def in_one_part(request: RenderRequest, **_: object) -> tuple[RequestPart, ...]:
    """All frames in one process."""
    return (RequestPart(0, request.targets, 1.0),)


def with_banks(request: RenderRequest, **_: object) -> tuple[RequestPart, ...]:
    """Two parts; the second receives the first frame's bank."""
    first, second = request.targets[:2], request.targets[2:]
    sent = frozenset(request.targets[:1])
    return RequestPart(0, first, 1.0, sends=sent), RequestPart(1, second, 1.0, receives=sent)


def test_the_pictures_are_those_of_one_process_though_a_worker_is_killed(
    ray_here: None,
    runner: RayRunner,
    settings: Settings,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner.close()  # the two cores are for these
    mark = tmp_path / "mark"
    actions = ("waving", "running", "sitting", "jumping")
    projects = [project_of(store, *actions, share=True) for _ in range(3)]
    with closing(RayRunner(settings, partial(MortalEngine, mark=mark), random.Random(1))) as many:
        first = many.start(projects[0], None)
        check_events(first, finish(first))
        assert mark.exists()
        # Again by one worker alone, and with a bank that is sent.
        for project, way in zip(projects[1:], (in_one_part, with_banks), strict=True):
            monkeypatch.setattr(jobs_ray, "cut_request", way)
            job = many.start(project, None)
            check_events(job, finish(job))
    spread_out, one, with_bank = map(pictures_of, projects)
    for first, second in itertools.combinations(one, 2):
        assert np.abs(first - second).mean() > ROUNDING
    # Processes may share out sums among other numbers of threads: then the last bits differ.
    for found in (spread_out, with_bank):
        for picture, same in zip(found, one, strict=True):
            assert np.abs(picture - same).max() <= ROUNDING


def pictures_of(project: Project) -> list[NDArray[np.float64]]:
    """The pixels of all chosen takes, 0 to 255."""
    pictures = []
    for frame in project.load().frames:
        assert frame.take is not None
        with Image.open(project.image_path(frame.take)) as picture:
            pictures.append(np.asarray(picture, np.float64))
    return pictures
