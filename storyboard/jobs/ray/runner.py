"""Runner of jobs on several GPUs or machines: jobs side by side, their frames spread over workers.

A job is cut into parts (`storyboard.jobs.ray.request_parts`). Workers of a Ray cluster
(`storyboard.jobs.ray.cluster`) render them, each with an engine of its own
(`storyboard.jobs.ray.worker`). Parts of different jobs take turns. Workers see no project: events
and takes are handled here. The parts of a worker that dies go to another.
"""

from __future__ import annotations

import itertools
import logging
import random
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial

from pipelines.errors import UserError
from pipelines.events import FrameDone, StepDone
from pipelines.models.catalog import find_model
from pipelines.models.specs import ModelSpec
from pipelines.models.usability import Usability
from pipelines.request import RenderRequest
from storyboard.errors import RenderCancelled
from storyboard.jobs.job import Job
from storyboard.jobs.ray.cluster import (
    BankLost,
    BankSent,
    Cluster,
    RemoteWorker,
    WorkerLost,
    joint_usability,
)
from storyboard.jobs.ray.request_parts import Measures, RequestPart, cut_request
from storyboard.jobs.ray.worker import Assignment, BankReady, BanksFetched, MakeEngine, WorkerEvent
from storyboard.jobs.report import JobReport
from storyboard.jobs.runner import Runner, end_job
from storyboard.settings import Settings, Workers

# A part on which so many workers died in a row is given up.
MOST_LOSSES = 3
# After so many frames a part makes way for a job that has no worker.
FRAMES_A_TURN = 4
# Limit for workers to stop before they are killed, when the runner closes.
_CLOSE_SECONDS = 10.0

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _ScheduledJob:
    """Job that is not over, in the schedule.

    Attributes:
        job: the job.
        turn: number of the turn in which it was last given a worker; grows.
        request: its request; None until the job is planned, when the first worker is free for it.
        report: its report; likewise.
        parts: parts that wait for a worker.
        losses: number of workers that died on each part without finishing a frame, by the part's
            number.
        busy: number of workers that work on it.
        assignments: workers of the assignments that are being rendered, by the assignments' ids.
        banks: handles of the banks that were sent, by their frames' ids.
        fault: exception that ends it early; None so far.
    """

    job: Job
    turn: int = 0
    request: RenderRequest | None = None
    report: JobReport | None = None
    parts: list[RequestPart] = field(default_factory=list)
    losses: dict[int, int] = field(default_factory=dict)
    busy: int = 0
    assignments: dict[str, RemoteWorker] = field(default_factory=dict)
    banks: dict[str, object] = field(default_factory=dict)
    fault: BaseException | None = None

    @property
    def waits(self) -> bool:
        """True where there is work for one more worker."""
        unplanned = self.request is None and not self.busy
        return unplanned or any(part.receives <= self.banks.keys() for part in self.parts)

    def take_part(self) -> RequestPart | None:
        """Take the next part whose banks are all there; None where the job is not planned yet."""
        for part in self.parts:
            if part.receives <= self.banks.keys():
                self.parts.remove(part)
                return part
        return None

    def put_back(self, part: RequestPart, left: tuple[str, ...]) -> None:
        """Put the targets that are left of a part, if any, back among those that wait.

        Banks that it has not sent will not come: their readers render the frames themselves.
        """
        if left:
            receives = (part.receives | part.sends) & self.banks.keys() - set(left)
            work = part.work * len(left) / len(part.targets)
            self.parts.insert(0, RequestPart(part.number, left, work, receives))
        self.drop_banks(part.sends - self.banks.keys())

    def drop_banks(self, names: Collection[str]) -> None:
        """Have the readers of these frames' banks render the frames themselves."""
        for name in names:
            self.banks.pop(name, None)
        self.parts = [replace(part, receives=part.receives - set(names)) for part in self.parts]


class RayRunner(Runner):
    """`Runner` whose jobs are rendered by workers.

    Jobs of one project run one after another, since the later may match takes of the earlier.

    Args:
        settings: settings of the application; `workers` has their number and address.
        make_engine: makes engines, here (to check requests) and in every worker.
        rng: see `Runner`.

    Raises:
        UserError: if Ray is not installed, cannot be reached, or has no room for the workers, or
            if none of them can be started. It returns as soon as one has started.
    """

    def __init__(
        self, settings: Settings, make_engine: MakeEngine, rng: random.Random | None = None
    ) -> None:
        super().__init__(make_engine(settings), rng)
        self._cluster = Cluster(settings.workers or Workers(), settings)
        self._workers = self._cluster.workers(make_engine)
        self._idle: list[RemoteWorker] = []
        self._schedule: list[_ScheduledJob] = []
        self._measures = Measures()
        self._turns = itertools.count(1)
        self._closing = False
        self._guard = threading.RLock()
        self._answered = threading.Event()
        self._pool = ThreadPoolExecutor(len(self._workers), thread_name_prefix="worker")
        for worker in list(self._workers):
            self._start_worker(worker, failures=0)
        try:
            self._answered.wait()
            if not self._workers:
                raise _no_worker()
        except BaseException:  # Ctrl-C, too: Ray would be left running
            self.close()
            raise

    def describe(self) -> str:
        """See `Runner.describe`."""
        with self._guard:
            return f"Ray workers: {len(self._workers)}"

    def usability(self, spec: ModelSpec) -> Usability:
        """See `Runner.usability`; asks all workers, since any of them may be given a job."""
        with self._guard:
            workers = list(self._workers)
        with ThreadPoolExecutor(len(workers) or 1) as asking:
            found = list(asking.map(lambda worker: worker.usability(spec), workers))
        return joint_usability([answer for answer in found if answer is not None])

    def close(self) -> None:
        """See `Runner.close`; the workers' processes end, too."""
        with self._guard:
            self._closing = True
        jobs = self._unfinished()
        for job in jobs:
            job.cancel()
        deadline = time.monotonic() + _CLOSE_SECONDS
        for job in jobs:
            job.wait(max(0.0, deadline - time.monotonic()))
        for worker in self._workers:
            worker.close()
        self._pool.shutdown(wait=True)
        self._cluster.close()

    def _begin(self, job: Job) -> None:
        entry = _ScheduledJob(job)
        with self._guard:
            self._schedule.append(entry)
        job.when_cancelled(lambda: self._stop(entry))
        self._dispatch()

    def _start_worker(self, worker: RemoteWorker, failures: int) -> None:
        """Start a worker's process, in a thread of the pool."""
        started = self._pool.submit(worker.start)
        started.add_done_callback(partial(self._started, worker, failures))

    def _started(self, worker: RemoteWorker, failures: int, outcome: Future[None]) -> None:
        fault = outcome.exception()
        with self._guard:
            if self._closing:
                worker.close()
                return
            if fault is None:
                self._idle.append(worker)
                self._answered.set()
            elif isinstance(fault, WorkerLost) and failures + 1 < MOST_LOSSES:
                self._start_worker(worker, failures + 1)
                return
            else:
                _log.error("A worker cannot be started", exc_info=fault)
                self._workers.remove(worker)
                if not self._workers:
                    self._answered.set()
        self._dispatch()

    def _dispatch(self) -> None:
        """Give idle workers to the jobs whose turn it is; fail all where no worker is left."""
        with self._guard:
            for unserved in list(self._schedule) if not self._workers else ():
                unserved.job.begin()
                self._fail(unserved, _no_worker())
            while self._idle and not self._closing and (entry := self._next()) is not None:
                worker = self._idle.pop()
                part = entry.take_part()
                entry.busy += 1
                entry.turn = next(self._turns)
                # Where there is no part yet, the job is planned.
                done = (
                    self._pool.submit(self._render, worker, entry, part)
                    if part
                    else self._pool.submit(self._plan, entry)
                )
                done.add_done_callback(partial(self._settle, worker, entry, part))

    def _next(self) -> _ScheduledJob | None:
        """Return the waiting job with the fewest workers; of several, the one waiting longest."""
        waiting = (entry for entry in self._leading() if entry.waits)
        return min(waiting, key=lambda entry: (entry.busy, entry.turn), default=None)

    def _leading(self) -> list[_ScheduledJob]:
        """Return the first job of every project."""
        first: dict[str, _ScheduledJob] = {}
        for entry in self._schedule:
            first.setdefault(entry.job.project.id, entry)
        return list(first.values())

    def _plan(self, entry: _ScheduledJob) -> None:
        if not entry.job.begin():
            return
        request = self._planned(entry.job)
        with self._guard:
            parts = cut_request(
                request,
                workers=len(self._workers),
                others=len(self._leading()) - 1,
                costs=self._measures.costs(request.model),
            )
            entry.request = request
            entry.report = JobReport(entry.job, request, [part.work for part in parts])
            entry.parts = list(parts)

    def _render(self, worker: RemoteWorker, entry: _ScheduledJob, part: RequestPart) -> None:
        """Have a worker render a part until it is done, or makes way for another job."""
        assert entry.request is not None and entry.report is not None
        assignment = self._assignment(entry, part, part.request(entry.request))
        with self._guard:
            if entry.job.cancelling or entry.fault is not None:
                raise RenderCancelled
            entry.assignments[assignment.id] = worker
        entry.report.resume(part.number)
        try:
            with closing(worker.render(assignment)) as events:
                made_way = self._handle(entry, part, assignment.request, events)
        finally:
            with self._guard:
                del entry.assignments[assignment.id]
        if entry.job.cancelling or entry.fault is not None:
            raise RenderCancelled
        missing = set(part.targets) - entry.report.saved
        if missing and not made_way:
            raise RuntimeError(f"frames {sorted(missing)} were not rendered")

    def _handle(
        self,
        entry: _ScheduledJob,
        part: RequestPart,
        request: RenderRequest,
        events: Iterable[WorkerEvent | BankSent],
    ) -> bool:
        """Report and measure a worker's events; return whether the part makes way for a job."""
        assert entry.report is not None
        sizes = {frame.frame_id: frame.width * frame.height for frame in request.frames}
        rendered, before = 0, 0.0
        for event in events:
            now = time.monotonic()
            if isinstance(event, StepDone) and event.step > 1:
                self._measures.add_step(request.model, sizes[event.frame_id], now - before)
            before = now
            if isinstance(event, BankReady):
                self._measures.add_bank(request.model, sizes[event.frame_id], event.nbytes)
            elif isinstance(event, BanksFetched):
                self._measures.add_transfer(event.nbytes, event.seconds)
            elif isinstance(event, BankSent):
                with self._guard:
                    entry.banks[event.frame_id] = event.bank
                self._dispatch()
            else:
                entry.report.handle(event, part.targets, part.number)
            if isinstance(event, FrameDone):
                rendered += 1
                if rendered >= FRAMES_A_TURN and self._others_wait(entry):
                    return True
        return False

    def _assignment(
        self, entry: _ScheduledJob, part: RequestPart, request: RenderRequest
    ) -> Assignment:
        """Return a part for a worker.

        Raises:
            BankLost: if a bank was dropped since the part was taken.
            ProjectError: if a reference picture is gone.
        """
        references = entry.job.project.references
        pictures = {name: references.path(name).read_bytes() for name in request.references}
        subject = find_model(request.model).character_adapter
        consents = (subject.consent,) if pictures and subject and subject.consent else ()
        has_sources = any(f.identity_from or f.background_from for f in request.frames)
        with self._guard:
            if lost := part.receives - entry.banks.keys():
                raise BankLost(f"those of {', '.join(sorted(lost))} were lost meanwhile")
            received = {name: entry.banks[name] for name in part.receives}
        return Assignment(
            f"{entry.job.id}-{next(self._turns)}",
            request,
            pictures,
            consents,
            received=received,
            sends=part.sends,
            measures=has_sources and self._measures.costs(request.model).bank is None,
        )

    def _others_wait(self, entry: _ScheduledJob) -> bool:
        """Return whether another job waits and has no worker."""
        with self._guard:
            others = [other for other in self._leading() if other is not entry]
            return any(other.waits and not other.busy for other in others)

    def _settle(
        self,
        worker: RemoteWorker,
        entry: _ScheduledJob,
        part: RequestPart | None,
        outcome: Future[None],
    ) -> None:
        """Schedule the rest of a part that a worker has left, and free or restart the worker."""
        fault = outcome.exception()
        with self._guard:
            entry.busy -= 1
            lost = isinstance(fault, WorkerLost)
            if part is not None and entry.report is not None:
                left = tuple(name for name in part.targets if name not in entry.report.saved)
                if isinstance(fault, WorkerLost):
                    fault = self._count_loss(entry, part, left, fault)
                elif isinstance(fault, BankLost):
                    _log.warning("Banks are lost, and their frames rendered again: %s", fault)
                    entry.drop_banks(set(entry.banks))
                    fault = None
                if fault is None:
                    entry.put_back(part, left)
            if fault is None and (entry.job.cancelling or entry.fault is not None):
                fault = RenderCancelled()
            if fault is None:
                self._end_where_done(entry)
            else:
                self._fail(entry, fault)
            if self._closing:
                return
            if lost:
                self._start_worker(worker, failures=0)
            else:
                self._idle.append(worker)
        self._dispatch()

    def _count_loss(
        self, entry: _ScheduledJob, part: RequestPart, left: Sequence[str], fault: BaseException
    ) -> UserError | None:
        """Count a lost worker; return an error where its part is given up, else None."""
        _log.warning("A worker died while it rendered %s: %s", ", ".join(part.targets), fault)
        if len(left) < len(part.targets):
            entry.losses[part.number] = 0
        entry.losses[part.number] = entry.losses.get(part.number, 0) + 1
        if entry.losses[part.number] < MOST_LOSSES:
            return None
        numbers = sorted(entry.job.storyboard.position(name) + 1 for name in left)
        return UserError(
            f"{MOST_LOSSES} workers died, one after another, while they rendered frame "
            f"{', '.join(map(str, numbers))}.",
            "Memory may not be sufficient: choose a smaller size or model.",
        )

    def _stop(self, entry: _ScheduledJob) -> None:
        with self._guard:
            self._fail(entry, RenderCancelled())
        self._dispatch()

    def _fail(self, entry: _ScheduledJob, fault: BaseException) -> None:
        """Stop a job's workers, so that it ends early, at once where it has none."""
        if entry.fault is None:
            entry.fault = fault
        entry.parts.clear()
        for assignment_id, worker in entry.assignments.items():
            worker.stop(assignment_id)
        self._end_where_done(entry)

    def _end_where_done(self, entry: _ScheduledJob) -> None:
        if entry.busy or entry.parts or entry not in self._schedule:
            return
        if entry.request is None and entry.fault is None and not entry.job.over:
            return  # it waits for its turn
        self._schedule.remove(entry)
        end_job(entry.job, entry.fault)


def _no_worker() -> UserError:
    return UserError("No worker can be started.", "The server's log says why.")
