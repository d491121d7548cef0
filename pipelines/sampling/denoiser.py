"""Denoising steps of frames that go through a transformer together.

Knows passes, schedulers and guidance; a `VelocityModel` stands for the transformer of whatever
family. It knows neither which frames there are nor their order.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from pipelines.consistency.frame_pass import FirstStep, FramePass
from pipelines.instant_character.adapters import Subject
from pipelines.sampling.prompt import EncodedPrompt


class VelocityModel(Protocol):
    """A flow-matching transformer with the attention processors of this project.

    Attributes:
        single_blocks: number of single-stream blocks, which share keys and values.
        width: channels of a token.
        itemsize: bytes of a number.
        device: where it computes.
    """

    single_blocks: int
    width: int
    itemsize: int
    device: torch.device

    def schedule(self, image_tokens: int, steps: int) -> FlowMatchEulerDiscreteScheduler:
        """Return a scheduler of its own, set up for pictures of this size."""
        ...

    def begin(
        self,
        passes: Sequence[FramePass],
        subjects: Sequence[Subject | None],
        image_tokens: int,
        *,
        complete: bool = False,
    ) -> None:
        """Let frames take part in the next forward passes.

        Args:
            passes: pass of each frame, source frames before their readers; none at all where
                frames share nothing.
            subjects: character that each frame is conditioned on; one alone serves any batch.
            image_tokens: tokens of one picture.
            complete: whether these are all frames of the step, so that keys and values that a
                source keeps for this step alone can be freed block by block.
        """
        ...

    def end(self) -> None:
        """Return to plain attention."""
        ...

    def velocity(
        self,
        latents: Tensor,
        timestep: Tensor,
        prompt_embeds: Tensor,
        pooled_prompt_embeds: Tensor,
        grid: tuple[int, int],
        guidance_scale: float,
        branch: str,
    ) -> Tensor:
        """Predict the velocity of a batch, shape (frames, image tokens, channels).

        Args:
            latents: packed, shape (frames, image tokens, channels).
            timestep: of the scheduler, shape (frames,).
            prompt_embeds: shape (frames, text tokens, channels).
            pooled_prompt_embeds: shape (frames, channels).
            grid: rows and columns of image tokens.
            guidance_scale: distilled guidance; used where the model has an embedding for it.
            branch: "cond" or "uncond", the branch of classifier-free guidance.
        """
        ...


@dataclass(frozen=True)
class Guidance:
    """Guidance of the denoising besides the frame's own prompt.

    Attributes:
        scale: distilled guidance, for transformers with a guidance embedding.
        true_cfg_scale: weight of the prompt against `negative`.
        negative: the negative prompt; None without classifier-free guidance.
    """

    scale: float
    true_cfg_scale: float = 1.0
    negative: EncodedPrompt | None = None


@dataclass(frozen=True)
class FrameInputs:
    """Tensors that a frame starts from.

    Attributes:
        prompt: the encoded prompt.
        latents: packed initial noise, shape (1, image tokens, channels).
        grid: rows and columns of image tokens.
    """

    prompt: EncodedPrompt
    latents: Tensor
    grid: tuple[int, int]


@dataclass(frozen=True)
class InitialState:
    """State from which a pass begins.

    Attributes:
        step: the first step.
        latents: packed latents before it, shape (1, image tokens, channels).
        scheduler: in the state before it; every pass has its own, since its index is state.
        first_step: masks that another pass found at step 0; None for a pass that begins there.
        velocity: prediction of step 0, likewise.
    """

    step: int
    latents: Tensor
    scheduler: FlowMatchEulerDiscreteScheduler
    first_step: FirstStep | None = None
    velocity: Tensor | None = None


class FrameState:
    """State of one pass of a frame on its way through the schedule.

    Args:
        inputs: tensors that the frame starts from.
        frame_pass: the pass that the transformer's single-stream blocks take part in.
        initial: state from which it begins; never changed.
        subject: the character that all blocks are conditioned on; None for none.

    Attributes:
        step: the next step.
        latents: packed latents before it, shape (1, image tokens, channels).
        velocity: prediction of the last evaluated step, shape (1, image tokens, channels); None
            before the first.
        seconds: time of the steps so far; frames of one batch share theirs.
        after_first: state from which another pass of this frame can begin, once step 0 is done.
    """

    def __init__(
        self,
        inputs: FrameInputs,
        frame_pass: FramePass,
        initial: InitialState,
        subject: Subject | None = None,
    ) -> None:
        self.inputs, self.frame_pass, self.subject = inputs, frame_pass, subject
        self.step, self.latents = initial.step, initial.latents
        self.scheduler = copy.deepcopy(initial.scheduler)
        self.velocity = initial.velocity
        self.seconds = 0.0
        self.after_first: InitialState | None = None

    @property
    def timestep(self) -> Tensor:
        """The scheduler's timestep of the next step, of shape ()."""
        timestep: Tensor = self.scheduler.timesteps[self.step]
        return timestep

    @property
    def expected(self) -> Tensor:
        """Estimate of the clean latents, x_0 = x_i - sigma_i v_i, shaped like `latents`.

        It is the same from the latents before the last evaluated step and from those after it.
        """
        assert self.velocity is not None
        clean: Tensor = self.latents - self.scheduler.sigmas[self.step] * self.velocity
        return clean

    def advance(self) -> None:
        """Take a step along the last predicted velocity."""
        now, before = self.timestep, self.latents
        (moved,) = self.scheduler.step(self.velocity, now, before, return_dict=False)
        self.latents = moved.to(self.latents.dtype)
        if self.step == 0:
            self.after_first = InitialState(
                1,
                self.latents,
                copy.deepcopy(self.scheduler),
                self.frame_pass.first_step,
                self.velocity,
            )
        self.step += 1


class Denoiser:
    """Takes frames through their steps, several at once.

    Args:
        model: predicts velocities.
        guidance: distilled and classifier-free guidance. The negative prompt's branch takes no
            part in passes, but is conditioned on the characters.
        steps: steps of the schedule.
    """

    def __init__(self, model: VelocityModel, guidance: Guidance, steps: int) -> None:
        self._model, self._guidance, self._steps = model, guidance, steps

    def initial_state(self, inputs: FrameInputs) -> InitialState:
        """Return the beginning of a frame's schedule, which depends on its image tokens."""
        latents = inputs.latents
        return InitialState(0, latents, self._model.schedule(latents.shape[1], self._steps))

    def step(self, states: Sequence[FrameState], *, complete: bool = True) -> Tensor:
        """Take the next step of some frames in one batch.

        Args:
            states: frames of one size at one step, source frames before their readers.
            complete: whether these are all frames that take part in the step.

        Returns:
            The predicted velocities, shape (frames, image tokens, channels).
        """
        begun = time.monotonic()
        first, count = states[0], len(states)
        latents = torch.cat([state.latents for state in states])
        tokens = latents.shape[1]
        timestep = first.timestep.expand(count).to(latents.dtype)

        # 1. Tell passes and characters of the step
        subjects = [state.subject for state in states]
        for subject in subjects:
            if subject is not None:
                subject.begin_step(timestep[:1])
        for state in states:
            state.frame_pass.begin_step(state.step)

        # 2. Evaluate the model with the prompts
        passes = [state.frame_pass for state in states]
        self._model.begin(passes, subjects, tokens, complete=complete)
        prompts = [state.inputs.prompt for state in states]

        def velocity(embeds: Tensor, pooled: Tensor, branch: str) -> Tensor:
            return self._model.velocity(
                latents, timestep, embeds, pooled, first.inputs.grid, self._guidance.scale, branch
            )

        predicted = velocity(
            torch.cat([prompt.prompt_embeds for prompt in prompts]),
            torch.cat([prompt.pooled_prompt_embeds for prompt in prompts]),
            "cond",
        )
        for frame_pass in passes:
            frame_pass.end_step()

        # 3. Evaluate it with the negative prompt, where guidance is classifier-free
        negative = self._guidance.negative
        if negative is not None:
            self._model.begin([], subjects, tokens)
            away = velocity(
                negative.prompt_embeds.expand(count, -1, -1),
                negative.pooled_prompt_embeds.expand(count, -1),
                "uncond",
            )
            predicted = away + self._guidance.true_cfg_scale * (predicted - away)
        self._model.end()

        # 4. Step the schedulers
        for row, state in enumerate(states):
            state.velocity = predicted[row : row + 1]
            state.advance()
        seconds = (time.monotonic() - begun) / count
        for state in states:
            state.seconds += seconds
        return predicted
