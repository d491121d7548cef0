"""Runner of jobs in this process: one at a time, in the order in which they were started."""

from __future__ import annotations

import random
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from contextvars import copy_context

from pipelines.models.specs import ModelSpec
from pipelines.models.usability import Usability
from storyboard.errors import RenderCancelled
from storyboard.jobs.job import Job, RenderEngine
from storyboard.jobs.report import JobReport
from storyboard.jobs.runner import Runner, end_job


class LocalRunner(Runner):
    """`Runner` whose single thread is the lock around the device."""

    def __init__(self, engine: RenderEngine, rng: random.Random | None = None) -> None:
        super().__init__(engine, rng)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render")

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
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _begin(self, job: Job) -> None:
        # On a ZeroGPU Space, the caller's context says whose quota the GPU's time is taken from.
        # An exception of the render goes into the future, and from there into the job.
        future = self._thread.submit(copy_context().run, self._run, job)
        future.add_done_callback(lambda done: _settle(job, done))

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


def _settle(job: Job, done: Future[None]) -> None:
    end_job(job, RenderCancelled() if done.cancelled() else done.exception())
