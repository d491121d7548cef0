"""Refusals of files that are no styles: they say what is wrong and where; nothing stays loaded."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipelines.errors import ModelError
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.request import StyleLora
from pipelines.styles.check import check_style
from pipelines.styles.lora import style_loras
from tests.pipelines.styles.lora_files import RANK, matrix
from tests.pipelines.tiny import tiny_pipeline

TO_OUT = "transformer.transformer_blocks.0.attn.to_out.0"
QKV = [f"transformer.transformer_blocks.0.attn.to_{letter}" for letter in "qkv"]


def refusal(pipeline: FluxStoryboardPipeline, path: Path, tensors: dict[str, Tensor]) -> ModelError:
    save_file(tensors, path)
    with pytest.raises(ModelError) as caught, style_loras(pipeline, [StyleLora(str(path))]):
        raise AssertionError("it was loaded")
    assert caught.value.reason == "broken" and caught.value.remedy
    return caught.value


def pair(name: str, inputs: int = 32, outputs: int = 32) -> dict[str, Tensor]:
    return {
        f"{name}.lora_A.weight": matrix(RANK, inputs, 1),
        f"{name}.lora_B.weight": matrix(outputs, RANK, 2),
    }


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"lora_unet_x.dora_scale": (32, 1)}, "is a DoRA"),
        ({"transformer.x.lora_magnitude_vector": (32,)}, "is a DoRA"),
        ({"transformer.x.lora_magnitude_vector.weight": (32,)}, "is a DoRA"),
        ({"lora_unet_x.oft_blocks": (2, 4, 4)}, "is an OFT"),
        ({"base_model.model.x.oft_R.weight": (2, 4)}, "is an OFT"),
        ({"lora_unet_x.a1.weight": (2, 4)}, "is a GLoRA"),
        ({"lora_unet_x.lora_mid.weight": (2, 2, 3, 3)}, "for convolutions"),
        ({"lora_unet_x.lora_down.scale_weight": (1,)}, "a form of fp8 that is not read"),
        (
            {"double_blocks.0.processor.ip_adapter_double_stream_k_proj.weight": (4, 4)},
            "IP-Adapter",
        ),
    ],
)
def test_other_kinds_are_refused_before_the_model_is_loaded(tmp_path, pipeline, more, words):
    tensors = pair(TO_OUT) | {name: torch.ones(shape) for name, shape in more.items()}
    error = refusal(pipeline, tmp_path / "a.safetensors", tensors)
    assert words in error.problem and next(iter(more)) in error.problem
    with pytest.raises(ModelError, match=words):
        check_style(str(tmp_path / "a.safetensors"))


@pytest.mark.parametrize("name", ["img_in", "transformer.x_embedder", "diffusion_model.img_in"])
def test_a_control_lora_is_named(tmp_path, pipeline, name):
    tensors = pair(TO_OUT) | pair(name, inputs=2 * 16)
    tensors["double_blocks.0.img_attn.norm.query_norm.scale"] = torch.ones(16)
    error = refusal(pipeline, tmp_path / "a.safetensors", tensors)
    assert "is a control LoRA: it takes a second picture" in error.problem


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "tensor", ["lora_A.weight", "lora_B.weight", "diff_b", "alpha", "lokr_w1", "hada_w2_b"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float8_e5m2])
def test_nan_and_infinity_are_refused(tmp_path, pipeline, bad, tensor, dtype):
    tensors = pair(TO_OUT)
    tensors[f"{TO_OUT}.diff_b"], tensors[f"{TO_OUT}.alpha"] = torch.ones(32), torch.ones(())
    lokr = {f"{QKV[0]}.lokr_w1": matrix(4, 4, 1), f"{QKV[0]}.lokr_w2": matrix(8, 8, 2)}
    loha = {
        f"{QKV[1]}.hada_w{n}_{s}": matrix(*z, n)
        for n in (1, 2)
        for s, z in (("a", (32, 2)), ("b", (2, 32)))
    }
    tensors |= lokr | loha
    (name,) = [name for name in tensors if name.endswith(f".{tensor}")]
    tensors[name].flatten()[-1:].fill_(bad)
    tensors = {key: value.to(dtype) for key, value in tensors.items()}
    error = refusal(pipeline, tmp_path / "a.safetensors", tensors)
    assert (
        "(NaN or infinity) in its layer" in error.problem
        or "its alpha is no number" in error.problem
    )


def test_values_beyond_the_models_number_format_are_refused(tmp_path):
    pipeline = tiny_pipeline().to(torch.float16)
    tensors = pair(TO_OUT)
    tensors[f"{TO_OUT}.lora_B.weight"][0, 0] = 1e6
    error = refusal(pipeline, tmp_path / "a.safetensors", tensors)
    assert "too large for the numbers of this model, torch.float16" in error.problem


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"lora_A.weight": (RANK, 32), "lora_B.weight": (32, 3)}, "do not fit each other"),
        ({"lora_A.weight": (0, 32), "lora_B.weight": (32, 0)}, "do not fit each other"),
        ({"lora_A.weight": (2, 32, 1, 1), "lora_B.weight": (32, 2, 1, 1)}, "do not fit each other"),
        ({"lora_A.weight": (2, 32), "lora_B.weight": (32, 2), "alpha": (4,)}, "but 4 of them"),
        (
            {"lora_A.weight": (2, 32), "lora_B.weight": (32, 2), "diff_b": (31,)},
            "its bias has shape",
        ),
        ({"lora_A.weight": (2, 32), "lora_B.weight": (32, 2), "lokr_w1": (2, 2)}, "but not all"),
        ({"lokr_w1": (2, 2), "lokr_w2_a": (16, 2)}, "but not all the matrices"),
        ({"lokr_w1": (2, 2), "lokr_w2_a": (16, 2), "lokr_w2_b": (3, 16)}, "one of its factors do"),
        ({"hada_w1_a": (), "hada_w1_b": (), "hada_w2_a": (), "hada_w2_b": ()}, "its four matrices"),
        ({"diff_b": ()}, "its bias has shape ()"),
        ({"lokr_w1": (4,), "lokr_w2": (16, 16)}, "one of its factors is no matrix"),
        (
            {f"hada_w{n}_{s}": z for n in (1, 2) for s, z in (("a", (32, n)), ("b", (2, 32)))},
            "its four matrices do not fit",
        ),
        (
            {"lokr_w1": (2, 2), "lokr_w2": (8, 16)},
            "maps 32 values to 16, this model's maps 32 to 32",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path, pipeline, tensors, words):
    made = {f"{TO_OUT}.{end}": torch.ones(shape) for end, shape in tensors.items()}
    assert words in refusal(pipeline, tmp_path / "a.safetensors", made).problem


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool, torch.complex64])
def test_matrices_without_fractions_are_refused(tmp_path, pipeline, dtype):
    """Whole numbers need a scale, which no LoRA says."""
    tensors = {name: tensor.to(dtype) for name, tensor in pair(TO_OUT).items()}
    error = refusal(pipeline, tmp_path / "a.safetensors", tensors)
    assert f"its tensor down holds no fractions, but {dtype}" in error.problem


@pytest.mark.parametrize("settings", ["{", "[1]", '"r"', "[" * 100_000])
def test_settings_that_cannot_be_read_are_refused(tmp_path, pipeline, settings):
    path = tmp_path / "adapter_model.safetensors"
    (tmp_path / "adapter_config.json").write_text(settings)
    assert "the settings of" in refusal(pipeline, path, pair(TO_OUT)).problem
    header = {"lora_adapter_metadata": settings}
    save_file(pair(TO_OUT), tmp_path / "a.safetensors", header)
    with pytest.raises(ModelError, match="the settings of .* cannot be read"):
        check_style(str(tmp_path / "a.safetensors"))


@pytest.mark.parametrize("patterns", [{"[": 3}, [[1]], 3])
def test_patterns_that_cannot_be_read_are_refused(tmp_path, pipeline, patterns):
    settings = {"transformer.lora_alpha": 3, "transformer.alpha_pattern": patterns}
    header = {"lora_adapter_metadata": json.dumps(settings)}
    save_file(pair(TO_OUT), tmp_path / "a.safetensors", header)
    style = StyleLora(str(tmp_path / "a.safetensors"))
    with (
        pytest.raises(ModelError, match="alpha_pattern in its settings cannot be read"),
        style_loras(pipeline, [style]),
    ):
        pass


@pytest.mark.parametrize("alpha", ["16", None, [8], math.inf])
def test_an_alpha_in_the_settings_is_a_number(tmp_path, pipeline, alpha):
    header = {"lora_adapter_metadata": json.dumps({"transformer.lora_alpha": alpha})}
    save_file(pair(TO_OUT), tmp_path / "a.safetensors", header)
    style = StyleLora(str(tmp_path / "a.safetensors"))
    if alpha is None:
        with style_loras(pipeline, [style]):
            pass
        return
    with pytest.raises(ModelError, match="its alpha is no number"), style_loras(pipeline, [style]):
        pass
