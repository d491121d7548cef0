"""Rendering as jobs: what is asked for, what happens meanwhile, and how to stop it.

A front end starts a job through a `Runner` and follows its events; the job goes on when nobody
follows it, and can be followed again from its beginning. `LocalRunner` runs jobs in this process,
one after the other. It knows nothing of pages or torch.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pipelines.events import (
    FrameDone,
    FrameStarted,
    MaskFound,
    Phase,
    PipelineEvent,
    ReferenceDoubted,
    StepDone,
    StyleNoted,
    WordsUnread,
)
from pipelines.request import RenderRequest
from storyboard.board import Storyboard, Take, new_id
from storyboard.errors import ProjectError, RenderCancelled, UserError
from storyboard.planning import frame_of, plan_render
from storyboard.store import Project

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

JobState = Literal["queued", "running", "finished", "failed", "cancelled"]
KEPT_JOBS = 100

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelLoading:
    """A model is being loaded, which may take minutes the first time."""

    model: str


@dataclass(frozen=True)
class FrameBegun:
    """Work on a frame that will get a new take begins."""

    frame_id: str


@dataclass(frozen=True)
class JobProgress:
    """One more denoising step is done.

    Attributes:
        frame_id: the frame being worked on; it may be one that only lends.
        phase: its probe pass or its render pass.
        step: steps done in this phase.
        steps: steps of this phase.
        fraction: how much of the whole job is done, in [0, 1].
        seconds_left: an estimate for the rest of the job; None before there is one.
    """

    frame_id: str
    phase: Phase
    step: int
    steps: int
    fraction: float
    seconds_left: float | None


@dataclass(frozen=True)
class FrameMask:
    """A frame's foreground mask as far as it is known: bool, shape (rows, columns) in tokens."""

    frame_id: str
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class TakeSaved:
    """A frame is painted, stored and chosen."""

    frame_id: str
    take: Take


@dataclass(frozen=True)
class JobFailed:
    """The job ended early; the takes that were saved are kept."""

    message: str


@dataclass(frozen=True)
class JobCancelled:
    """The job was stopped on purpose; the takes that were saved are kept."""


@dataclass(frozen=True)
class JobFinished:
    """All frames are painted."""


JobEvent = (
    ModelLoading
    | WordsUnread
    | ReferenceDoubted
    | StyleNoted
    | FrameBegun
    | JobProgress
    | FrameMask
    | TakeSaved
    | JobFailed
    | JobCancelled
    | JobFinished
)


class RenderEngine(Protocol):
    """What a job needs of an engine; `storyboard.engine.Engine` is the real one."""

    def check(self, request: RenderRequest) -> None:
        """Refuse at once what the model cannot paint; loads nothing.

        Raises:
            UserError: if the model cannot follow pictures and the request names some; a
                `ConsentNeeded` where a person has to agree to something first.
        """
        ...

    def render(
        self, request: RenderRequest, pictures: Path | None = None
    ) -> Generator[PipelineEvent | ModelLoading, None, None]:
        """Paint a request, after `check`; closing the generator stops within one step and frees
        everything.

        Args:
            request: what to paint.
            pictures: the folder of the pictures that it names; None where it names none.
        """
        ...

    def describe(self) -> str:
        """The loaded model and where it runs; empty before one is loaded."""
        ...


class Job:
    """One render of some frames of a project; safe to use from any thread.

    Args:
        project: the project that gets the takes.
        storyboard: what to paint, as it was when the job was asked for.
        targets: ids of the frames that get a new take, in their order.
    """

    def __init__(self, project: Project, storyboard: Storyboard, targets: tuple[str, ...]) -> None:
        self.id = new_id()
        self.project = project
        self.storyboard = storyboard
        self.targets = targets
        self._state: JobState = "queued"
        self._history: list[JobEvent] = []
        self._changed = threading.Condition()
        self._stop = threading.Event()

    @property
    def project_id(self) -> str:
        """The project's identifier."""
        return self.project.id

    @property
    def state(self) -> JobState:
        """Where the job stands."""
        return self._state

    @property
    def over(self) -> bool:
        """Whether nothing will happen any more."""
        return self._state in ("finished", "failed", "cancelled")

    @property
    def cancelling(self) -> bool:
        """Whether it has been told to stop."""
        return self._stop.is_set()

    def events(self, start: int = 0) -> Iterator[JobEvent]:
        """What happened from the `start`-th event on, then what happens, until the job is over.

        Every reader gets every event.
        """
        index = start
        while True:
            with self._changed:
                while index >= len(self._history) and not self.over:
                    self._changed.wait()
                fresh = self._history[index:]
            if not fresh:
                return
            yield from fresh
            index += len(fresh)

    def cancel(self) -> None:
        """Stop: at once while queued, within one denoising step while running."""
        self._stop.set()
        with self._changed:
            if self._state == "queued":
                self._end("cancelled", JobCancelled())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job is over.

        Args:
            timeout: how long at most, in seconds; None for as long as it takes.

        Returns:
            Whether it is over.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self.over, timeout)

    def begin(self) -> bool:
        """Take the job out of the queue; False where it was cancelled there. For its runner."""
        with self._changed:
            if self._state != "queued":
                return False
            self._state = "running"
            return True

    def report(self, event: JobEvent) -> None:
        """Tell all readers. For its runner."""
        with self._changed:
            self._history.append(event)
            self._changed.notify_all()

    def end(self, fault: BaseException | None) -> None:
        """Close the job with how it went. For its runner.

        Args:
            fault: what was raised, or None where all went well.
        """
        with self._changed:
            if self.over:
                return
            if fault is None:
                self._end("finished", JobFinished())
            elif isinstance(fault, RenderCancelled):
                self._end("cancelled", JobCancelled())
            else:
                self._end("failed", JobFailed(_message(fault)))

    def _end(self, state: JobState, event: JobEvent) -> None:
        self._history.append(event)
        self._state = state
        self._changed.notify_all()


class Runner(Protocol):
    """Runs jobs, here or elsewhere."""

    def start(self, project: Project, targets: Sequence[str] | None) -> Job:
        """Ask for new takes of these frames (None for all), as the project stands now.

        Raises:
            UserError: if there is nothing to paint, it cannot be painted, or the project cannot be
                read; a `ConsentNeeded` where a person has to agree to something first.
        """
        ...

    def job(self, job_id: str) -> Job | None:
        """The job of this identifier, also for a while after its end."""
        ...

    def active(self, project_id: str) -> Job | None:
        """The project's first job that is not over."""
        ...

    def pending(self, project_id: str) -> tuple[Job, ...]:
        """The project's jobs that are not over, in the order they were asked for."""
        ...

    def close(self) -> None:
        """Cancel everything and wait for its end."""
        ...


class LocalRunner:
    """Runs jobs in this process: one at a time, in the order they were asked for.

    Its one worker thread is the lock around the device.

    Args:
        engine: what paints.
        rng: where seeds come from.
    """

    def __init__(self, engine: RenderEngine, rng: random.Random | None = None) -> None:
        self._engine = engine
        self._rng = rng or random.Random()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render")
        self._jobs: dict[str, Job] = {}
        self._guard = threading.Lock()

    def start(self, project: Project, targets: Sequence[str] | None) -> Job:
        """See `Runner.start`."""
        storyboard = project.load()
        plan = plan_render(storyboard, targets, _chosen(project, storyboard), self._rng)
        for name in plan.references:
            project.references.path(name)
        self._engine.check(plan)
        job = Job(project, storyboard, plan.targets)
        # The caller's context goes along: on a ZeroGPU Space it says whose quota the GPU's time
        # is taken from. Whatever the render raises ends up in the future, and then in the job.
        future = self._worker.submit(copy_context().run, self._run, job)
        with self._guard:
            over = [i for i, old in self._jobs.items() if old.over]
            for job_id in over[: max(0, len(over) - KEPT_JOBS)]:
                del self._jobs[job_id]
            self._jobs[job.id] = job
        future.add_done_callback(lambda done: _settle(job, done))
        return job

    def job(self, job_id: str) -> Job | None:
        """See `Runner.job`."""
        with self._guard:
            return self._jobs.get(job_id)

    def active(self, project_id: str) -> Job | None:
        """See `Runner.active`."""
        jobs = self.pending(project_id)
        return jobs[0] if jobs else None

    def pending(self, project_id: str) -> tuple[Job, ...]:
        """See `Runner.pending`."""
        with self._guard:
            jobs = list(self._jobs.values())
        return tuple(job for job in jobs if job.project_id == project_id and not job.over)

    def close(self) -> None:
        """See `Runner.close`."""
        with self._guard:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.cancel()
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _run(self, job: Job) -> None:
        if not job.begin():
            return
        # Planned anew: takes that were chosen while the job was queued are what it must match.
        chosen = _chosen(job.project, job.project.load())
        request = plan_render(job.storyboard, job.targets, chosen, self._rng)
        events = self._engine.render(request, job.project.references.folder)
        try:
            pace = _Pace()
            for event in events:
                reported = _translate(event, request, pace)
                if isinstance(event, FrameDone) and event.frame_id in request.targets:
                    take = new_take(request, event)
                    job.project.add_take(take, event.image, event.mask, request)
                    reported = TakeSaved(event.frame_id, take)
                if reported is not None:
                    job.report(reported)
                if job.cancelling:
                    raise RenderCancelled
        finally:
            events.close()


def new_take(request: RenderRequest, done: FrameDone) -> Take:
    """The record of a frame that was just painted."""
    frame = next(f for f in request.frames if f.frame_id == done.frame_id)
    return Take(
        frame_id=done.frame_id,
        seconds=done.seconds,
        seed=frame.seed,
        matches=done.matches,
        foreground=float(done.mask.mean()),
        prompt=frame.prompt.text,
        model=request.model,
    )


class _Pace:
    """Guesses the time left from the steps so far; loading the model does not count."""

    def __init__(self) -> None:
        self._begun: tuple[float, int] | None = None

    def seconds_left(self, done: int, total: int) -> float | None:
        now = time.monotonic()
        if self._begun is None:
            self._begun = (now, done)
            return None
        since, at = self._begun
        return (now - since) / (done - at) * (total - done) if done > at else None


def _translate(
    event: PipelineEvent | ModelLoading, request: RenderRequest, pace: _Pace
) -> JobEvent | None:
    """A job's event for the engine's; None for what concerns only frames that lend."""
    if isinstance(event, ModelLoading | ReferenceDoubted | StyleNoted):
        return event
    if isinstance(event, StepDone):
        return JobProgress(
            frame_id=frame_of(event.frame_id),
            phase=event.phase,
            step=event.step,
            steps=event.steps,
            fraction=event.done / event.total,
            seconds_left=pace.seconds_left(event.done, event.total),
        )
    if event.frame_id not in request.targets:
        return None
    if isinstance(event, WordsUnread):
        return event
    if isinstance(event, FrameStarted):
        return FrameBegun(event.frame_id)
    if isinstance(event, MaskFound):
        return FrameMask(event.frame_id, event.mask)
    return None


def _chosen(project: Project, storyboard: Storyboard) -> dict[str, RenderRequest]:
    """The requests of the chosen takes that can be painted again."""
    found = {}
    for frame in storyboard.frames:
        if frame.take is not None:
            try:
                request = project.request(frame.take)
                for name in request.references:
                    project.references.path(name)
                found[frame.id] = request
            except ProjectError as error:
                # Painting such a frame again is the cure, so it must not fail here.
                _log.warning("Frame %s counts as not painted: %s", frame.id, error)
    return found


def _settle(job: Job, done: Future[None]) -> None:
    fault = RenderCancelled() if done.cancelled() else done.exception()
    if fault is not None and not isinstance(fault, UserError | RenderCancelled):
        _log.error("Job %s failed", job.id, exc_info=fault)
    job.end(fault)


def _message(fault: BaseException) -> str:
    if isinstance(fault, UserError):
        return str(fault)
    return (
        f"Something went wrong inside Throughline ({type(fault).__name__}). What was painted is "
        "kept; the server's log has the details."
    )
