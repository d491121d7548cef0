"""One pass of a frame through the schedule: what its blocks record, share and merge at each step.

The attention processors of all blocks read and write one `FramePass`. It knows the banks of the
frames that this one takes its character and its place from, and the mask and matches so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .bank import Bank, KeysValues
from .masks import AttentionMaps, TextLengths, clean_mask, mean_maps, raw_mask, token_attention
from .matching import Matches, SimilarityMap, add_cosines, best_matches, find_matches
from .plan import StepPlan


@dataclass(frozen=True)
class Shared:
    """Keys and values of another frame that some of the image queries also see.

    Attributes:
        keys_values: keys before RoPE and values.
        positions: image tokens of this frame whose RoPE the keys take, shape (keys,), int64.
        queries: image tokens of this frame that see them, shape (queries,), int64.
    """

    keys_values: KeysValues
    positions: Tensor
    queries: Tensor


class FramePass:
    """The state of one pass, probe or render.

    Args:
        plan: the steps.
        text: lengths of the prompt's parts.
        grid: rows and columns of image tokens.
        blocks: single-stream blocks of the model.
        device: where the model runs.
        record: bank to fill, or None.
        identity: bank of the frame whose character this one shows, or None.
        background: bank of the frame whose place this one shows, or None.
        matches: the probe pass's matches for a render pass; None in a probe pass, which never
            shares the foreground.
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
    ) -> None:
        for bank in (record, identity, background):
            if bank is not None and bank.plan.steps != plan.steps:
                raise ValueError(f"a bank of {bank.plan.steps} steps in a pass of {plan.steps}")
        self.plan = plan
        self.text = text
        self.grid = grid
        self.blocks = blocks
        self.device = device
        self.record = record
        self.identity = identity
        self.background = background
        self.renders = matches is not None
        self.matches = matches
        self.active = False
        self.step = 0
        self.raw_masks: list[Tensor] = []
        self.masks: list[Tensor] = []
        self.attention_maps: AttentionMaps | None = None
        self.similarity: SimilarityMap | None = None
        self._block_maps: list[AttentionMaps] = []
        self._cosines: Tensor | None = None
        self._foreground_queries: Tensor | None = None
        self._background_queries: Tensor | None = None
        self._shared_places: Tensor | None = None

    @property
    def mask(self) -> Tensor | None:
        """The current foreground mask, bool, shape (tokens,), or None before the first."""
        return self.masks[-1] if self.masks else None

    def begin_step(self, step: int) -> None:
        """Enter a denoising step; the blocks take part until `end_step`."""
        self.step = step
        self.active = True

    def end_step(self) -> None:
        """Leave a step: settle its mask and, at the mask step, its matches."""
        self.active = False
        if self._finds_mask():
            self._settle_mask()
        if self.step != self.plan.mask_step:
            return
        if self.record is not None:
            self.record.set_mask(self._known_mask())
        if self.identity is not None:
            self.similarity = best_matches(self._known_cosines(), self.blocks)
            self._cosines = None
            self.matches = find_matches(
                self.similarity,
                self._known_mask(),
                self.identity.foreground,
                self.plan.similarity_threshold,
            )

    def observes(self, block: int) -> bool:
        """Whether this step needs anything from a block beyond plain attention."""
        return self.active and (
            self._finds_mask()
            or self._compares()
            or self._shares()
            or (self.record is not None and self._records(self.record, block))
        )

    def read_keys(self, block: int, key: Tensor, value: Tensor) -> None:
        """See the image tokens' keys before RoPE and values, each (tokens, heads, head_dim)."""
        if self.record is not None and self.record.wants_keys(block, self.step):
            self.record.save_keys(block, self.step, key, value)

    def read_attention(self, query: Tensor, text_key: Tensor) -> None:
        """See image queries and text keys after RoPE, each (tokens, heads, head_dim)."""
        if self._finds_mask() and 0 < self.text.background < self.text.real:
            self._block_maps.append(token_attention(query, text_key, self.text))

    def shared_foreground(self, block: int) -> Shared | None:
        """The identity frame's keys that this block's foreground queries see, or None."""
        if not (self._shares_identity(block) and self._queries(foreground=True).numel()):
            return None
        assert self.identity is not None and self.matches is not None
        return Shared(
            self.identity.keys_values(block, self.step, self.matches.identity_index),
            positions=self.matches.frame_index,
            queries=self._queries(foreground=True),
        )

    def shared_background(self, block: int) -> Shared | None:
        """The shared place's keys that this block's background queries see, or None."""
        if self.background is None or not self._shares():
            return None
        if self._shared_places is None:
            places = ~self.background.foreground & ~self._known_mask()
            self._shared_places = places.nonzero().flatten()
        if not self._shared_places.numel():
            return None
        return Shared(
            self.background.keys_values(block, self.step, self._shared_places),
            positions=self._shared_places,
            queries=self._queries(foreground=False),
        )

    def read_output(self, block: int, output: Tensor) -> None:
        """See the image tokens' attention output, shape (tokens, channels), before the merge."""
        if self.record is not None:
            if self.record.wants_output(block, self.step):
                self.record.save_output(block, self.step, output)
            if self.record.wants_matching(self.step):
                self.record.save_matching(block, output)
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
        theirs = self.identity.output(block, self.step, self.matches.identity_index)
        output[frame] = (1 - weight) * output[frame] + weight * theirs

    def _finds_mask(self) -> bool:
        if self.identity is None and self.background is None:
            return self.step == self.plan.mask_step
        return self.step <= self.plan.mask_step

    def _compares(self) -> bool:
        return self.identity is not None and self.step == self.plan.mask_step

    def _shares(self) -> bool:
        return self.plan.shares(self.step) and self.mask is not None

    def _shares_identity(self, block: int) -> bool:
        return (
            self.renders
            and self.identity is not None
            and self.plan.shares_foreground(block)
            and self._shares()
            and bool(self.matches)
        )

    def _records(self, record: Bank, block: int) -> bool:
        return (
            record.wants_keys(block, self.step)
            or record.wants_output(block, self.step)
            or record.wants_matching(self.step)
        )

    def _settle_mask(self) -> None:
        rows, columns = self.grid
        if self._block_maps:
            self.attention_maps = mean_maps(self._block_maps)
            self._block_maps = []
            raw = raw_mask(self.attention_maps)
            plan = self.plan
            cleaned = clean_mask(raw.view(rows, columns), plan.mask_erode, plan.mask_dilate)
            mask = cleaned.flatten()
        else:  # one part has no words: everything belongs to the other
            raw = torch.full((rows * columns,), self.text.background == 0, device=self.device)
            mask = raw
        self.raw_masks.append(raw)
        self.masks.append(mask)
        self._foreground_queries = self._background_queries = self._shared_places = None

    def _queries(self, *, foreground: bool) -> Tensor:
        if self._foreground_queries is None or self._background_queries is None:
            mask = self._known_mask()
            self._foreground_queries = mask.nonzero().flatten()
            self._background_queries = (~mask).nonzero().flatten()
        return self._foreground_queries if foreground else self._background_queries

    def _known_mask(self) -> Tensor:
        assert self.mask is not None
        return self.mask

    def _known_cosines(self) -> Tensor:
        assert self._cosines is not None
        return self._cosines
