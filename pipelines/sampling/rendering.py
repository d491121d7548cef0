"""What surrounds the painting of a request: which frames it takes, how many steps, what it reports.

Knows nothing of the pipeline that paints.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.consistency.bank import Bank
from pipelines.consistency.frame_pass import FramePass
from pipelines.consistency.plan import StepPlan
from pipelines.events import MaskFound, Phase, StepDone, TokenMatches
from pipelines.models.catalog import ModelSpec
from pipelines.request import FrameRequest, RenderRequest
from pipelines.styles.info import with_trigger

Order = Literal["auto", "bank", "lockstep"]


@dataclass(frozen=True)
class RenderBudget:
    """How much memory a render may take besides the model, and what it does with it.

    Attributes:
        device_bytes: for banks where the model computes; None for half of what is free.
        host_bytes: for banks in host memory; None for half of what is free.
        folder: where banks may go that fit into neither; None for nowhere.
        bank_dtype: "native", as the model computes, or "fp8", half as large and not exact.
        order: "bank" (one frame after another), "lockstep" (all side by side), or "auto".
        batch: frames that go through the transformer together in lockstep, at most; None for as
            many as the free memory suffices for.
        streamed: whether the model's weights come to the device anew for every forward pass, so
            that frames had better go through it together.
    """

    device_bytes: int | None = None
    host_bytes: int | None = None
    folder: Path | None = None
    bank_dtype: Literal["native", "fp8"] = "native"
    order: Order = "auto"
    batch: int | None = None
    streamed: bool = False


@dataclass
class Progress:
    """Counts the denoising steps of a whole request."""

    total: int
    done: int = 0

    def step(self, frame: FrameRequest, phase: Phase, step: int, steps: int) -> StepDone:
        """Count one step of a frame and report it."""
        self.done += 1
        return StepDone(frame.frame_id, phase, step, steps, self.done, self.total)


def needed_frames(
    request: RenderRequest, lent: Collection[str] = frozenset()
) -> list[FrameRequest]:
    """The targets and every frame that lends them something, in order, as they are painted.

    Their prompts begin with the trigger words of the request's styles.

    Args:
        request: the request.
        lent: frames whose banks are there already, by their id; they are painted if they are
            targets, and not otherwise.
    """
    painted: set[str] = set(request.targets)
    for frame in reversed(request.frames):
        if frame.frame_id in painted:
            lenders = (frame.identity_from, frame.background_from)
            painted |= {s for s in lenders if s is not None and s not in lent}
    return [
        replace(frame, prompt=with_trigger(frame.prompt, request.styles))
        for frame in request.frames
        if frame.frame_id in painted
    ]


def render_steps(frame: FrameRequest, request: RenderRequest, plan: StepPlan) -> int:
    """Steps of a frame's render pass: a frame that only lends stops where sharing ends."""
    if frame.frame_id in request.targets:
        return plan.steps
    return max(plan.share_end, plan.probe_steps)


def mask_found(frame: FrameRequest, phase: Phase, frame_pass: FramePass) -> MaskFound:
    """What a pass that has just done its mask step found."""
    grid, found = frame_pass.grid, frame_pass.similarity
    matches = None
    if found is not None:
        matches = TokenMatches(
            found.identity_index.view(grid).cpu().numpy(),
            found.similarity.view(grid).cpu().numpy(),
        )
    raw = frame_pass.raw_masks[-1].view(grid).cpu().numpy()
    return MaskFound(frame.frame_id, phase, mask_array(frame_pass), raw, matches)


def mask_array(frame_pass: FramePass) -> NDArray[np.bool_]:
    """The foreground mask of a pass that has done its mask step, bool of shape (rows, columns)."""
    mask = frame_pass.mask
    assert mask is not None
    return mask.view(frame_pass.grid).cpu().numpy()


def lent_bytes(spec: ModelSpec, itemsize: int, foreground: float) -> tuple[int, int] | None:
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
