"""The pipeline: diffusers' FluxPipeline, and a stream that renders the frames of a storyboard.

    pipeline = FluxStoryboardPipeline.from_pretrained("assets/miniature")
    for event in pipeline.stream(request, RenderContext(max_sequence_length=64)):
        ...

`__call__` stays FluxPipeline's and renders plain pictures. The stream is a generator: it yields an
event at every denoising step, and closing it cancels. Frames with a reference picture need a
bundle from `pipelines.loading.character`, and the picture itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing

import torch
from diffusers import FluxPipeline
from PIL import Image
from torch import Tensor, nn

from pipelines.consistency.frame_pass import FramePass
from pipelines.devices import quiet_libraries
from pipelines.errors import ModelError
from pipelines.events import FrameDone, Notice, PipelineEvent, Preview, StepDone
from pipelines.finite import NotFinite, check_finite, explain
from pipelines.flux1.velocity import FluxVelocity
from pipelines.instant_character.adapters import Subject
from pipelines.instant_character.bundle import SubjectBundle
from pipelines.instant_character.reference_pictures import ENCODERS, check_pictures, read_pictures
from pipelines.request import FrameRequest, Prompt, RenderRequest
from pipelines.sampling.context import RenderContext
from pipelines.sampling.denoiser import Denoiser, FrameInputs, FrameState, Guidance
from pipelines.sampling.memory import RenderMemory
from pipelines.sampling.previews import RenderPreviews
from pipelines.sampling.prompt import EncodedPrompt, text_lengths, unread_words
from pipelines.sampling.sampler import (
    TRANSFORMER,
    FrameFinished,
    RenderInputs,
    Sampler,
    mask_array,
)
from pipelines.sampling.schedule import needed_frames, render_steps, step_plan
from pipelines.styles.lora import LoadedStyle, style_loras

_TEXT_ENCODERS, _DECODER = "The text encoders", "The autoencoder"


class FluxStoryboardPipeline(FluxPipeline):
    """FLUX.1 that keeps the same character from frame to frame (CharaConsist, ICCV 2025).

    A character can also come from a reference picture (InstantCharacter, arXiv 2504.12395).

    Attributes:
        new_pass: makes the passes of frames; see `Sampler`.
    """

    new_pass: Callable[..., FramePass] = FramePass

    @torch.no_grad()
    def stream(
        self, request: RenderRequest, context: RenderContext | None = None
    ) -> Iterator[PipelineEvent]:
        """Render the target frames and yield events as they happen.

        The request's styles take part from the first prompt to the last picture; afterwards, also
        after an error or a closed generator, the pipeline is what it was.

        Args:
            request: the frames and their settings.
            context: everything else; None for the defaults.

        Yields:
            Events as they happen; a `FrameDone` for every target.

        Raises:
            ValueError: if a frame's size does not fit the model, or a frame has a reference picture
                and the picture or the character bundle is missing.
            ModelError: if a style's LoRA cannot be loaded, or values come up that are no numbers.
        """
        # 1. Check inputs
        context = context or RenderContext()
        self._check_sizes(request)
        frames = needed_frames(request, context.banks.keys())
        check_pictures(frames, context.character, context.pictures)

        try:
            with style_loras(self, request.styles) as styles:
                for style in styles:
                    for message in style.notes:
                        yield Notice("style", style.lora.source, message)
                try:
                    inputs = yield from self._inputs(request, frames, context)
                    yield from self._render(request, inputs, context)
                except NotFinite as fault:
                    raise self._explained(fault, context.character, styles) from fault
        finally:
            self.maybe_free_model_hooks()

    def _inputs(
        self, request: RenderRequest, frames: list[FrameRequest], context: RenderContext
    ) -> Generator[PipelineEvent, None, RenderInputs]:
        """Compute everything that frames are rendered from, with styles in place."""
        # 2. Encode every reference picture once
        device = self._execution_device
        references = yield from read_pictures(frames, context.character, context.pictures, device)

        # 3. Encode every prompt at once, so that the text encoders are done with
        length = context.max_sequence_length
        tensors = {frame.frame_id: self.prepare(frame, length) for frame in frames}
        guidance = Guidance(request.guidance_scale)
        if request.true_cfg_scale > 1:
            negative = self.encode(Prompt("", "", request.negative_prompt), length)
            guidance = Guidance(request.guidance_scale, request.true_cfg_scale, negative)
        self._check_prompts(tensors, guidance)
        for frame in frames:
            unread = unread_words(self.tokenizer_2, frame.prompt, length)
            if unread and frame.frame_id in request.targets:
                yield Notice("prompt", frame.frame_id, unread)

        plan = step_plan(request.steps, request.consistency, request.shortcuts)
        steps = {frame.frame_id: render_steps(frame, request, plan) for frame in frames}
        subjects = references.subjects(frames)
        return RenderInputs(plan, guidance, frames, tensors, subjects, steps, context.banks)

    def _render(
        self, request: RenderRequest, inputs: RenderInputs, context: RenderContext
    ) -> Iterator[PipelineEvent]:
        """Sample and decode frames, with styles in place."""
        model = FluxVelocity(self)

        # 4. Choose an order that fits into memory
        memory = RenderMemory(model, inputs, context.effective_budget)
        schedule = memory.schedule()
        sampler = Sampler(
            model,
            inputs,
            schedule,
            lambda frame: memory.new_bank(frame, schedule),
            memory.batch(),
            self.new_pass,
        )

        # 5. Sample
        previews = context.previews and RenderPreviews(context.previews, request.targets)
        frames = {frame.frame_id: frame for frame in inputs.frames}
        with model, closing(sampler.sample()) as events:
            for event in events:
                if not isinstance(event, FrameFinished):
                    yield event
                    if previews and isinstance(event, StepDone) and previews.due(event):
                        frame = frames[event.frame_id]
                        expected = sampler.expected(event.frame_id)
                        latents = self.unpack(expected, frame.height, frame.width)
                        yield Preview(event.frame_id, previews.picture(latents))
                    continue
                frame_id = event.frame.frame_id
                bank = sampler.bank(frame_id)
                if context.keep_bank is not None and bank is not None:
                    context.keep_bank(frame_id, bank)
                if frame_id in request.targets:
                    # 6. Decode
                    yield self._done(event)

    @torch.no_grad()
    def denoise(
        self,
        inputs: FrameInputs,
        frame_pass: FramePass,
        guidance: Guidance,
        steps: int,
        subject: Subject | None = None,
    ) -> Generator[Tensor]:
        """Run a frame through the first steps of its schedule.

        Args:
            inputs: tensors that the frame starts from.
            frame_pass: pass that the transformer's blocks take part in; its plan has the
                schedule's number of steps.
            guidance: distilled and classifier-free guidance. The negative prompt's branch takes
                no part in the pass.
            steps: steps to run, at most those of the plan.
            subject: character that all blocks are conditioned on, in both branches of the
                guidance; None for none.

        Yields:
            After each step the packed latents, shape (1, image tokens, channels). Where `steps`
            ends before the schedule does, the last are the estimate of the clean latents,
            x_0 = x_i - sigma_i v_i.
        """
        plan = frame_pass.plan
        with FluxVelocity(self) as model:
            denoiser = Denoiser(model, guidance, plan.steps)
            state = FrameState(inputs, frame_pass, denoiser.initial_state(inputs), subject)
            for step in range(steps):
                before = state.latents
                predicted = denoiser.step([state])
                if step == steps - 1 and steps < plan.steps:
                    yield before - state.scheduler.sigmas[step] * predicted
                else:
                    yield state.latents

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns of image tokens of a picture, given in pixels."""
        grain = self.vae_scale_factor * 2
        return height // grain, width // grain

    def encode(self, prompt: Prompt, max_sequence_length: int) -> EncodedPrompt:
        """Encode a prompt, cut off after so many T5 tokens."""
        # What T5 does not read is a notice of ours; that CLIP reads 77 tokens is no fault.
        with quiet_libraries():
            embeds, pooled, _ = self.encode_prompt(
                prompt.text, max_sequence_length=max_sequence_length
            )
        lengths = text_lengths(self.tokenizer_2, prompt, max_sequence_length)
        return EncodedPrompt(embeds, pooled, lengths)

    def prepare(self, frame: FrameRequest, max_sequence_length: int) -> FrameInputs:
        """Encode a frame's prompt, cut off after so many T5 tokens, and draw its initial noise."""
        prompt = self.encode(frame.prompt, max_sequence_length)
        latents, _ = self.prepare_latents(
            1,
            self.transformer.config.in_channels // 4,
            frame.height,
            frame.width,
            prompt.prompt_embeds.dtype,
            self._execution_device,
            torch.Generator("cpu").manual_seed(frame.seed),
        )
        return FrameInputs(prompt, latents, self.grid(frame.height, frame.width))

    def unpack(self, latents: Tensor, height: int, width: int) -> Tensor:
        """Return packed latents as a grid, shape (1, channels, rows, columns)."""
        grid: Tensor = self._unpack_latents(latents, height, width, self.vae_scale_factor)
        return grid

    def decode(self, latents: Tensor, height: int, width: int) -> Image.Image:
        """Decode packed latents to a picture, RGB.

        Raises:
            NotFinite: if the picture would hold a NaN or an infinity.
        """
        latents = self.unpack(latents, height, width)
        latents = (latents / self.vae.config.scaling_factor) + self.vae.config.shift_factor
        decoded = self.vae.decode(latents, return_dict=False)[0]
        check_finite(_DECODER, decoded)
        image: Image.Image = self.image_processor.postprocess(decoded, output_type="pil")[0]
        return image

    def _check_sizes(self, request: RenderRequest) -> None:
        grain = self.vae_scale_factor * 2
        for frame in request.frames:
            if frame.width % grain or frame.height % grain:
                raise ValueError(
                    f"frame {frame.frame_id!r} is {frame.width}x{frame.height}; this model needs "
                    f"multiples of {grain} pixels"
                )

    def _check_prompts(self, tensors: Mapping[str, FrameInputs], guidance: Guidance) -> None:
        prompts = [frame.prompt for frame in tensors.values()]
        if guidance.negative is not None:
            prompts.append(guidance.negative)
        encoded = [(one.prompt_embeds, one.pooled_prompt_embeds) for one in prompts]
        check_finite(_TEXT_ENCODERS, *(each for pair in encoded for each in pair))

    def _explained(
        self, fault: NotFinite, character: SubjectBundle | None, styles: Sequence[LoadedStyle]
    ) -> ModelError:
        """Find the cause of values that are no numbers in the networks that computed them."""
        networks: dict[str, dict[str, nn.Module]] = {
            _TEXT_ENCODERS: {
                "The T5 text encoder": self.text_encoder_2,
                "The CLIP text encoder": self.text_encoder,
            },
            TRANSFORMER: {TRANSFORMER: self.transformer},
            _DECODER: {_DECODER: self.vae},
        }
        if character is not None:
            encoders, weights = character.encoders, character.weights
            networks[ENCODERS] = {
                "The image encoder SigLIP": encoders.siglip,
                "The image encoder DINOv2": encoders.dino,
            }
            networks[TRANSFORMER] |= {
                "The character adapter's projector": weights.projector,
                "The character adapter": weights.adapters,
            }
        return explain(fault, networks[fault.source], [style.lora.source for style in styles])

    def _done(self, finished: FrameFinished) -> FrameDone:
        """Decode a finished frame."""
        begun = time.monotonic()
        frame, frame_pass = finished.frame, finished.frame_pass
        image = self.decode(finished.latents, frame.height, frame.width)
        return FrameDone(
            frame.frame_id,
            image=image,
            mask=mask_array(frame_pass),
            matches=None if frame_pass.matches is None else len(frame_pass.matches),
            seconds=finished.seconds + time.monotonic() - begun,
        )
