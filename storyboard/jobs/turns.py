"""Turns of waiting jobs: whoever asks for many waits between them, not all others behind them.

Each job has a round: the present one, or the one after the last round in which its visitor has a
job. Jobs go by rounds, and within one by age (start-time fair queueing, with jobs of equal length).
"""

from __future__ import annotations

import itertools
import threading
from contextvars import Context
from dataclasses import dataclass

from storyboard.jobs.job import Job


@dataclass(frozen=True)
class Turn:
    """Place of a job in the order.

    Attributes:
        round: its round.
        number: its age among all jobs.
        job: the job.
        context: the context in which it runs.
    """

    round: int
    number: int
    job: Job
    context: Context

    @property
    def place(self) -> tuple[int, int]:
        """Sort key: the round, then the age."""
        return self.round, self.number


class Turns:
    """Jobs that wait, in the order in which they run; for any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: list[Turn] = []
        self._running: Turn | None = None
        self._round = 0

    def add(self, job: Job, context: Context) -> None:
        """Add a job; its visitor's other jobs, or its project's where nobody is known, go first."""
        with self._guard:
            known = [*self._waiting, *([self._running] if self._running else [])]
            own = [turn.round for turn in known if _asks_as(job, turn.job)]
            turn = Turn(
                max([self._round, *(r + 1 for r in own)]), next(self._numbers), job, context
            )
            self._waiting.append(turn)

    def take(self) -> Turn:
        """Take out the turn that comes next.

        Raises:
            ValueError: if none waits.
        """
        with self._guard:
            turn = min(self._waiting, key=lambda turn: turn.place)
            self._waiting.remove(turn)
            self._running = turn
            self._round = turn.round
            return turn

    def before(self, job: Job) -> list[Job]:
        """Return the jobs that run before one, as things stand; all, where it does not wait yet."""
        with self._guard:
            order = sorted(self._waiting, key=lambda turn: turn.place)
            running = [self._running.job] if self._running else []
        ahead = itertools.takewhile(lambda other: other is not job, (t.job for t in order))
        return [] if job in running else [other for other in (*running, *ahead) if not other.over]


def _asks_as(job: Job, other: Job) -> bool:
    """Return whether a job that is not over counts for the same visitor."""
    whose = [one.visitor or one.project.id for one in (job, other)]
    return whose[0] == whose[1] and not other.over
