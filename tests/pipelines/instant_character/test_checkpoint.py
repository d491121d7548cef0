"""Weights are loaded whole or not at all, and without running what is in a pickle."""

import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from pipelines.instant_character.checkpoint import (
    CheckpointError,
    load_instant_character,
    save_instant_character,
)
from tests.pipelines.tiny import tiny_transformer
from tests.pipelines.tiny_character import PROJECTOR, tiny_character


@pytest.fixture(scope="module")
def transformer():
    return tiny_transformer()


@pytest.fixture(scope="module")
def character(transformer):
    return tiny_character(transformer)


def groups(character):
    return {
        "ip_adapter": dict(character.adapters.state_dict()),
        "image_proj": dict(character.projector.state_dict()),
    }


def write(path, held):
    if path.suffix == ".safetensors":
        save_file(
            {f"{g}.{k}": t.clone() for g, part in held.items() for k, t in part.items()}, path
        )
    else:
        torch.save(held, path)


@pytest.mark.parametrize("name", ["weights.bin", "weights.safetensors"])
def test_what_is_saved_is_loaded(character, transformer, tmp_path, name):
    write(tmp_path / name, groups(character))
    loaded = load_instant_character(tmp_path / name, transformer, config=PROJECTOR)
    for group, tensors in groups(loaded).items():
        expected = groups(character)[group]
        assert list(tensors) == list(expected)
        assert all(torch.equal(tensors[key], expected[key]) for key in expected)
    assert not any(p.requires_grad for p in loaded.projector.parameters())
    assert not loaded.adapters.training


def test_our_own_file_round_trips_in_another_type(character, transformer, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_instant_character(path, character)
    loaded = load_instant_character(path, transformer, config=PROJECTOR, dtype=torch.bfloat16)
    for group, tensors in groups(loaded).items():
        for key, tensor in tensors.items():
            assert torch.equal(tensor, groups(character)[group][key].bfloat16())


def test_a_file_of_the_format_before_zip_is_read(character, transformer, tmp_path):
    path = tmp_path / "weights.bin"
    torch.save(groups(character), path, _use_new_zipfile_serialization=False)
    loaded = load_instant_character(path, transformer, config=PROJECTOR)
    assert torch.equal(loaded.adapters[2].to_k_ip.bias, character.adapters[2].to_k_ip.bias)


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", "ip_adapter: 1 missing (0.norm_ip_q.scale)"),
        ("left over", "image_proj: 1 left over (resampler.extra)"),
        ("shape", "1 of another shape (resampler.latents is (1, 4, 16), not (1, 5, 16))"),
        (
            "all",
            "ip_adapter: 36 missing (0.norm_ip_q.scale, 0.to_k_ip.weight, 0.to_k_ip.bias, ...)",
        ),
    ],
)
def test_what_does_not_fit_is_reported(character, transformer, tmp_path, suffix, fault, message):
    held = groups(character)
    if fault == "missing":
        del held["ip_adapter"]["0.norm_ip_q.scale"]
    elif fault == "left over":
        held["image_proj"]["resampler.extra"] = torch.ones(2)
    elif fault == "shape":
        held["image_proj"]["resampler.latents"] = torch.ones(1, 4, 16)
    else:
        held["ip_adapter"] = {}
    path = tmp_path / f"weights.{suffix}"
    write(path, held)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load_instant_character(path, transformer, config=PROJECTOR)


def test_weights_with_an_encoder_do_not_fit_a_projector_without(character, transformer, tmp_path):
    path = tmp_path / "weights.bin"
    write(path, groups(character))
    with pytest.raises(CheckpointError, match="left over .cross_layer_blocks"):
        load_instant_character(path, transformer, config=replace(PROJECTOR, use_low_level=False))


class Planted:
    """Would write a file when unpickled by a loader that runs code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize(
    "content",
    ["code", "noise", "empty", "list", "one group", "no tensors", "safetensors", "prefix"],
)
def test_a_file_that_is_something_else_is_refused(content, transformer, tmp_path):
    path = tmp_path / "weights.bin"
    if content == "code":
        torch.save({"image_proj": {}, "ip_adapter": Planted(str(tmp_path / "run"))}, path)
    elif content == "noise":
        path.write_bytes(b"\x93 no weights at all" * 9)
    elif content == "empty":
        path.touch()
    elif content == "list":
        torch.save([torch.ones(1)], path)
    elif content == "one group":
        torch.save({"image_proj": {}}, path)
    elif content == "no tensors":
        torch.save({"image_proj": {"a": 1}, "ip_adapter": {}}, path)
    else:
        path = tmp_path / "weights.safetensors"
        path.write_bytes(b"nothing")
    if content == "prefix":
        save_file({"other.weight": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="weights"):
        load_instant_character(path, transformer, config=PROJECTOR)
    assert not (tmp_path / "run").exists()


def test_no_file_is_an_error_of_the_system(transformer, tmp_path):
    for name in ("none.bin", "none.safetensors"):
        with pytest.raises(FileNotFoundError):
            load_instant_character(tmp_path / name, transformer, config=PROJECTOR)
