"""Threads of a process: as many as it may use cores, and asleep while there is nothing to do.

Loads no tensor library: OpenMP reads its variables once, when torch is imported.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def limit_threads() -> None:
    """Set OpenMP's variables that nobody has set; call it before torch is imported.

    Threads spin only shortly before they sleep. Spinning on makes rendering ten times slower where
    anything else, such as the browser, needs the same cores; sleeping at once, nearly twice as slow
    where nothing does (`benchmarks.frame_time` with these variables).

    Where a container may use fewer cores than it sees, there are no more threads than cores.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # on Linux, where it has precedence
    cores = usable_cores()
    if cores < _visible_cores():
        os.environ.setdefault("OMP_NUM_THREADS", str(cores))


def usable_cores(cgroups: Path = _CGROUPS) -> int:
    """Return the number of cores that this process may use, at least 1.

    Args:
        cgroups: the folder of Linux's control groups, which has a container's share of the cores.
    """
    quota = _quota(cgroups)
    return min(_visible_cores(), math.ceil(quota)) if quota else _visible_cores()


def _visible_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quota(cgroups: Path) -> float | None:
    """Return a container's share, in cores, in either version of control groups; None for all."""
    try:
        text = (cgroups / "cpu.max").read_text("ascii")
    except OSError:
        try:
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            text = " ".join((cgroups / "cpu" / name).read_text("ascii") for name in names)
        except OSError:  # no Linux, or no limits
            return None
    microseconds, period = text.split()
    if microseconds in ("max", "-1"):
        return None
    return int(microseconds) / int(period)
