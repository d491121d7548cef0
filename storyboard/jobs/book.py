"""Book of a runner's jobs: checks, plans and finds them, wherever they run."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Sequence

from pipelines.errors import UserError
from pipelines.request import RenderRequest
from storyboard.board import Storyboard
from storyboard.errors import ProjectError, RenderCancelled
from storyboard.jobs.job import Job, JobProject, RenderEngine
from storyboard.planning import plan_render

KEPT_JOBS = 100

_log = logging.getLogger(__name__)


class JobBook:
    """Jobs of a runner; for any thread.

    Args:
        engine: the engine that checks requests.
        rng: source of seeds.
    """

    def __init__(self, engine: RenderEngine, rng: random.Random | None = None) -> None:
        self._engine = engine
        self._rng = rng or random.Random()
        self._jobs: dict[str, Job] = {}
        self._guard = threading.Lock()

    def check(
        self, project: JobProject, targets: Sequence[str] | None, share_all: bool
    ) -> tuple[Storyboard, RenderRequest]:
        """Do as `Runner.check`, and return the storyboard and the plan of its render."""
        storyboard = project.load()
        chosen = _chosen(project, storyboard)
        plan = plan_render(storyboard, targets, chosen, self._rng, share_all)
        self._engine.check(plan)
        return storyboard, plan

    def add(self, project: JobProject, targets: Sequence[str] | None, share_all: bool) -> Job:
        """Return a new job, checked as `Runner.start` says, for its runner to begin."""
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
        """Return a job's request, planned again when the job begins.

        The plan matches the takes that were chosen while the job was queued.

        Raises:
            UserError: if the project can no longer be read, or a picture is gone.
        """
        chosen = _chosen(job.project, job.project.load())
        return plan_render(job.storyboard, job.targets, chosen, self._rng, job.share_all)

    def job(self, job_id: str) -> Job | None:
        """Return the job with this identifier, also for a while after its end."""
        with self._guard:
            return self._jobs.get(job_id)

    def unfinished(self) -> tuple[Job, ...]:
        """Return all jobs that are not over, in the order in which they were started."""
        with self._guard:
            return tuple(job for job in self._jobs.values() if not job.over)


class BookedRunner:
    """Base of runners: checks and finds their jobs.

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


def log_fault(job: Job, fault: BaseException | None) -> None:
    """Log an exception whose message is not for people."""
    if fault is not None and not isinstance(fault, UserError | RenderCancelled):
        _log.error("Job %s failed", job.id, exc_info=fault)


def _chosen(project: JobProject, storyboard: Storyboard) -> dict[str, RenderRequest]:
    """Return the requests of the chosen takes that can be rendered again."""
    found = {}
    for frame in storyboard.frames:
        if frame.take is not None:
            try:
                request = project.request(frame.take)
                for name in request.references:
                    project.references.path(name)
                found[frame.id] = request
            except ProjectError as error:
                # Rendering such a frame again is the remedy, so it must not fail here.
                _log.warning("Frame %s counts as not rendered: %s", frame.id, error)
    return found
