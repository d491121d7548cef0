"""Runs jobs in this process: one at a time, in the order they were asked for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

from storyboard.errors import RenderCancelled
from storyboard.jobs.book import BookedRunner, JobBook, JobReport, log_fault
from storyboard.jobs.job import Job, JobProject, RenderEngine


class LocalRunner(BookedRunner):
    """A `Runner` whose one worker thread is the lock around the device.

    Args:
        engine: what paints.
        rng: where seeds come from.
    """

    def __init__(self, engine: RenderEngine, rng: random.Random | None = None) -> None:
        self._engine = engine
        super().__init__(JobBook(engine, rng))
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="render")

    def start(
        self, project: JobProject, targets: Sequence[str] | None, share_all: bool = False
    ) -> Job:
        """See `Runner.start`."""
        job = self._book.take_in(project, targets, share_all)
        # The caller's context goes along: on a ZeroGPU Space it says whose quota the GPU's time
        # is taken from. Whatever the render raises ends up in the future, and then in the job.
        future = self._worker.submit(copy_context().run, self._run, job)
        future.add_done_callback(lambda done: _settle(job, done))
        return job

    def describe(self) -> str:
        """See `Runner.describe`."""
        return self._engine.describe()

    def close(self) -> None:
        """See `Runner.close`."""
        for job in self._book.unfinished():
            job.cancel()
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _run(self, job: Job) -> None:
        if not job.begin():
            return
        request = self._book.plan(job)
        report = JobReport(job, request)
        events = self._engine.render(request, job.project.references.folder)
        try:
            for event in events:
                report.tell(event)
                if job.cancelling:
                    raise RenderCancelled
        finally:
            events.close()


def _settle(job: Job, done: Future[None]) -> None:
    fault = RenderCancelled() if done.cancelled() else done.exception()
    log_fault(job, fault)
    job.end(fault)
