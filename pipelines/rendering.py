"""What surrounds the painting of a request: which frames it takes, how many steps, what it reports.

Knows nothing of the pipeline that paints.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .consistency import FramePass, StepPlan
from .events import MaskFound, Phase, StepDone, TokenMatches
from .request import FrameRequest, RenderRequest
from .style import with_trigger


@dataclass
class Progress:
    """Counts the denoising steps of a whole request."""

    total: int
    done: int = 0

    def step(self, frame: FrameRequest, phase: Phase, step: int, steps: int) -> StepDone:
        """Count one step of a frame and report it."""
        self.done += 1
        return StepDone(frame.frame_id, phase, step, steps, self.done, self.total)


def needed_frames(request: RenderRequest) -> list[FrameRequest]:
    """The targets and every frame that lends them something, in order, as they are painted.

    Their prompts begin with the trigger words of the request's styles.
    """
    needed = set(request.targets)
    for frame in reversed(request.frames):
        if frame.frame_id in needed:
            needed |= {s for s in (frame.identity_from, frame.background_from) if s is not None}
    return [
        replace(frame, prompt=with_trigger(frame.prompt, request.styles))
        for frame in request.frames
        if frame.frame_id in needed
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
