"""Open a model: choose device, number format and preset, see that it fits, load it, place it.

Every way in which this can fail becomes a `LoadingError` that says what was wrong and what to do.
It knows nothing of requests or frames.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import torch
from diffusers.utils import logging as diffusers_logging
from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from pipelines.loading.faults import LoadingError, Origin, explain, model_origin, remedy_for_files
from pipelines.loading.placement import Placement, packed_transformer, place, quantisation
from pipelines.loading.speedups import compile_blocks, use_attention
from pipelines.models.catalog import ModelSpec
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

if TYPE_CHECKING:
    from pipelines.flux1.pipeline import FluxStoryboardPipeline

__all__ = [
    "FAULTS",
    "HEADROOM",
    "LoadingError",
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

_DTYPES = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float32": torch.float32,
}
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
_GIGABYTE = 10**9
# Activations and the allocator's slack of what follows pictures, as a share of its weights.
HEADROOM = 1.1
_MEMINFO = Path("/proc/meminfo")
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
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
        LoadingError: if the model cannot be loaded; `reason` says which way, the text what to do.
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
        LoadingError: if it cannot be loaded; `reason` says which way, the text what to do.
    """
    if spec.kind != "hub":
        check_folder(spec)
    if spec.packed and importlib.util.find_spec("gguf") is None:
        raise LoadingError(
            "missing", f"{spec.title} needs a package for GGUF files.", "Run `pip install gguf`."
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


def choose_device(device: str | None) -> torch.device:
    """The device of this name, or the best there is: CUDA, then Apple's MPS, then the CPU.

    Raises:
        ValueError: if the name is not a device's.
        LoadingError: if this machine has no such device.
    """
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, index = device.partition(":")
    if kind not in ("cuda", "mps", "cpu") or (index and not index.isdecimal()):
        raise ValueError(f"device {device!r} is not cuda, cuda:N, mps or cpu")
    chosen = torch.device(device)
    available = {
        "cuda": torch.cuda.is_available() and int(index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if not available[kind]:
        raise LoadingError(
            "missing",
            f"This machine has no device {device!r} that torch {torch.__version__} can use.",
            "Leave the device out (THROUGHLINE_DEVICE) to take the best there is.",
        )
    return chosen


def choose_dtype(dtype: str | None, device: torch.device, spec: ModelSpec) -> torch.dtype:
    """The number format of this name, or the one that suits the device.

    bfloat16 wherever the hardware computes in it. On other CPUs a large model takes it too, since
    float32 would need twice the memory; a small one takes float32, which is faster there.

    Raises:
        ValueError: if the name is not a known format's.
    """
    if dtype is not None:
        if dtype not in _DTYPES:
            raise ValueError(f"dtype {dtype!r} is not one of {', '.join(_DTYPES)}")
        return _DTYPES[dtype]
    if device.type == "cpu" and spec.weights_bytes < _GIGABYTE and not _cpu_has_bfloat16():
        return torch.float32
    return torch.bfloat16


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
        LoadingError: if memory does not suffice, with the numbers, or the preset cannot be used
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
        others=tuple(_other_gpus(device)) if blocks else (),
        room=room,
        # Half of the room is for the banks.
        together=1 + room // 2 // work.step,
    )


def _unfit(spec: ModelSpec, found: Fit, *, asked: bool) -> LoadingError:
    """Why a model does not fit, with the numbers."""
    manner = "with" if asked else "even with"
    problem = f"{spec.title}, {manner} memory preset {found.preset.name}, {found.problem}."
    if found.about_memory:
        return LoadingError("memory", problem, model_origin(spec).memory)
    return LoadingError(
        "missing", problem, "Leave the preset out (THROUGHLINE_MEMORY) to take one that fits."
    )


def find_machine(device: torch.device) -> Machine:
    """The free memory of this machine, for a model that computes on this device.

    Other GPUs count where the device is CUDA's without a number: one that is named is used alone.
    """
    host = free_memory(torch.device("cpu"))
    if device.type == "mps":
        return Machine("mps", host=free_memory(device))
    if device.type != "cuda":
        return Machine("cpu", host=host)
    found = [free_memory(gpu) for gpu in (device, *_other_gpus(device))]
    return Machine("cuda", tuple(free for free in found if free is not None), host)


def _other_gpus(device: torch.device) -> list[torch.device]:
    if str(device) != "cuda":
        return []
    return [torch.device("cuda", index) for index in range(1, torch.cuda.device_count())]


def free_memory(device: torch.device) -> int | None:
    """Bytes that a model could take on this device now; None where it cannot be known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    host = _free_host_memory()
    if device.type == "mps":
        # Unified memory: what Metal may take, and no more than what is left.
        limit = int(torch.mps.recommended_max_memory())
        return limit if host is None else min(limit, host)
    return host


def check_folder(spec: ModelSpec) -> None:
    """See that a folder holds every component that its index names.

    diffusers makes empty tokenizers of missing ones without a word, so they are looked for here.

    Raises:
        LoadingError: if something is missing or damaged.
    """
    folder = Path(spec.source)
    index = folder / "model_index.json"
    if not index.is_file():
        raise LoadingError(
            "missing",
            f"The folder {folder} holds no model: model_index.json is not there.",
            remedy_for_files(model_origin(spec)),
        )
    try:
        components = json.loads(index.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LoadingError(
            "broken", f"{index} is damaged: {error}.", remedy_for_files(model_origin(spec))
        ) from error
    for name, value in components.items():
        if name.startswith("_") or not isinstance(value, list) or value[1] is None:
            continue
        if not (folder / name).is_dir():
            raise LoadingError(
                "missing",
                f"The folder {folder} has no {name!r} component.",
                remedy_for_files(model_origin(spec)),
            )
        if name.startswith("tokenizer") and not any(
            (folder / name / file).is_file() for file in _TOKENIZER_FILES
        ):
            raise LoadingError(
                "missing",
                f"The tokenizer {folder / name} holds none of {', '.join(_TOKENIZER_FILES)}.",
                remedy_for_files(model_origin(spec)),
            )


def too_little(origin: Origin, where: str, needed: int, free: int) -> LoadingError:
    """Memory does not suffice, with the numbers.

    Args:
        origin: what needs it.
        where: whose memory it is.
        needed: bytes.
        free: bytes.
    """
    return LoadingError(
        "memory",
        f"{origin.title} needs {needed / _GIGABYTE:.1f} GB of {where} and "
        f"{free / _GIGABYTE:.1f} GB are free.",
        origin.memory,
    )


def _cpu_has_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16; without them it is slower than float32."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def _free_host_memory() -> int | None:
    """Bytes of host memory that can be taken without swapping; None where it cannot be known."""
    if _MEMINFO.is_file():
        fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
        free = int(fields["MemAvailable"].split()[0]) * 1024
        if _CONTAINER_LIMIT.is_file():
            limit = _CONTAINER_LIMIT.read_text().strip()
            free = min(free, int(limit)) if limit.isdecimal() else free
        return free
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep diffusers and transformers from writing hints and bars over a front end's own."""
    libraries = (diffusers_logging, transformers_logging)
    before = [(lib.get_verbosity(), lib.is_progress_bar_enabled()) for lib in libraries]
    downloads_shown = not are_progress_bars_disabled()
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    if downloads_shown:
        # transformers' switch turns the hub's bars off too, and a download takes long.
        enable_progress_bars()
    try:
        yield
    finally:
        for library, (level, bars) in zip(libraries, before, strict=True):
            library.set_verbosity(level)
            if bars:
                library.enable_progress_bar()
