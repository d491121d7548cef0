"""Runs jobs on several GPUs or machines: storyboards side by side, their frames spread.

A job is cut into parts (`storyboard.jobs.ray.spreading`) that workers of a Ray cluster paint
(`storyboard.jobs.ray.workers`). Parts of different jobs take turns. Events and takes come back
here: workers see no project. What a worker leaves behind when it dies is painted by another.
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
from pipelines.request import RenderRequest
from storyboard.errors import RenderCancelled
from storyboard.jobs.book import BookedRunner, JobBook, JobReport, log_fault
from storyboard.jobs.job import Job, JobProject
from storyboard.jobs.ray.spreading import Measures, Part, spread
from storyboard.jobs.ray.worker import BanksFetched, BankWeighed, MakeEngine, Order, Painted
from storyboard.jobs.ray.workers import BankLost, BankSent, Cluster, Worker, WorkerLost
from storyboard.settings import Settings, Workers

# A part whose workers die so often is to blame itself.
MOST_LOSSES = 3
# After so many frames a part makes way for a job that has no worker.
FRAMES_A_TURN = 4
# How long a worker may take to stop before it is killed, when all ends.
_PARTING_SECONDS = 10.0

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Run:
    """A job on its way through the workers.

    Attributes:
        job: the job.
        turn: when it was last given a worker; grows.
        request: what it paints; None until it is planned, when the first worker is free for it.
        report: tells its events; likewise.
        parts: parts that wait for a worker.
        losses: how many workers died on each part without painting a frame, by its number.
        busy: workers that are at it.
        orders: the orders that are being painted, and by whom.
        banks: what stands for the banks that frames have left for other parts.
        fault: why it ends early; None while all goes well.
    """

    job: Job
    turn: int = 0
    request: RenderRequest | None = None
    report: JobReport | None = None
    parts: list[Part] = field(default_factory=list)
    losses: dict[int, int] = field(default_factory=dict)
    busy: int = 0
    orders: dict[str, Worker] = field(default_factory=dict)
    banks: dict[str, object] = field(default_factory=dict)
    fault: BaseException | None = None

    @property
    def waits(self) -> bool:
        """Whether one more worker could do something for it."""
        unplanned = self.request is None and not self.busy
        return unplanned or any(part.lent <= self.banks.keys() for part in self.parts)

    def take_part(self) -> Part | None:
        """The next part that has all that it is lent; None where nothing is planned yet."""
        for part in self.parts:
            if part.lent <= self.banks.keys():
                self.parts.remove(part)
                return part
        return None

    def put_down(self, part: Part, left: tuple[str, ...]) -> None:
        """Let what is left of a part, if anything, wait for another worker.

        Banks that it has not sent will not come: those who wait for them paint for themselves.
        """
        if left:
            lent = (part.lent | part.keeps) & self.banks.keys() - set(left)
            work = part.work * len(left) / len(part.targets)
            self.parts.insert(0, Part(part.number, left, work, lent))
        self.expect_no_more(part.keeps - self.banks.keys())

    def expect_no_more(self, names: Collection[str]) -> None:
        """Have these frames painted again by whoever was to be lent their banks."""
        for name in names:
            self.banks.pop(name, None)
        self.parts = [replace(part, lent=part.lent - set(names)) for part in self.parts]


class RayRunner(BookedRunner):
    """A `Runner` whose jobs are painted by workers.

    Jobs of one project run one after the other, since the later may match takes of the earlier.

    Args:
        settings: of the application; `workers` says how many there are and where.
        make_engine: makes what paints, here (to ask it what it can paint) and in every worker.
        rng: where seeds come from.

    Raises:
        UserError: if Ray is not installed, cannot be reached, or has no room for the workers, or
            if none of them can be started. It returns as soon as one is there.
    """

    def __init__(
        self, settings: Settings, make_engine: MakeEngine, rng: random.Random | None = None
    ) -> None:
        super().__init__(JobBook(make_engine(settings), rng))
        self._cluster = Cluster(settings.workers or Workers(), settings)
        self._crew = self._cluster.workers(make_engine)
        self._idle: list[Worker] = []
        self._runs: list[_Run] = []
        self._measures = Measures()
        self._turns = itertools.count(1)
        self._closing = False
        self._guard = threading.RLock()
        self._answered = threading.Event()
        self._pool = ThreadPoolExecutor(len(self._crew), thread_name_prefix="worker")
        for worker in list(self._crew):
            self._hire(worker, failures=0)
        try:
            self._answered.wait()
            if not self._crew:
                raise _nobody()
        except BaseException:  # Ctrl-C, too: Ray would be left behind
            self.close()
            raise

    def start(
        self, project: JobProject, targets: Sequence[str] | None, share_all: bool = False
    ) -> Job:
        """See `Runner.start`."""
        job = self._book.take_in(project, targets, share_all)
        run = _Run(job)
        with self._guard:
            self._runs.append(run)
        job.when_cancelled(lambda: self._stop(run))
        self._dispatch()
        return job

    def describe(self) -> str:
        """See `Runner.describe`."""
        with self._guard:
            return f"Ray workers: {len(self._crew)}"

    def close(self) -> None:
        """See `Runner.close`; the workers' processes end, too."""
        with self._guard:
            self._closing = True
        jobs = self._book.unfinished()
        for job in jobs:
            job.cancel()
        deadline = time.monotonic() + _PARTING_SECONDS
        for job in jobs:
            job.wait(max(0.0, deadline - time.monotonic()))
        for worker in self._crew:
            worker.close()
        self._pool.shutdown(wait=True)
        self._cluster.close()

    def _hire(self, worker: Worker, failures: int) -> None:
        """Start a worker's process, in a thread of the pool."""
        hired = self._pool.submit(worker.start)
        hired.add_done_callback(partial(self._hired, worker, failures))

    def _hired(self, worker: Worker, failures: int, outcome: Future[None]) -> None:
        fault = outcome.exception()
        with self._guard:
            if self._closing:
                worker.close()
                return
            if fault is None:
                self._idle.append(worker)
                self._answered.set()
            elif isinstance(fault, WorkerLost) and failures + 1 < MOST_LOSSES:
                self._hire(worker, failures + 1)
                return
            else:
                _log.error("A worker cannot be started", exc_info=fault)
                self._crew.remove(worker)
                if not self._crew:
                    self._answered.set()
        self._dispatch()

    def _give_up(self) -> None:
        for run in list(self._runs):
            run.job.begin()
            self._fail(run, _nobody())
            self._end_where_done(run)

    def _dispatch(self) -> None:
        """Give idle workers to the runs whose turn it is."""
        with self._guard:
            if not self._crew:
                self._give_up()
            while self._idle and not self._closing and (run := self._next()) is not None:
                worker = self._idle.pop()
                part = run.take_part()
                run.busy += 1
                run.turn = next(self._turns)
                done = self._pool.submit(self._work, worker, run, part)
                done.add_done_callback(partial(self._settle, worker, run, part))

    def _next(self) -> _Run | None:
        """Of the runs that wait, the one with the fewest workers; of these, the longest without."""
        waiting = [run for run in self._leading() if run.waits]
        return min(waiting, key=lambda run: (run.busy, run.turn), default=None)

    def _leading(self) -> list[_Run]:
        """The first run of every project."""
        first: dict[str, _Run] = {}
        for run in self._runs:
            first.setdefault(run.job.project_id, run)
        return list(first.values())

    def _work(self, worker: Worker, run: _Run, part: Part | None) -> None:
        """Paint a part; where there is none yet, find out what the run paints."""
        if part is None:
            self._plan(run)
        else:
            self._paint(worker, run, part)

    def _plan(self, run: _Run) -> None:
        if not run.job.begin():
            return
        request = self._book.plan(run.job)
        with self._guard:
            others = len(self._leading()) - 1
            parts = spread(
                request,
                workers=len(self._crew),
                others=others,
                costs=self._measures.costs(request.model),
            )
            run.request = request
            run.report = JobReport(run.job, request, [part.work for part in parts])
            run.parts = list(parts)

    def _paint(self, worker: Worker, run: _Run, part: Part) -> None:
        """Have a worker paint a part, as far as it comes in its turn."""
        whole, report = run.request, run.report
        assert whole is not None and report is not None
        request = part.request(whole)
        order = self._order(run, part, request)
        with self._guard:
            if run.job.cancelling or run.fault is not None:
                raise RenderCancelled
            run.orders[order.id] = worker
        report.resume(part.number)
        try:
            with closing(worker.paint(order)) as events:
                made_way = self._follow(run, part, request, events)
        finally:
            with self._guard:
                del run.orders[order.id]
        if run.job.cancelling or run.fault is not None:
            raise RenderCancelled
        missing = set(part.targets) - report.saved
        if missing and not made_way:
            raise RuntimeError(f"frames {sorted(missing)} were not painted")

    def _follow(
        self,
        run: _Run,
        part: Part,
        request: RenderRequest,
        events: Iterable[Painted | BankSent],
    ) -> bool:
        """Tell and measure what happens; whether the part makes way for another run."""
        assert run.report is not None
        sizes = {frame.frame_id: frame.width * frame.height for frame in request.frames}
        painted, before = 0, 0.0
        for event in events:
            now = time.monotonic()
            if isinstance(event, StepDone) and event.step > 1:
                self._measures.saw_step(request.model, sizes[event.frame_id], now - before)
            before = now
            if isinstance(event, BankWeighed):
                self._measures.saw_bank(request.model, sizes[event.frame_id], event.nbytes)
            elif isinstance(event, BanksFetched):
                self._measures.saw_travel(event.nbytes, event.seconds)
            elif isinstance(event, BankSent):
                with self._guard:
                    run.banks[event.frame_id] = event.bank
                self._dispatch()
            else:
                run.report.tell(event, part.targets, part.number)
            if isinstance(event, FrameDone):
                painted += 1
                if painted >= FRAMES_A_TURN and self._others_starve(run):
                    return True
        return False

    def _order(self, run: _Run, part: Part, request: RenderRequest) -> Order:
        """What a worker needs to paint a part, whose request this is."""
        references = run.job.project.references
        pictures = {name: references.path(name).read_bytes() for name in request.references}
        subject = find_model(request.model).character_adapter
        consents = (subject.consent,) if pictures and subject and subject.consent else ()
        lends = any(f.identity_from or f.background_from for f in request.frames)
        return Order(
            f"{run.job.id}-{next(self._turns)}",
            request,
            pictures,
            consents,
            lent={name: run.banks[name] for name in part.lent},
            keeps=part.keeps,
            weighs=lends and self._measures.costs(request.model).bank is None,
        )

    def _others_starve(self, run: _Run) -> bool:
        with self._guard:
            others = [other for other in self._leading() if other is not run]
            return any(other.waits and not other.busy for other in others)

    def _settle(self, worker: Worker, run: _Run, part: Part | None, outcome: Future[None]) -> None:
        """See to what a worker leaves when it is through with a part, or died on it."""
        fault = outcome.exception()
        with self._guard:
            run.busy -= 1
            lost = isinstance(fault, WorkerLost)
            if part is not None and run.report is not None:
                left = tuple(name for name in part.targets if name not in run.report.saved)
                if lost:
                    fault = self._mourn(run, part, left, fault)
                elif isinstance(fault, BankLost):
                    _log.warning("What frames left for others is lost, and made again: %s", fault)
                    run.expect_no_more(set(run.banks))
                    fault = None
                if fault is None:
                    run.put_down(part, left)
            if fault is None and (run.job.cancelling or run.fault is not None):
                fault = RenderCancelled()
            if fault is not None:
                self._fail(run, fault)
            self._end_where_done(run)
            if self._closing:
                return
            if lost:
                self._hire(worker, failures=0)
            else:
                self._idle.append(worker)
        self._dispatch()

    def _mourn(
        self, run: _Run, part: Part, left: Sequence[str], fault: BaseException | None
    ) -> UserError | None:
        """Count a lost worker; why its part is not given to another, or None if it is."""
        _log.warning("A worker died while it painted %s: %s", ", ".join(part.targets), fault)
        if len(left) < len(part.targets):
            run.losses[part.number] = 0
        run.losses[part.number] = run.losses.get(part.number, 0) + 1
        if run.losses[part.number] < MOST_LOSSES:
            return None
        numbers = sorted(run.job.storyboard.position(name) + 1 for name in left)
        return UserError(
            f"{MOST_LOSSES} workers died, one after the other, while they painted frame "
            f"{', '.join(map(str, numbers))}.",
            "Perhaps memory did not suffice: choose a smaller size or model.",
        )

    def _stop(self, run: _Run) -> None:
        with self._guard:
            self._fail(run, RenderCancelled())
            self._end_where_done(run)
        self._dispatch()

    def _fail(self, run: _Run, fault: BaseException) -> None:
        """Let a run end early, as soon as its workers have stopped."""
        if run.fault is None:
            run.fault = fault
        run.parts.clear()
        for order_id, worker in run.orders.items():
            worker.stop(order_id)

    def _end_where_done(self, run: _Run) -> None:
        if run.busy or run.parts or run not in self._runs:
            return
        if run.request is None and run.fault is None and not run.job.over:
            return  # it waits for its turn
        self._runs.remove(run)
        log_fault(run.job, run.fault)
        run.job.end(run.fault)


def _nobody() -> UserError:
    return UserError("No worker can be started.", "The server's log says why.")
