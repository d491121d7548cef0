"""Loading: the miniature loads, memory decides the placement, and every failure has a remedy."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from pipelines import devices, hub_errors
from pipelines.errors import ModelError
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.loading import folder as folder_checks
from pipelines.loading import model as loading
from pipelines.loading.faults import explain, model_origin
from pipelines.loading.model import load_pipeline
from pipelines.models.catalog import FLUX1_DEV, MINIATURE, find_model

GB = 10**9


def hub_error(kind: type[HfHubHTTPError], status: int) -> HfHubHTTPError:
    """The exception that huggingface_hub raises for an answer of this status."""
    url = "https://huggingface.co/api/models/black-forest-labs/FLUX.1-dev"
    response = httpx2.Response(status, request=httpx2.Request("GET", url))
    return kind(f"{status} Client Error.", response=response)


def wrapped(cause: BaseException) -> OSError:
    """Return diffusers' exception for a hub error when nothing is cached."""
    error = OSError("Cannot load model: the model is not fully cached locally")
    error.__cause__ = cause
    error.__context__ = LocalEntryNotFoundError("no snapshot")
    return error


@pytest.fixture
def folder(tmp_path: Path, miniature_folder: Path) -> Path:
    """A copy of the miniature's folder that a test may damage."""
    return Path(shutil.copytree(miniature_folder, tmp_path / "model"))


@pytest.fixture
def enough_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "free_memory", lambda device: 200 * GB)


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def download(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(folder_checks, "hf_hub_download", download)


# What loads.


def test_the_miniature_loads_and_is_ours():
    pipeline = load_pipeline(MINIATURE, device="cpu", dtype="float32")
    assert isinstance(pipeline, FluxStoryboardPipeline)
    assert pipeline.device.type == "cpu"
    assert {p.dtype for p in pipeline.transformer.parameters()} == {torch.float32}
    assert all(torch.isfinite(p).all() for p in pipeline.transformer.parameters())


def test_a_folder_loads_like_the_embedded_model(folder):
    ours = load_pipeline(find_model(str(folder)), device="cpu", dtype="float32")
    shipped = load_pipeline(MINIATURE, device="cpu", dtype="float32")
    state = shipped.transformer.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in ours.transformer.state_dict().items())


def test_loading_leaves_the_libraries_as_verbose_as_they_were(capfd):
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    libraries = (diffusers_logging, transformers_logging)
    for library in libraries:
        library.set_verbosity_info()
    capfd.readouterr()
    try:
        load_pipeline(MINIATURE, device="cpu")
        assert [library.get_verbosity() for library in libraries] == [20, 20]
        assert all(library.is_progress_bar_enabled() for library in libraries)
    finally:
        for library in libraries:
            library.set_verbosity_warning()
    assert capfd.readouterr().err == ""


@pytest.mark.gpu
def test_on_a_gpu_the_miniature_loads_there_in_bfloat16():
    pipeline = load_pipeline(MINIATURE)
    assert pipeline.device.type == "cuda"
    assert {p.dtype for p in pipeline.transformer.parameters()} == {torch.bfloat16}


# Memory. FLUX.1 [dev] takes 33.7 GB in 16 bits, of which its transformer takes 23.8 GB.


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Free GB by device, for a test to set; other GPUs than the first are "cuda:1" and so on."""
    free: dict[str, float] = {}
    monkeypatch.setattr(devices, "free_memory", lambda device: int(free[str(device)] * GB))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: sum("cuda" in name for name in free))
    return free


@pytest.mark.parametrize(
    ("gpu", "host", "preset"),
    [
        (80, 64, "full"),
        (36, 64, "full"),
        (35, 64, "model-offload"),
        (24, 64, "group-offload"),
        (24, 40, "leaf-offload"),
    ],
)
def test_a_gpu_takes_the_model_whole_or_in_parts(memory, gpu, host, preset):
    memory |= {"cuda": gpu, "cpu": host}
    placement = loading.plan_placement(FLUX1_DEV, torch.device("cuda"), None)
    assert placement.preset.name == preset
    assert placement.dtype is torch.bfloat16
    assert 0 <= placement.room < gpu * GB


def test_a_spread_says_which_gpu_takes_how_many_blocks(memory):
    memory |= {"cuda": 20, "cuda:1": 20, "cpu": 16}
    placement = loading.plan_placement(FLUX1_DEV, torch.device("cuda"), None)
    assert placement.preset.name == "spread"
    assert placement.others == (torch.device("cuda:1"),)
    assert sum(placement.blocks) == 19 and min(placement.blocks) > 0


def test_a_gpu_that_is_named_is_used_alone(memory):
    memory |= {"cuda:1": 20, "cuda:0": 40, "cpu": 64}
    placement = loading.plan_placement(FLUX1_DEV, torch.device("cuda:1"), None)
    assert (placement.preset.name, placement.others) == ("group-offload", ())


@pytest.mark.parametrize(
    ("device", "free", "host", "numbers"),
    [
        ("cuda", 2, 64, ("2.5 GB of GPU memory", "2.0 GB")),
        ("cpu", 0, 10, ("GB of host memory", "10.0 GB")),
        ("mps", 30, 64, ("35.4 GB of memory", "30.0 GB")),
    ],
)
def test_too_little_memory_is_reported_with_numbers_before_loading(
    memory, device, free, host, numbers
):
    memory |= {device: free, "cpu": host}
    with pytest.raises(ModelError) as caught:
        loading.plan_placement(FLUX1_DEV, torch.device(device), None)
    assert caught.value.reason == "memory"
    assert all(number in str(caught.value) for number in numbers)


def test_a_preset_that_is_named_is_taken_or_refused_with_numbers(memory):
    memory |= {"cuda": 24, "cpu": 64}
    cuda = torch.device("cuda")
    assert loading.plan_placement(FLUX1_DEV, cuda, None, "leaf-offload").preset.offload == "leaf"
    with pytest.raises(ModelError, match=r"preset full it needs 35\.9 GB.*24\.0 GB are") as caught:
        loading.plan_placement(FLUX1_DEV, cuda, None, "full")
    assert caught.value.reason == "memory"
    with pytest.raises(ModelError, match="preset spread, which takes two GPUs") as caught:
        loading.plan_placement(FLUX1_DEV, cuda, None, "spread")
    assert caught.value.reason == "missing"
    with pytest.raises(ValueError, match="Did you mean 'leaf-offload'"):
        loading.plan_placement(FLUX1_DEV, cuda, None, "leaf-ofload")


def test_a_package_that_is_missing_is_named(memory, monkeypatch):
    memory |= {"cuda": 24, "cpu": 64}
    monkeypatch.setattr("pipelines.models.presets.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install bitsandbytes"):
        loading.plan_placement(FLUX1_DEV, torch.device("cuda"), None, "nf4")


def test_quantised_weights_are_computed_with_in_bfloat16(memory):
    pytest.importorskip("torchao")
    memory |= {"cpu": 64}
    cpu = torch.device("cpu")
    assert loading.plan_placement(MINIATURE, cpu, None, "int8").dtype is torch.bfloat16
    assert loading.plan_placement(MINIATURE, cpu, "float16", "int8").dtype is torch.float16


def test_float32_takes_twice_the_memory(memory):
    memory |= {"cpu": 60}
    cpu = torch.device("cpu")
    assert loading.plan_placement(FLUX1_DEV, cpu, "bfloat16").dtype is torch.bfloat16
    with pytest.raises(ModelError, match=r"70\.7 GB"):
        loading.plan_placement(FLUX1_DEV, cpu, "float32", "full")


def test_a_model_of_unknown_size_is_tried(memory):
    memory |= {"cuda": 0, "cpu": 0}
    spec = find_model("someone/flux-finetune")
    assert loading.plan_placement(spec, torch.device("cuda"), None).preset.name == "full"


def test_stepping_down_takes_the_next_smaller_preset(memory):
    memory |= {"cuda": 40, "cpu": 64}
    placement = loading.plan_placement(FLUX1_DEV, torch.device("cuda"), None)
    names = []
    while placement is not None:
        names.append(placement.preset.name)
        placement = loading.plan_step_down(FLUX1_DEV, placement)
    assert names == ["full", "model-offload", "group-offload", "leaf-offload"]


# The hub's refusals, as huggingface_hub raises them and as diffusers wraps them.


@pytest.mark.parametrize("wrap", [False, True], ids=["bare", "wrapped"])
@pytest.mark.parametrize(
    ("error", "reason", "say"),
    [
        (
            hub_error(GatedRepoError, 403),
            "gated",
            "https://huggingface.co/black-forest-labs/FLUX.1-dev",
        ),
        (hub_error(RepositoryNotFoundError, 404), "missing", "no Hugging Face repository"),
        (hub_error(HfHubHTTPError, 401), "token", "hf auth login"),
        (hub_error(HfHubHTTPError, 403), "token", "HF_TOKEN"),
        (hub_error(HfHubHTTPError, 404), "missing", r"model_index\.json"),
        (hub_error(HfHubHTTPError, 503), "network", "answered 503"),
        (hub_error(HfHubHTTPError, 429), "network", "try again"),
        (LocalEntryNotFoundError("not cached"), "network", "HF_HUB_OFFLINE"),
        (OfflineModeIsEnabled("offline"), "network", "Unset HF_HUB_OFFLINE"),
        (httpx2.ConnectError("no route"), "network", "miniature works without"),
        (ConnectionResetError("reset"), "network", "miniature works without"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory", r"33\.7 GB"),
        (MemoryError(), "memory", "Memory ran out"),
        (OSError(errno.ENOSPC, "No space left on device"), "broken", "HF_HOME"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_a_failure_is_explained(monkeypatch, enough_memory, error, reason, say, wrap):
    failing(monkeypatch, wrapped(error) if wrap else error)
    with pytest.raises(ModelError, match=say) as caught:
        load_pipeline(FLUX1_DEV, device="cpu")
    assert caught.value.reason == reason
    assert caught.value.__cause__ is not None
    assert str(caught.value) == f"{caught.value.problem} {caught.value.remedy}"


def test_a_gated_model_asks_for_a_token_or_for_its_account(monkeypatch):
    error = hub_error(GatedRepoError, 401)
    monkeypatch.setattr(hub_errors, "get_token", lambda: None)
    assert "hf auth login" in explain(error, model_origin(FLUX1_DEV)).remedy
    monkeypatch.setattr(hub_errors, "get_token", lambda: "hf_some_token")
    assert "the account of your token" in explain(error, model_origin(FLUX1_DEV)).remedy


def test_a_near_miss_of_a_repository_is_reported():
    spec = find_model("black-forest-labs/FLUX.1-dve")
    error = explain(hub_error(RepositoryNotFoundError, 404), model_origin(spec))
    assert "Did you mean 'black-forest-labs/FLUX.1-dev'" in error.problem


def test_without_a_network_the_message_does_not_blame_the_offline_switch(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    error = explain(httpx2.ConnectError("no route"), model_origin(FLUX1_DEV))
    assert "HF_HUB_OFFLINE" not in str(error)
    assert "cannot be reached" in error.problem


def test_offline_a_model_that_is_not_cached_is_reported(monkeypatch, enough_memory, tmp_path):
    """No fake: diffusers and huggingface_hub themselves, in the tests' offline environment."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE forbids") as caught:
        load_pipeline(replace(FLUX1_DEV, source="nobody/no-such-model"), device="cpu")
    assert caught.value.reason == "network"


def test_a_defect_of_our_own_is_raised_as_it_is(monkeypatch, enough_memory):
    failing(monkeypatch, AttributeError("a bug"))
    with pytest.raises(AttributeError, match="a bug"):
        load_pipeline(FLUX1_DEV, device="cpu")


# Folders.


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def set_heads(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_attention_heads": 8}))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("transformer/diffusion_pytorch_model.safetensors", truncate),
        ("transformer/diffusion_pytorch_model.safetensors", Path.unlink),
        ("text_encoder_2/model.safetensors", truncate),
        ("text_encoder_2/model.safetensors", Path.unlink),
        ("text_encoder/config.json", truncate),
        ("transformer/config.json", truncate),
        ("transformer/config.json", set_heads),
        ("tokenizer_2/tokenizer.json", truncate),
        ("model_index.json", truncate),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_damaged_files_are_reported(folder, file, damage):
    spec = find_model(str(folder))
    damage(folder / file)
    with pytest.raises(ModelError) as caught:
        load_pipeline(spec, device="cpu")
    assert caught.value.reason == ("missing" if damage is Path.unlink else "broken")
    assert str((folder / file).parent) in caught.value.problem
    assert "again" in caught.value.remedy and "other files can stay" in caught.value.remedy


@pytest.mark.parametrize("name", ["tokenizer", "tokenizer_2", "vae", "scheduler", "transformer"])
def test_a_missing_component_is_reported(folder, name):
    spec = find_model(str(folder))
    shutil.rmtree(folder / name)
    with pytest.raises(ModelError, match=f"no '{name}' component") as caught:
        load_pipeline(spec, device="cpu")
    assert caught.value.reason == "missing"


def test_a_tokenizer_without_its_vocabulary_is_reported(folder):
    spec = find_model(str(folder))
    (folder / "tokenizer_2" / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer_2 holds none of tokenizer\.json"):
        load_pipeline(spec, device="cpu")


def test_lost_weights_of_the_embedded_model_come_from_git(tmp_path):
    with pytest.raises(ModelError, match="git checkout -- assets") as caught:
        load_pipeline(replace(MINIATURE, source=str(tmp_path)), device="cpu")
    assert caught.value.reason == "missing"
