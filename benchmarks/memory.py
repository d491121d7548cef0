"""Bytes of a storyboard: its banks, counted and measured, and the peak in every preset.

    python -m benchmarks.memory [--model miniature|middle|flux-dev] [--only SECTION] [--out DIR] ...

counted: the bank of a FLUX.1 [dev] picture of 1024x1024 in 50 steps, from shapes alone.
measured: the banks of a render with the model: counted from shapes, and what was allocated.
presets: the peak on the device in every preset that this machine and a random model allow, beside
    the need that `pipelines.models.presets` counts. Banks are in host memory there. Only a GPU
    reports its peak: without one this section runs with `--only presets` alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import Workbench, arguments_for, cost, numbers, our_way
from benchmarks.random_models import SHAPES, Model
from evaluation.fidelity.steering import SteeredPass
from evaluation.results import NOTHING, describe_machine, gigabytes
from pipelines.consistency.bank import Bank, BankBytes
from pipelines.loading import placement
from pipelines.loading.placement import Placement
from pipelines.models.presets import MEMORY_PRESETS, Machine, MemoryPreset, Workload
from pipelines.models.sizes import ModelParts, PartSizes
from pipelines.request import ConsistencySettings, RenderBudget
from pipelines.sampling.schedule import step_plan

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_TOKENS, _STEPS = 4096, 50


def counted(bench: Workbench) -> None:
    """Count the banks of a large picture."""
    foreground = bench.options.foreground
    notes = (
        f"{_TOKENS} image tokens, {_STEPS} steps, {foreground:.0%} of the tokens foreground, the "
        "published settings; GB of 10^9 bytes, GiB of 2^30 as memory is sold; counted from shapes, "
        "nothing is allocated",
        "kept: once the identity frame is rendered; peak: up to its mask step whole grids are "
        "kept; fetched: copies on the GPU while a bank is elsewhere",
        "the published way keeps every token of all blocks, as its golden vectors' README says",
    )
    head = ("bank", "shared", "kept, GB", "kept, GiB", "peak, GB", "fetched, GB")
    title = "The bank of a FLUX.1 [dev] picture, 1024x1024"
    bench.put("counted", title, notes, head, tuple(counted_rows(foreground)))


def counted_rows(foreground: float) -> Iterator[tuple[str, ...]]:
    """Yield the cells of the counted table."""
    shape = SHAPES["flux-dev"]
    plan = step_plan(_STEPS, ConsistencySettings())
    channels, blocks = shape.heads * shape.head_dim, shape.blocks[1]
    ways = (
        ("one after another", None),
        ("side by side, first steps kept", plan.probe_steps),
        ("side by side, nothing kept", 0),
    )
    for whole in (False, True):
        shared = "character and place" if whole else "character"
        grid = _TOKENS * channels * 2
        merged = sum(plan.merges(step) for step in range(_STEPS)) * ((blocks + 1) // 2)
        published = (2 * blocks * (plan.share_end - plan.share_start) + merged + blocks) * grid
        name, size = "the published way, bf16", gigabytes(published)
        yield name, shared, size, f"{published / 2**30:.1f}", size, NOTHING
        for title, lasting in ways:
            for name, itemsize in (("bf16", 2), ("fp8", 1)):
                found = Bank.expected_bytes(
                    plan,
                    tokens=_TOKENS,
                    channels=channels,
                    blocks=blocks,
                    itemsize=itemsize,
                    foreground=foreground,
                    holds_identity=True,
                    holds_background=whole,
                    lasting_steps=lasting,
                )
                kept, peak, fetched = map(gigabytes, (found.kept, found.peak, found.fetched))
                gib = f"{found.kept / 2**30:.1f}"
                yield f"{title}, {name}", shared, kept, gib, peak, fetched


@dataclass(frozen=True)
class BankSizes:
    """Sizes of a bank of a real render.

    Attributes:
        counted: from shapes and the frame's mask.
        peak: the most bytes that it held.
        kept: the bytes that it held when its last reader was done.
    """

    counted: BankBytes
    peak: int
    kept: int


class WatchedPass(SteeredPass):
    """Frame pass that notes the bytes of its banks after each of its steps, in `kept`."""

    def __init__(self, kept: dict[Bank, int], *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._kept = kept

    def end_step(self) -> None:
        """Leave a step, and note the bytes of the banks."""
        super().end_step()
        self._kept.update({bank: bank.nbytes for bank in self.banks})


@contextmanager
def banks_watched(model: Model) -> Iterator[list[BankSizes]]:
    """Collect the sizes of all banks of the renders meanwhile; the list is filled on leaving."""
    seen: list[BankSizes] = []
    kept: dict[Bank, int] = {}
    transformer = model.pipeline.transformer
    config = transformer.config
    before = model.pipeline.new_pass
    model.pipeline.new_pass = partial(WatchedPass, kept, model.steering)
    try:
        yield seen
    finally:
        model.pipeline.new_pass = before
    for bank, nbytes in kept.items():
        mask = bank.foreground
        expected = Bank.expected_bytes(
            bank.plan,
            tokens=len(mask),
            channels=config.num_attention_heads * config.attention_head_dim,
            blocks=config.num_single_layers,
            itemsize=transformer.dtype.itemsize,
            foreground=float(mask.double().mean()),
            holds_identity=bank.holds_identity,
            holds_background=bank.holds_background,
            lasting_steps=bank.lasting_steps,
        )
        seen.append(BankSizes(expected, bank.peak_bytes, nbytes))


def measured(bench: Workbench) -> None:
    """Measure the banks of renders, and the memory of the process."""
    request, model = bench.story(), bench.model
    rows = []
    budgets = {"plain pictures": None, "one after another": RenderBudget(order="bank")}
    for batch in bench.options.batches:
        name = f"side by side, batches of {batch}"
        budgets[f"{name}, first steps kept"] = RenderBudget(order="lockstep", batch=batch)
        nothing = RenderBudget(order="lockstep", batch=batch, device_bytes=0, host_bytes=0)
        budgets[f"{name}, nothing kept"] = nothing
    for name, budget in budgets.items():
        rendered = request
        if budget is None:
            frames = tuple(replace(f, identity_from=None) for f in request.frames)
            rendered = replace(request, frames=frames)
        with banks_watched(model) as seen:
            before = forget_peak()
            found = cost(model, our_way(model, budget or RenderBudget()), rendered)
            host = peak_of_process()
        rows.append(
            (
                name,
                *(bank_cells(seen[0]) if seen else (NOTHING,) * 4),
                NOTHING if host is None or before is None else gigabytes(host - before),
                NOTHING if found.device_bytes is None else gigabytes(found.device_bytes),
            )
        )
    notes = (
        *bench.notes(request),
        "counted with the share of the foreground that the frame's mask has; side by side, what "
        "all readers of a step have read is dropped block by block, so less than counted is held",
        "process: its peak of resident host memory above what it had before the render",
    )
    title = f"{model.title}: the bank of a storyboard of {len(request.frames)}"
    bench.put("measured", title, notes, MEASURED_HEAD, rows)


MEASURED_HEAD = (
    "way", "bank counted, GB", "allocated, GB", "peak counted, GB", "allocated, GB",
    "process, GB", "GPU peak, GB",
)  # fmt: skip


def bank_cells(sizes: BankSizes) -> tuple[str, ...]:
    """Return the kept and the peak bytes, each counted and allocated."""
    counts = (sizes.counted.kept, sizes.kept, sizes.counted.peak, sizes.peak)
    return tuple(gigabytes(count) for count in counts)


def forget_peak() -> int | None:
    """Begin a new peak of this process's resident memory; returns the bytes it has now.

    None where the system does not report them.
    """
    if not _CLEAR.exists():
        return None
    _CLEAR.write_text("5")
    return _status("VmRSS")


def peak_of_process() -> int | None:
    """Return the most resident bytes since `forget_peak`; None without a system's report."""
    return _status("VmHWM") if _STATUS.exists() else None


def _status(field: str) -> int | None:
    found = re.search(rf"^{field}:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return None if found is None else int(found[1]) * 1024


def presets(bench: Workbench) -> None:
    """Render in every preset, each with a model made anew."""
    options, rows = bench.options, []
    if options.model not in SHAPES:
        raise SystemExit("The presets are measured with random models: --model middle, flux-dev")
    chosen = [
        preset
        for preset in MEMORY_PRESETS
        if can_measure(preset, bench.device)
        and (not options.presets or preset.name in options.presets)
    ]
    for preset in chosen:
        model = bench.open_model()
        request = bench.story(model)
        need = needed(model, preset, request.frames[0].width, bench)
        placed = Placement(bench.device, bench.dtype, preset)
        settle(model, placed)
        budget = replace(placement.budget(placed), device_bytes=0, batch=options.batches[0])
        found = cost(model, our_way(model, budget), request)
        peak = NOTHING if found.device_bytes is None else gigabytes(found.device_bytes)
        speed = f"{found.seconds / found.evaluations:.3f}"
        rows.append((preset.name, peak, gigabytes(need), speed, str(found.evaluations)))
        notes = (
            f"{model.title}, {len(request.frames)} frames of {request.frames[0].width} pixels, "
            f"{request.steps} steps, batches of {options.batches[0]} where weights are streamed, "
            "banks in host memory",
            "text encoders are small stand-ins here, and are counted as such: T5 itself takes 9.5 "
            "GB more in bf16 where a preset leaves it on the GPU",
            "needed: what `pipelines.models.presets` counts, its reserve for kernels included; "
            "peak: torch's own count, which that is no part of",
            describe_machine(bench.device),
        )
        head = ("preset", "peak, GB", "needed, GB", "s an evaluation", "evaluations")
        title = f"{model.title}: peak memory by preset"
        bench.put("presets", title, notes, head, rows, finished=preset is chosen[-1])
        del model, request, found
        torch.cuda.empty_cache()


def can_measure(preset: MemoryPreset, device: torch.device) -> bool:
    """Return whether a random model can be placed like this here.

    Spreading takes more GPUs; 4-bit weights are only made from files.
    """
    there = all(find_spec(package) is not None for package in preset.packages)
    packed = preset.quantisation == "nf4"
    return device.type in preset.devices and there and not packed and preset.offload != "spread"


def settle(model: Model, placed: Placement) -> None:
    """Quantise and place a random model as a loaded one would be."""
    preset = placed.preset
    if not preset.exact:
        from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

        eight = {"fp8": Float8WeightOnlyConfig, "int8": Int8WeightOnlyConfig}
        quantize_(model.pipeline.transformer, eight[preset.quantisation]())
    if preset.offload != "none":
        model.pipeline.to("cpu")
    placement.place(model.pipeline, placed)


def needed(model: Model, preset: MemoryPreset, side: int, bench: Workbench) -> int:
    """Return the bytes that a preset needs of the device that computes, for these networks."""
    pipeline = model.pipeline
    config = pipeline.transformer.config
    networks = {
        "transformer": pipeline.transformer,
        "t5": pipeline.text_encoder_2,
        "clip": pipeline.text_encoder,
        "vae": pipeline.vae,
    }
    sizes = {
        part: PartSizes.of({name: tuple(t.shape) for name, t in network.state_dict().items()})
        for part, network in networks.items()
    }
    parts = ModelParts(
        **sizes,
        width=config.num_attention_heads * config.attention_head_dim,
        channels=pipeline.vae.config.block_out_channels[0],
        single_blocks=config.num_single_layers,
    )
    size = bench.dtype.itemsize
    step = parts.step_bytes(side, side, model.text_tokens, size)
    work = Workload(parts, step, parts.decoder_bytes(side, side, size), size)
    machine = Machine("cuda" if bench.device.type == "cuda" else "cpu")
    return preset.need(work, machine).computing


SECTIONS = {"counted": counted, "measured": measured, "presets": presets}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the requested sections."""
    parser = arguments_for("memory", SECTIONS, "Bytes of a storyboard.")
    parser.add_argument("--batches", type=numbers, default=(5,), help="such as 1,5")
    parser.add_argument("--presets", type=lambda text: text.split(","), help="such as full,fp8")
    bench = Workbench(parser.parse_args(arguments), "memory")
    sections = dict(SECTIONS)
    if bench.device.type != "cuda" and not bench.options.only:
        del sections["presets"]
    bench.run(sections)
    return 0


if __name__ == "__main__":
    sys.exit(main())
