"""Attention of one single-stream block that shares: ours by slices, and under a dense mask.

Both are the code that renders run, `StoryboardAttnProcessor.grouped_attention` and
`evaluation.fidelity.dense.dense_attention`, with random queries, keys, values and banks.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.random_models import STEPS, Shape
from evaluation.fidelity.dense import DenseBank, DensePass, dense_attention
from evaluation.fidelity.steering import Steering
from pipelines.consistency.bank import Bank
from pipelines.consistency.frame_pass import FramePass
from pipelines.consistency.masks import TextLengths
from pipelines.flux1.attention import StoryboardAttnProcessor
from pipelines.flux1.rotary import BatchContext
from pipelines.request import ConsistencySettings
from pipelines.sampling.schedule import step_plan


class SharingBlock:
    """Block at a step at which it shares.

    Args:
        shape: heads and text tokens.
        tokens: image tokens, a square number.
        device: where it computes.
        dtype: number format.
        foreground: share of the tokens that are foreground, all of it matched.
        background: whether the background is shared, too.
    """

    def __init__(
        self,
        shape: Shape,
        tokens: int,
        device: torch.device,
        dtype: torch.dtype,
        foreground: float,
        background: bool,
    ) -> None:
        side = round(tokens**0.5)
        if side**2 != tokens:
            raise ValueError(f"{tokens} tokens are no square")
        generator = torch.Generator(device).manual_seed(0)

        def random(*size: int) -> Tensor:
            return torch.randn(*size, generator=generator, device=device, dtype=dtype)

        heads = shape.heads, shape.head_dim
        self._plan = step_plan(STEPS, ConsistencySettings())
        self._step = self._plan.mask_step + 1
        self._text = shape.text_tokens
        self._grid, self._background = (side, side), background
        self._device = device
        self._steering = Steering(foreground)
        self._mask = self._steering.mask(side, side, device)
        whole = self._text + tokens
        self._query, self._key, self._value = (random(1, whole, *heads) for _ in range(3))
        self._source = random(tokens, *heads), random(tokens, *heads)
        angles = torch.rand(whole, shape.head_dim // 2, generator=generator, device=device)
        angles = angles.repeat_interleave(2, dim=1) * torch.pi
        self._rotary = angles.cos(), angles.sin()
        self._ours = self._frame_pass()
        assert self._ours.layout is not None
        images = self._ours.layout.order + self._text
        # Each index of our pass's layout, as an index of the plain order.
        self._order = torch.cat([torch.arange(self._text, device=device), images])
        self._laid_out = tuple(t[:, self._order] for t in (self._query, self._key, self._value))
        self._processor = StoryboardAttnProcessor(BatchContext(), 0, 0)

    def calls(self) -> dict[str, Callable[[], Tensor]]:
        """Calls to measure: "plain", "slices", "dense" and, on a GPU, "dense from host"."""
        found: dict[str, Callable[[], Tensor]] = {
            "plain": self._plainly,
            "slices": self._by_slices,
            "dense": self._densely(self._device),
        }
        if self._device.type != "cpu":
            found["dense from host"] = self._densely(torch.device("cpu"))
        return found

    def difference(self) -> float:
        """Return the largest difference of any number between slices and dense mask."""
        dense = self._densely(self._device)()[:, self._order]
        return float((self._by_slices() - dense).abs().max())

    def _plainly(self) -> Tensor:
        return self._processor.attend(self._query, self._key, self._value)

    def _by_slices(self) -> Tensor:
        query, key, value = self._laid_out
        return self._processor.grouped_attention(self._ours, 0, query, key, value, self._rotary)

    def _densely(self, kept_on: torch.device) -> Callable[[], Tensor]:
        bank = DenseBank()
        key, value = self._source
        bank.keys[0, self._step] = key.to(kept_on), value.to(kept_on)
        bank.mask = self._mask
        dense = DensePass(
            self._plan,
            TextLengths(1, 2),
            self._grid,
            self._device,
            record=None,
            identity=bank,
            background=bank if self._background else None,
            matches=self._steering.matches(self._mask, self._mask),
            steering=None,
        )
        dense.mask, dense.step = self._mask, self._step

        def attend() -> Tensor:
            return dense_attention(dense, 0, self._query, self._key, self._value, self._rotary)

        return attend

    def _frame_pass(self) -> FramePass:
        """Make a pass in the middle of the step, which reads a bank of the source's keys."""
        bank = Bank(self._plan, holds_identity=True, holds_background=self._background)
        bank.set_mask(self._mask)
        bank.save_keys(0, self._step, *self._source)
        frame_pass = FramePass(
            self._plan,
            TextLengths(1, 2),
            self._grid,
            1,
            self._device,
            identity=bank,
            background=bank if self._background else None,
            matches=self._steering.matches(self._mask, self._mask),
        )
        frame_pass.masks.append(self._mask)
        frame_pass.begin_step(self._step)
        return frame_pass
