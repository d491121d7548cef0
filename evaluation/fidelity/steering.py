"""Foregrounds of a given size, for models that see none.

What a random model takes for the character is arbitrary, and with it how many tokens a
storyboard shares. A steered pass does all the work of finding its mask and its matches, and then
takes those that it was given: an ellipse in the middle of the picture, every token of which has its
match. So what is counted is the work of a real render, and its sharing the most that such a
foreground can come to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from pipelines.consistency.frame_pass import FramePass, Layout
from pipelines.consistency.matching import Matches
from pipelines.sampling import sampler as lockstep


@dataclass(frozen=True)
class Steering:
    """The foreground that passes are given.

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
        """What a table says about it."""
        return (
            f"random weights see no character: masks and matches are computed as always, then "
            f"replaced by an ellipse of {self.foreground:.0%} of the tokens, all of them matched"
        )

    def mask(self, rows: int, columns: int, device: torch.device) -> Tensor:
        """The tokens nearest to the middle, bool, shape (rows * columns,)."""
        y = torch.linspace(-1, 1, rows)[:, None]
        x = torch.linspace(-1, 1, columns)[None]
        inward = (x**2 + y**2).flatten().argsort(stable=True)
        mask = torch.zeros(rows * columns, dtype=torch.bool)
        mask[inward[: round(self.foreground * rows * columns)]] = True
        return mask.to(device)

    def matches(self, mask: Tensor, identity_mask: Tensor) -> Matches:
        """All foreground tokens, each with another one of the identity frame's."""
        frame = mask.nonzero().flatten()
        theirs = identity_mask.nonzero().flatten()
        partner = (torch.arange(len(frame), device=mask.device) * 7 + 3) % len(theirs)
        similarity = torch.full((len(frame),), self.similarity, device=mask.device)
        return Matches(frame, theirs[partner], similarity)


class SteeredPass(FramePass):
    """A frame pass that is given its masks and matches after it has found its own."""

    def __init__(self, steering: Steering, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._steering = steering

    def settle_mask(self, layout: Layout | None) -> None:
        super().settle_mask(layout)
        self.masks[-1] = self._steering.mask(*self.grid, self.device)

    def end_step(self) -> None:
        """Leave a step; at the mask step with the given matches."""
        super().end_step()
        if self.step == self.plan.mask_step and self.identity is not None:
            self.matches = self._steering.matches(self.masks[-1], self.identity.foreground)


@contextmanager
def steered(steering: Steering | None) -> Iterator[None]:
    """Have all passes of renders steered; None for none of them."""
    if steering is None:
        yield
        return
    with mock.patch.object(lockstep, "FramePass", partial(SteeredPass, steering)):
        yield
