"""Measure renders: the ways to render a storyboard, their costs, and the options of a benchmark.

Knows nothing of tables.
"""

from __future__ import annotations

import argparse
import gc
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from diffusers import FluxPipeline
from torch import Tensor

from benchmarks.neighbours import OtherProcesses
from benchmarks.random_models import MODELS, Model, open_model
from evaluation.fidelity.dense import DenseOracle
from evaluation.fidelity.steering import Steering
from evaluation.fidelity.vectors import stock_latents
from evaluation.results import (
    Results,
    Section,
    Spread,
    alternate,
    attention_backend,
    describe_machine,
)
from pipelines.devices import choose_device
from pipelines.events import StepDone
from pipelines.request import Prompt, RenderBudget, RenderRequest
from pipelines.sampling.context import RenderContext

WARM_STEPS = 3


@dataclass(frozen=True)
class Cost:
    """Cost of one render.

    Attributes:
        seconds: from the prompts to the pictures.
        evaluations: evaluations of the transformer with the frames' own prompts.
        device_bytes: the most on the GPU; None on a CPU.
        latents: final latents of every frame, in its order, in float32 on the CPU.
    """

    seconds: float
    evaluations: int
    device_bytes: int | None
    latents: tuple[Tensor, ...] = field(repr=False)

    def distance(self, other: Cost) -> float:
        """Return the largest difference of any number of the latents."""
        pairs = zip(self.latents, other.latents, strict=True)
        return max(float((one - two).abs().max()) for one, two in pairs)


RenderWay = Callable[[RenderRequest], int]
"""Renders a request; returns the evaluations of the transformer with the frames' own prompts."""


def plain_way(model: Model) -> RenderWay:
    """Render the frames as plain pictures, by FluxPipeline's own call, from the same noise."""
    ours = model.pipeline
    stock = FluxPipeline(**ours.components)
    stock.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def render(request: RenderRequest) -> int:
        guided: dict[str, Tensor | float] = {"true_cfg_scale": request.true_cfg_scale}
        if request.true_cfg_scale > 1:
            negative = ours.encode(Prompt("", "", request.negative_prompt), model.text_tokens)
            guided["negative_prompt_embeds"] = negative.prompt_embeds
            guided["negative_pooled_prompt_embeds"] = negative.pooled_prompt_embeds
        for frame in request.frames:
            inputs, size = ours.prepare(frame, model.text_tokens), (frame.height, frame.width)
            guidance = request.guidance_scale
            latents = stock_latents(
                stock, inputs.prompt, inputs.latents, size, request.steps, guidance, **guided
            )
            ours.decode(latents, *size)
        return request.steps * len(request.frames)

    return render


def our_way(model: Model, budget: RenderBudget) -> RenderWay:
    """Render the storyboard with this project's pipeline."""

    def render(request: RenderRequest) -> int:
        events = model.pipeline.stream(
            request, RenderContext(max_sequence_length=model.text_tokens, budget=budget)
        )
        return sum(isinstance(event, StepDone) for event in events)

    return render


def published_way(model: Model) -> RenderWay:
    """Render the storyboard as the published code does."""

    @torch.no_grad()
    def render(request: RenderRequest) -> int:
        oracle = DenseOracle(model.pipeline, model.text_tokens, model.steering)
        for frame, latents in oracle.latents(request):
            model.pipeline.decode(latents, frame.height, frame.width)
        return oracle.evaluations

    return render


def cost(model: Model, render: RenderWay, request: RenderRequest) -> Cost:
    """Render a request once and measure it."""
    device, decoded = model.device, model.pipeline.decoded
    decoded.clear()
    gc.collect()
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    synchronise(device)
    begun = time.perf_counter()
    evaluations = render(request)
    synchronise(device)
    seconds = time.perf_counter() - begun
    peak = torch.cuda.max_memory_allocated(device) if cuda else None
    latents = tuple(latents.float().cpu() for latents in decoded)
    decoded.clear()
    return Cost(seconds, evaluations, peak, latents)


def warm_up(model: Model, ways: Sequence[RenderWay], request: RenderRequest) -> float:
    """Render two frames in a few steps in every way; returns the seconds of all."""
    names = tuple(frame.frame_id for frame in request.frames[:2])
    short = replace(request, frames=request.frames[:2], targets=names, steps=WARM_STEPS)
    return sum(cost(model, way, short).seconds for way in ways)


def synchronise(device: torch.device) -> None:
    """Wait for the kernels that were launched on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(device: torch.device, call: Callable[[], object], times: int = 1) -> float:
    """Return the seconds of one of several calls, one after the other."""
    synchronise(device)
    begun = time.perf_counter()
    for _ in range(times):
        call()
    synchronise(device)
    return (time.perf_counter() - begun) / times


def numbers(text: str) -> tuple[int, ...]:
    """Read whole numbers with commas between them."""
    return tuple(int(part) for part in text.split(","))


def orders(text: str) -> tuple[str, ...]:
    """Read names of orders with commas between them."""
    found = tuple(text.split(","))
    unknown = set(found) - {"bank", "lockstep"}
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: neither bank nor lockstep")
    return found


def arguments_for(command: str, sections: Mapping[str, object], about: str) -> ArgumentParser:
    """Make a parser with the options that the benchmarks of speed and memory have in common."""
    parser = ArgumentParser(prog=f"python -m benchmarks.{command}", description=about)
    add = parser.add_argument
    add("--model", choices=MODELS, default="miniature")
    alone = "this section alone (repeatable); all of them if left out"
    add("--only", choices=sections, action="append", help=alone)
    add("--device", help="cuda, cuda:1, mps or cpu; the best there is if left out")
    add("--dtype", choices=("float32", "bfloat16", "float16"))
    add("--steps", type=int, help="denoising steps; the model's own if left out")
    add("--side", type=int, help="of the pictures, in pixels")
    add("--frames", type=int, default=5)
    add("--repeats", type=int, default=3)
    add("--threads", type=int, help="torch's; its own choice if left out")
    given = "share of the picture in the foreground masks that a random model is given"
    add("--foreground", type=float, default=Steering.foreground, help=given)
    add("--backend", help="attention backend, by diffusers' name")
    add(
        "--out",
        type=Path,
        help="a folder for the tables, instead of RESULTS.md; sections that it has are not "
        "measured again",
    )
    add("--label", default="", help="end of the tables' names, to keep others")
    return parser


class Workbench:
    """Model, options and tables of one command.

    Args:
        options: of `arguments_for`.
        command: the command's name, with which its sections' names begin.
    """

    def __init__(self, options: argparse.Namespace, command: str) -> None:
        if options.threads:
            torch.set_num_threads(options.threads)
        self.options, self._command = options, command
        self.device = choose_device(options.device)
        default = "bfloat16" if self.device.type == "cuda" else "float32"
        self.dtype: torch.dtype = getattr(torch, options.dtype or default)
        self._results = Results(options.out)
        self._others = OtherProcesses()

    @cached_property
    def model(self) -> Model:
        """Model, loaded or made when it is first used."""
        return self.open_model()

    def open_model(self) -> Model:
        """Load or make the model anew."""
        options = self.options
        model = open_model(options.model, self.device, self.dtype, options.foreground)
        if options.backend:
            model.pipeline.transformer.set_attention_backend(options.backend)
        return model

    def run(self, sections: Mapping[str, Callable[[Workbench], None]]) -> None:
        """Measure the sections that were requested and are not there yet."""
        for section, measure in sections.items():
            requested = not self.options.only or section in self.options.only
            if requested and not self._results.has(self._name(section)):
                measure(self)

    def put(
        self,
        section: str,
        title: str,
        notes: Sequence[str],
        head: Sequence[str],
        rows: Sequence[tuple[str, ...]],
        *,
        finished: bool = True,
    ) -> None:
        """Keep the table of a section; see `Results.put`."""
        table = Section(self._name(section), title, tuple(notes), tuple(head), tuple(rows))
        self._results.put(table, finished=finished)

    def _name(self, section: str) -> str:
        label = f"-{self.options.label}" if self.options.label else ""
        return f"{self._command}-{self.options.model}-{section}{label}"

    def story(self, model: Model | None = None, **changes: int | bool) -> RenderRequest:
        """Make the request of the storyboard that the options describe."""
        options = self.options
        described = {"frames": options.frames, "steps": options.steps, "side": options.side}
        return (model or self.model).story(**{**described, **changes})

    def seconds(self, ways: Mapping[str, RenderWay], request: RenderRequest) -> dict[str, Spread]:
        """Render a request in every way, in alternating rounds; returns the seconds by way."""
        variants = {
            name: lambda way=way: cost(self.model, way, request).seconds
            for name, way in ways.items()
        }
        return list(alternate(variants, self.options.repeats))[-1]

    def notes(self, request: RenderRequest) -> tuple[str, ...]:
        """Describe a render: the model, its settings, the machine, and its neighbours so far."""
        first = request.frames[0]
        config = self.model.pipeline.transformer.config
        tokens = (first.width // 16) * (first.height // 16)
        guided = f", true CFG {request.true_cfg_scale:g}" if request.true_cfg_scale > 1 else ""
        rendered = (
            f"{self.model.title}: {config.num_layers} double-stream and "
            f"{config.num_single_layers} single-stream blocks of {config.num_attention_heads} heads"
            f", {first.width}x{first.height} pixels ({tokens} image and {self.model.text_tokens} "
            f"text tokens), {request.steps} steps{guided}, "
            f"{str(self.dtype).removeprefix('torch.')}, "
            f"attention: {attention_backend(self.model.pipeline.transformer)}"
        )
        steering = self.model.steering
        given = () if steering is None else (steering.note,)
        return (rendered, *given, f"{describe_machine(self.device)}; {self._others.note()}")
