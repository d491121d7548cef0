"""Devices: their choice, the number format that suits them, and free memory."""

from __future__ import annotations

import mmap
import os
import sys
from types import SimpleNamespace

import pytest
import torch

from pipelines import devices
from pipelines.devices import choose_device, choose_dtype, find_machine, free_memory, held_memory
from pipelines.errors import ModelError
from pipelines.models.catalog import FLUX1_DEV, MINIATURE


def test_a_device_that_is_not_there_is_reported():
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ModelError, match=f"no device '{absent}'") as caught:
        choose_device(absent)
    assert caught.value.reason == "missing"


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:-1", "meta", ""])
def test_what_is_no_device_is_refused(device):
    with pytest.raises(ValueError, match="is not cuda, cuda:N, mps or cpu"):
        choose_device(device)


def test_a_number_format_is_taken_by_name_or_refused():
    cpu = torch.device("cpu")
    assert choose_dtype("float16", cpu, MINIATURE) is torch.float16
    with pytest.raises(ValueError, match="'half' is not one of"):
        choose_dtype("half", cpu, MINIATURE)


@pytest.mark.parametrize(
    ("device", "spec", "hardware", "chosen"),
    [
        ("cuda", MINIATURE, False, torch.bfloat16),
        ("mps", MINIATURE, False, torch.bfloat16),
        ("cpu", MINIATURE, True, torch.bfloat16),
        ("cpu", MINIATURE, False, torch.float32),
        ("cpu", FLUX1_DEV, False, torch.bfloat16),
    ],
)
def test_the_number_format_suits_the_device(monkeypatch, device, spec, hardware, chosen):
    capabilities = {"avx512_bf16": hardware, "avx2": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert choose_dtype(None, torch.device(device), spec) is chosen


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports what is free")
def test_free_host_memory_is_less_than_there_is():
    free = free_memory(torch.device("cpu"))
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < free <= total


def test_a_containers_limit_counts(monkeypatch, tmp_path):
    available = SimpleNamespace(available=32 * 10**6)
    monkeypatch.setattr(devices.psutil, "virtual_memory", lambda: available)
    monkeypatch.setattr(devices, "_CONTAINER_LIMIT", tmp_path / "memory.max")
    for limit, free in (("max", 32 * 10**6), ("8192000", 8192000), ("1" * 15, 32 * 10**6)):
        (tmp_path / "memory.max").write_text(limit + "\n")
        assert free_memory(torch.device("cpu")) == free


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no private anonymous map")
def test_memory_that_a_loaded_model_holds_is_counted_beyond_the_libraries(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(devices, "_LIBRARIES", 0)
    before = held_memory(cpu)
    # The system's own pages: the allocator may answer from memory that earlier tests gave back.
    weights = mmap.mmap(-1, 50_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    torch.frombuffer(weights, dtype=torch.uint8).fill_(1)
    assert 45e6 < held_memory(cpu) - before < 60e6
    monkeypatch.setattr(devices, "_LIBRARIES", 2**62)
    assert held_memory(cpu) == 0
    monkeypatch.setattr(devices, "free_memory", lambda device: 10**9)
    assert find_machine(cpu, lambda device: 5).host == 10**9 + 5
