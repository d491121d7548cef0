"""Neighbours of a measurement: made on purpose, counted, and gone afterwards."""

from __future__ import annotations

import time

import psutil
import pytest

from benchmarks.neighbours import OtherProcesses, busy_processes


def test_busy_processes_are_counted_and_end() -> None:
    before = {child.pid for child in psutil.Process().children()}
    others = OtherProcesses()
    with busy_processes(1):
        busy = [child for child in psutil.Process().children() if child.pid not in before]
        time.sleep(1)
        used = sum(sum(child.cpu_times()[:2]) for child in busy)
        assert len(busy) == 1
        assert used > 0
        assert others.cores() > 0.1
    assert {child.pid for child in psutil.Process().children()} == before
    assert others.note().endswith(" cores")


def test_busy_processes_end_where_a_measurement_fails() -> None:
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(ZeroDivisionError), busy_processes(2):
        raise ZeroDivisionError
    assert {child.pid for child in psutil.Process().children()} == before


def test_what_this_process_uses_itself_is_not_counted() -> None:
    """More than this process and the busy ones together cannot be used."""
    others = OtherProcesses()
    until = time.process_time() + 0.5
    while time.process_time() < until:
        pass
    assert others.cores() < psutil.cpu_count() - 0.2
