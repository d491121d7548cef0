"""Runner of jobs in this process: one at a time, by turns of those who asked for them.

Styles are downloaded beside the renders, so that nobody else waits for that.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import Context, copy_context
from pathlib import Path

from pipelines.events import ModelLoading
from pipelines.models.specs import ModelSpec
from pipelines.models.usability import Usability
from storyboard.errors import RenderCancelled
from storyboard.jobs.job import Job, RenderEngine
from storyboard.jobs.report import JobReport
from storyboard.jobs.runner import Runner, end_job
from storyboard.jobs.turns import Turns

_DOWNLOADS = 2  # at once


class LocalRunner(Runner):
    """`Runner` whose single thread is the lock around the device."""

    def __init__(self, engine: RenderEngine, rng: random.Random | None = None) -> None:
        super().__init__(engine, rng)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render")
        self._downloads = ThreadPoolExecutor(_DOWNLOADS, thread_name_prefix="download")
        self._turns = Turns()

    def describe(self) -> str:
        """See `Runner.describe`."""
        return self._engine.describe()

    def usability(self, spec: ModelSpec) -> Usability:
        """See `Runner.usability`."""
        return self._engine.usability(spec)

    def close(self) -> None:
        """See `Runner.close`."""
        for job in self._unfinished():
            job.cancel()
        self._downloads.shutdown(wait=True, cancel_futures=True)
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _begin(self, job: Job) -> None:
        # On a ZeroGPU Space, the caller's context says whose quota the GPU's time is taken from.
        context = copy_context()
        if job.storyboard.settings.styles:
            self._downloads.submit(_ended, job, self._fetch, job, context)
        else:
            self._queue(job, context)

    def _before(self, job: Job) -> list[Job]:
        """Return the jobs that run before one, by their turns."""
        return self._turns.before(job)

    def _fetch(self, job: Job, context: Context) -> None:
        for style in job.storyboard.settings.styles:
            if job.cancelling:
                raise RenderCancelled
            if not Path(style.source).expanduser().exists():
                job.report(ModelLoading(style.source))
            self._engine.fetch(style.source, lambda: job.cancelling)
        self._queue(job, context)

    def _queue(self, job: Job, context: Context) -> None:
        self._turns.add(job, context)
        self._thread.submit(self._next)

    def _next(self) -> None:
        turn = self._turns.take()
        _ended(turn.job, turn.context.run, self._run, turn.job)
        end_job(turn.job, None)

    def _run(self, job: Job) -> None:
        if not job.begin():
            return
        request = self._planned(job)
        report = JobReport(job, request)
        with closing(self._engine.render(request, job.project.references.folder)) as events:
            for event in events:
                report.handle(event)
                if job.cancelling:
                    raise RenderCancelled


def _ended(job: Job, call: Callable[..., None], *arguments: object) -> None:
    """Call; an exception ends the job."""
    try:
        call(*arguments)
    except BaseException as fault:
        end_job(job, fault)
        raise
