"""The pipeline: diffusers' FluxPipeline, and a stream that paints the frames of a storyboard.

    pipeline = FluxStoryboardPipeline.from_pretrained("assets/miniature")
    for event in pipeline.stream(request, max_sequence_length=64):
        ...

`__call__` stays FluxPipeline's and paints plain pictures. The stream is a generator: it yields an
event at every denoising step, and closing it cancels. Frames that follow a reference picture need
what `pipelines.subject_loading` loads, and the picture itself.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from types import MappingProxyType

import numpy as np
import torch
from diffusers import FluxPipeline
from diffusers.pipelines.flux.pipeline_flux import calculate_shift, retrieve_timesteps
from PIL import Image
from torch import Tensor

from .attention import frame_attention
from .consistency import Bank, FramePass, Matches, StepPlan
from .events import FrameDone, FrameStarted, PipelineEvent, StyleNoted, WordsUnread
from .instant_character import Subject
from .instant_character.bundle import SubjectBundle
from .prompt import EncodedPrompt, text_lengths, unread_words
from .rendering import Progress, mask_array, mask_found, needed_frames, render_steps
from .request import FrameRequest, Prompt, RenderRequest
from .style_lora import style_loras
from .subject_pictures import FollowedPictures, check_pictures, read_pictures


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


class FluxStoryboardPipeline(FluxPipeline):
    """FLUX.1 that keeps the same character from frame to frame (CharaConsist, ICCV 2025).

    A character can also be the one in a picture (InstantCharacter, arXiv 2504.12395).
    """

    @torch.no_grad()
    def stream(
        self,
        request: RenderRequest,
        *,
        max_sequence_length: int = 512,
        subject: SubjectBundle | None = None,
        pictures: Mapping[str, Image.Image] = MappingProxyType({}),
    ) -> Iterator[PipelineEvent]:
        """Paint the targets of a request, one frame after another.

        The request's styles take part from the first prompt to the last picture; afterwards, also
        after an error or a closed generator, the pipeline is what it was.

        Args:
            request: the frames and how to paint them.
            max_sequence_length: T5 tokens that the model was trained for.
            subject: what frames follow their reference pictures with; None where none has one.
            pictures: the prepared reference pictures by the names in the request, RGB.

        Yields:
            Events in the order in which things happen; a `FrameDone` for every target.

        Raises:
            ValueError: if a frame's size does not fit the model, or a frame follows a picture and
                the picture or `subject` is missing.
            LoadingError: if a style's LoRA cannot be loaded.
        """
        # 1. Check inputs
        self._check_sizes(request)
        frames = needed_frames(request)
        check_pictures(frames, subject, pictures)

        try:
            with style_loras(self, request.styles) as styles:
                for style in styles:
                    for note in style.notes:
                        yield StyleNoted(style.lora.source, note)

                # 2. See every reference picture once
                device = self._execution_device
                followed = yield from read_pictures(frames, subject, pictures, device)

                # 3. Paint
                yield from self._render(request, frames, followed, max_sequence_length)
        finally:
            self.maybe_free_model_hooks()

    def _render(
        self,
        request: RenderRequest,
        frames: Sequence[FrameRequest],
        followed: FollowedPictures,
        max_sequence_length: int,
    ) -> Iterator[PipelineEvent]:
        """Paint frames of a request, with styles and pictures in place."""
        plan = StepPlan.from_fractions(request.steps, **asdict(request.consistency))
        steps = {f.frame_id: render_steps(f, request, plan) for f in frames}
        probes = sum(plan.probe_steps for f in frames if f.identity_from is not None)
        progress = Progress(total=probes + sum(steps.values()))

        # 1. Encode every prompt at once, so that the text encoders are done with
        prompts = {f.frame_id: self._encode(f.prompt, max_sequence_length) for f in frames}
        guidance = Guidance(request.guidance_scale)
        if request.true_cfg_scale > 1:
            negative = self._encode(Prompt("", "", request.negative_prompt), max_sequence_length)
            guidance = Guidance(request.guidance_scale, request.true_cfg_scale, negative)

        for frame in frames:
            words = unread_words(self.tokenizer_2, frame.prompt, max_sequence_length)
            if words and frame.frame_id in request.targets:
                yield WordsUnread(frame.frame_id, words)

        # 2. Paint the frames in order; a bank lives as long as a later frame reads it
        banks: dict[str, Bank] = {}
        for number, frame in enumerate(frames):
            started = time.monotonic()
            yield FrameStarted(frame.frame_id)
            later = frames[number + 1 :]
            inputs = self._inputs(frame, prompts[frame.frame_id])
            record = self._new_bank(frame, later, plan, inputs)
            latents, painted = yield from self._paint(
                frame,
                inputs,
                guidance,
                plan,
                steps[frame.frame_id],
                banks,
                record,
                followed.subject(frame),
                progress,
            )
            if record is not None:
                banks[frame.frame_id] = record
            read = {s for f in later for s in (f.identity_from, f.background_from)}
            banks = {frame_id: bank for frame_id, bank in banks.items() if frame_id in read}

            # 3. Decode
            if frame.frame_id in request.targets:
                yield FrameDone(
                    frame.frame_id,
                    image=self._decode(latents, frame.height, frame.width),
                    mask=mask_array(painted),
                    matches=None if painted.matches is None else len(painted.matches),
                    seconds=time.monotonic() - started,
                )

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
        plan, device, latents = frame_pass.plan, inputs.latents.device, inputs.latents
        rows, columns = frame_pass.grid
        image_ids = self._prepare_latent_image_ids(1, rows, columns, device, latents.dtype)
        timesteps = self._timesteps(latents.shape[1], plan.steps, device)
        guide = None
        if self.transformer.config.guidance_embeds:
            guide = torch.full([1], guidance.scale, device=device, dtype=torch.float32)

        def velocity(prompt: EncodedPrompt, branch: str) -> Tensor:
            text_ids = torch.zeros(
                prompt.prompt_embeds.shape[1], 3, device=device, dtype=latents.dtype
            )
            with self.transformer.cache_context(branch):
                predicted: Tensor = self.transformer(
                    hidden_states=latents,
                    timestep=timestep / 1000,
                    guidance=guide,
                    pooled_projections=prompt.pooled_prompt_embeds,
                    encoder_hidden_states=prompt.prompt_embeds,
                    txt_ids=text_ids,
                    img_ids=image_ids,
                    return_dict=False,
                )[0]
            return predicted

        with frame_attention(self.transformer, frame_pass, subject):
            for step, time_value in enumerate(timesteps[:steps]):
                timestep = time_value.expand(1).to(latents.dtype)
                if subject is not None:
                    subject.begin_step(timestep)
                frame_pass.begin_step(step)
                predicted = velocity(inputs.prompt, "cond")
                frame_pass.end_step()
                if guidance.negative is not None:
                    away = velocity(guidance.negative, "uncond")
                    predicted = away + guidance.true_cfg_scale * (predicted - away)
                if step == steps - 1 and steps < plan.steps:
                    latents = latents - self.scheduler.sigmas[step] * predicted
                else:
                    latents = self.scheduler.step(
                        predicted, time_value, latents, return_dict=False
                    )[0].to(latents.dtype)
                yield latents

    def _paint(
        self,
        frame: FrameRequest,
        inputs: FrameInputs,
        guidance: Guidance,
        plan: StepPlan,
        steps: int,
        banks: dict[str, Bank],
        record: Bank | None,
        subject: Subject | None,
        progress: Progress,
    ) -> Generator[PipelineEvent, None, tuple[Tensor, FramePass]]:
        """Probe pass and render pass of one frame; returns its latents and its render pass."""
        identity = None if frame.identity_from is None else banks[frame.identity_from]
        background = None if frame.background_from is None else banks[frame.background_from]

        def new_pass(recorder: Bank | None = None, found: Matches | None = None) -> FramePass:
            return FramePass(
                plan,
                inputs.prompt.text,
                grid=self._grid(frame.height, frame.width),
                blocks=len(self.transformer.single_transformer_blocks),
                device=inputs.latents.device,
                record=recorder,
                identity=identity,
                background=background,
                matches=found,
            )

        matches: Matches | None = None
        if identity is not None:
            probe = new_pass()
            with closing(
                self.denoise(inputs, probe, guidance, plan.probe_steps, subject)
            ) as passing:
                for step, _ in enumerate(passing, start=1):
                    yield progress.step(frame, "probe", step, plan.probe_steps)
            matches = probe.matches
            yield mask_found(frame, "probe", probe)

        render = new_pass(record, matches)
        latents = inputs.latents
        with closing(self.denoise(inputs, render, guidance, steps, subject)) as passing:
            for step, current in enumerate(passing, start=1):
                latents = current
                yield progress.step(frame, "render", step, steps)
                if step == plan.probe_steps:
                    yield mask_found(frame, "render", render)
        return latents, render

    def _check_sizes(self, request: RenderRequest) -> None:
        grain = self.vae_scale_factor * 2
        for frame in request.frames:
            if frame.width % grain or frame.height % grain:
                raise ValueError(
                    f"frame {frame.frame_id!r} is {frame.width}x{frame.height}; this model needs "
                    f"multiples of {grain} pixels"
                )

    def _grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of image tokens."""
        grain = self.vae_scale_factor * 2
        return height // grain, width // grain

    def _encode(self, prompt: Prompt, max_sequence_length: int) -> EncodedPrompt:
        embeds, pooled, _ = self.encode_prompt(prompt.text, max_sequence_length=max_sequence_length)
        lengths = text_lengths(self.tokenizer_2, prompt, max_sequence_length)
        return EncodedPrompt(embeds, pooled, lengths)

    def _inputs(self, frame: FrameRequest, prompt: EncodedPrompt) -> FrameInputs:
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

    def _timesteps(self, tokens: int, steps: int, device: torch.device) -> Tensor:
        """FluxPipeline's schedule, shifted for the number of image tokens; resets the scheduler."""
        config = self.scheduler.config
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
        timesteps, _ = retrieve_timesteps(self.scheduler, steps, device, sigmas=sigmas, mu=shift)
        self.scheduler.set_begin_index(0)
        return timesteps

    def _new_bank(
        self,
        frame: FrameRequest,
        later: Sequence[FrameRequest],
        plan: StepPlan,
        inputs: FrameInputs,
    ) -> Bank | None:
        lends_identity = any(f.identity_from == frame.frame_id for f in later)
        lends_background = any(f.background_from == frame.frame_id for f in later)
        if not (lends_identity or lends_background):
            return None
        storage = None
        if inputs.latents.device.type == "cuda":
            config = self.transformer.config
            needed = Bank.most_bytes(
                plan,
                tokens=inputs.latents.shape[1],
                channels=config.num_attention_heads * config.attention_head_dim,
                blocks=config.num_single_layers,
                itemsize=inputs.latents.element_size(),
                lends_background=lends_background,
            )
            free, _ = torch.cuda.mem_get_info(inputs.latents.device)
            storage = torch.device("cpu") if needed > free // 2 else None
        return Bank(
            plan,
            lends_identity=lends_identity,
            lends_background=lends_background,
            storage=storage,
        )

    def _decode(self, latents: Tensor, height: int, width: int) -> Image.Image:
        latents = self._unpack_latents(latents, height, width, self.vae_scale_factor)
        latents = (latents / self.vae.config.scaling_factor) + self.vae.config.shift_factor
        decoded = self.vae.decode(latents, return_dict=False)[0]
        image: Image.Image = self.image_processor.postprocess(decoded, output_type="pil")[0]
        return image
