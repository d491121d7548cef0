"""Foregrounds of a given size, for models with random weights.

The foreground that a random model finds is arbitrary, and so is the number of tokens that a
storyboard shares. A steered pass computes its mask and matches, and then replaces them with given
ones: an ellipse in the middle of the picture, every token of which has a match. So the work of a
real render is measured, with the most sharing that such a foreground allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pipelines.consistency.frame_pass import FramePass
from pipelines.consistency.matching import Matches


@dataclass(frozen=True)
class Steering:
    """Foreground that passes are given.

    Attributes:
        foreground: its share of the image tokens, in (0, 1).
        similarity: of every match, in [-1, 1].
    """

    foreground: float = 0.3
    similarity: float = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.foreground < 1:
            raise ValueError(f"foreground={self.foreground} is not in (0, 1)")

    @property
    def note(self) -> str:
        """Note of a table."""
        return (
            f"random weights see no character: masks and matches are computed as always, then "
            f"replaced by an ellipse of {self.foreground:.0%} of the tokens, all of them matched"
        )

    def mask(self, rows: int, columns: int, device: torch.device) -> Tensor:
        """Return the tokens nearest to the middle, bool, shape (rows * columns,)."""
        y = torch.linspace(-1, 1, rows)[:, None]
        x = torch.linspace(-1, 1, columns)[None]
        inward = (x**2 + y**2).flatten().argsort(stable=True)
        mask = torch.zeros(rows * columns, dtype=torch.bool)
        mask[inward[: round(self.foreground * rows * columns)]] = True
        return mask.to(device)

    def matches(self, mask: Tensor, identity_mask: Tensor) -> Matches:
        """Match every foreground token with another one of the identity frame's."""
        frame = mask.nonzero().flatten()
        theirs = identity_mask.nonzero().flatten()
        partner = (torch.arange(len(frame), device=mask.device) * 7 + 3) % len(theirs)
        similarity = torch.full((len(frame),), self.similarity, device=mask.device)
        return Matches(frame, theirs[partner], similarity)


class SteeredPass(FramePass):
    """Frame pass whose masks and matches are given; its own are computed and not used.

    Args:
        steering: the foreground; None leaves the pass as it is.
        arguments: those of `FramePass`.
        keywords: likewise.
    """

    def __init__(self, steering: Steering | None, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._steering = steering

    @cached_property
    def _given(self) -> Tensor | None:
        return self._steering.mask(*self.grid, self.device) if self._steering else None

    @property
    def mask(self) -> Tensor | None:
        """Given mask, bool, shape (tokens,), or None before the pass has found its own."""
        found = super().mask
        return found if found is None or self._given is None else self._given

    def end_step(self) -> None:
        """Leave a step; at the mask step with the given matches."""
        super().end_step()
        if self._steering and self.identity is not None and self.step == self.plan.mask_step:
            assert self.mask is not None
            self.matches = self._steering.matches(self.mask, self.identity.foreground)
