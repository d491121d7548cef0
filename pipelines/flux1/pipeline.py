"""The pipeline: diffusers' FluxPipeline, and a stream that paints the frames of a storyboard.

    pipeline = FluxStoryboardPipeline.from_pretrained("assets/miniature")
    for event in pipeline.stream(request, max_sequence_length=64):
        ...

`__call__` stays FluxPipeline's and paints plain pictures. The stream is a generator: it yields an
event at every denoising step, and closing it cancels. Frames that follow a reference picture need
what `pipelines.loading.character` loads, and the picture itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from types import MappingProxyType

import torch
from diffusers import FluxPipeline
from PIL import Image
from torch import Tensor

from pipelines.consistency.bank import Bank
from pipelines.consistency.frame_pass import FramePass
from pipelines.consistency.plan import StepPlan
from pipelines.events import FrameDone, Notice, PipelineEvent, Preview, StepDone
from pipelines.flux1.attention import StoryboardAttention
from pipelines.flux1.previews import Previews, RenderPreviews
from pipelines.instant_character.adapters import Subject
from pipelines.instant_character.bundle import SubjectBundle
from pipelines.instant_character.reference_pictures import (
    FollowedPictures,
    check_pictures,
    read_pictures,
)
from pipelines.request import FrameRequest, Prompt, RenderBudget, RenderRequest
from pipelines.sampling.denoiser import Denoiser, FrameInputs, FrameState, Guidance
from pipelines.sampling.memory import RenderMemory
from pipelines.sampling.prompt import EncodedPrompt, text_lengths, unread_words
from pipelines.sampling.sampler import FrameFinished, RenderInputs, Sampler, mask_array
from pipelines.sampling.schedule import needed_frames, render_steps
from pipelines.styles.lora import style_loras


class FluxStoryboardPipeline(FluxPipeline):
    """FLUX.1 that keeps the same character from frame to frame (CharaConsist, ICCV 2025).

    A character can also be the one in a picture (InstantCharacter, arXiv 2504.12395).

    Attributes:
        new_pass: makes the passes of frames; measurements set their own.
    """

    new_pass: Callable[..., FramePass] = FramePass

    @torch.no_grad()
    def stream(
        self,
        request: RenderRequest,
        *,
        max_sequence_length: int = 512,
        subject: SubjectBundle | None = None,
        pictures: Mapping[str, Image.Image] = MappingProxyType({}),
        budget: RenderBudget | None = None,
        lent: Mapping[str, Bank] = MappingProxyType({}),
        keep: Callable[[str, Bank], None] | None = None,
        previews: Previews | None = None,
    ) -> Iterator[PipelineEvent]:
        """Paint the targets of a request.

        The request's styles take part from the first prompt to the last picture; afterwards, also
        after an error or a closed generator, the pipeline is what it was.

        Args:
            request: the frames and how to paint them.
            max_sequence_length: T5 tokens that the model was trained for.
            subject: what frames follow their reference pictures with; None where none has one.
            pictures: the prepared reference pictures by the names in the request, RGB.
            budget: how much memory to take, and whether to paint the frames one after another or
                side by side; None chooses by what is free. The pictures are the same.
            lent: banks of frames that were painted elsewhere, by their id. Those of them that are
                no targets are not painted; the banks are not closed.
            keep: called with the bank of every frame that lends, as soon as that frame is
                painted; the bank is closed when nobody here reads it any more. Frames are painted
                one after another then.
            previews: how targets are shown while they are painted; None for not at all. The
                painted frames are the same.

        Yields:
            Events in the order in which things happen; a `FrameDone` for every target.

        Raises:
            ValueError: if a frame's size does not fit the model, or a frame follows a picture and
                the picture or `subject` is missing.
            ModelError: if a style's LoRA cannot be loaded.
        """
        # 1. Check inputs
        self._check_sizes(request)
        frames = needed_frames(request, lent.keys())
        budget = budget or RenderBudget()
        if keep is not None:
            budget = replace(budget, order="bank")
        check_pictures(frames, subject, pictures)

        try:
            with style_loras(self, request.styles) as styles:
                for style in styles:
                    for note in style.notes:
                        yield Notice("style", style.lora.source, note)

                # 2. See every reference picture once
                device = self._execution_device
                followed = yield from read_pictures(frames, subject, pictures, device)

                # 3. Paint
                yield from self._render(
                    request, frames, followed, max_sequence_length, budget, lent, keep, previews
                )
        finally:
            self.maybe_free_model_hooks()

    def _render(
        self,
        request: RenderRequest,
        frames: Sequence[FrameRequest],
        followed: FollowedPictures,
        max_sequence_length: int,
        budget: RenderBudget,
        lent: Mapping[str, Bank],
        keep: Callable[[str, Bank], None] | None,
        previews: Previews | None,
    ) -> Iterator[PipelineEvent]:
        """Paint frames of a request, with styles and pictures in place."""
        # 1. Encode every prompt at once, so that the text encoders are done with
        inputs = {f.frame_id: self.prepare(f, max_sequence_length) for f in frames}
        guidance = Guidance(request.guidance_scale)
        if request.true_cfg_scale > 1:
            negative = self.encode(Prompt("", "", request.negative_prompt), max_sequence_length)
            guidance = Guidance(request.guidance_scale, request.true_cfg_scale, negative)
        for frame in frames:
            words = unread_words(self.tokenizer_2, frame.prompt, max_sequence_length)
            if words and frame.frame_id in request.targets:
                yield Notice("prompt", frame.frame_id, words)

        # 2. Choose an order that fits into memory
        settings = {**asdict(request.consistency), **asdict(request.shortcuts)}
        plan = StepPlan.from_fractions(request.steps, **settings)
        painted = RenderInputs(
            frames,
            inputs,
            followed.subjects(frames),
            {f.frame_id: render_steps(f, request, plan) for f in frames},
            lent,
        )
        memory = RenderMemory(self.transformer, self._execution_device, plan, budget)
        grids = {f.frame_id: self.grid(f.height, f.width) for f in frames}
        schedule = memory.schedule(painted)
        painter = Sampler(
            Denoiser(self, guidance, plan.steps),
            plan,
            schedule,
            painted,
            lambda frame: memory.new_bank(frame, frames, schedule),
            memory.batch(painted),
            len(self.transformer.single_transformer_blocks),
            grids,
            self.new_pass,
        )

        # 3. Paint
        shown = None if previews is None else RenderPreviews(previews, request.targets)
        with (
            StoryboardAttention(self.transformer) as attention,
            closing(painter.paint(attention)) as events,
        ):
            for event in events:
                if not isinstance(event, FrameFinished):
                    yield event
                    if shown is not None and isinstance(event, StepDone) and shown.due(event):
                        ours = inputs[event.frame_id]
                        expected = painter.expected(event.frame_id)
                        latents = self.unpack(expected, ours.height, ours.width)
                        yield Preview(event.frame_id, shown.previews.picture(latents))
                    continue
                frame_id = event.frame.frame_id
                bank = painter.bank(frame_id)
                if keep is not None and bank is not None:
                    keep(frame_id, bank)
                if frame_id in request.targets:
                    # 4. Decode
                    yield self._finished(event)

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
            inputs: what the frame starts from.
            frame_pass: the pass that the transformer's blocks take part in; its plan has the
                schedule's number of steps.
            guidance: distilled and classifier-free guidance. The negative prompt's branch takes
                no part in the pass.
            steps: how many steps to run, at most those of the plan.
            subject: the character that all blocks look at, in both branches of the guidance;
                None for none.

        Yields:
            After each step the packed latents, shape (1, image tokens, channels). Where `steps`
            ends before the schedule does, the last are the estimate of the clean latents,
            x_0 = x_i - sigma_i v_i.
        """
        plan = frame_pass.plan
        denoiser = Denoiser(self, guidance, plan.steps)
        walk = FrameState(inputs, frame_pass, denoiser.start(inputs), subject)
        with StoryboardAttention(self.transformer) as attention:
            for step in range(steps):
                before = walk.latents
                predicted = denoiser.advance(attention, [walk])
                if step == steps - 1 and steps < plan.steps:
                    yield before - walk.scheduler.sigmas[step] * predicted
                else:
                    yield walk.latents

    def _check_sizes(self, request: RenderRequest) -> None:
        grain = self.vae_scale_factor * 2
        for frame in request.frames:
            if frame.width % grain or frame.height % grain:
                raise ValueError(
                    f"frame {frame.frame_id!r} is {frame.width}x{frame.height}; this model needs "
                    f"multiples of {grain} pixels"
                )

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of image tokens."""
        grain = self.vae_scale_factor * 2
        return height // grain, width // grain

    def encode(self, prompt: Prompt, max_sequence_length: int) -> EncodedPrompt:
        embeds, pooled, _ = self.encode_prompt(prompt.text, max_sequence_length=max_sequence_length)
        lengths = text_lengths(self.tokenizer_2, prompt, max_sequence_length)
        return EncodedPrompt(embeds, pooled, lengths)

    def prepare(self, frame: FrameRequest, max_sequence_length: int) -> FrameInputs:
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
        return FrameInputs(prompt, latents, frame.height, frame.width)

    def _finished(self, painted: FrameFinished) -> FrameDone:
        """Decode a frame."""
        begun = time.monotonic()
        frame, found = painted.frame, painted.frame_pass
        image = self.decode(painted.latents, frame.height, frame.width)
        return FrameDone(
            frame.frame_id,
            image=image,
            mask=mask_array(found),
            matches=None if found.matches is None else len(found.matches),
            seconds=painted.seconds + time.monotonic() - begun,
        )

    def unpack(self, latents: Tensor, height: int, width: int) -> Tensor:
        """Packed latents as a grid, shape (1, channels, rows, columns)."""
        found: Tensor = self._unpack_latents(latents, height, width, self.vae_scale_factor)
        return found

    def decode(self, latents: Tensor, height: int, width: int) -> Image.Image:
        latents = self.unpack(latents, height, width)
        latents = (latents / self.vae.config.scaling_factor) + self.vae.config.shift_factor
        decoded = self.vae.decode(latents, return_dict=False)[0]
        image: Image.Image = self.image_processor.postprocess(decoded, output_type="pil")[0]
        return image
