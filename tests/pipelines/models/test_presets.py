"""Presets: their needs are counted, and a machine gets the first that fits."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from pipelines.models import presets
from pipelines.models.catalog import FLUX1_DEV, MINIATURE, find_model
from pipelines.models.presets import (
    GPU_RESERVE,
    MEMORY_PRESETS,
    Machine,
    Workload,
    choose,
    find_preset,
    fit,
    share_blocks,
    step_down,
    survey,
)
from pipelines.models.sizes import with_packed_transformer

ROOT = Path(__file__).resolve().parents[3]
GB = 10**9
DEV = Workload.of(FLUX1_DEV, 2)
EXACT = [preset for preset in MEMORY_PRESETS if preset.exact]
LARGE = Machine("cuda", (200 * GB, 200 * GB), 500 * GB)


@pytest.fixture(autouse=True)
def all_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets.importlib.util, "find_spec", lambda name: object())


def cuda(*gpus: float, host: float | None = None) -> Machine:
    free = None if host is None else int(host * GB)
    return Machine("cuda", tuple(int(gpu * GB) for gpu in gpus), free)


def chosen(machine: Machine) -> str:
    found = choose(FLUX1_DEV, machine, 2)
    return "" if found.problem else found.preset.name


def computing(name: str) -> int:
    return find_preset(name).need(DEV, LARGE).computing


@pytest.mark.parametrize("preset", MEMORY_PRESETS, ids=lambda preset: preset.name)
def test_a_preset_is_found_by_its_name(preset):
    assert find_preset(f" {preset.name.upper()} ") is preset
    assert preset.note.endswith(".") and not preset.title.endswith(".")
    assert preset.exact == (not preset.quantised) == (not preset.packages)


@pytest.mark.parametrize(("typed", "meant"), [("nf-4", "nf4"), ("modeloffload", "model-offload")])
def test_a_near_miss_is_reported(typed, meant):
    with pytest.raises(ValueError, match=f"Did you mean '{meant}'.*Known presets: auto, full"):
        find_preset(typed)


def test_whole_it_takes_all_weights_and_what_decoding_holds():
    held = 3 * 256 * 1024 * 1024 * 2
    assert computing("full") == FLUX1_DEV.weights_bytes + held + GPU_RESERVE


def test_in_turns_it_takes_the_transformer_and_what_a_step_holds():
    held = 18 * (64 * 64 + 512) * 3072 * 2
    assert computing("model-offload") == 2 * 11_901_408_320 + held + GPU_RESERVE
    assert find_preset("model-offload").need(DEV, LARGE).host == FLUX1_DEV.weights_bytes


def test_eight_bits_halve_the_linear_layers_and_nothing_else():
    for name in ("fp8", "int8"):
        assert computing("model-offload") - computing(name) == DEV.parts.transformer.linear
        assert find_preset(name).part_bytes(DEV, "t5") == 2 * DEV.parts.t5.whole


def test_four_bits_keep_one_scale_for_sixty_four_weights():
    transformer, preset = DEV.parts.transformer, find_preset("nf4")
    exact = 2 * (transformer.whole - transformer.linear)
    packed = transformer.linear // 2 + 4 * transformer.linear // 64
    assert preset.part_bytes(DEV, "transformer") == exact + packed


def test_every_exact_way_with_one_gpu_needs_less_of_it_than_the_one_before():
    needs = [computing(preset.name) for preset in EXACT if preset.name != "spread"]
    assert all(after < before for before, after in pairwise(needs))


def test_blocks_wait_in_pinned_memory_which_is_larger_than_they_are():
    host = find_preset("group-offload").need(DEV, LARGE).host
    assert host > find_preset("leaf-offload").need(DEV, LARGE).host
    assert host == 2 * (DEV.parts.transformer.pinned + DEV.parts.t5.whole)


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (cuda(80, host=64), "full"),
        (cuda(36, host=8), "full"),
        (cuda(20, 20, host=8), "spread"),
        (cuda(25, host=64), "model-offload"),
        (cuda(8, host=64), "group-offload"),
        (cuda(24, host=40), "leaf-offload"),
        (cuda(24), "group-offload"),
        (cuda(16, host=24), "fp8"),  # no exact way fits
        (cuda(12, host=12), "nf4"),
        (cuda(2, host=64), ""),
        (cuda(8, host=8), ""),
        (Machine("cpu", host=64 * GB), "full"),
        (Machine("cpu", host=30 * GB), "fp8"),
        (Machine("cpu", host=16 * GB), ""),
        (Machine("mps", host=36 * GB), "full"),
        (Machine("mps", host=30 * GB), ""),
        (Machine("cpu"), "full"),
    ],
    ids=str,
)
def test_the_first_that_fits_is_chosen_exact_ones_first(machine, name):
    assert chosen(machine) == name


def test_a_spread_shares_out_what_is_free_and_keeps_within_it():
    for gpus in ((20, 20), (24, 16), (16, 40), (24, 12, 12), (14, 10, 10, 12)):
        free = [gpu * GB for gpu in gpus]
        counts = share_blocks(DEV, free)
        assert sum(counts) == DEV.parts.transformer.blocks == 19
        need = find_preset("spread").need(DEV, Machine("cuda", tuple(free)))
        left = [there - taken for there, taken in zip(free, need.gpus, strict=True)]
        assert min(left) >= 0
        # Everything is there once, but for what a step holds on every GPU.
        held = max(DEV.step, DEV.decoder) + (len(gpus) - 1) * DEV.step + len(gpus) * GPU_RESERVE
        assert sum(need.gpus) - held == pytest.approx(FLUX1_DEV.weights_bytes, abs=10)
        block = 2 * DEV.parts.transformer.block
        used = [room for room, count in zip(left, counts, strict=True) if count]
        assert max(used) - min(used) <= block


@pytest.mark.parametrize("gpus", [(80,), (12, 12), (12, 12, 12)])
def test_a_spread_that_does_not_fit_is_none(gpus):
    assert share_blocks(DEV, [gpu * GB for gpu in gpus]) is None
    assert fit(find_preset("spread"), FLUX1_DEV, cuda(*gpus), 2).problem


def test_shortages_are_reported_with_numbers():
    small = cuda(20, host=16)
    problems = {found.preset.name: found for found in survey(FLUX1_DEV, small, 2)}
    assert problems["full"].problem == "needs 35.9 GB of GPU memory, and 20.0 GB are free"
    assert "33.3 GB of host memory, and 16.0 GB" in problems["leaf-offload"].problem
    assert problems["spread"].problem == "takes two GPUs or more"
    assert problems["leaf-offload"].about_memory and not problems["spread"].about_memory
    assert not problems["nf4"].problem


def test_a_package_that_is_missing_hinders_and_is_named(monkeypatch):
    monkeypatch.setattr(presets.importlib.util, "find_spec", lambda name: None)
    found = fit(find_preset("fp8"), FLUX1_DEV, cuda(80, host=64), 2)
    assert found.problem == "needs a package (pip install torchao)"
    assert chosen(cuda(16, host=24)) == ""


def test_a_gguf_file_counts_as_it_is_and_is_not_quantised_again(tmp_path):
    file = tmp_path / "flux-Q4.gguf"
    with file.open("wb") as written:
        written.truncate(7 * GB)
    packed = find_model(f"flux1-dev:{file}")
    assert packed.parts == with_packed_transformer(FLUX1_DEV.parts, file)
    assert packed.download_bytes == FLUX1_DEV.download_bytes - 2 * 11_901_408_320
    assert choose(packed, cuda(20, host=16), 2).preset.name == "full"
    work = Workload.of(packed, 2)
    need = find_preset("model-offload").need(work, LARGE)
    assert need.computing == pytest.approx(2 * work.parts.t5.whole + GPU_RESERVE)
    assert "GGUF" in fit(find_preset("int8"), packed, LARGE, 2).problem


def test_a_model_of_unknown_size_is_placed_whole():
    unknown = find_model("someone/flux-finetune")
    found = choose(unknown, cuda(1, host=1), 2)
    assert (found.preset.name, found.need, found.problem) == ("full", None, "")
    assert step_down(unknown, cuda(1, host=1), 2, found.preset).preset.name == "model-offload"


def test_stepping_down_saves_something_or_is_not_done(monkeypatch):
    machine = cuda(80, host=128)
    names, found = [], choose(FLUX1_DEV, machine, 2)
    while found is not None:
        names.append(found.preset.name)
        found = step_down(FLUX1_DEV, machine, 2, found.preset)
    assert names == ["full", "model-offload", "group-offload", "leaf-offload"]
    assert step_down(FLUX1_DEV, cuda(80, host=40), 2, find_preset("full")).preset.name == (
        "model-offload"
    )
    assert step_down(FLUX1_DEV, cuda(80, host=24), 2, find_preset("full")).preset.name == "fp8"
    assert step_down(MINIATURE, machine, 2, find_preset("full")) is None


def test_what_crosses_to_the_gpu_is_the_transformer():
    whole = 2 * DEV.parts.transformer.whole
    moved = {preset.name: preset.moved(DEV) for preset in MEMORY_PRESETS}
    assert moved["full"] == moved["spread"] == (0, 0)
    assert moved["model-offload"] == (0, 2 * whole)
    assert moved["group-offload"] == moved["leaf-offload"] == (whole, 0)
    assert moved["fp8"][1] < 0.51 * moved["model-offload"][1]


def test_a_larger_picture_holds_more():
    large = Workload.of(replace(FLUX1_DEV, width=2048), 2)
    assert large.decoder == 2 * DEV.decoder
    assert large.step == pytest.approx(2 * DEV.step, rel=0.1)


def test_presets_do_not_wait_for_torch():
    code = "import sys, pipelines.models.presets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
