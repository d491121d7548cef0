"""Devices of this machine: their choice, their number format and their free memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch
from diffusers.utils import logging as diffusers_logging
from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
from transformers.utils import logging as transformers_logging

from pipelines.errors import ModelError
from pipelines.models.presets import GIGABYTE, Machine
from pipelines.models.specs import ModelSpec

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}

# Loggers that warn of what does not concern a person who renders.
_TALKATIVE = ("torchao", "torch.utils._pytree")
# Bytes of host memory that Python and its libraries take at most, without any model.
_LIBRARIES = GIGABYTE

_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")  # of control groups, version 2


def choose_device(device: str | None) -> torch.device:
    """Return the device of this name, or the best available: CUDA, then Apple's MPS, then the CPU.

    Raises:
        ValueError: if this is no name of a device.
        ModelError: if this machine has no such device.
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
        raise ModelError(
            f"This machine has no device {device!r} that torch {torch.__version__} can use.",
            "Leave the device out (THROUGHLINE_DEVICE) to take the best one available.",
            "missing",
        )
    return chosen


def choose_dtype(dtype: str | None, device: torch.device, spec: ModelSpec) -> torch.dtype:
    """Return the number format of this name, or the one that suits the device.

    That is bfloat16 wherever the hardware computes in it. On other CPUs a large model takes it too,
    since float32 would need twice the memory; a small one takes float32, which is faster there.

    Raises:
        ValueError: if this is no name of a known format.
    """
    if dtype is not None:
        if dtype not in _DTYPES:
            raise ValueError(f"dtype {dtype!r} is not one of {', '.join(_DTYPES)}")
        return _DTYPES[dtype]
    if device.type != "cpu" or spec.weights_bytes >= GIGABYTE:
        return torch.bfloat16
    capabilities = torch.cpu.get_capabilities()
    in_hardware = any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    return torch.bfloat16 if in_hardware else torch.float32


def find_machine(
    device: torch.device, held: Callable[[torch.device], int] = lambda device: 0
) -> Machine:
    """Return the free memory of this machine, for a model that computes on this device.

    Other GPUs count for the device "cuda"; one with a number is used alone.

    Args:
        device: the device that computes.
        held: returns the bytes of a device that count as free besides those that are.
    """

    def room(place: torch.device) -> int:
        return free_memory(place) + held(place)

    host = room(torch.device("cpu"))
    if device.type == "mps":
        return Machine("mps", host=room(device))
    if device.type != "cuda":
        return Machine("cpu", host=host)
    return Machine("cuda", tuple(map(room, (device, *other_gpus(device)))), host)


def held_memory(device: torch.device) -> int:
    """Return the bytes of a device that this process would give back if it unloaded its model."""
    if device.type == "cuda":
        return int(torch.cuda.memory_reserved(device))
    process = psutil.Process().memory_info()
    # Pages of files, such as weights that are mapped, count as free already.
    return max(0, int(process.rss - getattr(process, "shared", 0)) - _LIBRARIES)


def other_gpus(device: torch.device) -> list[torch.device]:
    """Return the GPUs that a model may use besides this device."""
    if str(device) != "cuda":
        return []
    return [torch.device("cuda", index) for index in range(1, torch.cuda.device_count())]


def free_memory(device: torch.device) -> int:
    """Return the bytes that a model could take on this device now, without swapping."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    limits = [int(psutil.virtual_memory().available)]
    if device.type == "mps":
        limits.append(int(torch.mps.recommended_max_memory()))  # Metal's share of unified memory
    if _CONTAINER_LIMIT.is_file() and (limit := _CONTAINER_LIMIT.read_text().strip()).isdecimal():
        limits.append(int(limit))
    return min(limits)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence the hints of the libraries and their progress bars; keep download bars."""
    libraries = (diffusers_logging, transformers_logging)
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    before = [(lib.get_verbosity(), lib.is_progress_bar_enabled()) for lib in libraries]
    downloads_shown = not are_progress_bars_disabled()
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    if downloads_shown:
        # transformers' switch turns the hub's bars off too, but downloads take long.
        enable_progress_bars()
    try:
        yield
    finally:
        for logger, own in zip(loggers, levels, strict=True):
            logger.setLevel(own)
        for library, (level, bars) in zip(libraries, before, strict=True):
            library.set_verbosity(level)
            if bars:
                library.enable_progress_bar()
