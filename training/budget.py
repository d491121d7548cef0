"""Settings and progress of a training: counted in steps, repeatable to the bit, or in time."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrainingSchedule:
    """Settings of a training run.

    It ends after its steps, or after its minutes where it has no steps. Steps make a run repeatable
    to the bit.

    Attributes:
        minutes: time budget.
        batch: samples in a step, of all processes together.
        warmup: steps until the full learning rate.
        cooldown: last share of the budget, in which the rate falls to 0.02.
        checkpoint_every: seconds between two checkpoints.
        steps: step budget; None leaves the time budget.
        log_every: steps between two lines of the log.
        ema_decay: largest decay of the moving average.
        ema_delay: the decay after n steps is at most (n + 1) / (n + ema_delay).
    """

    minutes: float
    batch: int
    warmup: int
    cooldown: float
    checkpoint_every: float
    steps: int | None = None
    log_every: int = 10
    ema_decay: float = 0.998
    ema_delay: int = 20

    @property
    def most_processes(self) -> int:
        """Largest number of processes that can share a batch."""
        return self.batch


@dataclass
class Budget:
    """Steps and training time used so far; both survive an interruption.

    Attributes:
        minutes: time budget, used where `steps` is None.
        steps: step budget.
        step: steps done.
        seconds: training time at the last tick, earlier runs included.
    """

    minutes: float
    steps: int | None = None
    step: int = 0
    seconds: float = 0.0
    _ticked: float = field(default_factory=time.monotonic)

    def tick(self) -> None:
        """Add the time since the last call; `seconds` does not change in between."""
        now = time.monotonic()
        self.seconds += now - self._ticked
        self._ticked = now

    @property
    def progress(self) -> float:
        """Share of the budget that is used, from 0; 1 and more is the end."""
        if self.steps is not None:
            return self.step / self.steps
        return self.seconds / (60 * self.minutes)

    @property
    def left(self) -> float:
        """Share of the budget that is left, from 1 down to 0."""
        return max(0.0, 1 - self.progress)

    def rate(self, warmup: int, cooldown: float) -> float:
        """Return the factor of the learning rate: a short rise, a plateau, a linear fall to 0.02.

        The rise takes `warmup` steps, the fall the last `cooldown` share of the budget.
        """
        rise = min(1.0, (self.step + 1) / warmup)
        return rise * (0.02 + 0.98 * min(1.0, self.left / cooldown))
