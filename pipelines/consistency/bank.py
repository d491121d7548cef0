"""Key/value banks: the keys, values and attention outputs of a frame that later frames read.

The published code keeps every token of every block and step. Only part of it is ever read: the
foreground tokens of the blocks that share the foreground, and the background tokens where the
location is shared. So a bank keeps whole grids until the frame's mask is known, and from then on
only what can be read.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.consistency.matching import unit_rows
from pipelines.consistency.plan import StepPlan
from pipelines.consistency.store.coding import row_bytes
from pipelines.consistency.store.storage import BankStorage, EntryKey, EntryStore, Place

KEYS, OUTPUT, UNIT = KINDS = ("keys", "output", "unit output")


@dataclass(frozen=True)
class KeysValues:
    """Keys before RoPE and values of some image tokens, each (tokens, heads, head_dim)."""

    key: Tensor
    value: Tensor


@dataclass(frozen=True)
class BankBytes:
    """Size of a bank, in bytes.

    Attributes:
        kept: what lasts, once its frame's pass is over.
        peak: the most at any time of the pass; up to the mask step whole grids are kept.
        fetched: the most that readers hold on the device besides, where nothing is kept there.
    """

    kept: int
    peak: int
    fetched: int


class Bank:
    """Key/value bank of one source frame.

    Args:
        plan: the steps; readers must run on the same schedule.
        holds_identity: keep what readers of this frame's character need.
        holds_background: keep what readers of this frame's location need.
        lasting_steps: what is saved at steps before this number is kept to the end; what is saved
            later is dropped when another step begins, for readers that run side by side with
            this frame. None keeps everything.
        storage: where the tensors may lie and in which form; None for wherever they are made,
            as they are.
    """

    def __init__(
        self,
        plan: StepPlan,
        *,
        holds_identity: bool,
        holds_background: bool,
        lasting_steps: int | None = None,
        storage: BankStorage | None = None,
    ) -> None:
        if lasting_steps is not None and lasting_steps < 0:
            raise ValueError(f"lasting_steps={lasting_steps} is less than no step")
        self.plan, self.lasting_steps = plan, lasting_steps
        self.holds_identity, self.holds_background = holds_identity, holds_background
        self.mask: Tensor | None = None
        self._store = EntryStore(BankStorage() if storage is None else storage)
        self._step: int | None = None
        self._rows: dict[bool, Tensor] = {}
        self._row_of: dict[bool, Tensor] = {}

    @staticmethod
    def most_bytes(
        plan: StepPlan,
        *,
        tokens: int,
        channels: int,
        blocks: int,
        itemsize: int,
        holds_background: bool,
    ) -> int:
        """Count the most bytes that a bank can hold, whatever its frame's mask.

        Args:
            plan: the steps.
            tokens: image tokens of the frame.
            channels: heads times head_dim.
            blocks: single-stream blocks.
            itemsize: bytes of a number; 1 is fp8, where every row has a scale besides.
            holds_background: whether every block is kept, or only those that share the foreground.
        """
        sharing = (blocks + 1) // 2
        share_steps = max(0, plan.share_end - plan.share_start)
        merge_steps = sum(plan.merges(step) for step in range(plan.steps))
        grids = 2 * share_steps * (blocks if holds_background else sharing)
        grids += merge_steps * sharing + blocks
        return grids * tokens * row_bytes(channels, itemsize)

    @staticmethod
    def expected_bytes(
        plan: StepPlan,
        *,
        tokens: int,
        channels: int,
        blocks: int,
        itemsize: int,
        foreground: float,
        holds_identity: bool,
        holds_background: bool,
        lasting_steps: int | None = None,
    ) -> BankBytes:
        """Count the bytes that a bank holds of a frame's pass through all steps.

        Arguments are those of `most_bytes` and of the bank, and the share of the tokens that the
        frame's mask calls foreground, in [0, 1].
        """
        bank = Bank(
            plan,
            holds_identity=holds_identity,
            holds_background=holds_background,
            lasting_steps=lasting_steps,
        )
        row = row_bytes(channels, itemsize)
        steps = range(plan.steps)
        front = round(foreground * tokens)
        whole, trimmed = zip(*(bank._rows_of(s, blocks, tokens, front) for s in steps), strict=True)
        held = []
        for step in steps:
            rows = whole if step <= plan.mask_step else trimmed
            held.append(sum(rows[s] for s in range(step + 1) if s == step or bank._lasts(s)))
        lasting = [trimmed[step] for step in steps if trimmed[step] and bank._lasts(step)]
        return BankBytes(
            kept=row * sum(lasting),
            peak=row * max(held),
            fetched=row * max((sum(lasting[i : i + 2]) for i in range(len(lasting))), default=0),
        )

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
        """Bytes that the bank holds, wherever they lie."""
        return self._store.nbytes

    @property
    def peak_bytes(self) -> int:
        """Most bytes that the bank ever held."""
        return self._store.peak_bytes

    @property
    def bytes_by_place(self) -> dict[Place, int]:
        """Bytes on the device, in host memory and on disk."""
        return dict(self._store.bytes_by_place)

    @property
    def fetched_bytes(self) -> int:
        """Bytes on the device besides: copies for the current step and the next."""
        return self._store.fetched_bytes

    def begin_step(self, step: int) -> None:
        """Enter a step, for a pass that records or reads.

        What was kept for another step alone is dropped. What is not on the device comes back to
        it: of this step now, unless it was fetched ahead, and of the next step meanwhile.
        """
        if step == self._step:
            return
        self._step = step
        for key in self._store.keys():
            if key.step != step and not self._lasts(key.step):
                self._store.drop(key)
        self._store.begin_step(step)

    def forget(self, block: int) -> None:
        """Drop what a block saved at the current step alone, all readers being done with it."""
        if self._step is not None and not self._lasts(self._step):
            for kind in KINDS:
                self._store.drop(EntryKey(kind, block, self._step))

    def close(self) -> None:
        """Drop everything. May be called again."""
        self._store.close()

    def wants_keys(self, block: int, step: int) -> bool:
        """Return whether a block's keys and values at a step will be read."""
        shared = self.holds_background or (
            self.holds_identity and self.plan.shares_foreground(block)
        )
        return shared and self.plan.shares(step)

    def wants_output(self, block: int, step: int) -> bool:
        """Return whether a block's attention output at a step will be merged into other frames."""
        return self.holds_identity and self.plan.shares_foreground(block) and self.plan.merges(step)

    def wants_matching(self, step: int) -> bool:
        """Return whether the attention outputs of a step will be compared with other frames'."""
        return self.holds_identity and step == self.plan.mask_step

    def save_keys(self, block: int, step: int, key: Tensor, value: Tensor) -> None:
        """Keep the image tokens' keys before RoPE and values, each (tokens, heads, head_dim).

        Raises:
            BankFull: if there is no room for them, as in the other ways to save.
        """
        self._store.put(EntryKey(KEYS, block, step), (key, value), self._kept_rows(KEYS, block))

    def save_output(self, block: int, step: int, output: Tensor) -> None:
        """Keep the image tokens' attention output, shape (tokens, channels), for the merge."""
        self._store.put(EntryKey(OUTPUT, block, step), (output,), self._kept_rows(OUTPUT, block))

    def save_matching(self, block: int, output: Tensor) -> None:
        """Keep the attention output of the mask step, shape (tokens, channels), for matching."""
        self._store.put(EntryKey(UNIT, block, self.plan.mask_step), (unit_rows(output),), None)

    def set_mask(self, mask: Tensor) -> None:
        """Take the frame's lasting foreground mask, bool (tokens,), and drop what nobody reads.

        The first mask stays: that of a pass run again is the same up to rounding, and what is kept
        was chosen by the first.
        """
        if self.mask is not None:
            return
        self.mask = mask
        self._rows = {True: mask.nonzero().flatten(), False: (~mask).nonzero().flatten()}
        kept = {key: self._kept_rows(key.kind, key.block) for key in self._store.keys()}
        self._store.trim({key: rows for key, rows in kept.items() if rows is not None})

    def keys_values(self, block: int, step: int, tokens: Tensor) -> KeysValues:
        """Return the keys and values of some image tokens.

        Args:
            block: single-stream block.
            step: denoising step.
            tokens: int64 indices into the frame's grid, all of them kept (foreground tokens where
                the bank holds the identity, background tokens where it holds the location).

        Raises:
            RuntimeError: if they were not saved, or dropped, as in the other ways to read.
        """
        if not self._keeps_everything(block):
            tokens = self._among_kept(tokens, foreground=not self.holds_background)
        key, value = self._store.get(EntryKey(KEYS, block, step), tokens)
        return KeysValues(key, value)

    def output(self, block: int, step: int, tokens: Tensor) -> Tensor:
        """Return the attention outputs of some foreground tokens, shape (len(tokens), channels)."""
        rows = self._among_kept(tokens, foreground=True)
        return self._store.get(EntryKey(OUTPUT, block, step), rows)[0]

    def unit_outputs(self, block: int, device: torch.device) -> Tensor:
        """Return the mask step's attention outputs at length 1, shape (tokens, channels)."""
        return self._store.get(EntryKey(UNIT, block, self.plan.mask_step))[0].to(device)

    def _rows_of(self, step: int, blocks: int, tokens: int, front: int) -> tuple[int, int]:
        """Count a step's rows: before the mask is known, and with a mask of `front` tokens."""
        keys = [block for block in range(blocks) if self.wants_keys(block, step)]
        entire = sum(self._keeps_everything(block) for block in keys)
        chosen = tokens - front if self.holds_background else front
        outputs = sum(self.wants_output(block, step) for block in range(blocks))
        units = blocks * self.wants_matching(step)
        whole = (2 * len(keys) + outputs + units) * tokens
        trimmed = (2 * entire + units) * tokens + 2 * (len(keys) - entire) * chosen
        return whole, trimmed + outputs * front

    def _lasts(self, step: int) -> bool:
        return self.lasting_steps is None or step < self.lasting_steps

    def _keeps_everything(self, block: int) -> bool:
        return self.holds_identity and self.holds_background and self.plan.shares_foreground(block)

    def _kept_rows(self, kind: str, block: int) -> Tensor | None:
        """Return the tokens of an entry that are kept; None for all of them."""
        if self.mask is None or kind == UNIT:
            return None
        if kind == OUTPUT:
            return self._rows[True]
        return None if self._keeps_everything(block) else self._rows[not self.holds_background]

    def _among_kept(self, tokens: Tensor, *, foreground: bool) -> Tensor:
        """Return the indices of tokens of the grid among the kept tokens."""
        if foreground not in self._row_of:
            kept = self.foreground if foreground else ~self.foreground
            self._row_of[foreground] = kept.cumsum(0) - 1
        return self._row_of[foreground][tokens]
