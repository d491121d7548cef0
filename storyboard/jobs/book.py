"""What every runner does with a job, wherever it paints.

It takes a job in, plans it at its turn, tells its events and stores its takes. It knows nothing of
engines.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence

from pipelines.errors import UserError
from pipelines.events import (
    FrameDone,
    FrameStarted,
    MaskFound,
    ModelLoading,
    Notice,
    PipelineEvent,
    Preview,
    StepDone,
)
from pipelines.request import RenderRequest
from storyboard.board import Storyboard, Take
from storyboard.errors import ProjectError, RenderCancelled
from storyboard.jobs.job import (
    FrameBegun,
    FrameMask,
    FramePreview,
    Job,
    JobEvent,
    JobProgress,
    JobProject,
    RenderEngine,
    TakeSaved,
)
from storyboard.planning import COPY_MARK, frame_of, plan_render

KEPT_JOBS = 100

_log = logging.getLogger(__name__)


class JobBook:
    """The jobs of a runner, from any thread: takes them in, and finds them.

    Args:
        engine: asked whether it can paint what is wanted.
        rng: where seeds come from.
    """

    def __init__(self, engine: RenderEngine, rng: random.Random | None = None) -> None:
        self._engine = engine
        self._rng = rng or random.Random()
        self._jobs: dict[str, Job] = {}
        self._guard = threading.Lock()

    def check(
        self, project: JobProject, targets: Sequence[str] | None, share_all: bool
    ) -> tuple[Storyboard, RenderRequest]:
        """See `Runner.check`; what would be painted, and the plan for it."""
        storyboard = project.load()
        chosen = _chosen(project, storyboard)
        plan = plan_render(storyboard, targets, chosen, self._rng, share_all)
        self._engine.check(plan)
        return storyboard, plan

    def take_in(self, project: JobProject, targets: Sequence[str] | None, share_all: bool) -> Job:
        """A new job, as `Runner.start` describes it, for its runner to begin."""
        storyboard, plan = self.check(project, targets, share_all)
        for name in plan.references:
            project.references.path(name)
        job = Job(project, storyboard, plan.targets, share_all)
        with self._guard:
            over = [i for i, old in self._jobs.items() if old.over]
            for job_id in over[: max(0, len(over) - KEPT_JOBS)]:
                del self._jobs[job_id]
            self._jobs[job.id] = job
        return job

    def plan(self, job: Job) -> RenderRequest:
        """What a job paints, planned anew at its turn.

        Takes that were chosen while the job was queued are what it must match.

        Raises:
            UserError: if the project can no longer be read, or a picture is gone.
        """
        chosen = _chosen(job.project, job.project.load())
        return plan_render(job.storyboard, job.targets, chosen, self._rng, job.share_all)

    def job(self, job_id: str) -> Job | None:
        """The job of this identifier, also for a while after its end."""
        with self._guard:
            return self._jobs.get(job_id)

    def unfinished(self) -> tuple[Job, ...]:
        """The jobs of all projects that are not over, in the order they were asked for."""
        with self._guard:
            return tuple(job for job in self._jobs.values() if not job.over)


class BookedRunner:
    """What runners have in common: how their jobs are checked and found.

    Args:
        book: their jobs.
    """

    def __init__(self, book: JobBook) -> None:
        self._book = book

    def check(
        self, project: JobProject, targets: Sequence[str] | None, share_all: bool = False
    ) -> None:
        """See `Runner.check`."""
        self._book.check(project, targets, share_all)

    def job(self, job_id: str) -> Job | None:
        """See `Runner.job`."""
        return self._book.job(job_id)

    def active(self, project_id: str) -> Job | None:
        """See `Runner.active`."""
        jobs = self.pending(project_id)
        return jobs[0] if jobs else None

    def pending(self, project_id: str) -> tuple[Job, ...]:
        """See `Runner.pending`."""
        return tuple(job for job in self._book.unfinished() if job.project_id == project_id)


class JobReport:
    """Tells the readers of a job what engines report of it, and stores its takes.

    The job may be painted in parts side by side; each has a share of the work. What is told is
    what one part would tell: the fraction never falls, also where a part begins again, and nothing
    is said twice of a frame or of the whole render.

    Args:
        job: the job.
        request: what it paints; kept with every take.
        shares: the work of each part, in any unit.
    """

    def __init__(self, job: Job, request: RenderRequest, shares: Sequence[float] = (1.0,)) -> None:
        self._job = job
        self._request = request
        self._shares = [share / sum(shares) for share in shares]
        self._begun = [0.0] * len(shares)
        self._done = [0.0] * len(shares)
        self._pace = _Pace()
        self._told: set[JobEvent] = set()
        self._saved: set[str] = set()
        self._guard = threading.Lock()

    @property
    def saved(self) -> frozenset[str]:
        """The frames whose takes are stored."""
        with self._guard:
            return frozenset(self._saved)

    def resume(self, part: int) -> None:
        """A part begins, perhaps again: without the frames whose takes are stored.

        Args:
            part: its number.
        """
        with self._guard:
            self._begun[part] = self._done[part]

    def tell(
        self,
        event: PipelineEvent | ModelLoading,
        targets: Sequence[str] | None = None,
        part: int = 0,
    ) -> None:
        """Pass on what an engine reports.

        Args:
            event: what it reports.
            targets: the frames that get their takes from this part; None for all of the request.
            part: the number of the part.

        Raises:
            ProjectError: if a take cannot be stored.
        """
        wanted = self._request.targets if targets is None else targets
        with self._guard:
            told = self._translated(event, wanted, part)
            if told is not None:
                self._job.report(told)

    def _translated(
        self, event: PipelineEvent | ModelLoading, targets: Sequence[str], part: int
    ) -> JobEvent | None:
        """A job's event for the engine's; None for what concerns only frames that lend."""
        if isinstance(event, StepDone):
            return self._progress(event, targets, part)
        if isinstance(event, ModelLoading):
            # One more worker that loads does not stop those which paint.
            return None if any(self._done) else self._once(event)
        if isinstance(event, Notice):
            elsewhere = event.kind == "prompt" and event.about not in targets
            return None if elsewhere else self._once(event)
        if event.frame_id not in targets:
            return None
        if isinstance(event, FrameStarted):
            return self._once(FrameBegun(event.frame_id))
        if isinstance(event, MaskFound):
            return FrameMask(event.frame_id, event.mask)
        if isinstance(event, Preview):
            saved = event.frame_id in self._saved
            return None if saved else FramePreview(event.frame_id, event.image)
        return self._take(event)

    def _once(self, event: JobEvent) -> JobEvent | None:
        if event in self._told:
            return None
        self._told.add(event)
        return event

    def _progress(self, event: StepDone, targets: Sequence[str], part: int) -> JobProgress:
        begun = self._begun[part]
        done = begun + (1 - begun) * event.done / event.total
        self._done[part] = max(self._done[part], done)
        done = sum(d * s for d, s in zip(self._done, self._shares, strict=True))
        # The last step of the last part ends the job, whatever the sum is rounded to.
        fraction = 1.0 if min(self._done) == 1 else min(done, 1.0)
        frame_id = frame_of(event.frame_id)
        if frame_id in self._request.targets and event.frame_id not in targets:
            frame_id += COPY_MARK  # its take comes from another part
        return JobProgress(
            frame_id=frame_id,
            phase=event.phase,
            step=event.step,
            steps=event.steps,
            fraction=fraction,
            seconds_left=self._pace.seconds_left(fraction),
        )

    def _take(self, done: FrameDone) -> TakeSaved | None:
        if done.frame_id in self._saved:
            return None
        take = new_take(self._request, done)
        self._job.project.add_take(take, done.image, done.mask, self._request)
        self._saved.add(done.frame_id)
        return TakeSaved(done.frame_id, take)


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


def log_fault(job: Job, fault: BaseException | None) -> None:
    """Put into the log what a person is not told."""
    if fault is not None and not isinstance(fault, UserError | RenderCancelled):
        _log.error("Job %s failed", job.id, exc_info=fault)


class _Pace:
    """Guesses the time left from the work so far; loading the model does not count."""

    def __init__(self) -> None:
        self._begun: tuple[float, float] | None = None

    def seconds_left(self, fraction: float) -> float | None:
        now = time.monotonic()
        if self._begun is None:
            self._begun = (now, fraction)
            return None
        since, at = self._begun
        if fraction == at:
            return None
        return (now - since) / (fraction - at) * (1 - fraction)


def _chosen(project: JobProject, storyboard: Storyboard) -> dict[str, RenderRequest]:
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
