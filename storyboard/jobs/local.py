"""Runner of jobs in this process: one at a time, in the order in which they were started."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

from storyboard.errors import RenderCancelled
from storyboard.jobs.book import BookedRunner, JobBook, log_fault
from storyboard.jobs.job import Job, JobProject, RenderEngine
from storyboard.jobs.report import JobReport


class LocalRunner(BookedRunner):
    """`Runner` whose single thread is the lock around the device.

    Args:
        engine: the engine.
        rng: source of seeds.
    """

    def __init__(self, engine: RenderEngine, rng: random.Random | None = None) -> None:
        self._engine = engine
        super().__init__(JobBook(engine, rng))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render")

    def start(
        self, project: JobProject, targets: Sequence[str] | None, share_all: bool = False
    ) -> Job:
        """See `Runner.start`."""
        job = self._book.add(project, targets, share_all)
        # On a ZeroGPU Space, the caller's context says whose quota the GPU's time is taken from.
        # An exception of the render goes into the future, and from there into the job.
        future = self._thread.submit(copy_context().run, self._run, job)
        future.add_done_callback(lambda done: _settle(job, done))
        return job

    def describe(self) -> str:
        """See `Runner.describe`."""
        return self._engine.describe()

    def close(self) -> None:
        """See `Runner.close`."""
        for job in self._book.unfinished():
            job.cancel()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _run(self, job: Job) -> None:
        if not job.begin():
            return
        request = self._book.plan(job)
        report = JobReport(job, request)
        events = self._engine.render(request, job.project.references.folder)
        try:
            for event in events:
                report.handle(event)
                if job.cancelling:
                    raise RenderCancelled
        finally:
            events.close()


def _settle(job: Job, done: Future[None]) -> None:
    fault = RenderCancelled() if done.cancelled() else done.exception()
    log_fault(job, fault)
    job.end(fault)
