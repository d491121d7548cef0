"""Changes that are no pair of matrices: LoHa, LoKr and biases; all kinds at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoHaConfig, LoKrConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.request import StyleLora
from pipelines.styles.check import check_style
from pipelines.styles.lora import style_loras
from tests.pipelines.styles.lora_files import (
    RANK,
    adapter_changes,
    kohya_changes,
    kohya_file,
    matrix,
)

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
