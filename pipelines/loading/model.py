"""Load a model: choose device, number format and memory preset, load the weights, place them.

Every failure becomes a `ModelError`. It knows nothing of requests or frames.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from pipelines.devices import choose_device, choose_dtype, find_machine, other_gpus, quiet_libraries
from pipelines.errors import ModelError, OutOfMemoryError
from pipelines.loading.faults import explained, model_origin
from pipelines.loading.folder import check_files, check_folder, check_packages, fetch_folder
from pipelines.loading.gguf_file import packed_transformer
from pipelines.loading.networks import load_components
from pipelines.loading.placement import Placement, place, quantisation
from pipelines.loading.speedups import use_attention
from pipelines.models.presets import (
    AUTO,
    Fit,
    Machine,
    Workload,
    choose,
    find_preset,
    fit,
    share_blocks,
    step_down,
)
from pipelines.models.specs import ModelSpec

if TYPE_CHECKING:
    from pipelines.flux1.pipeline import FluxStoryboardPipeline


def load_pipeline(
    spec: ModelSpec, device: str | None = None, dtype: str | None = None, memory: str = AUTO
) -> FluxStoryboardPipeline:
    """Load a model, ready to render.

    Args:
        spec: the model.
        device: "cuda" (or "cuda:1", ...), "mps" or "cpu"; None takes the best one available.
        dtype: "bfloat16", "float16" or "float32"; None takes bfloat16, or float32 for a small
            model on a CPU that does not compute in bfloat16.
        memory: name of a memory preset, or "auto" for the first that fits.

    Raises:
        ModelError: if the model cannot be loaded.
        ValueError: if `device`, `dtype` or `memory` is none of those.
    """
    check_files(spec)
    return open_pipeline(spec, plan_placement(spec, choose_device(device), dtype, memory))


def open_pipeline(
    spec: ModelSpec, placement: Placement, attention: str | None = None, *, compiled: bool = False
) -> FluxStoryboardPipeline:
    """Load a model as planned; the folder of one on this disk has passed `check_files`.

    Args:
        spec: the model.
        placement: the plan.
        attention: the backend that computes its transformer's attention; None for torch's own.
        compiled: whether the transformer's blocks are compiled when they first run.

    Raises:
        ModelError: if it cannot be loaded.
    """
    check_packages(spec)
    device, origin = placement.device, model_origin(spec)
    # bitsandbytes quantises on the current GPU.
    current = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
    with quiet_libraries(), current:
        from pipelines.flux1.pipeline import FluxStoryboardPipeline

        folder = fetch_folder(spec)
        if spec.kind == "hub":
            check_folder(spec, folder)
        transformer = packed_transformer(spec, placement.dtype) if spec.packed else None
        quantised = quantisation(placement.preset, placement.dtype)
        components = load_components(folder, origin, placement.dtype, quantised, transformer)
        pipeline = FluxStoryboardPipeline(**components)
        with explained(origin):
            place(pipeline, placement)
    pipeline.set_progress_bar_config(disable=True)
    if attention is not None:
        with quiet_libraries():
            use_attention(pipeline.transformer, attention)
    if compiled:
        # Once for all blocks of a kind, when they first run: a minute or more for each frame size.
        # Everything that differs between blocks or frames stays outside of the compiled code.
        pipeline.transformer.compile_repeated_blocks()
    return pipeline


def plan_placement(
    spec: ModelSpec, device: torch.device, dtype: str | None, memory: str = AUTO
) -> Placement:
    """Plan where a model's weights go, in a memory preset that fits.

    A model of unknown size is placed whole. See `load_pipeline` for `dtype` and `memory`.

    Raises:
        ModelError: if memory does not suffice, or the preset cannot be used here.
        ValueError: if `dtype` is no name of a known format, or `memory` none of a preset.
    """
    found, machine, chosen = find_fit(spec, device, dtype, memory)
    if found.problem:
        raise _unfit(spec, found, automatic=memory == AUTO)
    return _placement(spec, device, chosen, machine, found)


def find_fit(
    spec: ModelSpec,
    device: torch.device,
    dtype: str | None,
    memory: str = AUTO,
    held: Callable[[torch.device], int] | None = None,
) -> tuple[Fit, Machine, torch.dtype]:
    """Find the memory preset for a model; it may not fit.

    Args:
        spec, device, dtype, memory: as in `plan_placement`.
        held: returns the bytes of a device that count as free besides those that are.

    Returns:
        The fit, the machine with its free memory, and the number format of the weights.

    Raises:
        ValueError: as `plan_placement`.
    """
    wanted = None if memory == AUTO else find_preset(memory)
    chosen = choose_dtype(dtype, device, spec)
    if wanted is not None and not wanted.exact and dtype is None:
        chosen = torch.bfloat16  # the format of the kernels for quantised weights
    machine = find_machine(device) if held is None else find_machine(device, held)
    if wanted is None:
        return choose(spec, machine, chosen.itemsize), machine, chosen
    return fit(wanted, spec, machine, chosen.itemsize), machine, chosen


def plan_step_down(spec: ModelSpec, placement: Placement) -> Placement | None:
    """Plan a placement that needs less than one in which memory ran out, after `spec` is unloaded.

    Returns:
        None where there is none.
    """
    machine = find_machine(placement.device)
    found = step_down(spec, machine, placement.dtype.itemsize, placement.preset)
    if found is None:
        return None
    return _placement(spec, placement.device, placement.dtype, machine, found)


def _placement(
    spec: ModelSpec, device: torch.device, dtype: torch.dtype, machine: Machine, found: Fit
) -> Placement:
    """Return the placement in a preset that fits, with the room that it leaves."""
    work = Workload.of(spec, dtype.itemsize)
    if work is None or found.need is None or not machine.gpus:
        return Placement(device, dtype, found.preset)
    room = machine.gpus[0] - found.need.computing
    blocks: tuple[int, ...] = ()
    if found.preset.offload == "spread":
        blocks = share_blocks(work, machine.gpus) or ()
    return Placement(
        device,
        dtype,
        found.preset,
        blocks=blocks,
        others=tuple(other_gpus(device)) if blocks else (),
        room=room,
        # The other half of the room is for banks.
        together=1 + room // 2 // work.step,
    )


def _unfit(spec: ModelSpec, found: Fit, *, automatic: bool) -> ModelError:
    preset = f"memory preset {found.preset.name}"
    if found.about_memory:
        return OutOfMemoryError(
            f"Not enough memory for {spec.title}: {'even ' if automatic else ''}with {preset} it "
            f"{found.problem}.",
            model_origin(spec).memory,
        )
    return ModelError(
        f"{spec.title} cannot use {preset}, which {found.problem}.",
        "Leave the preset out (THROUGHLINE_MEMORY) to take one that fits.",
        "missing",
    )
