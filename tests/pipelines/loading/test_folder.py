"""Folders of models in every form, and of every wrong kind: opened, or told exactly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file, save_file

from pipelines.errors import ModelError
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.loading import folder as checks
from pipelines.loading.folder import check_files, fetch_folder
from pipelines.loading.model import load_pipeline
from pipelines.models.catalog import find_model
from tests.pipelines.tiny import tiny_pipeline

NETWORKS = ("transformer", "vae", "text_encoder", "text_encoder_2")
CONFIG = "{}/config.json"


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(shared_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model's folder that a test may change."""
    return Path(shutil.copytree(shared_folder, tmp_path / "model"))


def weights_file(folder: Path, name: str) -> Path:
    (file,) = (folder / name).glob("*.safetensors")
    return file


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def opened(folder: Path | str) -> FluxStoryboardPipeline:
    return load_pipeline(find_model(str(folder)), device="cpu", dtype="float32")


def refused(folder: Path | str, say: str) -> ModelError:
    with pytest.raises(ModelError, match=say) as caught:
        opened(folder)
    return caught.value


def save_again(folder: Path, **options: Any) -> None:
    pipeline = tiny_pipeline()
    for name in NETWORKS:
        shutil.rmtree(folder / name)
        getattr(pipeline, name).save_pretrained(folder / name, **options)


def pickle_weights(folder: Path) -> None:
    for name in NETWORKS:
        file = weights_file(folder, name)
        stem = "diffusion_pytorch_model" if name in ("transformer", "vae") else "pytorch_model"
        torch.save(load_file(file), file.with_name(f"{stem}.bin"))
        file.unlink()


# Forms that open.


@pytest.mark.parametrize(
    "save",
    [
        lambda folder: save_again(folder, variant="fp16"),
        lambda folder: save_again(folder, max_shard_size="20kB"),
        lambda folder: save_again(folder, max_shard_size="20kB", variant="bf16"),
        pickle_weights,
    ],
    ids=["variant", "shards", "shards of a variant", "bin"],
)
def test_a_folder_in_any_form_opens_with_the_same_weights(shared_folder, folder, save):
    save(folder)
    ours, theirs = opened(folder), opened(shared_folder)
    for name in NETWORKS:
        state = getattr(theirs, name).state_dict()
        found = getattr(ours, name).state_dict()
        assert found.keys() == state.keys()
        assert all(torch.equal(value, state[key]) for key, value in found.items())
    small = find_model(str(folder))
    assert small.steps == find_model(str(shared_folder)).steps


def lite(folder: Path) -> None:
    shutil.rmtree(folder / "transformer")
    tiny_pipeline(blocks=(1, 4)).transformer.save_pretrained(folder / "transformer")


@pytest.mark.parametrize(
    "variant",
    [
        lambda folder: change(folder / "model_index.json", _class_name="FluxKontextPipeline"),
        lambda folder: change(folder / "model_index.json", safety_checker=["other", "Thing"]),
        lambda folder: change(folder / "vae/config.json", sample_size=1000),
        lambda folder: change(folder / "vae/config.json", sample_size=4096),
        lambda folder: change(folder / "tokenizer_2/tokenizer_config.json", model_max_length=None),
        lambda folder: change(folder / "transformer/config.json", guidance_embeds=None),
        lite,
    ],
)
def test_a_variant_of_flux1_opens_at_a_size_that_a_storyboard_can_have(folder, variant):
    variant(folder)
    if find_model(str(folder)).guidance_scale == 0:
        shutil.rmtree(folder / "transformer")
        tiny_pipeline(guidance=False).transformer.save_pretrained(folder / "transformer")
    opened(folder)
    spec = find_model(str(folder))
    assert 64 <= spec.width <= 2048 and spec.width % 16 == 0
    assert spec.max_sequence_length <= 512


# What is missing.


@pytest.mark.parametrize("pickled", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_weight_that_is_missing_is_never_random(folder, name, pickled):
    file = weights_file(folder, name)
    tensors = load_file(file)
    lost = sorted(key for key in tensors if key.endswith("weight"))[3]
    del tensors[lost]
    save_file(tensors, file, metadata={"format": "pt"})
    if pickled:
        pickle_weights(folder)
    error = refused(folder, f"{name}.* lacks 1 of its weights, such as {lost}")
    assert error.reason == "broken" and "other files can stay" in error.remedy


@pytest.mark.parametrize("name", NETWORKS)
def test_an_unfinished_download_is_found_before_anything_is_loaded(folder, name, monkeypatch):
    spec = find_model(str(folder))
    file = weights_file(folder, name)
    file.write_bytes(file.read_bytes()[:-1])
    for check in (check_files, load_pipeline):
        with pytest.raises(ModelError, match="not completely downloaded: it has") as caught:
            check(spec)
        assert str(file) in caught.value.problem
        assert f"Get {file.name} again" in caught.value.remedy


def test_a_tokenizer_needs_all_files_of_one_form(folder):
    (folder / "tokenizer" / "tokenizer.json").rename(folder / "tokenizer" / "vocab.json")
    refused(folder, r"tokenizer holds none of tokenizer\.json, vocab\.json with merges\.txt")


# Other kinds.


def with_channels(channels: int) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        config = dict(tiny_pipeline().transformer.config) | {
            "in_channels": channels,
            "out_channels": 16,
        }
        shutil.rmtree(folder / "transformer")
        FluxTransformer2DModel.from_config(config).save_pretrained(folder / "transformer")

    return make


def swap_tokenizers(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer_2")
    shutil.copytree(folder / "tokenizer", folder / "tokenizer_2")


def index(**values: Any) -> Callable[[Path], None]:
    return lambda folder: change(folder / "model_index.json", **values)


def config(name: str, **values: Any) -> Callable[[Path], None]:
    file = "scheduler_config.json" if name == "scheduler" else "config.json"
    return lambda folder: change(folder / name / file, **values)


HEUN = "FlowMatchHeunDiscreteScheduler"
FOREIGN = {
    "FLUX.1 Fill": (with_channels(96), "does not make pictures from text alone.* 96 channels"),
    "FLUX.1 Canny": (with_channels(32), "does not make pictures from text alone"),
    "FLUX.2": (index(transformer=["diffusers", "Flux2Transformer2DModel"]), "not a FLUX pipeline"),
    "SDXL": (index(transformer=None, unet=["diffusers", "UNet2DConditionModel"]), "not a FLUX"),
    "odd index": (index(transformer="x"), "not a FLUX pipeline"),
    "no T5": (index(text_encoder_2=[None, None]), "text_encoder_2 is not there.*T5EncoderModel"),
    "another CLIP": (index(text_encoder=["transformers", "Qwen2Model"]), "is Qwen2Model, where"),
    "Heun": (config("scheduler", _class_name=HEUN), f"scheduler_config.json names .*{HEUN}"),
    "Heun in the index": (index(scheduler=["diffusers", HEUN]), f"index.json names .*{HEUN}"),
    "shift_factor": (config("vae", shift_factor=None), "shift_factor is null, which is no number"),
    "sample_size": (config("vae", sample_size=None), "sample_size is null"),
    "max_shift": (config("scheduler", max_shift=None), "max_shift is null"),
    "num_layers": (config("transformer", num_layers="two"), 'num_layers is "two"'),
    "axes": (config("transformer", axes_dims_rope=None), "axes_dims_rope null, which should"),
    "T5's d_ff": (config("text_encoder_2", d_ff=None), "text_encoder_2.* cannot be read.*d_ff"),
    "T5's width": (config("text_encoder_2", d_model=32), "text_encoder_2 gives 32 channels"),
    "activation": (config("text_encoder", hidden_act="no"), "text_encoder.* cannot be read"),
    "bitsandbytes": (
        config("transformer", quantization_config={"quant_method": "bitsandbytes"}),
        "transformer.*bitsandbytes",
    ),
    "swapped tokenizers": (swap_tokenizers, "tokenizer_2 holds a CLIPTokenizer"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_folder_of_another_kind_is_told_exactly(folder, kind):
    make, say = FOREIGN[kind]
    make(folder)
    assert refused(folder, say).remedy


def test_a_tokenizer_with_words_that_its_encoder_does_not_know_is_refused(folder):
    file = folder / "tokenizer_2" / "tokenizer.json"
    stored = json.loads(file.read_text())
    stored["model"]["vocab"] += [[f"more{i}", -3.0] for i in range(5)]
    file.write_text(json.dumps(stored))
    refused(folder, r"has 28 words.*T5EncoderModel knows 23")


# The hub's cache.


@pytest.fixture
def repository(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder as the snapshot of a repository, whose weights are links to blobs."""
    blobs = folder.parent / "blobs"
    blobs.mkdir()
    for number, file in enumerate(sorted(folder.glob("*/*.safetensors"))):
        blob = blobs / f"{number:064x}"
        file.rename(blob)
        file.symlink_to(blob)
    downloaded: list[str] = []

    def download(source: str, **passed: object) -> str:
        downloaded.append(source)
        return str(folder)

    monkeypatch.setattr(checks, "hf_hub_download", lambda source, name: str(folder / name))
    monkeypatch.setattr(FluxStoryboardPipeline, "download", download)
    monkeypatch.setattr(checks, "try_to_load_from_cache", lambda source, name: None)
    return folder


def test_a_repository_opens_from_its_cache(repository):
    assert opened("someone/tiny").transformer.dtype is torch.float32


def test_of_a_damaged_download_one_file_is_to_be_deleted(repository):
    file = weights_file(repository, "vae")
    blob = file.resolve()
    blob.write_bytes(blob.read_bytes()[:-1])
    error = refused("someone/tiny", "not completely downloaded")
    assert error.remedy == f"Delete {blob} and start again: only this file is downloaded anew."


def test_what_the_cache_lacks_is_downloaded_by_starting_again(repository):
    weights_file(repository, "vae").resolve().unlink()
    error = refused("someone/tiny", "is a link to .*, which is not there")
    assert "only what is missing is downloaded" in error.remedy


def test_a_repository_of_another_kind_is_refused_before_its_weights_are_downloaded(
    repository, monkeypatch
):
    monkeypatch.setattr(FluxStoryboardPipeline, "download", None)
    index(_class_name="StableDiffusion3Pipeline", transformer=["d", "SD3Transformer2DModel"])(
        repository
    )
    with pytest.raises(ModelError, match="StableDiffusion3Pipeline.*SD3Transformer2DModel"):
        fetch_folder(find_model("someone/tiny"))
