"""Open a model: choose device, number format and preset, see that it fits, load it, place it.

Every way in which this can fail becomes a `ModelError` that says what was wrong and what to do.
It knows nothing of requests or frames.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import torch
from safetensors import SafetensorError

from pipelines.devices import (
    GIGABYTE,
    choose_device,
    choose_dtype,
    find_machine,
    free_memory,
    other_gpus,
    quiet_libraries,
)
from pipelines.errors import ModelError, OutOfMemoryError
from pipelines.loading.faults import Origin, explain, model_origin, remedy_for_files
from pipelines.loading.placement import Placement, packed_transformer, place, quantisation
from pipelines.loading.speedups import compile_blocks, use_attention
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

__all__ = [
    "FAULTS",
    "HEADROOM",
    "ModelError",
    "Placement",
    "check_folder",
    "choose_device",
    "choose_dtype",
    "find_machine",
    "free_memory",
    "load_pipeline",
    "open_pipeline",
    "plan_placement",
    "plan_step_down",
    "quiet_libraries",
    "too_little",
]

# What foreign files and a foreign service can raise; `explain` names each, none is lost.
FAULTS = (
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    MemoryError,
    SafetensorError,
    httpx2.HTTPError,
)
# Activations and the allocator's slack of what follows pictures, as a share of its weights.
HEADROOM = 1.1
_TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "spiece.model")


def load_pipeline(
    spec: ModelSpec, device: str | None = None, dtype: str | None = None, memory: str = AUTO
) -> FluxStoryboardPipeline:
    """Load a model, ready to paint.

    Args:
        spec: the model.
        device: "cuda" (or "cuda:1", ...), "mps" or "cpu"; None takes the best that is there.
        dtype: "bfloat16", "float16" or "float32"; None takes bfloat16, or float32 for a small
            model on a CPU that does not compute in bfloat16.
        memory: name of a memory preset, or "auto" for the first that fits.

    Raises:
        ModelError: if the model cannot be loaded; `reason` says which way, the text what to do.
        ValueError: if `device`, `dtype` or `memory` is none of those.
    """
    if spec.kind != "hub":
        check_folder(spec)
    return open_pipeline(spec, plan_placement(spec, choose_device(device), dtype, memory))


def open_pipeline(
    spec: ModelSpec, placement: Placement, attention: str | None = None, *, compiled: bool = False
) -> FluxStoryboardPipeline:
    """Load a model as planned.

    Args:
        spec: the model.
        placement: where its weights will live.
        attention: the backend that computes its transformer's attention; None for torch's own.
        compiled: whether the transformer's blocks are compiled when they first run.

    Raises:
        ModelError: if it cannot be loaded; `reason` says which way, the text what to do.
    """
    if spec.kind != "hub":
        check_folder(spec)
    if spec.packed and importlib.util.find_spec("gguf") is None:
        raise ModelError(
            f"{spec.title} needs a package for GGUF files.", "Run `pip install gguf`.", "missing"
        )
    options: dict[str, object] = {}
    try:
        with quiet_libraries(), _on(placement.device):
            from pipelines.flux1.pipeline import FluxStoryboardPipeline

            quantised = quantisation(placement.preset, placement.dtype)
            if quantised is not None:
                options["quantization_config"] = quantised
            if spec.packed:
                options["transformer"] = packed_transformer(spec, placement.dtype)
            pipeline: FluxStoryboardPipeline = FluxStoryboardPipeline.from_pretrained(
                spec.source,
                dtype=placement.dtype,
                local_files_only=spec.kind != "hub",
                **options,
            )
            place(pipeline, placement)
    except FAULTS as error:
        raise explain(error, model_origin(spec)) from error
    pipeline.set_progress_bar_config(disable=True)
    if attention is not None:
        with quiet_libraries():
            use_attention(pipeline.transformer, attention)
    if compiled:
        compile_blocks(pipeline.transformer)
    return pipeline


@contextmanager
def _on(device: torch.device) -> Iterator[None]:
    """Make a GPU the current one, which is where bitsandbytes quantises."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            yield
    else:
        yield


def plan_placement(
    spec: ModelSpec, device: torch.device, dtype: str | None, memory: str = AUTO
) -> Placement:
    """How the model goes onto the device, in a memory preset that fits.

    A model whose size is not known is placed whole.

    Args:
        spec: the model.
        device: what computes.
        dtype: as `load_pipeline`.
        memory: likewise.

    Raises:
        ModelError: if memory does not suffice, with the numbers, or the preset cannot be used
            here.
        ValueError: if `dtype` is not a known format's name, or `memory` not a preset's.
    """
    wanted = None if memory == AUTO else find_preset(memory)
    chosen = choose_dtype(dtype, device, spec)
    if wanted is not None and not wanted.exact and dtype is None:
        chosen = torch.bfloat16  # what the kernels for quantised weights are made for
    machine = find_machine(device)
    if wanted is None:
        found = choose(spec, machine, chosen.itemsize)
    else:
        found = fit(wanted, spec, machine, chosen.itemsize)
    if found.problem:
        raise _unfit(spec, found, asked=wanted is not None)
    return _placed(spec, device, chosen, machine, found)


def plan_step_down(spec: ModelSpec, placement: Placement) -> Placement | None:
    """A placement that needs less, after memory ran out in this one; None where there is none.

    Args:
        spec: the model, which is not loaded any more.
        placement: where it was.
    """
    machine = find_machine(placement.device)
    found = step_down(spec, machine, placement.dtype.itemsize, placement.preset)
    if found is None:
        return None
    return _placed(spec, placement.device, placement.dtype, machine, found)


def _placed(
    spec: ModelSpec, device: torch.device, dtype: torch.dtype, machine: Machine, found: Fit
) -> Placement:
    """The placement in a preset that fits, with the room that it leaves."""
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
        # Half of the room is for the banks.
        together=1 + room // 2 // work.step,
    )


def _unfit(spec: ModelSpec, found: Fit, *, asked: bool) -> ModelError:
    """Why a model does not fit, with the numbers."""
    manner = "with" if asked else "even with"
    problem = f"{spec.title}, {manner} memory preset {found.preset.name}, {found.problem}."
    if found.about_memory:
        return OutOfMemoryError(problem, model_origin(spec).memory)
    return ModelError(
        problem, "Leave the preset out (THROUGHLINE_MEMORY) to take one that fits.", "missing"
    )


def check_folder(spec: ModelSpec) -> None:
    """See that a folder holds every component that its index names.

    diffusers makes empty tokenizers of missing ones without a word, so they are looked for here.

    Raises:
        ModelError: if something is missing or damaged.
    """
    folder = Path(spec.source)
    index = folder / "model_index.json"
    if not index.is_file():
        raise ModelError(
            f"The folder {folder} holds no model: model_index.json is not there.",
            remedy_for_files(model_origin(spec)),
            "missing",
        )
    try:
        components = json.loads(index.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(
            f"{index} is damaged: {error}.", remedy_for_files(model_origin(spec)), "broken"
        ) from error
    for name, value in components.items():
        if name.startswith("_") or not isinstance(value, list) or value[1] is None:
            continue
        if not (folder / name).is_dir():
            raise ModelError(
                f"The folder {folder} has no {name!r} component.",
                remedy_for_files(model_origin(spec)),
                "missing",
            )
        if name.startswith("tokenizer") and not any(
            (folder / name / file).is_file() for file in _TOKENIZER_FILES
        ):
            raise ModelError(
                f"The tokenizer {folder / name} holds none of {', '.join(_TOKENIZER_FILES)}.",
                remedy_for_files(model_origin(spec)),
                "missing",
            )


def too_little(origin: Origin, where: str, needed: int, free: int) -> ModelError:
    """Memory does not suffice, with the numbers.

    Args:
        origin: what needs it.
        where: whose memory it is.
        needed: bytes.
        free: bytes.
    """
    return OutOfMemoryError(
        f"{origin.title} needs {needed / GIGABYTE:.1f} GB of {where} and "
        f"{free / GIGABYTE:.1f} GB are free.",
        origin.memory,
    )
