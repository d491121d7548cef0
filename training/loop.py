"""The loop that every training runs in: steps, learning rate, log, checkpoints and reports.

Knows nothing of networks and data: a subclass of `Trainer` computes the losses of a step.
"""

import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.budget import Budget, TrainingSchedule
from training.files import MetricsLog, Stateful, load_checkpoint, save_checkpoint
from training.parallel import tick_together
from training.weights import TrainedWeights


class Trainer(ABC):
    """Process of a training run.

    Args:
        schedule: budget, learning rate, average, log and checkpoints.
        weights: the weights in training.
        parts: further objects of a checkpoint, by name.
        loss_weights: factors of the losses in their sum; 1 where a name is missing.
        rank: number of this process.
        world_size: number of processes that train together, each with its share of the batch.

    Attributes:
        budget: steps and time used so far.
    """

    def __init__(
        self,
        schedule: TrainingSchedule,
        weights: TrainedWeights,
        parts: Mapping[str, Stateful] | None = None,
        loss_weights: Mapping[str, float] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.schedule, self.weights = schedule, weights
        self.rank, self.world_size = rank, world_size
        self.budget = Budget(schedule.minutes, schedule.steps)
        self._parts: dict[str, Stateful] = {"weights": weights, **(parts or {})}
        self._loss_weights = loss_weights or {}

    @abstractmethod
    def step_losses(self) -> dict[str, Tensor]:
        """Compute the losses of step `budget.step`, each by its name, with gradients."""

    def rate(self) -> float:
        """Return the factor of the learning rates in this step."""
        return self.budget.rate(self.schedule.warmup, self.schedule.cooldown)

    def step(self) -> dict[str, Tensor]:
        """Train on one batch and return each loss by its name."""
        rate, losses = self.rate(), self.step_losses()
        weighted = (self._loss_weights.get(name, 1.0) * loss for name, loss in losses.items())
        sum(weighted, torch.zeros(())).backward()
        self.budget.step += 1
        done, schedule = self.budget.step, self.schedule
        self.weights.update(rate, min(schedule.ema_decay, (done + 1) / (done + schedule.ema_delay)))
        return {name: loss.detach() for name, loss in losses.items()}

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        save_checkpoint(path, self.budget, self._parts)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint, exactly as if the training had not been interrupted."""
        load_checkpoint(path, self.budget, self._parts)


def train_until_done(
    trainer: Trainer,
    folder: Path,
    name: str,
    report: Callable[[], Mapping[str, float]] = dict,
) -> None:
    """Train until the budget is used, continuing from a checkpoint where there is one.

    Args:
        trainer: this process's trainer.
        folder: gets the checkpoint (NAME.pt) and the metrics log (NAME.jsonl).
        name: name of the training.
        report: returns numbers for the log; called at each checkpoint in the first process.
    """
    checkpoint, budget, schedule = folder / f"{name}.pt", trainer.budget, trainer.schedule
    if checkpoint.exists():
        trainer.load(checkpoint)
    log = MetricsLog(folder / f"{name}.jsonl")
    recent: dict[str, list[Tensor]] = defaultdict(list)
    saved = logged = time.monotonic()
    logged_step = budget.step
    while budget.progress < 1:
        losses = trainer.step()
        tick_together(budget, trainer.world_size)
        if trainer.rank > 0:
            continue
        for loss, value in losses.items():
            recent[loss].append(value)
        progress = {"step": budget.step, "seen": budget.step * schedule.batch}
        if budget.step % schedule.log_every == 0:
            means = {
                loss: float(np.mean([value.item() for value in values]))
                for loss, values in recent.items()
            }
            samples = (budget.step - logged_step) * schedule.batch
            rate = samples / (time.monotonic() - logged)
            log.add(**progress, seconds=budget.seconds, rate=rate, **means)
            recent.clear()
            logged, logged_step = time.monotonic(), budget.step
        if budget.progress >= 1 or time.monotonic() - saved > schedule.checkpoint_every:
            trainer.save(checkpoint)
            if numbers := report():
                log.add(**progress, **numbers)
            saved = logged = time.monotonic()
            logged_step = budget.step
