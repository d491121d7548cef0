"""The sampling loop: takes the frames of a request through a schedule and reports what happens.

    for stage in schedule.stages:                    # segments that advance together
        for segment in stage: begin its pass, or resume it
        for step in the steps of the stage:
            for batch in the frames of one size:
                velocity = model(latents, prompt)    # blocks record, share and merge
                latents = scheduler.step(velocity)
            at the mask step: report masks and matches
        free the banks that no later stage reads

The same loop renders frames one after another, with banks, and side by side, without: see
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
from pipelines.finite import check_finite
from pipelines.instant_character.adapters import Subject
from pipelines.request import FrameRequest
from pipelines.sampling.denoiser import (
    Denoiser,
    FrameInputs,
    FrameState,
    Guidance,
    InitialState,
    VelocityModel,
)
from pipelines.sampling.schedule import Schedule, Segment

TRANSFORMER = "The transformer"


@dataclass(frozen=True)
class FrameFinished:
    """A frame has gone through its whole schedule.

    Attributes:
        frame: the frame.
        latents: packed, shape (1, image tokens, channels).
        frame_pass: its render pass.
        seconds: time of all its steps.
    """

    frame: FrameRequest
    latents: Tensor
    frame_pass: FramePass
    seconds: float


FrameEvent = FrameStarted | StepDone | MaskFound | FrameFinished


@dataclass(frozen=True)
class RenderInputs:
    """Everything that frames are rendered from, by their ids.

    Attributes:
        plan: what each step records, shares and merges.
        guidance: distilled and classifier-free guidance of all frames.
        frames: source frames before their readers.
        tensors: prompt and initial noise.
        subjects: character that a frame is conditioned on; None for none.
        steps: steps of the render pass.
        banks: key/value banks of frames that were rendered elsewhere.
    """

    plan: StepPlan
    guidance: Guidance
    frames: Sequence[FrameRequest]
    tensors: Mapping[str, FrameInputs]
    subjects: Mapping[str, Subject | None]
    steps: Mapping[str, int]
    banks: Mapping[str, Bank]


class Sampler:
    """Takes frames through the stages of a schedule.

    Args:
        model: predicts velocities; its attention processors are installed.
        inputs: the frames.
        schedule: the stages.
        new_bank: makes a bank for a source frame; gives None for a frame that nobody reads.
        batch: frames that go through the transformer together, at most.
        new_pass: makes the passes; another one than `FramePass` may choose its own masks.
    """

    def __init__(
        self,
        model: VelocityModel,
        inputs: RenderInputs,
        schedule: Schedule,
        new_bank: Callable[[FrameRequest], Bank | None],
        batch: int,
        new_pass: Callable[..., FramePass] = FramePass,
    ) -> None:
        self._model, self._inputs, self._schedule = model, inputs, schedule
        self._new_bank, self._batch, self._new_pass = new_bank, batch, new_pass
        self._plan = inputs.plan
        self._denoiser = Denoiser(model, inputs.guidance, inputs.plan.steps)
        self._frames = {frame.frame_id: frame for frame in inputs.frames}
        self._banks = dict(inputs.banks)
        self._states: dict[tuple[str, Phase], FrameState] = {}
        self._initial: dict[str, InitialState] = {}
        self._seconds = dict.fromkeys(self._frames, 0.0)
        self._masks_reported: set[tuple[str, Phase]] = set()
        self._finished: set[str] = set()
        self._steps_done = 0
        self._last_read = _last_stages(schedule, self._frames)

    def sample(self) -> Generator[FrameEvent]:
        """Sample all frames.

        Yields:
            Events as they happen, and a `FrameFinished` for every frame that has gone through all
            its steps.

        Raises:
            NotFinite: if a frame's latents hold a NaN or an infinity at its mask step or its end.
        """
        try:
            for number, stage in enumerate(self._schedule.stages):
                yield from self._stage(stage)
                for frame_id in [*self._banks]:
                    if self._last_read.get(frame_id, -1) <= number:
                        self._release(frame_id)
        finally:
            for frame_id in [*self._banks]:
                self._release(frame_id)

    def bank(self, frame_id: str) -> Bank | None:
        """Return a source frame's bank, as long as a reader is left."""
        return self._banks.get(frame_id)

    def expected(self, frame_id: str) -> Tensor:
        """Return the estimated clean latents of a frame's render pass; `FrameState.expected`."""
        return self._states[frame_id, "render"].expected

    def _release(self, frame_id: str) -> None:
        bank = self._banks.pop(frame_id)
        if frame_id not in self._inputs.banks:
            bank.close()

    def _stage(self, stage: Sequence[Segment]) -> Iterator[FrameEvent]:
        states = {}
        for segment in stage:
            if segment.frame_id not in self._initial:
                yield FrameStarted(segment.frame_id)
            states[segment] = self._begin(segment)
        for step in range(min(s.first for s in stage), max(s.last for s in stage)):
            active = [segment for segment in stage if segment.first <= step < segment.last]
            evaluated = [
                segment
                for segment in active
                if self._plan.evaluates(step, probe=segment.phase == "probe")
            ]
            batches = self._batches(evaluated)
            for batch in batches:
                self._denoiser.step(
                    [states[segment] for segment in batch], complete=len(batches) == 1
                )
                for segment in batch:
                    yield from self._report(segment, states[segment], step)
            for segment in active:
                if segment not in evaluated:
                    states[segment].advance()
                    yield from self._report(segment, states[segment], step)

    def _begin(self, segment: Segment) -> FrameState:
        """Return the state that a segment resumes, or that of a new pass."""
        name = segment.frame_id
        if segment.resumes:
            return self._states[name, segment.phase]
        inputs = self._inputs.tensors[name]
        if name not in self._initial:
            self._initial[name] = self._denoiser.initial_state(inputs)
        initial = self._initial[name]
        if segment.first:
            before = self._states[name, "probe" if (name, "probe") in self._states else "render"]
            assert before.after_first is not None
            initial = before.after_first
        state = FrameState(
            inputs, self._pass(segment, initial), initial, self._inputs.subjects[name]
        )
        if segment.first:
            state.after_first = initial
        self._states[name, segment.phase] = state
        return state

    def _pass(self, segment: Segment, initial: InitialState) -> FramePass:
        name, matches, record = segment.frame_id, None, None
        frame = self._frames[name]
        if segment.phase == "render":
            if name not in self._banks:
                bank = self._new_bank(frame)
                if bank is not None:
                    self._banks[name] = bank
            record = self._banks.get(name)
            if (name, "probe") in self._states:
                matches = self._states[name, "probe"].frame_pass.matches
        inputs = self._inputs.tensors[name]
        identity, location = (
            None if source is None else self._banks[source]
            for source in (frame.identity_from, frame.background_from)
        )
        return self._new_pass(
            self._plan,
            inputs.prompt.text,
            grid=inputs.grid,
            blocks=self._model.single_blocks,
            device=inputs.latents.device,
            record=record,
            identity=identity,
            background=location,
            matches=matches,
            first_step=initial.first_step,
        )

    def _batches(self, segments: Sequence[Segment]) -> list[list[Segment]]:
        """Group neighbours of one size, so that source frames stay before their readers."""
        batches: list[list[Segment]] = []
        grids = {name: inputs.grid for name, inputs in self._inputs.tensors.items()}
        for segment in segments:
            if (
                batches
                and len(batches[-1]) < self._batch
                and grids[batches[-1][0].frame_id] == grids[segment.frame_id]
            ):
                batches[-1].append(segment)
            else:
                batches.append([segment])
        return batches

    def _report(self, segment: Segment, state: FrameState, step: int) -> Iterator[FrameEvent]:
        """Report a segment's step, and the frame that it finished."""
        name, phase = segment.frame_id, segment.phase
        frame, plan = self._frames[name], self._plan
        steps = plan.probe_steps if phase == "probe" else self._inputs.steps[name]
        self._steps_done += 1
        total = self._schedule.evaluations
        yield StepDone(name, phase, step + 1, steps, self._steps_done, total)
        if step == plan.mask_step and (name, phase) not in self._masks_reported:
            self._masks_reported.add((name, phase))
            # The mask's way to the host waits for the device anyway.
            check_finite(TRANSFORMER, state.latents)
            yield _mask_found(frame, phase, state.frame_pass)
        if step + 1 < segment.last:
            return
        self._seconds[name] += state.seconds
        state.seconds = 0.0
        if phase == "render" and segment.last == steps and name not in self._finished:
            self._finished.add(name)
            check_finite(TRANSFORMER, state.latents)
            yield FrameFinished(frame, state.latents, state.frame_pass, self._seconds[name])


def mask_array(frame_pass: FramePass) -> NDArray[np.bool_]:
    """Return the mask of a pass that has done its mask step, bool of shape (rows, columns)."""
    mask = frame_pass.mask
    assert mask is not None
    return mask.view(frame_pass.grid).cpu().numpy()


def _mask_found(frame: FrameRequest, phase: Phase, frame_pass: FramePass) -> MaskFound:
    grid, found = frame_pass.grid, frame_pass.similarity
    matches = None
    if found is not None:
        matches = TokenMatches(
            found.identity_index.view(grid).cpu().numpy(), found.similarity.view(grid).cpu().numpy()
        )
    raw = frame_pass.raw_masks[-1].view(grid).cpu().numpy()
    return MaskFound(frame.frame_id, phase, mask_array(frame_pass), raw, matches)


def _last_stages(schedule: Schedule, frames: Mapping[str, FrameRequest]) -> dict[str, int]:
    """Return the last stage in which each source frame is read, by its id."""
    last: dict[str, int] = {}
    for number, stage in enumerate(schedule.stages):
        for segment in stage:
            frame = frames[segment.frame_id]
            for source in (frame.identity_from, frame.background_from):
                if source is not None:
                    last[source] = number
    return last
