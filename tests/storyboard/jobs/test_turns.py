"""Turns: nobody waits behind all jobs of another."""

from __future__ import annotations

from contextvars import copy_context
from pathlib import Path

import pytest

from storyboard.board import Storyboard
from storyboard.jobs.job import Job
from storyboard.jobs.turns import Turns
from storyboard.storage.projects import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def job_of(store: Store, visitor: str = "") -> Job:
    return Job(store.create(Storyboard()), Storyboard(), (), visitor=visitor)


def add(turns: Turns, *jobs: Job) -> None:
    for job in jobs:
        turns.add(job, copy_context())


def taken(turns: Turns, count: int) -> list[Job]:
    """Take turns whose jobs end at once."""
    jobs = []
    for _ in range(count):
        job = turns.take().job
        jobs.append(job)
        job.begin()
        job.end(None)
    return jobs


def test_jobs_of_one_visitor_run_in_their_order(store: Store) -> None:
    turns, jobs = Turns(), [job_of(store, "ann") for _ in range(4)]
    add(turns, *jobs)
    assert taken(turns, 4) == jobs


def test_whoever_asks_for_many_waits_between_them(store: Store) -> None:
    turns = Turns()
    many = [job_of(store, "ann") for _ in range(5)]
    add(turns, *many)
    assert taken(turns, 1) == many[:1]
    few = [job_of(store, name) for name in ("ben", "cy")]
    add(turns, *few)
    assert taken(turns, 2) == few
    assert taken(turns, 4) == many[1:]


def test_a_newcomer_waits_for_one_job_of_each_other_at_most(store: Store) -> None:
    turns = Turns()
    for visitor in "abcdef":
        add(turns, *(job_of(store, visitor) for _ in range(20)))
    taken(turns, 10)
    newcomer = job_of(store, "new")
    add(turns, newcomer)
    assert newcomer in taken(turns, 7)


def test_without_visitors_boards_take_turns(store: Store) -> None:
    turns, first, second = Turns(), job_of(store), job_of(store)
    again = Job(first.project, Storyboard(), ())
    add(turns, first, again, second)
    assert taken(turns, 3) == [first, second, again]


def test_cancelled_jobs_cost_their_visitor_no_turn(store: Store) -> None:
    turns = Turns()
    running = job_of(store, "ann")
    add(turns, running)
    turns.take()
    for _ in range(10):
        cancelled = job_of(store, "ben")
        add(turns, cancelled)
        cancelled.cancel()
    bens, cys = job_of(store, "ben"), job_of(store, "cy")
    add(turns, bens, cys)
    assert turns.before(bens) == [running]
    assert turns.before(cys) == [running, bens]


def test_what_runs_before_a_job_is_what_is_taken_before_it(store: Store) -> None:
    turns = Turns()
    jobs = [job_of(store, visitor) for visitor in "aabacabbc"]
    add(turns, *jobs)
    said = {job: turns.before(job) for job in jobs}
    order = [turns.take().job for _ in jobs]
    assert said == {job: order[: order.index(job)] for job in jobs}
    assert turns.before(order[-1]) == []
