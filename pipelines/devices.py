"""Devices of this machine: which one computes, in which number format, and its free memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from diffusers.utils import logging as diffusers_logging
from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars
from transformers.utils import logging as transformers_logging

from pipelines.errors import ModelError
from pipelines.models.presets import (
    Machine,
)
from pipelines.models.specs import ModelSpec

_DTYPES = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float32": torch.float32,
}

GIGABYTE = 10**9

_MEMINFO = Path("/proc/meminfo")

_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def choose_device(device: str | None) -> torch.device:
    """The device of this name, or the best there is: CUDA, then Apple's MPS, then the CPU.

    Raises:
        ValueError: if the name is not a device's.
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
            "Leave the device out (THROUGHLINE_DEVICE) to take the best there is.",
            "missing",
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
    if device.type == "cpu" and spec.weights_bytes < GIGABYTE and not _cpu_has_bfloat16():
        return torch.float32
    return torch.bfloat16


def find_machine(device: torch.device) -> Machine:
    """The free memory of this machine, for a model that computes on this device.

    Other GPUs count where the device is CUDA's without a number: one that is named is used alone.
    """
    host = free_memory(torch.device("cpu"))
    if device.type == "mps":
        return Machine("mps", host=free_memory(device))
    if device.type != "cuda":
        return Machine("cpu", host=host)
    found = [free_memory(gpu) for gpu in (device, *other_gpus(device))]
    return Machine("cuda", tuple(free for free in found if free is not None), host)


def other_gpus(device: torch.device) -> list[torch.device]:
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
