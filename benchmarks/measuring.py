"""How the benchmarks of speed and memory measure: the ways to paint, their costs, what is asked.

Knows nothing of tables.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from unittest import mock

import torch
from diffusers import FluxPipeline
from torch import Tensor

from benchmarks.random_models import MODELS, Model, open_model
from evaluation.fidelity.dense import DenseOracle
from evaluation.fidelity.steering import Steering, steered
from evaluation.results import Results, attention_backend, describe_machine
from pipelines.devices import choose_device
from pipelines.events import StepDone
from pipelines.request import Prompt, RenderBudget, RenderRequest
from pipelines.sampling.context import RenderContext

WARM_STEPS = 3


@dataclass(frozen=True)
class Cost:
    """What painting a request took.

    Attributes:
        seconds: from the prompts to the pictures.
        evaluations: how often a frame went through the transformer with its own prompt.
        device_bytes: the most on the GPU; None on a CPU.
        latents: final latents of every frame, in its order, in float32 on the CPU.
    """

    seconds: float
    evaluations: int
    device_bytes: int | None
    latents: tuple[Tensor, ...] = field(repr=False)

    def distance(self, other: Cost) -> float:
        """The largest difference of any number of the latents."""
        pairs = zip(self.latents, other.latents, strict=True)
        return max(float((one - two).abs().max()) for one, two in pairs)


Paint = Callable[[RenderRequest], int]


def plain_way(model: Model) -> Paint:
    """The frames as plain pictures, by FluxPipeline's own call, from the same noise."""
    ours = model.pipeline
    stock = FluxPipeline(**ours.components)
    stock.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def paint(request: RenderRequest) -> int:
        away = {}
        if request.true_cfg_scale > 1:
            negative = ours.encode(Prompt("", "", request.negative_prompt), model.words)
            away = {
                "negative_prompt_embeds": negative.prompt_embeds,
                "negative_pooled_prompt_embeds": negative.pooled_prompt_embeds,
            }
        for frame in request.frames:
            inputs = ours.prepare(frame, model.words)
            latents = stock(
                prompt_embeds=inputs.prompt.prompt_embeds,
                pooled_prompt_embeds=inputs.prompt.pooled_prompt_embeds,
                latents=inputs.latents,
                height=frame.height,
                width=frame.width,
                num_inference_steps=request.steps,
                guidance_scale=request.guidance_scale,
                true_cfg_scale=request.true_cfg_scale,
                output_type="latent",
                return_dict=False,
                **away,
            )[0]
            ours.decode(latents, frame.height, frame.width)
        return request.steps * len(request.frames)

    return paint


def our_way(model: Model, budget: RenderBudget) -> Paint:
    """The storyboard as we paint it."""

    def paint(request: RenderRequest) -> int:
        evaluations = 0
        with steered(model.steering):
            for event in model.pipeline.stream(
                request, RenderContext(max_sequence_length=model.words, budget=budget)
            ):
                if isinstance(event, StepDone):
                    evaluations = event.done
        return evaluations

    return paint


def published_way(model: Model) -> Paint:
    """The storyboard as the published code paints it."""

    @torch.no_grad()
    def paint(request: RenderRequest) -> int:
        oracle = DenseOracle(model.pipeline, model.words, model.steering)
        for frame, latents in oracle.latents(request):
            model.pipeline.decode(latents, frame.height, frame.width)
        return oracle.evaluations

    return paint


def cost(model: Model, paint: Paint, request: RenderRequest) -> Cost:
    """Paint a request once, and see what it takes."""
    device = model.pipeline._execution_device
    decode = model.pipeline.decode
    seen: list[Tensor] = []

    def watched(latents: Tensor, height: int, width: int) -> object:
        seen.append(latents)
        return decode(latents, height, width)

    gc.collect()
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    with mock.patch.object(model.pipeline, "decode", watched):
        synchronise(device)
        begun = time.perf_counter()
        evaluations = paint(request)
        synchronise(device)
        seconds = time.perf_counter() - begun
    return Cost(
        seconds,
        evaluations,
        torch.cuda.max_memory_allocated(device) if cuda else None,
        tuple(latents.float().cpu() for latents in seen),
    )


def warm_up(model: Model, ways: Sequence[Paint], request: RenderRequest) -> float:
    """Paint two frames in a few steps in every way; returns the seconds of all."""
    names = tuple(frame.frame_id for frame in request.frames[:2])
    short = replace(request, frames=request.frames[:2], targets=names, steps=WARM_STEPS)
    return sum(cost(model, way, short).seconds for way in ways)


def synchronise(device: torch.device) -> None:
    """Wait for what a GPU has been told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(device: torch.device, call: Callable[[], object], times: int = 1) -> float:
    """Seconds of one of several calls, one after the other."""
    synchronise(device)
    begun = time.perf_counter()
    for _ in range(times):
        call()
    synchronise(device)
    return (time.perf_counter() - begun) / times


def arguments_for(command: str, sections: Sequence[str], about: str) -> argparse.ArgumentParser:
    """The options that all benchmarks of speed and memory take."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{command}", description=about)
    parser.add_argument("--model", choices=MODELS, default="miniature")
    parser.add_argument(
        "--only",
        choices=sections,
        action="append",
        help="this section alone (repeatable); all of them if left out",
    )
    parser.add_argument("--device", help="cuda, cuda:1, mps or cpu; the best there is if left out")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--steps", type=int, help="denoising steps; the model's own if left out")
    parser.add_argument("--side", type=int, help="of the pictures, in pixels")
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, help="torch's; its own choice if left out")
    parser.add_argument(
        "--foreground",
        type=float,
        default=Steering.foreground,
        help="share of the picture that a random model is told to take for the character",
    )
    parser.add_argument("--backend", help="attention backend, by diffusers' name")
    parser.add_argument(
        "--out",
        type=Path,
        help="a folder for the tables, instead of RESULTS.md; sections that it has are not "
        "measured again",
    )
    parser.add_argument("--label", default="", help="end of the tables' names, to keep others")
    return parser


class Workbench:
    """What a command measures with.

    Args:
        options: of `arguments_for`.
        command: the command's name, with which its sections' names begin.

    Attributes:
        options: likewise.
        device: where the model computes.
        dtype: what in.
        results: where tables go.
    """

    def __init__(self, options: argparse.Namespace, command: str) -> None:
        if options.threads:
            torch.set_num_threads(options.threads)
        self.options, self._command = options, command
        self.device = choose_device(options.device)
        default = "bfloat16" if self.device.type == "cuda" else "float32"
        self.dtype: torch.dtype = getattr(torch, options.dtype or default)
        self.results = Results(options.out)

    @cached_property
    def model(self) -> Model:
        """The model, loaded or made when it is first used."""
        options = self.options
        model = open_model(options.model, self.device, self.dtype, options.foreground)
        if options.backend:
            model.pipeline.transformer.set_attention_backend(options.backend)
        return model

    def wanted(self, sections: Sequence[str]) -> list[str]:
        """The sections that were asked for and are not there yet."""
        asked = [s for s in sections if not self.options.only or s in self.options.only]
        return [section for section in asked if not self.results.has(self.name(section))]

    def name(self, section: str) -> str:
        """A section's name."""
        label = f"-{self.options.label}" if self.options.label else ""
        return f"{self._command}-{self.options.model}-{section}{label}"

    def story(self, **changes: int | bool) -> RenderRequest:
        """The storyboard that was asked for."""
        options = self.options
        wanted = {"frames": options.frames, "steps": options.steps, "side": options.side}
        return self.model.story(**{**wanted, **changes})

    def notes(self, request: RenderRequest) -> tuple[str, ...]:
        """What was painted, with what and where."""
        first = request.frames[0]
        config = self.model.pipeline.transformer.config
        tokens = (first.width // 16) * (first.height // 16)
        guided = f", true CFG {request.true_cfg_scale:g}" if request.true_cfg_scale > 1 else ""
        painted = (
            f"{self.model.title}: {config.num_layers} double-stream and "
            f"{config.num_single_layers} single-stream blocks of {config.num_attention_heads} heads"
            f", {first.width}x{first.height} pixels ({tokens} image and {self.model.words} text "
            f"tokens), {request.steps} steps{guided}, {str(self.dtype).removeprefix('torch.')}, "
            f"attention: {attention_backend(self.model.pipeline.transformer)}"
        )
        steering = self.model.steering
        given = () if steering is None else (steering.note,)
        return (painted, *given, describe_machine(self.device))
