"""Memory of a render: the order of its frames, the places of their banks, the size of batches.

Knows sizes and free memory; loads and renders nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from pipelines.consistency.bank import Bank
from pipelines.consistency.plan import StepPlan
from pipelines.consistency.store.storage import BankStorage
from pipelines.devices import free_memory
from pipelines.models.sizes import STEP_VALUES
from pipelines.models.specs import ModelSpec
from pipelines.request import FrameRequest, RenderBudget
from pipelines.sampling.denoiser import VelocityModel
from pipelines.sampling.sampler import RenderInputs
from pipelines.sampling.schedule import Schedule, one_after_another, side_by_side, step_plan

# Share of the free memory that a render takes for banks, or for activations.
_SHARE = 0.5
_LARGEST_BATCH = 8
# On a CPU, frames that go through the transformer together gain time as long as the caches hold
# a layer's output, and lose some beyond: `python -m benchmarks.speed --only forward`.
_CACHED_BYTES = 3 << 20


class RenderMemory:
    """Fits one render into memory, within the budget of a person or a preset."""

    def __init__(self, model: VelocityModel, inputs: RenderInputs, budget: RenderBudget) -> None:
        self._model, self._inputs, self._budget = model, inputs, budget
        self._plan, self._frames = inputs.plan, inputs.frames
        self._free = free_memory(model.device)
        self._device_room, self._host_room = _room(budget.device_bytes, self._free), 0
        if model.device.type == "cuda":
            self._host_room = _room(budget.host_bytes, free_memory(torch.device("cpu")))

    def schedule(self) -> Schedule:
        """Choose the order in which to render the frames.

        One after another, so that the first picture comes early, unless the banks might not fit or
        the weights are streamed. Side by side, banks keep the keys and values of the first steps
        where they fit, since source frames need not repeat those steps then.
        """
        frames, order, steps = self._frames, self._budget.order, self._inputs.steps
        together = order == "lockstep"
        if order == "auto" and len(frames) > 1:
            together = self._budget.streamed or not self._fits(self._plan)
        if not together:
            return one_after_another(frames, self._plan, steps)
        # Those that are kept, and one step more, which source frames and readers are at.
        early = replace(self._plan, share_end=min(self._plan.share_end, self._plan.probe_steps + 1))
        return side_by_side(frames, self._plan, steps, keep_early=self._fits(early))

    def new_bank(self, frame: FrameRequest, schedule: Schedule) -> Bank | None:
        """Make a bank for a source frame; None for a frame that nobody reads."""
        identity, background = _read_by(frame, self._frames)
        if not (identity or background):
            return None
        sources = sum(any(_read_by(one, self._frames)) for one in self._frames)
        # Keys and values that are read at once are in memory anyway.
        device = None if schedule.lasting_steps == 0 else self._device_room // sources
        return Bank(
            self._plan,
            holds_identity=identity,
            holds_background=background,
            lasting_steps=schedule.lasting_steps,
            storage=BankStorage(
                device, self._host_room // sources, self._budget.folder, self._budget.bank_dtype
            ),
        )

    def batch(self) -> int:
        """Return the most frames that go through the transformer together."""
        if self._budget.batch is not None:
            return self._budget.batch
        tokens = max(
            tensors.latents.shape[1] + tensors.prompt.prompt_embeds.shape[1]
            for tensors in self._inputs.tensors.values()
        )
        layer = tokens * self._model.width * self._model.itemsize
        fitting = int(self._free * _SHARE) // (layer * STEP_VALUES)
        if self._model.device.type == "cpu":
            fitting = min(fitting, _CACHED_BYTES // layer)
        return max(1, min(_LARGEST_BATCH, fitting))

    def _fits(self, plan: StepPlan) -> bool:
        """Return whether the banks of all source frames have room, each with an equal share."""
        if self._budget.folder is not None:
            return True
        needed = [n for n in (self._most_bytes(frame, plan) for frame in self._frames) if n]
        return max(needed, default=0) * len(needed) <= self._device_room + self._host_room

    def _most_bytes(self, frame: FrameRequest, plan: StepPlan) -> int:
        identity, background = _read_by(frame, self._frames)
        if not (identity or background):
            return 0
        return Bank.most_bytes(
            plan,
            tokens=self._inputs.tensors[frame.frame_id].latents.shape[1],
            channels=self._model.width,
            blocks=self._model.single_blocks,
            itemsize=1 if self._budget.bank_dtype == "fp8" else self._model.itemsize,
            holds_background=background,
        )


def bank_bytes(spec: ModelSpec, itemsize: int, foreground: float) -> tuple[int, int] | None:
    """Count the bytes that a bank keeps of a frame of a model's own size and steps.

    Args:
        spec: the model.
        itemsize: bytes of a number; 1 is fp8.
        foreground: share of the frame's tokens in its mask.

    Returns:
        Bytes where others read the frame's character, and where they read its location besides;
        None for a model whose size is not known.
    """
    parts = spec.parts
    if parts is None:
        return None
    character, both = (
        Bank.expected_bytes(
            step_plan(spec.steps, spec.consistency_for(spec.steps)),
            tokens=(spec.width // 16) * (spec.height // 16),
            channels=parts.width,
            blocks=parts.single_blocks,
            itemsize=itemsize,
            foreground=foreground,
            holds_identity=True,
            holds_background=location,
        ).kept
        for location in (False, True)
    )
    return character, both


def _room(given: int | None, free: int) -> int:
    """Return the bytes that banks may take in one place."""
    return int(free * _SHARE) if given is None else given


def _read_by(frame: FrameRequest, frames: Sequence[FrameRequest]) -> tuple[bool, bool]:
    """Return whether others read a frame's character, and whether they read its location."""
    sources = ((one.identity_from, one.background_from) for one in frames)
    identities, locations = zip(*sources, strict=True)
    return frame.frame_id in identities, frame.frame_id in locations
