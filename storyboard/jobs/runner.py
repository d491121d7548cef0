"""Base of the runners: checks, plans and finds jobs, wherever they run.

`storyboard.jobs.local` runs them in this process, `storyboard.jobs.ray.runner` on several GPUs or
machines.
"""

from __future__ import annotations

import itertools
import logging
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence

from pipelines.errors import UserError
from pipelines.models.specs import ModelSpec
from pipelines.models.usability import Usability
from pipelines.request import RenderRequest
from storyboard.board import Storyboard
from storyboard.errors import ProjectError, RenderCancelled
from storyboard.jobs.job import Job, JobProject, RenderEngine
from storyboard.planning import plan_render

_log = logging.getLogger(__name__)

_REMEMBERED = 200  # jobs that are over, whose ends pages can still hear of
_WHOLE = 8  # of these, the last ones, whose every event can still be read


class Runner(ABC):
    """Runner of jobs, in this process or in others; for any thread.

    Args:
        engine: the engine that checks requests.
        rng: source of seeds.
    """

    def __init__(self, engine: RenderEngine, rng: random.Random | None = None) -> None:
        self._engine = engine
        self._rng = rng or random.Random()
        self._jobs: list[Job] = []
        self._jobs_guard = threading.Lock()

    def check(
        self, project: JobProject, targets: Sequence[str] | None, share_all: bool = False
    ) -> tuple[Storyboard, RenderRequest]:
        """Refuse what `start` would refuse, except for missing pictures; start nothing.

        Returns:
            The storyboard, and the plan of its render.

        Raises:
            UserError: as `start`.
        """
        storyboard = project.load()
        chosen = chosen_requests(project, storyboard)
        plan = plan_render(storyboard, targets, chosen, self._rng, share_all)
        self._engine.check(plan)
        return storyboard, plan

    def start(
        self,
        project: JobProject,
        targets: Sequence[str] | None,
        share_all: bool = False,
        visitor: str = "",
    ) -> Job:
        """Start a job that renders new takes of some frames, as the project is now.

        Args:
            project: the project, which stores the takes.
            targets: ids of the frames; None for all that are not locked.
            share_all: whether every frame keeps the first frame's location, whatever the frames
                say.
            visitor: who asks, where strangers share the application; they take turns.

        Raises:
            UserError: if there is nothing to render, it cannot be rendered, or the project cannot
                be read; a `ConsentNeeded` where a person has to agree to something first.
        """
        storyboard, plan = self.check(project, targets, share_all)
        for name in plan.references:
            project.references.path(name)
        added = () if targets is None else tuple(i for i in plan.targets if i not in targets)
        job = Job(project, storyboard, plan.targets, share_all, added, visitor)
        with self._jobs_guard:
            over = [old for old in self._jobs if old.over]
            for old in over[:-_WHOLE]:
                old.shorten()
            forgotten = set(map(id, over[:-_REMEMBERED]))
            self._jobs = [*(old for old in self._jobs if id(old) not in forgotten), job]
            self._begin(job)  # in the order in which they are listed
        return job

    def active(self, project_id: str) -> Job | None:
        """Return the project's first job that is not over."""
        return next(iter(self.pending(project_id)), None)

    def pending(self, project_id: str) -> tuple[Job, ...]:
        """Return the project's jobs that are not over, in the order in which they were started."""
        return tuple(job for job in self._unfinished() if job.project.id == project_id)

    def ahead(self, job: Job) -> int:
        """Return the number of other projects' jobs that run before this one."""
        return sum(other.project.id != job.project.id for other in self._before(job))

    def waiting(self) -> tuple[Job, ...]:
        """Return all jobs that are not over, in the order in which they were started."""
        return tuple(self._unfinished())

    def recent(self) -> tuple[Job, ...]:
        """Return the last jobs that are over, in the order in which they were started."""
        with self._jobs_guard:
            return tuple(job for job in self._jobs if job.over)

    def ended(self, project_id: str) -> tuple[Job, ...]:
        """Return the project's last jobs that are over, in the order in which they were started."""
        with self._jobs_guard:
            return tuple(job for job in self._jobs if job.over and job.project.id == project_id)

    def read(self, project_id: str, job_id: str) -> None:
        """Note that a person has read how a job of a project ended."""
        for job in self.ended(project_id):
            job.read = job.read or job.id == job_id

    @abstractmethod
    def describe(self) -> str:
        """Return the model and device, or the workers, that run jobs; perhaps empty."""

    @abstractmethod
    def usability(self, spec: ModelSpec) -> Usability:
        """Find out whether a model can render where jobs run; slow the first time."""

    @abstractmethod
    def close(self) -> None:
        """Cancel all jobs and wait for their end."""

    @abstractmethod
    def _begin(self, job: Job) -> None:
        """Put a new job into the queue; never wait for another job."""

    def _before(self, job: Job) -> list[Job]:
        """Return the jobs that run before one: those that were started before it."""
        return list(itertools.takewhile(lambda other: other is not job, self._unfinished()))

    def _planned(self, job: Job) -> RenderRequest:
        """Return a job's request, planned again when the job begins.

        The plan matches the takes that were chosen while the job was queued.

        Raises:
            UserError: if the project can no longer be read, or a picture is gone.
        """
        chosen = chosen_requests(job.project, job.project.load())
        return plan_render(
            job.storyboard, job.targets, chosen, self._rng, job.share_all, job.keep_seeds
        )

    def _unfinished(self) -> list[Job]:
        """Return all jobs that are not over, in the order in which they were started."""
        with self._jobs_guard:
            return [job for job in self._jobs if not job.over]


def end_job(job: Job, fault: BaseException | None) -> None:
    """End a job and log its end, with a traceback where the fault is not meant for people.

    Args:
        fault: the exception that ended it early; None where all frames are rendered.
    """
    if isinstance(fault, UserError):
        _log.warning("Job %s of project %s failed: %s", job.id, job.project.id, fault)
    elif fault is not None and not isinstance(fault, RenderCancelled):
        _log.error("Job %s of project %s failed", job.id, job.project.id, exc_info=fault)
    else:
        ended = "cancelled" if fault is not None or job.over else "finished"
        _log.info("Job %s of project %s was %s", job.id, job.project.id, ended)
    job.end(fault)


def chosen_requests(
    project: JobProject, storyboard: Storyboard, level: int = logging.WARNING
) -> dict[str, RenderRequest]:
    """Return the requests of the chosen takes that can be rendered again, by frame.

    Args:
        level: level at which the log names the others.
    """
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
                _log.log(level, "Frame %s counts as not rendered: %s", frame.id, error)
    return found
