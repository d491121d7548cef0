"""What a frame leaves behind for later frames: keys, values and attention outputs.

The published code keeps every token of every block and step. Only part of it is ever read: the
foreground tokens of the blocks that share the foreground, and the background tokens where the
place is shared. So a bank keeps whole grids until the frame's mask is known, and from then on
only what can be read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .matching import unit_rows
from .plan import StepPlan


@dataclass(frozen=True)
class KeysValues:
    """Keys before RoPE and values of some image tokens, each (tokens, heads, head_dim)."""

    key: Tensor
    value: Tensor


class Bank:
    """The keys, values and outputs of one frame.

    Args:
        plan: the steps; readers must run on the same schedule.
        lends_identity: keep what frames need that show this frame's character.
        lends_background: keep what frames need that show this frame's place.
        storage: device to keep the tensors on; None for wherever they are made.
    """

    def __init__(
        self,
        plan: StepPlan,
        *,
        lends_identity: bool,
        lends_background: bool,
        storage: torch.device | None = None,
    ) -> None:
        self.plan = plan
        self.lends_identity = lends_identity
        self.lends_background = lends_background
        self.mask: Tensor | None = None
        self._storage = storage
        self._keys_values: dict[tuple[int, int], KeysValues] = {}
        self._outputs: dict[tuple[int, int], Tensor] = {}
        self._unit_outputs: dict[int, Tensor] = {}
        self._row_of: dict[bool, Tensor] = {}

    @staticmethod
    def most_bytes(
        plan: StepPlan,
        *,
        tokens: int,
        channels: int,
        blocks: int,
        itemsize: int,
        lends_background: bool,
    ) -> int:
        """The most bytes that a bank can come to hold, whatever its frame's mask.

        Args:
            plan: the steps.
            tokens: image tokens of the frame.
            channels: heads times head_dim.
            blocks: single-stream blocks.
            itemsize: bytes of a number.
            lends_background: whether every block is kept, or only those that share the foreground.
        """
        sharing = (blocks + 1) // 2
        share_steps = max(0, plan.share_end - plan.share_start)
        merge_steps = sum(plan.merges(step) for step in range(plan.steps))
        grids = 2 * share_steps * (blocks if lends_background else sharing)
        grids += merge_steps * sharing + blocks
        return grids * tokens * channels * itemsize

    @property
    def foreground(self) -> Tensor:
        """The frame's foreground mask, bool, shape (tokens,).

        Raises:
            RuntimeError: if the frame has not passed its mask step.
        """
        if self.mask is None:
            raise RuntimeError("the bank is read before its frame has passed the mask step")
        return self.mask

    @property
    def nbytes(self) -> int:
        """Bytes that the bank holds."""
        tensors = [t for kv in self._keys_values.values() for t in (kv.key, kv.value)]
        tensors += [*self._outputs.values(), *self._unit_outputs.values()]
        return sum(t.numel() * t.element_size() for t in tensors)

    def wants_keys(self, block: int, step: int) -> bool:
        """Whether a block's keys and values at a step will be read."""
        lent = self.lends_background or (self.lends_identity and self.plan.shares_foreground(block))
        return lent and self.plan.shares(step)

    def wants_output(self, block: int, step: int) -> bool:
        """Whether a block's attention output at a step will be merged into other frames."""
        return self.lends_identity and self.plan.shares_foreground(block) and self.plan.merges(step)

    def wants_matching(self, step: int) -> bool:
        """Whether the attention outputs of a step will be compared with other frames'."""
        return self.lends_identity and step == self.plan.mask_step

    def save_keys(self, block: int, step: int, key: Tensor, value: Tensor) -> None:
        """Keep the image tokens' keys before RoPE and values, each (tokens, heads, head_dim)."""
        rows = self._kept_rows(block)
        self._keys_values[block, step] = KeysValues(
            self._store(key, rows), self._store(value, rows)
        )

    def save_output(self, block: int, step: int, output: Tensor) -> None:
        """Keep the image tokens' attention output, shape (tokens, channels), for the merge."""
        rows = None if self.mask is None else self.mask.nonzero().flatten()
        self._outputs[block, step] = self._store(output, rows)

    def save_matching(self, block: int, output: Tensor) -> None:
        """Keep the attention output of the mask step, shape (tokens, channels), for matching."""
        self._unit_outputs[block] = self._store(unit_rows(output), None)

    def set_mask(self, mask: Tensor) -> None:
        """Take the frame's lasting foreground mask, bool (tokens,), and drop what nobody reads."""
        self.mask = mask
        for block, step in list(self._keys_values):
            kept = self._keys_values[block, step]
            rows = self._kept_rows(block)
            self._keys_values[block, step] = KeysValues(
                self._store(kept.key, rows), self._store(kept.value, rows)
            )
        foreground = mask.nonzero().flatten()
        for at, output in self._outputs.items():
            self._outputs[at] = self._store(output, foreground)

    def keys_values(self, block: int, step: int, tokens: Tensor) -> KeysValues:
        """Keys and values of some image tokens.

        Args:
            block: single-stream block.
            step: denoising step.
            tokens: int64 indices into the frame's grid, all of them kept (foreground tokens where
                the frame lends its identity, background tokens where it lends its place).
        """
        kept = self._keys_values[block, step]
        if not self._keeps_everything(block):
            tokens = self._rows(tokens, foreground=not self.lends_background)
        tokens_there = tokens.to(kept.key.device)
        return KeysValues(
            kept.key[tokens_there].to(tokens.device), kept.value[tokens_there].to(tokens.device)
        )

    def output(self, block: int, step: int, tokens: Tensor) -> Tensor:
        """Attention outputs of some foreground tokens, shape (len(tokens), channels)."""
        kept = self._outputs[block, step]
        rows = self._rows(tokens, foreground=True).to(kept.device)
        return kept[rows].to(tokens.device)

    def unit_outputs(self, block: int, device: torch.device) -> Tensor:
        """The mask step's attention outputs scaled to length 1, shape (tokens, channels)."""
        return self._unit_outputs[block].to(device)

    def _keeps_everything(self, block: int) -> bool:
        return self.lends_identity and self.lends_background and self.plan.shares_foreground(block)

    def _kept_rows(self, block: int) -> Tensor | None:
        if self.mask is None or self._keeps_everything(block):
            return None
        kept = ~self.mask if self.lends_background else self.mask
        return kept.nonzero().flatten()

    def _rows(self, tokens: Tensor, *, foreground: bool) -> Tensor:
        """Where tokens of the grid lie among the kept foreground (or background) tokens."""
        if foreground not in self._row_of:
            kept = self.foreground if foreground else ~self.foreground
            self._row_of[foreground] = kept.cumsum(0) - 1
        return self._row_of[foreground][tokens]

    def _store(self, tensor: Tensor, rows: Tensor | None) -> Tensor:
        if rows is not None:
            tensor = tensor[rows.to(tensor.device)]
        elif tensor._is_view():
            tensor = tensor.clone()
        return tensor if self._storage is None else tensor.to(self._storage)
