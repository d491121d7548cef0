"""Pass of a frame through the schedule: what its blocks record, share and merge at each step.

The attention processors of all blocks read and write one `FramePass`. It knows the banks of its
source frames, and the mask and matches so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.consistency.bank import Bank, KeysValues
from pipelines.consistency.masks import (
    AttentionMaps,
    TextLengths,
    clean_mask,
    mean_maps,
    raw_mask,
    token_attention,
)
from pipelines.consistency.matching import (
    Matches,
    SimilarityMap,
    add_cosines,
    best_matches,
    find_matches,
)
from pipelines.consistency.plan import StepPlan


@dataclass(frozen=True)
class Shared:
    """Keys and values of another frame that some of the image queries also see.

    Attributes:
        keys_values: keys before RoPE and values.
        positions: image tokens of this frame whose RoPE the keys take, shape (keys,), int64.
    """

    keys_values: KeysValues
    positions: Tensor


@dataclass(frozen=True)
class Layout:
    """Order of the image tokens in the single-stream blocks: background first.

    The keys that a group of queries sees are then one slice. The model does not depend on the
    order, since every token keeps its position.

    Attributes:
        order: token of the grid at every index, shape (tokens,), int64.
        inverse: index of every token of the grid, shape (tokens,), int64.
        background: number of background tokens.
    """

    order: Tensor
    inverse: Tensor
    background: int

    @classmethod
    def of(cls, foreground: Tensor) -> Layout:
        """Make the layout for a foreground mask, bool, shape (tokens,)."""
        order = foreground.int().argsort(stable=True)
        return cls(order, order.argsort(), int((~foreground).sum()))


@dataclass(frozen=True)
class FirstStep:
    """Masks of step 0, where nothing is shared: the same in every pass of a frame.

    Attributes:
        raw_masks: the foreground mask before its cleanup, if the pass computes it.
        masks: the mask, likewise.
    """

    raw_masks: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]


class FramePass:
    """State of one pass, probe or render.

    Args:
        plan: the steps.
        text: lengths of the prompt's parts.
        grid: rows and columns of image tokens.
        blocks: single-stream blocks of the model.
        device: where the model runs.
        record: bank to fill, or None.
        identity: bank of the identity frame, or None.
        background: bank of the frame whose location this one shares, or None.
        matches: the probe pass's matches for a render pass; None in a probe pass, which never
            shares the foreground.
        first_step: masks of step 0 from another pass of this frame, for a pass that begins at
            step 1.
    """

    def __init__(
        self,
        plan: StepPlan,
        text: TextLengths,
        grid: tuple[int, int],
        blocks: int,
        device: torch.device,
        *,
        record: Bank | None = None,
        identity: Bank | None = None,
        background: Bank | None = None,
        matches: Matches | None = None,
        first_step: FirstStep | None = None,
    ) -> None:
        for bank in (record, identity, background):
            if bank is not None and bank.plan.steps != plan.steps:
                raise ValueError(f"a bank of {bank.plan.steps} steps in a pass of {plan.steps}")
        self.plan, self.text, self.grid = plan, text, grid
        self.blocks, self.device = blocks, device
        self.record, self.identity, self.background = record, identity, background
        self.renders = matches is not None
        self.matches = matches
        self.active = False
        self.step = 0
        self.raw_masks: list[Tensor] = [] if first_step is None else [*first_step.raw_masks]
        self.masks: list[Tensor] = [] if first_step is None else [*first_step.masks]
        self.first_step = first_step
        self.layout: Layout | None = None
        self.attention_maps: AttentionMaps | None = None
        self.similarity: SimilarityMap | None = None
        self._block_maps: list[AttentionMaps] = []
        self._cosines: Tensor | None = None
        self._laid_out: tuple[Tensor, Layout] | None = None
        self._shared_tokens: Tensor | None = None

    @property
    def mask(self) -> Tensor | None:
        """Current foreground mask, bool, shape (tokens,), or None before the first."""
        return self.masks[-1] if self.masks else None

    @property
    def banks(self) -> tuple[Bank, ...]:
        """Banks that the pass fills or reads, each once."""
        found = (self.record, self.identity, self.background)
        return tuple({id(bank): bank for bank in found if bank is not None}.values())

    def begin_step(self, step: int) -> None:
        """Enter a denoising step; the blocks take part until `end_step`."""
        self.step = step
        self.active = True
        for bank in self.banks:
            bank.begin_step(step)
        self.layout = self._lay_out() if self._takes_keys() else None

    def end_step(self) -> None:
        """Leave a step: settle its mask and, at the mask step, its matches."""
        self.active = False
        layout, self.layout = self.layout, None
        if self._finds_mask():
            self.settle_mask(layout)
        if self.step == 0:
            self.first_step = FirstStep(tuple(self.raw_masks), tuple(self.masks))
        if self.step != self.plan.mask_step:
            return
        if self.record is not None:
            self.record.set_mask(self._known_mask())
        if self.identity is not None:
            assert self._cosines is not None
            found = best_matches(self._cosines, self.blocks)
            if layout is not None:
                rows = layout.inverse
                found = SimilarityMap(found.similarity[rows], found.identity_index[rows])
            self.similarity = found
            self._cosines = None
            mask, theirs = self._known_mask(), self.identity.foreground
            self.matches = find_matches(found, mask, theirs, self.plan.similarity_threshold)

    def observes(self, block: int) -> bool:
        """Return whether this step needs anything from a block beyond plain attention."""
        return self.active and (
            self._finds_mask()
            or self._compares()
            or self._shares()
            or (self.record is not None and self._records(self.record, block))
        )

    def read_keys(self, block: int, key: Tensor, value: Tensor) -> None:
        """Record the image tokens' keys before RoPE and values, each (tokens, heads, head_dim).

        Image tokens come in the step's layout here, and in all other methods.
        """
        if self.record is not None and self.record.wants_keys(block, self.step):
            self.record.save_keys(block, self.step, self._in_grid(key), self._in_grid(value))

    def read_attention(self, query: Tensor, text_key: Tensor) -> None:
        """Read the mask from image queries and text keys after RoPE, (tokens, heads, head_dim)."""
        if self._finds_mask() and 0 < self.text.background < self.text.real:
            self._block_maps.append(token_attention(query, text_key, self.text))

    def shared_foreground(self, block: int) -> Shared | None:
        """Return the identity frame's keys that this block's foreground queries see, or None."""
        if not self._shares_identity(block):
            return None
        assert self.identity is not None and self.matches is not None
        return Shared(
            self.identity.keys_values(block, self.step, self.matches.identity_index),
            positions=self.matches.frame_index,
        )

    def shared_background(self, block: int) -> Shared | None:
        """Return the shared location's keys that this block's background queries see, or None."""
        if self.background is None or not self._shares():
            return None
        if self._shared_tokens is None:
            shared = ~self.background.foreground & ~self._known_mask()
            self._shared_tokens = shared.nonzero().flatten()
        if not self._shared_tokens.numel():
            return None
        return Shared(
            self.background.keys_values(block, self.step, self._shared_tokens),
            positions=self._shared_tokens,
        )

    def read_output(self, block: int, output: Tensor) -> None:
        """Record and compare the attention output (image tokens, channels), before the merge."""
        if self.record is not None:
            if self.record.wants_output(block, self.step):
                self.record.save_output(block, self.step, self._in_grid(output))
            if self.record.wants_matching(self.step):
                self.record.save_matching(block, self._in_grid(output))
        if self._compares():
            assert self.identity is not None
            unit = self.identity.unit_outputs(block, output.device)
            self._cosines = add_cosines(self._cosines, output, unit)

    def merge(self, block: int, output: Tensor) -> None:
        """Move matched tokens' outputs towards the identity frame's, in place.

        CharaConsist's adaptive token merge: o <- (1 - c) o + c o_id with
        c = weight of the step x similarity of the match.

        Args:
            block: single-stream block.
            output: the image tokens' attention output, shape (tokens, channels).
        """
        if not (self._shares_identity(block) and self.plan.merges(self.step)):
            return
        assert self.identity is not None and self.matches is not None
        weight = self.plan.weight_of_merge(self.step) * self.matches.similarity
        weight = weight.to(output.dtype)[:, None]
        frame = self.matches.frame_index
        if self.layout is not None:
            frame = self.layout.inverse[frame]
        theirs = self.identity.output(block, self.step, self.matches.identity_index)
        output[frame] = (1 - weight) * output[frame] + weight * theirs

    def _lay_out(self) -> Layout:
        mask = self._known_mask()
        if self._laid_out is None or self._laid_out[0] is not mask:
            self._laid_out = mask, Layout.of(mask)
        return self._laid_out[1]

    def _in_grid(self, tokens: Tensor) -> Tensor:
        """Return image tokens (tokens, ...) of the step's layout in the order of the grid."""
        return tokens if self.layout is None else tokens[self.layout.inverse]

    def _finds_mask(self) -> bool:
        if self.identity is None and self.background is None:
            return self.step == self.plan.mask_step
        return self.step <= self.plan.mask_step

    def _compares(self) -> bool:
        return self.identity is not None and self.step == self.plan.mask_step

    def _shares(self) -> bool:
        return self.plan.shares(self.step) and self.mask is not None

    def _shares_identity(self, block: int) -> bool:
        return self.plan.shares_foreground(block) and self._takes_identity()

    def _takes_identity(self) -> bool:
        return self.renders and self.identity is not None and self._shares() and bool(self.matches)

    def _takes_keys(self) -> bool:
        """Return whether queries of this step see keys of another frame, in some blocks."""
        return self._takes_identity() or (self.background is not None and self._shares())

    def _records(self, record: Bank, block: int) -> bool:
        return (
            record.wants_keys(block, self.step)
            or record.wants_output(block, self.step)
            or record.wants_matching(self.step)
        )

    def settle_mask(self, layout: Layout | None) -> None:
        rows, columns = self.grid
        if self._block_maps:
            maps = mean_maps(self._block_maps)
            self._block_maps = []
            if layout is not None:
                rows_of = layout.inverse
                maps = AttentionMaps(maps.background[rows_of], maps.foreground[rows_of])
            self.attention_maps, raw, plan = maps, raw_mask(maps), self.plan
            cleaned = clean_mask(raw.view(rows, columns), plan.mask_erode, plan.mask_dilate)
            mask = cleaned.flatten()
        else:  # one part of the prompt is empty: every token belongs to the other
            raw = torch.full((rows * columns,), self.text.background == 0, device=self.device)
            mask = raw
        self.raw_masks.append(raw)
        self.masks.append(mask)
        self._shared_tokens = None

    def _known_mask(self) -> Tensor:
        assert self.mask is not None
        return self.mask
