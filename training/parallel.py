"""Processes that train together on one machine, and threads that prepare their data."""

import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from training.budget import Budget

Work = Callable[..., None]
Item = TypeVar("Item")
Result = TypeVar("Result")


def run_together(work: Work, processes: int, *arguments: object) -> None:
    """Call `work(rank, *arguments)` in several processes, or here if one is enough.

    `work` is a function of a module; the arguments are pickled.
    """
    if processes == 1:
        work(0, *arguments)
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(_join, (work, processes, port, arguments), processes)


def _join(rank: int, work: Work, processes: int, port: int, arguments: tuple[object, ...]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=processes)
    try:
        work(rank, *arguments)
        dist.barrier()
    finally:
        dist.destroy_process_group()


def tick_together(budget: Budget, processes: int) -> None:
    """Update the time of the budgets of all processes from the clock of the first."""
    budget.tick()
    if processes > 1:
        seconds = torch.tensor(budget.seconds, dtype=torch.float64)
        dist.broadcast(seconds, 0)
        budget.seconds = seconds.item()


def mapped(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> list[Result]:
    """Return the results of a function for each item, computed in threads."""
    if threads == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))
