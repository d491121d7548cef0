"""How a render uses memory: in which order frames are painted, where banks lie, how many frames go
through the transformer together.

Knows sizes and free memory; loads and paints nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import torch
from diffusers import FluxTransformer2DModel

from pipelines.consistency.bank import Bank
from pipelines.consistency.plan import StepPlan
from pipelines.consistency.store.storage import BankStorage
from pipelines.devices import free_memory
from pipelines.models.sizes import STEP_VALUES
from pipelines.models.specs import ModelSpec
from pipelines.request import FrameRequest, RenderBudget
from pipelines.sampling.sampler import RenderInputs
from pipelines.sampling.schedule import Schedule, one_after_another, side_by_side

# Of the memory that is free, what a render takes for banks, or for activations.
_SHARE = 0.5
_MOST_TOGETHER = 8
# On a CPU, frames that go through the transformer together gain time as long as the caches hold
# what comes out of a layer, and lose some beyond: `python -m benchmarks.speed --only forward`.
_CACHED_BYTES = 3 << 20


class RenderMemory:
    """Fits one render into memory.

    Args:
        transformer: its sizes count.
        device: where it computes.
        plan: what each step records, shares and merges.
        budget: what a person or a preset has decided.
    """

    def __init__(
        self,
        transformer: FluxTransformer2DModel,
        device: torch.device,
        plan: StepPlan,
        budget: RenderBudget,
    ) -> None:
        config = transformer.config
        self._width: int = config.num_attention_heads * config.attention_head_dim
        self._blocks: int = config.num_single_layers
        self._itemsize = transformer.dtype.itemsize
        self._plan, self._budget = plan, budget
        self._cached = device.type == "cpu"
        self._free: int | None = free_memory(device)
        self._device_room = self._room(budget.device_bytes, self._free)
        self._host_room: int | None = 0
        if device.type == "cuda":
            host = free_memory(torch.device("cpu"))
            self._host_room = self._room(budget.host_bytes, host)

    @staticmethod
    def _room(asked: int | None, free: int | None) -> int | None:
        """Bytes that banks may take in one place; None where nobody knows a limit."""
        if asked is not None:
            return asked
        return None if free is None else int(free * _SHARE)

    def schedule(self, painted: RenderInputs) -> Schedule:
        """The order in which to paint frames.

        One after another, so that the first picture comes early, unless the banks might not fit or
        the weights are streamed. Side by side, lenders keep what they lend at the first steps
        where that fits, since they need not go through them again then.
        """
        frames, order = painted.frames, self._budget.order
        together = order == "lockstep"
        if order == "auto" and len(frames) > 1:
            together = self._budget.streamed or not self._fits(painted, self._plan)
        if not together:
            return one_after_another(frames, self._plan, painted.steps)
        # What is kept, and one step more that lenders and borrowers are at.
        early = replace(self._plan, share_end=min(self._plan.share_end, self._plan.probe_steps + 1))
        fits = self._fits(painted, early)
        return side_by_side(frames, self._plan, painted.steps, keep_early=fits)

    def new_bank(
        self, frame: FrameRequest, frames: Sequence[FrameRequest], schedule: Schedule
    ) -> Bank | None:
        """A bank for what a frame lends; None for one that lends nothing.

        Args:
            frame: the frame.
            frames: all that are painted.
            schedule: the order in which they are.
        """
        identity, background = _lends(frame, frames)
        if not (identity or background):
            return None
        lenders = sum(any(_lends(one, frames)) for one in frames)
        device, host = self._device_room, self._host_room
        if schedule.lasting_steps == 0:  # what is read at once is in memory anyway
            device = None
        device, host = (None if room is None else room // lenders for room in (device, host))
        return Bank(
            self._plan,
            lends_identity=identity,
            lends_background=background,
            lasting_steps=schedule.lasting_steps,
            storage=BankStorage(device, host, self._budget.folder, self._budget.bank_dtype),
        )

    def batch(self, painted: RenderInputs) -> int:
        """How many frames go through the transformer together, at most."""
        if self._budget.batch is not None:
            return self._budget.batch
        if self._free is None:
            return 1
        tokens = max(
            inputs.latents.shape[1] + inputs.prompt.prompt_embeds.shape[1]
            for inputs in painted.inputs.values()
        )
        layer = tokens * self._width * self._itemsize
        fitting = int(self._free * _SHARE) // (layer * STEP_VALUES)
        if self._cached:
            fitting = min(fitting, _CACHED_BYTES // layer)
        return max(1, min(_MOST_TOGETHER, fitting))

    def _fits(self, painted: RenderInputs, plan: StepPlan) -> bool:
        """Whether the banks of all frames that lend have room, each with an equal share."""
        if self._budget.folder is not None or self._device_room is None or self._host_room is None:
            return True
        needed = [n for n in (self._most_bytes(f, painted, plan) for f in painted.frames) if n]
        return max(needed, default=0) * len(needed) <= self._device_room + self._host_room

    def _most_bytes(self, frame: FrameRequest, painted: RenderInputs, plan: StepPlan) -> int:
        identity, background = _lends(frame, painted.frames)
        if not (identity or background):
            return 0
        return Bank.most_bytes(
            plan,
            tokens=painted.inputs[frame.frame_id].latents.shape[1],
            channels=self._width,
            blocks=self._blocks,
            itemsize=1 if self._budget.bank_dtype == "fp8" else self._itemsize,
            lends_background=background,
        )


def _lends(frame: FrameRequest, frames: Sequence[FrameRequest]) -> tuple[bool, bool]:
    """Whether others take their character from a frame, and whether they take their place."""
    name = frame.frame_id
    return any(f.identity_from == name for f in frames), any(
        f.background_from == name for f in frames
    )


def bank_bytes(spec: ModelSpec, itemsize: int, foreground: float) -> tuple[int, int] | None:
    """What a bank keeps of a frame of a model's own size and steps.

    Args:
        spec: the model.
        itemsize: bytes of a number; 1 is fp8.
        foreground: share of the frame's tokens that are its character's.

    Returns:
        Bytes where the frame lends its character, and where it lends its place besides; None for a
        model whose size is not known.
    """
    parts = spec.parts
    if parts is None:
        return None
    character, both = (
        Bank.expected_bytes(
            StepPlan.from_fractions(spec.steps, **asdict(spec.consistency)),
            tokens=(spec.width // 16) * (spec.height // 16),
            channels=parts.width,
            blocks=parts.single_blocks,
            itemsize=itemsize,
            foreground=foreground,
            lends_identity=True,
            lends_background=place,
        ).kept
        for place in (False, True)
    )
    return character, both
