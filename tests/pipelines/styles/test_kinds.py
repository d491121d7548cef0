"""Changes that are no pair of matrices: LoHa, LoKr, biases; and what is refused, in true words."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from peft import LoHaConfig, LoKrConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.errors import ModelError
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.request import StyleLora
from pipelines.styles.check import check_style
from pipelines.styles.lora import style_loras
from tests.pipelines.snapshots import assert_same, snapshot
from tests.pipelines.styles.lora_files import (
    RANK,
    adapter_changes,
    kohya_changes,
    kohya_file,
    matrix,
)
from tests.pipelines.tiny import tiny_pipeline

TO_OUT = "transformer.transformer_blocks.0.attn.to_out.0"
QKV = [f"transformer.transformer_blocks.0.attn.to_{letter}" for letter in "qkv"]
LINEAR1 = {
    **{f"transformer.single_transformer_blocks.1.attn.to_{letter}": 32 for letter in "qkv"},
    "transformer.single_transformer_blocks.1.proj_mlp": 128,
}
# Names in a file, inputs, and the layers with their outputs.
PLACES = [
    (TO_OUT, 32, {TO_OUT: 32}),
    ("lycoris_transformer_blocks_0_attn_to_out_0", 32, {TO_OUT: 32}),
    ("lora_unet_double_blocks_0_img_attn_qkv", 32, dict.fromkeys(QKV, 32)),
    ("diffusion_model.single_blocks.1.linear1", 32, LINEAR1),
    ("lora_unet_final_layer_adaLN_modulation_1", 32, {"transformer.norm_out.linear": 64}),
    (
        "lora_te1_text_model_encoder_layers_0_mlp_fc1",
        16,
        {"text_encoder.encoder.layers.0.mlp.fc1": 16},
    ),
]


@pytest.fixture(scope="module")
def shared_pipeline() -> FluxStoryboardPipeline:
    return tiny_pipeline()


@pytest.fixture
def pipeline(shared_pipeline: FluxStoryboardPipeline) -> Iterator[FluxStoryboardPipeline]:
    """The tiny pipeline; every test must leave it as it found it."""
    before = snapshot(shared_pipeline)
    yield shared_pipeline
    assert_same(shared_pipeline, before)


def changed(
    pipeline: FluxStoryboardPipeline, path: Path, tensors: dict[str, Tensor], weight: float = 1.0
) -> dict[str, Tensor]:
    """Return what a file with these tensors adds to the weights, by layer; all of it is used."""
    save_file(tensors, path)
    check_style(str(path))
    with style_loras(pipeline, [StyleLora(str(path), weight)]) as (style,):
        assert style.notes == ()
        return adapter_changes(pipeline)


def assert_rows(found: dict[str, Tensor], whole: Tensor, layers: dict[str, int], name: str) -> None:
    """Check that the layers' changes are the rows of the whole change, in order."""
    assert found.keys() == layers.keys()
    if "adaLN" in name:
        whole = whole.roll(len(whole) // 2, 0)
    for (layer, _), rows in zip(layers.items(), whole.split(list(layers.values())), strict=True):
        torch.testing.assert_close(found[layer], rows, atol=1e-5, rtol=1e-5, msg=layer)


@pytest.mark.parametrize(("name", "inputs", "layers"), PLACES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn])
def test_a_loha_is_the_product_by_elements(tmp_path, pipeline, name, inputs, layers, dtype):
    outputs = sum(layers.values())
    a1, b1 = matrix(outputs, 2, 1).to(dtype), matrix(2, inputs, 2).to(dtype)
    a2, b2 = matrix(outputs, 2, 3).to(dtype), matrix(2, inputs, 4).to(dtype)
    tensors = {f"{name}.hada_w1_a": a1, f"{name}.hada_w1_b": b1}
    tensors |= {f"{name}.hada_w2_a": a2, f"{name}.hada_w2_b": b2}
    tensors[f"{name}.alpha"] = torch.tensor(1.0)
    found = changed(pipeline, tmp_path / "a.safetensors", tensors, 0.5)
    whole = 0.5 / 2 * (a1.float() @ b1.float()) * (a2.float() @ b2.float())
    assert_rows(found, whole, layers, name)


@pytest.mark.parametrize(("name", "inputs", "layers"), PLACES)
@pytest.mark.parametrize("factor", [2, 8])
@pytest.mark.parametrize("decomposed", ["", "2", "12"])
def test_a_lokr_is_the_kronecker_product(
    tmp_path, pipeline, name, inputs, layers, factor, decomposed
):
    """Factors that are products have a rank, so that the alpha counts; whole ones have none.

    With a factor of 8, blocks do not end where the layers do of which one is joined.
    """
    outputs = sum(layers.values())
    sizes = {"1": (factor, 4), "2": (outputs // factor, inputs // 4)}
    tensors, factors = {f"{name}.alpha": torch.tensor(3.0)}, []
    for number, (rows, columns) in sizes.items():
        if number in decomposed:
            a, b = matrix(rows, RANK, int(number)), matrix(RANK, columns, 10 + int(number))
            tensors |= {f"{name}.lokr_w{number}_a": a, f"{name}.lokr_w{number}_b": b}
            factors.append(a @ b)
        else:
            factors.append(matrix(rows, columns, int(number)))
            tensors[f"{name}.lokr_w{number}"] = factors[-1]
    found = changed(pipeline, tmp_path / "a.safetensors", tensors, -1.5)
    whole = -1.5 * (3.0 / RANK if decomposed else 1.0) * torch.kron(*factors)
    assert_rows(found, whole, layers, name)


@pytest.mark.parametrize("config", [LoHaConfig, LoKrConfig])
def test_what_peft_saves_is_what_is_added(tmp_path, pipeline, config):
    """PEFT's own rule for the alpha of a LoKr with whole factors is another than LyCORIS's."""
    settings = config(r=8, alpha=12, target_modules=["to_out.0"], init_weights=False)
    names = nn.ModuleDict({"attn": nn.ModuleDict({"to_out": nn.ModuleList([nn.Linear(32, 32)])})})
    blocks = nn.ModuleDict({"transformer_blocks": nn.ModuleList([names])})
    torch.manual_seed(5)
    model = get_peft_model(blocks, settings)
    expected = (
        model.base_model.model.transformer_blocks[0].attn.to_out[0].get_delta_weight("default")
    )
    tensors = get_peft_model_state_dict(model)
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    settings.save_pretrained(tmp_path)
    with style_loras(pipeline, [StyleLora(str(tmp_path))]) as (style,):
        assert style.notes == ()
        found = adapter_changes(pipeline)
    assert found.keys() == {TO_OUT}
    torch.testing.assert_close(found[TO_OUT], expected.detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "end", "matrices"),
    [
        ("lora_unet_double_blocks_0_img_attn_qkv", ".diff_b", True),
        ("diffusion_model.double_blocks.0.img_attn.qkv", ".diff_b", True),
        ("diffusion_model.double_blocks.0.img_attn.qkv", ".diff_b", False),
        ("base_model.model.double_blocks.0.img_attn.qkv", ".lora_B.bias", True),
    ],
)
def test_biases_are_added_with_the_weights(tmp_path, pipeline, name, end, matrices):
    bias, down, up = torch.linspace(-1, 1, 96), matrix(RANK, 32, 1), matrix(96, RANK, 2)
    tensors = {f"{name}{end}": bias}
    if matrices:
        tensors |= {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
    tensors["proj_out.lora_A.weight"] = matrix(RANK, 32, 3)
    tensors["proj_out.lora_B.weight"] = matrix(16, RANK, 4)
    save_file(tensors, tmp_path / "a.safetensors")
    x = torch.linspace(-1, 2, 32)[None]
    attention = pipeline.transformer.transformer_blocks[0].attn
    before = torch.cat([attention.to_q(x), attention.to_k(x), attention.to_v(x)], 1)
    with style_loras(pipeline, [StyleLora(str(tmp_path / "a.safetensors"), 0.5)]) as (style,):
        assert style.notes == () and style.transformer_layers == 4
        after = torch.cat([attention.to_q(x), attention.to_k(x), attention.to_v(x)], 1)
    expected = 0.5 * (bias + (x @ down.T @ up.T if matrices else 0))
    torch.testing.assert_close(after - before, expected.expand(1, 96), atol=1e-5, rtol=1e-4)


def test_all_kinds_add_up_and_leave_nothing(tmp_path, pipeline):
    lokr = {f"{name}.lokr_w1": matrix(4, 4, 1) for name in (*QKV, TO_OUT)}
    lokr |= {f"{name}.lokr_w2": matrix(8, 8, 2) for name in (*QKV, TO_OUT)}
    loha = {
        f"{TO_OUT}.hada_w{n}_{s}": matrix(*z, n)
        for n in (1, 2)
        for s, z in (("a", (32, 2)), ("b", (2, 32)))
    }
    save_file(lokr, tmp_path / "lokr.safetensors")
    save_file(loha, tmp_path / "loha.safetensors")
    weights = {"lokr": 0.25, "loha": -1.0, "kohya": 0.5}
    kohya_file(tmp_path)
    product = {name: torch.kron(matrix(4, 4, 1), matrix(8, 8, 2)) for name in (*QKV, TO_OUT)}
    elements = (matrix(32, 2, 1) @ matrix(2, 32, 1)) * (matrix(32, 2, 2) @ matrix(2, 32, 2))
    expected: dict[str, Tensor] = {}
    for name, change in (
        *((name, 0.25 * change) for name, change in product.items()),
        (TO_OUT, -1.0 * elements),
        *((name, 0.5 * change) for name, change in kohya_changes().items()),
    ):
        expected[name] = expected.get(name, 0) + change
    for order in (["lokr", "loha", "kohya"], ["kohya", "lokr", "loha"]):
        styles = [StyleLora(str(tmp_path / f"{n}.safetensors"), weights[n]) for n in order]
        with style_loras(pipeline, styles), style_loras(pipeline, styles[:1]):
            found = adapter_changes(pipeline)
        with style_loras(pipeline, styles):
            once = adapter_changes(pipeline)
            x = torch.linspace(-1, 1, 32)[None]
            layer = pipeline.transformer.transformer_blocks[0].attn.to_out[0]
            y = layer(x)
        assert once.keys() == expected.keys()
        for name, change in once.items():
            torch.testing.assert_close(change, expected[name], atol=1e-5, rtol=1e-5, msg=name)
        assert any(not torch.equal(found[name], once[name]) for name in once)
        plain = pipeline.transformer.transformer_blocks[0].attn.to_out[0](x)
        torch.testing.assert_close(y - plain, x @ expected[TO_OUT].T, atol=1e-5, rtol=1e-4)


# What is refused.


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
