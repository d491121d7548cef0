"""Takes the frames of a request through a schedule of passes, and reports what happens.

The same code paints frames one after another, with banks, and all side by side, without: see
`pipelines.sampling.schedule`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pipelines.consistency.bank import Bank
from pipelines.consistency.frame_pass import FramePass
from pipelines.consistency.plan import StepPlan
from pipelines.events import FrameStarted, MaskFound, Phase, StepDone, TokenMatches
from pipelines.flux1.attention import StoryboardAttention
from pipelines.instant_character.adapters import Subject
from pipelines.request import FrameRequest
from pipelines.sampling.denoiser import Denoiser, FrameInputs, FrameState, InitialState
from pipelines.sampling.schedule import Schedule, Segment


@dataclass(frozen=True)
class FrameFinished:
    """A frame has gone through its whole schedule.

    Attributes:
        frame: the frame.
        latents: packed, shape (1, image tokens, channels).
        frame_pass: its render pass.
        seconds: time that all its steps took.
    """

    frame: FrameRequest
    latents: Tensor
    frame_pass: FramePass
    seconds: float


@dataclass(frozen=True)
class RenderInputs:
    """What frames are painted from and with.

    Attributes:
        frames: lenders first.
        inputs: of every frame, by its id.
        subjects: what frames look at, by their id.
        steps: of every frame's render pass, by its id.
        lent: banks of frames that are painted already, by their id.
    """

    frames: Sequence[FrameRequest]
    inputs: Mapping[str, FrameInputs]
    subjects: Mapping[str, Subject | None]
    steps: Mapping[str, int]
    lent: Mapping[str, Bank]


class Sampler:
    """Takes frames through the stages of a schedule.

    Args:
        denoiser: takes the steps.
        plan: what each step records, shares and merges.
        schedule: the stages.
        painted: the frames.
        new_bank: makes a bank for a frame that lends, or gives None for one that does not.
        batch: how many frames go through the transformer together, at most.
        blocks: single-stream blocks of the transformer.
        grids: rows and columns of image tokens of every frame, by its id.
        new_pass: makes the frames' passes.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        plan: StepPlan,
        schedule: Schedule,
        painted: RenderInputs,
        new_bank: Callable[[FrameRequest], Bank | None],
        batch: int,
        blocks: int,
        grids: Mapping[str, tuple[int, int]],
        new_pass: Callable[..., FramePass] = FramePass,
    ) -> None:
        self._denoiser, self._plan, self._schedule = denoiser, plan, schedule
        self._painted, self._new_bank, self._batch = painted, new_bank, batch
        self._blocks, self._grids, self._new_pass = blocks, grids, new_pass
        self._frames = {frame.frame_id: frame for frame in painted.frames}
        self._banks = dict(painted.lent)
        self._walks: dict[tuple[str, Phase], FrameState] = {}
        self._starts: dict[str, InitialState] = {}
        self._seconds = dict.fromkeys(self._frames, 0.0)
        self._told: set[tuple[str, Phase]] = set()
        self._done: set[str] = set()
        self._progress = Progress(total=schedule.evaluations)
        self._last_read = _last_stages(schedule, self._frames)

    def paint(self, attention: StoryboardAttention) -> Generator[FrameEvent]:
        """Paint all frames.

        Args:
            attention: installed in the transformer.

        Yields:
            Events in the order in which things happen, and a `FrameFinished` for every frame that
            has gone through all its steps.
        """
        try:
            for number, stage in enumerate(self._schedule.stages):
                yield from self._stage(attention, stage)
                for frame_id in [*self._banks]:
                    if self._last_read.get(frame_id, -1) <= number:
                        self._release(frame_id)
        finally:
            for frame_id in [*self._banks]:
                self._release(frame_id)

    def bank(self, frame_id: str) -> Bank | None:
        """What a frame lends, as long as somebody is going to read it."""
        return self._banks.get(frame_id)

    def expected(self, frame_id: str) -> Tensor:
        """The clean latents that a frame's render pass leads to; see `FrameState.expected`."""
        return self._walks[frame_id, "render"].expected

    def _release(self, frame_id: str) -> None:
        bank = self._banks.pop(frame_id)
        if frame_id not in self._painted.lent:
            bank.close()

    def _stage(
        self, attention: StoryboardAttention, stage: Sequence[Segment]
    ) -> Iterator[FrameEvent]:
        walks = {}
        for leg in stage:
            if leg.frame_id not in self._starts:
                yield FrameStarted(leg.frame_id)
            walks[leg] = self._walk(leg)
        for step in range(min(leg.first for leg in stage), max(leg.last for leg in stage)):
            active = [leg for leg in stage if leg.first <= step < leg.last]
            asking = [leg for leg in active if self._plan.asks(step, probe=leg.phase == "probe")]
            batches = self._batches(asking)
            for batch in batches:
                self._denoiser.advance(
                    attention, [walks[leg] for leg in batch], complete=len(batches) == 1
                )
                for leg in batch:
                    yield from self._report(leg, walks[leg], step)
            for leg in active:
                if leg not in asking:
                    walks[leg].move()
                    yield from self._report(leg, walks[leg], step)

    def _walk(self, leg: Segment) -> FrameState:
        """The walk of a leg: the one that it resumes, or one of a new pass."""
        name = leg.frame_id
        if leg.resumes:
            return self._walks[name, leg.phase]
        frame, inputs = self._frames[name], self._painted.inputs[name]
        if name not in self._starts:
            self._starts[name] = self._denoiser.start(inputs)
        start = self._starts[name]
        if leg.first:
            before = self._walks[name, "probe" if (name, "probe") in self._walks else "render"]
            assert before.after_first is not None
            start = before.after_first
        walk = FrameState(
            inputs, self._pass(leg, frame, start), start, self._painted.subjects[name]
        )
        if leg.first:
            walk.after_first = start
        self._walks[name, leg.phase] = walk
        return walk

    def _pass(self, leg: Segment, frame: FrameRequest, start: InitialState) -> FramePass:
        name, matches, record = frame.frame_id, None, None
        if leg.phase == "render":
            if name not in self._banks:
                bank = self._new_bank(frame)
                if bank is not None:
                    self._banks[name] = bank
            record = self._banks.get(name)
            if (name, "probe") in self._walks:
                matches = self._walks[name, "probe"].frame_pass.matches
        inputs = self._painted.inputs[name]
        return self._new_pass(
            self._plan,
            inputs.prompt.text,
            grid=self._grids[name],
            blocks=self._blocks,
            device=inputs.latents.device,
            record=record,
            identity=None if frame.identity_from is None else self._banks[frame.identity_from],
            background=(
                None if frame.background_from is None else self._banks[frame.background_from]
            ),
            matches=matches,
            first_step=start.first_step,
        )

    def _batches(self, legs: Sequence[Segment]) -> list[list[Segment]]:
        """Neighbours of one size together, so that lenders stay before borrowers."""
        batches: list[list[Segment]] = []
        for leg in legs:
            grid = self._grids[leg.frame_id]
            if (
                batches
                and len(batches[-1]) < self._batch
                and self._grids[batches[-1][0].frame_id] == grid
            ):
                batches[-1].append(leg)
            else:
                batches.append([leg])
        return batches

    def _report(self, leg: Segment, walk: FrameState, step: int) -> Iterator[FrameEvent]:
        """What a leg's step brought; ends what it finished."""
        frame, plan = self._frames[leg.frame_id], self._plan
        of = plan.probe_steps if leg.phase == "probe" else self._painted.steps[leg.frame_id]
        yield self._progress.step(frame, leg.phase, step + 1, of)
        told = leg.frame_id, leg.phase
        if step == plan.mask_step and told not in self._told:
            self._told.add(told)
            yield mask_found(frame, leg.phase, walk.frame_pass)
        if step + 1 < leg.last:
            return
        self._seconds[leg.frame_id] += walk.seconds
        walk.seconds = 0.0
        if leg.phase == "render" and leg.last == of and leg.frame_id not in self._done:
            self._done.add(leg.frame_id)
            yield FrameFinished(frame, walk.latents, walk.frame_pass, self._seconds[leg.frame_id])


FrameEvent = FrameStarted | StepDone | MaskFound | FrameFinished


def _last_stages(schedule: Schedule, frames: Mapping[str, FrameRequest]) -> dict[str, int]:
    """The last stage in which each frame that lends is read, by its id."""
    last: dict[str, int] = {}
    for number, stage in enumerate(schedule.stages):
        for leg in stage:
            frame = frames[leg.frame_id]
            for lender in (frame.identity_from, frame.background_from):
                if lender is not None:
                    last[lender] = number
    return last


@dataclass
class Progress:
    """Counts the denoising steps of a whole request."""

    total: int
    done: int = 0

    def step(self, frame: FrameRequest, phase: Phase, step: int, steps: int) -> StepDone:
        """Count one step of a frame and report it."""
        self.done += 1
        return StepDone(frame.frame_id, phase, step, steps, self.done, self.total)


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
