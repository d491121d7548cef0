"""Seconds of a storyboard: ours against plain pictures, and against the published way.

    python -m benchmarks.speed [--model miniature|middle|flux-dev] [--only SECTION] [--frames 5]
        [--orders bank,lockstep] [--batches 5] [--no-dense] [--repeats 3] [--out DIR] ...

storyboard: all frames, from the prompts to the pictures, by FluxPipeline one by one, by us in each
    order, and by the published way (`evaluation.fidelity.dense`), in alternating rounds.
neighbours: plain pictures and ours, alone and beside two processes that keep two cores busy.
attention: the attention of one block that shares, by slices and under a dense mask.
forward: one forward pass of the plain transformer, for batches of several sizes.
compiled: `storyboard` and `forward` once more with compiled blocks, without the published way.

A table goes to benchmarks/RESULTS.md, or with --out into a file of its own in that folder. There a
stopped command leaves the rounds that are done (collect them with `python -m evaluation.results
DIR`), and the same command continues with the next section.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from diffusers import FluxTransformer2DModel

from benchmarks.block_attention import SharingBlock
from benchmarks.measuring import (
    Cost,
    RenderWay,
    Workbench,
    arguments_for,
    cost,
    numbers,
    orders,
    our_way,
    plain_way,
    published_way,
    timed,
    warm_up,
)
from benchmarks.neighbours import busy_processes
from benchmarks.random_models import SHAPES
from evaluation.results import NOTHING, Spread, alternate, describe_machine, gigabytes
from pipelines.request import RenderBudget, RenderRequest

PLAIN, PUBLISHED = "plain pictures", "the published way"
# FLUX.1 [dev] at 1024 x 1024 on an H100 as others publish it: seconds over steps.
PUBLISHED_STEPS = (
    "published for an H100, bf16, 1024x1024: diffusers 6.7 s for 28 steps (0.239 a step), compiled "
    "4.5 s (0.161); cache-dit's baseline 9.3 s for 50 steps (0.186)"
)
NEIGHBOURS = 2
_CALLS = 3


@dataclass(frozen=True)
class Rounds:
    """Costs of rendering a storyboard in several ways.

    Attributes:
        costs: of every round, by way.
    """

    costs: Mapping[str, Sequence[Cost]]

    def spread(self, name: str) -> Spread:
        """Return the seconds of one way."""
        return Spread(tuple(one.seconds for one in self.costs[name]))

    def rows(self) -> tuple[tuple[str, ...], ...]:
        """Return the table's cells, with ratios to the plain pictures.

        The last column compares latents with our first way's; plain pictures are other pictures.
        """
        ours = next((name for name in self.costs if name not in (PLAIN, PUBLISHED)), None)
        rows = []
        for name, costs in self.costs.items():
            found, last = self.spread(name), costs[-1]
            peak = max((one.device_bytes or 0 for one in costs), default=0)
            differs = NOTHING
            if ours is not None and name not in (PLAIN, ours):
                differs = f"{last.distance(self.costs[ours][-1]):.1e}"
            rows.append(
                (
                    name,
                    found.text(),
                    found.ratio_text(self.spread(PLAIN)),
                    str(last.evaluations),
                    f"{found.median / last.evaluations:.4f}",
                    gigabytes(peak) if peak else NOTHING,
                    differs,
                )
            )
        return tuple(rows)


STORYBOARD_HEAD = (
    "way", "seconds", "ratio to plain", "evaluations", "s an evaluation", "peak GPU GB",
    "latents differ by",
)  # fmt: skip


def rendered_rounds(bench: Workbench, ways: Mapping[str, RenderWay]) -> Iterator[Rounds]:
    """Render the storyboard in every way, in alternating rounds; yields all so far after each."""
    request, model = bench.story(), bench.model
    costs: dict[str, list[Cost]] = {name: [] for name in ways}

    def measure(name: str, way: RenderWay) -> float:
        found = cost(model, way, request)
        costs[name].append(found)
        print(f"{name}: {found.seconds:.2f} s", flush=True)
        return found.seconds

    variants = {name: partial(measure, name, way) for name, way in ways.items()}
    for _ in alternate(variants, bench.options.repeats):
        yield Rounds({name: tuple(found) for name, found in costs.items()})


def ways_to_render(bench: Workbench, *, dense: bool) -> dict[str, RenderWay]:
    """Return the ways that the options name."""
    model, options = bench.model, bench.options
    ways = {PLAIN: plain_way(model)}
    for order in options.orders:
        if order == "bank":
            ways["one after another, with a bank"] = our_way(model, RenderBudget(order="bank"))
            continue
        for batch in options.batches:
            together = RenderBudget(order="lockstep", batch=batch)
            ways[f"side by side, batches of {batch}"] = our_way(model, together)
    if dense:
        ways[PUBLISHED] = published_way(model)
    return ways


def storyboard(bench: Workbench, section: str = "storyboard", how: str = "") -> None:
    """Measure the storyboard in every way, and keep the table after each round."""
    compiled = section == "compiled"
    ways = ways_to_render(bench, dense=bench.options.dense and not compiled)
    request = bench.story()
    seconds = warm_up(bench.model, list(ways.values()), request)
    repeats = bench.options.repeats
    title = f"{bench.model.title}: a storyboard of {len(request.frames)}{how and f', {how}'}"
    for done, rounds in enumerate(rendered_rounds(bench, ways), start=1):
        bench.put(
            section,
            title,
            (
                *bench.notes(request),
                f"warming up took {seconds:.0f} s",
                f"{done} of {repeats} rounds",
            ),
            STORYBOARD_HEAD,
            rounds.rows(),
            finished=done == repeats,
        )


def attention(bench: Workbench) -> None:
    """Measure the attention of one sharing block."""
    options = bench.options
    shape = SHAPES.get(options.model, SHAPES["flux-dev"])
    dtype = getattr(torch, options.dtype or "bfloat16")
    rows = []
    for tokens in options.tokens:
        for background in (False, True):
            block = SharingBlock(shape, tokens, bench.device, dtype, options.foreground, background)
            with torch.no_grad():
                calls = block.calls()
                for call in calls.values():
                    call()
                variants = {n: partial(timed, bench.device, c, _CALLS) for n, c in calls.items()}
                found = list(alternate(variants, options.repeats))[-1]
                rows.append(attention_row(tokens, background, found, block.difference()))
    notes = (
        f"one single-stream block of {shape.heads} heads of {shape.head_dim}, {shape.text_tokens} "
        f"text tokens, {str(dtype).removeprefix('torch.')}, {options.foreground:.0%} of the tokens "
        "foreground and all of it matched; milliseconds from rotated queries, own keys and a bank "
        "to the output, projections not counted",
        f"{options.repeats} rounds of {_CALLS} calls; by slices: ours, the bank where it computes; "
        "dense mask: the published way, once with its bank where it computes and, on a GPU, once "
        "in host memory, from where it copies whole grids",
        describe_machine(bench.device),
    )
    bench.put("attention", "Attention of one sharing block", notes, ATTENTION_HEAD, rows)


ATTENTION_HEAD = (
    "image tokens", "shared", "plain, ms", "by slices, ms", "dense mask, ms", "slices / plain",
    "dense / slices", "dense from host, ms", "host / slices", "outputs differ by",
)  # fmt: skip


def attention_row(
    tokens: int, background: bool, found: Mapping[str, Spread], difference: float
) -> tuple[str, ...]:
    """Return one line of the attention's table, from seconds by way."""
    plain, slices, dense = (found[name] for name in ("plain", "slices", "dense"))
    host = found.get("dense from host")
    return (
        str(tokens),
        "character and place" if background else "character",
        *(_milliseconds(one).text() for one in (plain, slices, dense)),
        slices.ratio_text(plain),
        dense.ratio_text(slices),
        NOTHING if host is None else _milliseconds(host).text(),
        NOTHING if host is None else host.ratio_text(slices),
        f"{difference:.1e}",
    )


def _milliseconds(spread: Spread) -> Spread:
    return Spread(tuple(1000 * value for value in spread.values))


def forward(bench: Workbench, section: str = "forward", how: str = "") -> None:
    """Measure one forward pass of the plain transformer, by the size of its batch."""
    request = bench.story()
    pipeline, options = bench.model.pipeline, bench.options
    variants: dict[str, Callable[[], float]] = {}
    with torch.no_grad():
        for batch in dict.fromkeys((1, *options.batches)):
            call = forward_pass(bench, request, batch)
            call()
            variants[str(batch)] = partial(timed, bench.device, call, _CALLS)
        found = list(alternate(variants, options.repeats))[-1]
    rows = [
        (batch, spread.text(4), f"{spread.median / int(batch):.4f}")
        for batch, spread in found.items()
    ]
    title = f"{bench.model.title}: a forward pass{how and f', {how}'}"
    notes = bench.notes(request)
    if pipeline.transformer.config.num_layers == SHAPES["flux-dev"].blocks[0]:
        notes = (*notes, PUBLISHED_STEPS)
    bench.put(section, title, notes, ("frames in the batch", "seconds", "seconds a frame"), rows)


def forward_pass(bench: Workbench, request: RenderRequest, batch: int) -> Callable[[], object]:
    """Return a call of the transformer with a batch of copies of the first frame."""
    pipeline = bench.model.pipeline
    transformer: FluxTransformer2DModel = pipeline.transformer
    frame = request.frames[0]
    inputs = pipeline.prepare(frame, bench.model.text_tokens)
    latents, prompt = inputs.latents, inputs.prompt
    grid = pipeline.grid(frame.height, frame.width)
    guide = None
    if transformer.config.guidance_embeds:
        guide = torch.full([batch], request.guidance_scale, device=latents.device)
    return partial(
        transformer,
        hidden_states=latents.repeat(batch, 1, 1),
        timestep=latents.new_full([batch], 0.5),
        guidance=guide,
        pooled_projections=prompt.pooled_prompt_embeds.repeat(batch, 1),
        encoder_hidden_states=prompt.prompt_embeds.repeat(batch, 1, 1),
        txt_ids=latents.new_zeros(prompt.prompt_embeds.shape[1], 3),
        img_ids=pipeline._prepare_latent_image_ids(1, *grid, latents.device, latents.dtype),
        return_dict=False,
    )


def compiled(bench: Workbench) -> None:
    """Measure the storyboard and the forward pass with compiled blocks; they stay compiled."""
    bench.model.pipeline.transformer.compile_repeated_blocks(backend=bench.options.compiler)
    storyboard(bench, "compiled", "with compiled blocks")
    forward(bench, "compiled-forward", "with compiled blocks")


def neighbours(bench: Workbench) -> None:
    """Measure plain pictures and ours alone and beside busy processes, in alternating rounds."""
    request, model = bench.story(), bench.model
    ours = our_way(model, RenderBudget(order="lockstep", batch=max(bench.options.batches)))
    ways = {PLAIN: plain_way(model), "ours, side by side": ours}
    warm_up(model, list(ways.values()), request)

    def measure(way: RenderWay, processes: int) -> float:
        with busy_processes(processes):
            return cost(model, way, request).seconds

    variants = {
        f"{name} beside {processes}": partial(measure, way, processes)
        for name, way in ways.items()
        for processes in (0, NEIGHBOURS)
    }
    found = list(alternate(variants, bench.options.repeats))[-1]
    rows = []
    for name in ways:
        alone, beside = (found[f"{name} beside {processes}"] for processes in (0, NEIGHBOURS))
        rows.append((name, alone.text(), beside.text(), beside.ratio_text(alone)))
    frames = len(request.frames)
    title = f"{model.title}: a storyboard of {frames} beside {NEIGHBOURS} busy processes"
    head = ("way", "seconds alone", "seconds beside them", "beside / alone")
    bench.put("neighbours", title, bench.notes(request), head, rows)


SECTIONS = {
    "storyboard": storyboard,
    "neighbours": neighbours,
    "attention": attention,
    "forward": forward,
    "compiled": compiled,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the requested sections."""
    parser = arguments_for("speed", SECTIONS, "Seconds of a storyboard.")
    parser.add_argument("--orders", type=orders, default=("bank", "lockstep"))
    parser.add_argument("--batches", type=numbers, default=(5,), help="such as 1,5")
    parser.add_argument("--dense", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--tokens", type=numbers, default=(1024, 4096), help="of `attention`")
    parser.add_argument("--compiler", default="inductor", help="torch.compile's backend")
    Workbench(parser.parse_args(arguments), "speed").run(SECTIONS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
