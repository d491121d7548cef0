"""The denoising steps of frames that go through the transformer together.

Knows the transformer, the scheduler and the passes; not which frames there are, nor their order.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from diffusers.pipelines.flux.pipeline_flux import calculate_shift, retrieve_timesteps
from torch import Tensor

from pipelines.consistency.frame_pass import FirstStep, FramePass
from pipelines.flux1.attention import StoryboardAttention
from pipelines.instant_character.adapters import Subject
from pipelines.sampling.prompt import EncodedPrompt


@dataclass(frozen=True)
class Guidance:
    """What steers the denoising besides the frame's own prompt.

    Attributes:
        scale: distilled guidance, for transformers with a guidance embedding.
        true_cfg_scale: weight of the prompt against `negative`.
        negative: the prompt to move away from, or None without classifier-free guidance.
    """

    scale: float
    true_cfg_scale: float = 1.0
    negative: EncodedPrompt | None = None


@dataclass(frozen=True)
class FrameInputs:
    """The tensors that a frame starts from.

    Attributes:
        prompt: the encoded prompt.
        latents: packed initial noise, shape (1, image tokens, channels).
        height: height of the picture in pixels.
        width: width of the picture in pixels.
    """

    prompt: EncodedPrompt
    latents: Tensor
    height: int
    width: int


@dataclass(frozen=True)
class InitialState:
    """Where a pass begins.

    Attributes:
        step: the first step.
        latents: packed latents before it, shape (1, image tokens, channels).
        scheduler: in the state before it; its own for every pass, since its index is state.
        first_step: what another pass found at step 0; None where this one begins there.
        velocity: the prediction of step 0, likewise.
    """

    step: int
    latents: Tensor
    scheduler: FlowMatchEulerDiscreteScheduler
    first_step: FirstStep | None = None
    velocity: Tensor | None = None


class FrameState:
    """A frame on its way through the schedule.

    Args:
        inputs: what the frame starts from.
        frame_pass: the pass that the transformer's single-stream blocks take part in.
        start: where it begins; never changed.
        subject: the character that all blocks look at; None for none.

    Attributes:
        step: the next step.
        latents: packed latents before it, shape (1, image tokens, channels).
        velocity: what the model predicted at the last step that asked it, shape (1, image tokens,
            channels); None before the first.
        seconds: time that the steps so far took; frames of one batch share theirs.
        after_first: where another pass of this frame can begin, once step 0 is done.
    """

    def __init__(
        self,
        inputs: FrameInputs,
        frame_pass: FramePass,
        start: InitialState,
        subject: Subject | None = None,
    ) -> None:
        self.inputs, self.frame_pass, self.subject = inputs, frame_pass, subject
        self.step, self.latents = start.step, start.latents
        self.scheduler = copy.deepcopy(start.scheduler)
        self.velocity = start.velocity
        self.seconds = 0.0
        self.after_first: InitialState | None = None

    @property
    def timestep(self) -> Tensor:
        """The scheduler's timestep of the next step, of shape ()."""
        found: Tensor = self.scheduler.timesteps[self.step]
        return found

    @property
    def expected(self) -> Tensor:
        """What the last velocity leads to: x_0 = x_i - sigma_i v_i, as `latents`.

        The same from the latents before that step and from those after it.
        """
        assert self.velocity is not None
        found: Tensor = self.latents - self.scheduler.sigmas[self.step] * self.velocity
        return found

    def move(self) -> None:
        """Take a step along the last predicted velocity."""
        moved = self.scheduler.step(self.velocity, self.timestep, self.latents, return_dict=False)[
            0
        ]
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
        pipeline: has the transformer and the scheduler.
        guidance: distilled and classifier-free guidance. The negative prompt's branch takes no
            part in passes, but looks at the subjects.
        steps: of the schedule.
    """

    def __init__(self, pipeline: FluxPipeline, guidance: Guidance, steps: int) -> None:
        self._transformer: FluxTransformer2DModel = pipeline.transformer
        self._scheduler: FlowMatchEulerDiscreteScheduler = pipeline.scheduler
        self._image_ids = pipeline._prepare_latent_image_ids
        self._guidance = guidance
        self._steps = steps

    def start(self, inputs: FrameInputs) -> InitialState:
        """The beginning of a frame's schedule, which depends on its number of image tokens."""
        latents = inputs.latents
        set_timesteps(self._scheduler, latents.shape[1], self._steps, latents.device)
        return InitialState(0, latents, copy.deepcopy(self._scheduler))

    def advance(
        self, attention: StoryboardAttention, walks: Sequence[FrameState], *, complete: bool = True
    ) -> Tensor:
        """Take the next step of some frames in one batch.

        Args:
            attention: installed in the transformer.
            walks: frames of one size at one step, those who lend before those who borrow.
            complete: whether these are all frames that take part in the step.

        Returns:
            The predicted velocities, shape (frames, image tokens, channels).
        """
        begun = time.monotonic()
        walk, count = walks[0], len(walks)
        latents = torch.cat([one.latents for one in walks])
        tokens = latents.shape[1]
        timestep = walk.timestep.expand(count).to(latents.dtype)
        rows, columns = walk.frame_pass.grid
        image_ids = self._image_ids(1, rows, columns, latents.device, latents.dtype)
        guide = None
        if self._transformer.config.guidance_embeds:
            guide = torch.full(
                [count], self._guidance.scale, device=latents.device, dtype=torch.float32
            )

        def velocity(embeds: Tensor, pooled: Tensor, branch: str) -> Tensor:
            text_ids = torch.zeros(embeds.shape[1], 3, device=latents.device, dtype=latents.dtype)
            with self._transformer.cache_context(branch):
                predicted: Tensor = self._transformer(
                    hidden_states=latents,
                    timestep=timestep / 1000,
                    guidance=guide,
                    pooled_projections=pooled,
                    encoder_hidden_states=embeds,
                    txt_ids=text_ids,
                    img_ids=image_ids,
                    return_dict=False,
                )[0]
            return predicted

        subjects = [one.subject for one in walks]
        for subject in subjects:
            if subject is not None:
                subject.begin_step(timestep[:1])
        for one in walks:
            one.frame_pass.begin_step(one.step)
        attention.begin([one.frame_pass for one in walks], subjects, tokens, complete=complete)
        prompts = [one.inputs.prompt for one in walks]
        predicted = velocity(
            torch.cat([prompt.prompt_embeds for prompt in prompts]),
            torch.cat([prompt.pooled_prompt_embeds for prompt in prompts]),
            "cond",
        )
        for one in walks:
            one.frame_pass.end_step()
        negative = self._guidance.negative
        if negative is not None:
            attention.begin([], subjects, tokens)
            away = velocity(
                negative.prompt_embeds.expand(count, -1, -1),
                negative.pooled_prompt_embeds.expand(count, -1),
                "uncond",
            )
            predicted = away + self._guidance.true_cfg_scale * (predicted - away)
        attention.end()
        for row, one in enumerate(walks):
            one.velocity = predicted[row : row + 1]
            one.move()
        seconds = (time.monotonic() - begun) / count
        for one in walks:
            one.seconds += seconds
        return predicted


def set_timesteps(
    scheduler: FlowMatchEulerDiscreteScheduler, tokens: int, steps: int, device: torch.device
) -> Tensor:
    """FluxPipeline's schedule, shifted for the number of image tokens; resets the scheduler.

    Returns:
        The timesteps, shape (steps,).
    """
    config = scheduler.config
    shift = calculate_shift(
        tokens,
        config.get("base_image_seq_len", 256),
        config.get("max_image_seq_len", 4096),
        config.get("base_shift", 0.5),
        config.get("max_shift", 1.15),
    )
    sigmas = None
    if not config.get("use_flow_sigmas", False):
        sigmas = np.linspace(1.0, 1 / steps, steps)
    timesteps: Tensor
    timesteps, _ = retrieve_timesteps(scheduler, steps, device, sigmas=sigmas, mu=shift)
    scheduler.set_begin_index(0)
    return timesteps
