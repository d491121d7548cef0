"""Report of a job: turns the events of engines into the job's events, and stores its takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from pipelines.events import (
    FrameDone,
    MaskFound,
    ModelLoading,
    Notice,
    PipelineEvent,
    Preview,
    StepDone,
)
from pipelines.request import RenderRequest
from storyboard.board import Take
from storyboard.jobs.events import JobEvent, JobProgress, TakeSaved
from storyboard.jobs.job import Job


class JobReport:
    """Reports to a job what happens in its parts, which may be rendered side by side.

    The job's events are those of a single render: the fraction never falls, also where a part
    begins again, and no start or notice is repeated; a model is loaded again where memory ran out.

    Args:
        request: the job's request; stored with every take.
        shares: the work of each part, in any unit.
    """

    def __init__(self, job: Job, request: RenderRequest, shares: Sequence[float] = (1.0,)) -> None:
        self._job = job
        self._request = request
        self._frames = {frame.frame_id: frame for frame in request.frames}
        self._shares = [share / sum(shares) for share in shares]
        self._begun = [0.0] * len(shares)
        self._done = [0.0] * len(shares)
        self._pace_start: tuple[float, float] | None = None
        self._reported: set[JobEvent] = set()
        self._saved: set[str] = set()
        self._guard = threading.Lock()

    @property
    def saved(self) -> frozenset[str]:
        """The frames whose takes are stored."""
        with self._guard:
            return frozenset(self._saved)

    def resume(self, part: int) -> None:
        """Note that a part begins, perhaps again: without the frames whose takes are stored."""
        with self._guard:
            self._begun[part] = self._done[part]

    def handle(
        self, event: PipelineEvent, targets: Sequence[str] | None = None, part: int = 0
    ) -> None:
        """Pass on an engine's event.

        Args:
            targets: the frames that get their takes from this part; None for all of the request.
            part: the number of the part.

        Raises:
            ProjectError: if a take cannot be stored.
        """
        wanted = self._request.targets if targets is None else targets
        with self._guard:
            job_event = self._job_event(event, wanted, part)
            if job_event is not None:
                self._job.report(job_event)

    def _job_event(
        self, event: PipelineEvent, targets: Sequence[str], part: int
    ) -> JobEvent | None:
        """Translate an engine's event into the job's; None for one that readers do not get."""
        if isinstance(event, StepDone):
            return self._progress(event, targets, part)
        if isinstance(event, ModelLoading):
            # A worker that still loads a model does not stop those that render.
            others = len(self._shares) > 1 and any(self._done)
            return None if others else self._once(event)
        if isinstance(event, Notice):
            elsewhere = event.kind == "prompt" and event.about not in targets
            if event.kind == "memory" and any(self._done):  # the model is loaded again
                self._reported = {e for e in self._reported if not isinstance(e, ModelLoading)}
            return None if elsewhere else self._once(event)
        if event.frame_id not in targets:
            return None
        if isinstance(event, FrameDone):
            return self._take(event)
        if isinstance(event, Preview):
            return None if event.frame_id in self._saved else event
        return event if isinstance(event, MaskFound) else self._once(event)

    def _once(self, event: JobEvent) -> JobEvent | None:
        if event in self._reported:
            return None
        self._reported.add(event)
        return event

    def _progress(self, event: StepDone, targets: Sequence[str], part: int) -> JobProgress:
        begun = self._begun[part]
        done = begun + (1 - begun) * event.done / event.total
        self._done[part] = max(self._done[part], done)
        done = sum(d * s for d, s in zip(self._done, self._shares, strict=True))
        # The last step of the last part ends the job, whatever the sum is rounded to.
        fraction = 1.0 if min(self._done) == 1 else min(done, 1.0)
        return JobProgress(
            frame_id=self._frames[event.frame_id].original,
            phase=event.phase,
            step=event.step,
            steps=event.steps,
            fraction=fraction,
            seconds_left=self._seconds_left(fraction),
            source_only=event.frame_id not in targets,
        )

    def _seconds_left(self, fraction: float) -> float | None:
        """Estimate the time left from the steps so far, so that loading the model is left out."""
        now = time.monotonic()
        if self._pace_start is None:
            self._pace_start = (now, fraction)
        since, start = self._pace_start
        return None if fraction == start else (now - since) / (fraction - start) * (1 - fraction)

    def _take(self, done: FrameDone) -> TakeSaved | None:
        if done.frame_id in self._saved:
            return None
        frame = self._frames[done.frame_id]
        take = Take(
            frame_id=done.frame_id,
            seconds=done.seconds,
            seed=frame.seed,
            matches=done.matches,
            foreground=float(done.mask.mean()),
            prompt=frame.prompt.text,
            model=self._request.model,
        )
        self._job.project.add_take(take, done.image, done.mask, self._request)
        self._saved.add(done.frame_id)
        return TakeSaved(done.frame_id, take)
