"""A character adapter loads from a folder and from the hub, and every failure has a remedy."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import httpx2
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from PIL import Image
from safetensors.torch import load_file, save_file

from pipelines.errors import ModelError
from pipelines.events import FrameDone
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.instant_character.bundle import SubjectBundle
from pipelines.instant_character.checkpoint import read_groups
from pipelines.loading import character as character_loading
from pipelines.loading.character import WeightSizes, load_character_adapter, plan_offloading
from pipelines.loading.model import load_pipeline
from pipelines.models.catalog import FLUX1_DEV, FLUX1_SCHNELL, INSTANT_CHARACTER, find_model
from pipelines.models.specs import ModelSpec
from pipelines.request import FrameRequest, Prompt, RenderRequest
from pipelines.sampling.context import RenderContext
from tests.pipelines.tiny_character import ENCODERS, PROJECTOR, save_tiny_model

GB = 10**9
RED = "f" * 64 + ".png"
PICTURES = {RED: Image.new("RGB", (40, 40), "red")}
ENCODER_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_tiny_model(folder)
    return folder


@pytest.fixture(scope="module")
def pipeline(shared_folder: Path) -> FluxStoryboardPipeline:
    return load_pipeline(find_model(str(shared_folder)), device="cpu", dtype="float32")


@pytest.fixture
def folder(shared_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model's folder that a test may damage."""
    return Path(shutil.copytree(shared_folder, tmp_path / "model"))


def state(bundle: SubjectBundle) -> dict[str, torch.Tensor]:
    modules = (bundle.encoders, bundle.weights.projector, bundle.weights.adapters)
    return {f"{i}.{k}": v for i, m in enumerate(modules) for k, v in m.state_dict().items()}


def assert_frozen(bundle: SubjectBundle) -> None:
    for module in (bundle.encoders, bundle.weights.projector, bundle.weights.adapters):
        assert not any(parameter.requires_grad for parameter in module.parameters())
        assert not any(part.training for part in module.modules())


# A bundle beside a model.


def test_a_bundle_in_a_folder_renders(shared_folder, pipeline):
    spec = find_model(str(shared_folder))
    bundle = load_character_adapter(spec, pipeline)
    assert_frozen(bundle)
    assert {value.dtype for value in state(bundle).values()} == {torch.float32}

    def rendered(strength: float) -> bytes:
        frame = FrameRequest(
            "a", Prompt("the beach", "a girl", "runs"), 1, 64, 48,
            reference=RED, reference_strength=strength,
        )  # fmt: skip
        request = RenderRequest(spec.name, (frame,), ("a",), steps=2)
        events = pipeline.stream(
            request, RenderContext(max_sequence_length=16, character=bundle, pictures=PICTURES)
        )
        return next(np.asarray(e.image).tobytes() for e in events if isinstance(e, FrameDone))

    assert rendered(spec.character_adapter.strength) != rendered(0.0)


def test_it_takes_the_models_number_format(shared_folder):
    spec = find_model(str(shared_folder))
    half = load_pipeline(spec, device="cpu", dtype="bfloat16")
    assert {v.dtype for v in state(load_character_adapter(spec, half)).values()} == {torch.bfloat16}


def test_a_model_without_a_character_adapter_is_refused(pipeline):
    with pytest.raises(ValueError, match="schnell.* has no character adapter"):
        load_character_adapter(FLUX1_SCHNELL, pipeline)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def lose_a_weight(path: Path) -> None:
    tensors = load_file(path)
    del tensors[sorted(tensors)[0]]
    save_file(tensors, path, metadata={"format": "pt"})


def rename_a_size(path: Path) -> None:
    sizes = json.loads(path.read_text())
    sizes["projector"]["qeries"] = sizes["projector"].pop("queries")
    path.write_text(json.dumps(sizes))


def empty_list(path: Path) -> None:
    path.write_text("[]")


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("config.json", truncate),
        ("config.json", rename_a_size),
        ("config.json", empty_list),
        ("adapter.safetensors", truncate),
        ("adapter.safetensors", lose_a_weight),
        ("siglip/model.safetensors", truncate),
        ("siglip/model.safetensors", lose_a_weight),
        ("dinov2/model.safetensors", lose_a_weight),
        ("dinov2/config.json", truncate),
        ("dinov2/preprocessor_config.json", truncate),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_damaged_bundle_is_reported(folder, pipeline, file, damage):
    spec = find_model(str(folder))
    damage(folder / "subject" / file)
    with pytest.raises(ModelError) as caught:
        load_character_adapter(spec, pipeline)
    assert caught.value.reason == "broken"
    assert str(folder / "subject") in caught.value.problem
    assert "the model renders without it" in caught.value.remedy


@pytest.mark.parametrize("file", ["adapter.safetensors", "siglip/model.safetensors", "dinov2"])
def test_a_missing_part_of_a_bundle_is_reported(folder, pipeline, file):
    spec = find_model(str(folder))
    part = folder / "subject" / file
    shutil.rmtree(part) if part.is_dir() else part.unlink()
    with pytest.raises(ModelError, match=f"lacks {file}") as caught:
        load_character_adapter(spec, pipeline)
    assert caught.value.reason == "missing"


def test_a_bundle_that_ships_comes_back_from_git(folder, pipeline):
    spec = replace(find_model(str(folder)), kind="embedded")
    (folder / "subject" / "adapter.safetensors").unlink()
    with pytest.raises(ModelError, match="git checkout -- assets"):
        load_character_adapter(spec, pipeline)


def test_a_bundle_of_another_model_is_reported(shared_folder, pipeline):
    class Larger:
        """The tiny pipeline with one block more."""

        def __getattr__(self, name: str) -> object:
            return getattr(pipeline, name)

        @property
        def transformer(self) -> torch.nn.Module:
            config = {**pipeline.transformer.config, "num_single_layers": 5}
            return type(pipeline.transformer).from_config(config)

    with pytest.raises(ModelError, match="6 missing") as caught:
        load_character_adapter(find_model(str(shared_folder)), Larger())
    assert caught.value.reason == "broken"


# The hub.


@pytest.fixture
def published(shared_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Repositories as on the hub, of tiny sizes, and `hf_hub_download` that finds them."""
    bundle = shared_folder / "subject"
    for repository, part in (
        (INSTANT_CHARACTER.siglip, "siglip"),
        (INSTANT_CHARACTER.dino, "dinov2"),
    ):
        shutil.copytree(bundle / part, tmp_path / repository)
    adapter = tmp_path / INSTANT_CHARACTER.adapter
    adapter.mkdir(parents=True)
    torch.save(
        read_groups(bundle / "adapter.safetensors"), adapter / INSTANT_CHARACTER.adapter_file
    )
    shutil.copy(bundle / "adapter.safetensors", adapter)

    def download(repository: str, name: str) -> str:
        path = tmp_path / repository / name
        if not path.is_file():
            raise hub_error(RemoteEntryNotFoundError, 404)
        return str(path)

    monkeypatch.setattr(character_loading, "hf_hub_download", download)
    monkeypatch.setattr(character_loading, "_PUBLISHED_PROJECTOR", PROJECTOR)
    monkeypatch.setattr(character_loading, "_PUBLISHED_ENCODERS", ENCODERS)
    monkeypatch.setattr(character_loading, "free_memory", lambda device: 200 * GB)
    return tmp_path


def hub_error(kind: type[HfHubHTTPError], status: int) -> HfHubHTTPError:
    """The exception that huggingface_hub raises for an answer of this status."""
    request = httpx2.Request("GET", "https://huggingface.co/api/models/x")
    return kind(f"{status} Client Error.", response=httpx2.Response(status, request=request))


def dev_with(**changes: object) -> ModelSpec:
    return replace(FLUX1_DEV, character_adapter=replace(INSTANT_CHARACTER, **changes))


@pytest.mark.parametrize("file", [INSTANT_CHARACTER.adapter_file, "adapter.safetensors"])
def test_it_comes_from_the_hub_as_from_a_folder(published, shared_folder, pipeline, file):
    """The published pickle, and the same weights as a safetensors file."""
    bundle = load_character_adapter(dev_with(adapter_file=file), pipeline)
    assert_frozen(bundle)
    assert bundle.familiarity is None
    ours = state(load_character_adapter(find_model(str(shared_folder)), pipeline))
    theirs = state(bundle)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    pictures = list(PICTURES.values())
    assert bundle.encoders(pictures).low_deep.shape == (1, 4, PROJECTOR.width)


@pytest.mark.parametrize("part", ["adapter", "siglip", "dino"])
@pytest.mark.parametrize(
    ("error", "reason", "say"),
    [
        (hub_error(GatedRepoError, 403), "gated", "https://huggingface.co/{source}"),
        (hub_error(RepositoryNotFoundError, 404), "missing", "repository '{source}'"),
        (
            hub_error(RemoteEntryNotFoundError, 404),
            "missing",
            "the repository {source} lacks a file",
        ),
        (hub_error(HfHubHTTPError, 401), "token", "hf auth login"),
        (hub_error(HfHubHTTPError, 503), "network", "answered 503"),
        (httpx2.ConnectError("no route"), "network", "need no download"),
        (OSError(28, "No space left on device"), "broken", "14 GB"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_a_failed_download_is_explained(published, pipeline, monkeypatch, part, error, reason, say):
    source = getattr(INSTANT_CHARACTER, part)
    find = character_loading.hf_hub_download

    def download(repository: str, name: str) -> str:
        if repository == source:
            raise error
        return find(repository, name)

    monkeypatch.setattr(character_loading, "hf_hub_download", download)
    with pytest.raises(ModelError) as caught:
        load_character_adapter(FLUX1_DEV, pipeline)
    assert caught.value.reason == reason
    assert say.format(source=source) in str(caught.value)


@pytest.mark.parametrize(
    ("part", "file", "damage"),
    [
        ("adapter", INSTANT_CHARACTER.adapter_file, truncate),
        ("siglip", "model.safetensors", truncate),
        ("siglip", "model.safetensors", lose_a_weight),
        ("dino", "model.safetensors", lose_a_weight),
    ],
)
def test_of_a_broken_download_only_the_broken_file_is_to_be_deleted(
    published, pipeline, part, file, damage
):
    source = getattr(INSTANT_CHARACTER, part)
    damage(published / source / file)
    with pytest.raises(ModelError) as caught:
        load_character_adapter(FLUX1_DEV, pipeline)
    assert caught.value.reason == "broken"
    verified = f"hf cache verify {source}" in caught.value.remedy
    assert verified or f"Delete {published / source / file} " in caught.value.remedy
    assert "only" in caught.value.remedy


def test_weights_of_other_sizes_are_reported(published, pipeline, monkeypatch):
    monkeypatch.setattr(character_loading, "_PUBLISHED_PROJECTOR", replace(PROJECTOR, queries=6))
    with pytest.raises(ModelError, match=r"resampler\.latents is"):
        load_character_adapter(FLUX1_DEV, pipeline)


def test_offline_what_is_not_cached_is_reported(pipeline, monkeypatch, tmp_path):
    """No fake: huggingface_hub itself, in the tests' offline environment."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(character_loading, "free_memory", lambda device: 200 * GB)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE forbids") as caught:
        load_character_adapter(dev_with(adapter="nobody/no-such-adapter"), pipeline)
    assert caught.value.reason == "network"


# Memory. InstantCharacter takes 8.7 GB in 16 bits, beside 33.7 GB of FLUX.1 [dev].

DEV = WeightSizes(
    adapter=INSTANT_CHARACTER.weights_bytes, transformer=2 * 11_901_408_320, model=33_741_198_278
)


def planned(
    monkeypatch: pytest.MonkeyPatch, device: str, offloads: bool, free: float, host: float
) -> bool:
    left = {"cuda": free, "mps": free, "cpu": host}
    monkeypatch.setattr(character_loading, "free_memory", lambda d: int(left[d.type] * GB))
    origin = character_loading._origin(FLUX1_DEV, INSTANT_CHARACTER, INSTANT_CHARACTER.adapter)
    return plan_offloading(origin, torch.device(device), DEV, offloads)


@pytest.mark.parametrize(
    ("device", "offloads", "free", "host", "planned_offloads"),
    [
        ("cuda", False, 80 - 33.7, 64, False),
        ("cuda", False, 40 - 33.7, 64, True),  # the model makes room
        ("cuda", True, 36, 64, True),
        ("cuda", True, 33, 8, True),
        ("mps", False, 10, 64, False),
        ("cpu", False, 0, 10, False),
    ],
)
def test_a_model_makes_room_where_both_do_not_fit(
    monkeypatch, device, offloads, free, host, planned_offloads
):
    assert planned(monkeypatch, device, offloads, free, host) is planned_offloads


@pytest.mark.parametrize(
    ("device", "offloads", "free", "host", "numbers"),
    [
        ("cpu", False, 0, 8, ("9.6 GB", "8.0 GB")),
        ("mps", False, 8, 64, ("9.6 GB", "8.0 GB")),
        ("cuda", True, 27, 64, ("32.3 GB", "27.0 GB")),
        ("cuda", False, 6, 16, ("36.9 GB", "16.0 GB")),
    ],
)
def test_too_little_memory_is_reported_with_numbers_before_anything_is_downloaded(
    monkeypatch, device, offloads, free, host, numbers
):
    with pytest.raises(ModelError) as caught:
        planned(monkeypatch, device, offloads, free, host)
    assert caught.value.reason == "memory"
    assert all(number in caught.value.problem for number in numbers)
    assert "without reference pictures" in caught.value.remedy


def test_memory_is_checked_before_the_download(published, pipeline, monkeypatch):
    monkeypatch.setattr(character_loading, "free_memory", lambda device: 1 * GB)
    monkeypatch.setattr(character_loading, "hf_hub_download", None)
    with pytest.raises(ModelError, match="for InstantCharacter: it needs") as caught:
        load_character_adapter(FLUX1_DEV, pipeline)
    assert caught.value.reason == "memory"


@pytest.mark.gpu
def test_on_a_gpu_a_model_that_waits_in_host_memory_renders_the_same(shared_folder):
    spec = find_model(str(shared_folder))
    frame = FrameRequest("a", Prompt("the beach", "a girl", "runs"), 1, 64, 48, reference=RED)
    request = RenderRequest(spec.name, (frame,), ("a",), steps=4)
    pictures = []
    for offloads in (False, True):
        pipeline = load_pipeline(spec, device="cuda", dtype="float32")
        if offloads:
            pipeline.enable_model_cpu_offload(device="cuda")
        bundle = load_character_adapter(spec, pipeline)
        assert bundle.encoders.siglip.device.type == ("cpu" if offloads else "cuda")
        assert bundle.weights.adapters[0].to_k_ip.weight.device.type == "cuda"
        for _ in range(2):
            events = pipeline.stream(
                request, RenderContext(max_sequence_length=16, character=bundle, pictures=PICTURES)
            )
            pictures += [np.asarray(e.image) for e in events if isinstance(e, FrameDone)]
        assert bundle.encoders.siglip.device.type == ("cpu" if offloads else "cuda")
    assert len(pictures) == 4
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)
