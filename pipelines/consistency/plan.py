"""Plan of a schedule: the steps that record, share and merge (CharaConsist, section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class StepPlan:
    """Step numbers of one schedule; all ranges are half open.

    Attributes:
        steps: denoising steps of the schedule.
        share_start: first step at which keys and values are shared, at least 1 (a step shares by
            the mask that the step before it found).
        share_end: first step at which they are not shared any more.
        merge_start: first step at which attention outputs are merged.
        merge_decay: step from which the merge weight falls.
        merge_end: first step without merge; equal to `merge_start` for no merge at all.
        merge_weight: weight before it falls, in [0, 1].
        similarity_threshold: cosine similarity that a match must exceed.
        mask_step: step whose attention gives the lasting mask and matches.
        mask_erode: side of the square that masks are eroded by, in tokens, odd; 1 is off.
        mask_dilate: side of the square that they are dilated by afterwards, in tokens, odd.
        every: stride of the steps after the mask step that evaluate the model; those between reuse
            the velocity before them. 1 evaluates every step.
        probe_every: the same of a probe pass, whose first step and mask step are always evaluated.
    """

    steps: int
    share_start: int
    share_end: int
    merge_start: int
    merge_decay: int
    merge_end: int
    merge_weight: float
    similarity_threshold: float
    mask_step: int
    mask_erode: int = 3
    mask_dilate: int = 5
    every: int = 1
    probe_every: int = 1

    def __post_init__(self) -> None:
        if self.share_start < 1:
            raise ValueError(f"share_start={self.share_start} must be at least 1")
        if not 0 <= self.mask_step < self.steps:
            raise ValueError(f"mask_step={self.mask_step} is not one of {self.steps} steps")
        if not self.merge_start <= self.merge_end:
            raise ValueError(f"merge_end={self.merge_end} is before {self.merge_start}")
        for name in ("mask_erode", "mask_dilate"):
            side = getattr(self, name)
            if side < 1 or side % 2 == 0:
                raise ValueError(f"{name}={side} is not an odd number of tokens")
        for name in ("every", "probe_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")

    @property
    def probe_steps(self) -> int:
        """Steps of a probe pass, which ends with the mask step."""
        return self.mask_step + 1

    def evaluates(self, step: int, *, probe: bool) -> bool:
        """Return whether a step evaluates the model, in a probe pass or in a render pass.

        All frames have the same such steps, so that whatever one reads another has recorded; a
        render pass evaluates every step up to the mask step.
        """
        if probe:
            return step == self.mask_step or step % self.probe_every == 0
        return step <= self.mask_step or (step - self.mask_step) % self.every == 0

    def shares(self, step: int) -> bool:
        """Return whether keys and values are shared at this step."""
        return self.share_start <= step < self.share_end

    def merges(self, step: int) -> bool:
        """Return whether attention outputs are merged at this step."""
        return self.shares(step) and self.merge_start <= step < self.merge_end

    def weight_of_merge(self, step: int) -> float:
        """Return the merge weight at a step: constant, then a half cosine down to 0."""
        if step < self.merge_decay:
            return self.merge_weight
        done = (step - self.merge_decay) / (self.merge_end - self.merge_decay)
        return self.merge_weight * (1 + math.cos(math.pi * done)) / 2

    @staticmethod
    def shares_foreground(block: int) -> bool:
        """Return whether a single-stream block shares the foreground: every other one does."""
        return block % 2 == 0
