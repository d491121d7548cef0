"""Neighbours of a measurement: other processes that use the same cores, wanted or not.

A figure says with how much else it shared its machine. Knows nothing of what is measured.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


class OtherProcesses:
    """Cores that all processes but this one use from now on."""

    def __init__(self) -> None:
        self._begun, self._others = time.monotonic(), _seconds_of_others()

    def cores(self) -> float:
        """Return how many cores they used on average since this object was made."""
        passed = time.monotonic() - self._begun
        return max(0.0, _seconds_of_others() - self._others) / passed if passed else 0.0

    def note(self) -> str:
        """Say it in words, for the notes below a table."""
        return f"meanwhile other processes used {self.cores():.1f} cores"


def _seconds_of_others() -> float:
    """Return the processor seconds of all other processes since the machine was started."""
    of_all, own = psutil.cpu_times(), psutil.Process().cpu_times()
    return float(of_all.user + of_all.system - own.user - own.system)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep so many cores busy with processes that do nothing else, and end them on leaving."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()
