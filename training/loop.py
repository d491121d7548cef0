"""The loop that both trainings of the subject run in: steps, log, checkpoints, reports."""

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from training.budget import Budget
from training.files import MetricsLog


class Trainer(Protocol):
    """One process of a training run."""

    rank: int
    budget: Budget

    def step(self) -> dict[str, float]:
        """Train on one batch, and give each loss by its name."""

    def tick(self) -> None:
        """Let time pass in the budget, the same in all processes."""

    def save(self, path: Path) -> None:
        """Write a checkpoint."""

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""


def train_until_done(
    trainer: Trainer,
    folder: Path,
    name: str,
    log_every: int,
    checkpoint_every: float,
    report: Callable[[], dict[str, float]],
) -> None:
    """Train until the budget is used, going on from a checkpoint where there is one.

    Args:
        trainer: this process's.
        folder: gets the checkpoint (NAME.pt) and the metrics log (NAME.jsonl).
        name: of the training.
        log_every: steps between two lines of the log.
        checkpoint_every: seconds between two checkpoints.
        report: numbers for the log, measured at each checkpoint in the first process.
    """
    checkpoint, budget, first = folder / f"{name}.pt", trainer.budget, trainer.rank == 0
    if checkpoint.exists():
        trainer.load(checkpoint)
    log = MetricsLog(folder / f"{name}.jsonl")
    recent: dict[str, list[float]] = defaultdict(list)
    saved = logged = time.monotonic()
    while budget.progress < 1:
        for loss, value in trainer.step().items():
            recent[loss].append(value)
        trainer.tick()
        if not first:
            continue
        now = time.monotonic()
        if budget.step % log_every == 0:
            means = {loss: float(np.mean(values)) for loss, values in recent.items()}
            rate = len(next(iter(recent.values()))) / (now - logged)
            log.add(step=budget.step, seconds=budget.seconds, steps_per_second=rate, **means)
            recent.clear()
            logged = now
        if budget.progress >= 1 or now - saved > checkpoint_every:
            trainer.save(checkpoint)
            log.add(step=budget.step, **report())
            saved = logged = time.monotonic()
