"""A LoRA changes every layer alike, in whatever names and number format it was saved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from diffusers import FluxTransformer2DModel
from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.errors import ModelError
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.request import StyleLora
from pipelines.styles.check import check_style
from pipelines.styles.lora import style_loras
from pipelines.styles.names import LayerTable
from tests.pipelines.styles.lora_files import adapter_changes
from tests.pipelines.styles.namings import (
    BLOCK,
    DIFFUSERS_PARTS,
    NAMINGS,
    ORIGINAL,
    PEFT,
    RANK,
    Pair,
    prefixed,
    written,
    xlabs_part,
)


def changed(
    pipeline: FluxStoryboardPipeline,
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: dict[str, str] | None = None,
) -> dict[str, Tensor]:
    """Return what a file with these tensors adds to the weights, by layer; all of it is used."""
    save_file(dict(tensors), path, metadata)
    check_style(str(path))
    with style_loras(pipeline, [StyleLora(str(path))]) as (style,):
        assert style.notes == ()
        found = adapter_changes(pipeline)
    assert len(found) == style.transformer_layers + style.text_encoder_layers
    return found


def assert_changes(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, change in found.items():
        torch.testing.assert_close(change, expected[name], atol=1e-5, rtol=1e-5, msg=name)


def original_of(naming: str) -> Mapping[str, Pair]:
    return xlabs_part(ORIGINAL) if naming.startswith("XLabs") else ORIGINAL


@pytest.mark.parametrize("naming", NAMINGS)
def test_every_naming_changes_every_layer_alike(tmp_path, pipeline, naming):
    tensors = NAMINGS[naming](ORIGINAL)
    expected = {layer: pair.change for layer, pair in original_of(naming).items()}
    assert_changes(changed(pipeline, tmp_path / "a.safetensors", tensors), expected)


@pytest.mark.parametrize("naming", ["diffusers", "kohya", "ComfyUI", "OneTrainer", "XLabs"])
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]
)
def test_every_number_format_is_read_exactly(tmp_path, pipeline, naming, dtype):
    """The matrices are rounded once, when the file is written."""
    rounded = {
        layer: Pair(pair.down.to(dtype).float(), pair.up.to(dtype).float(), 3.0)
        for layer, pair in original_of(naming).items()
    }
    tensors = {name: t.to(dtype) for name, t in NAMINGS[naming](rounded).items()}
    expected = {layer: pair.change for layer, pair in rounded.items()}
    assert_changes(changed(pipeline, tmp_path / "a.safetensors", tensors), expected)


@pytest.mark.parametrize("naming", ["diffusers", "diffusers, lora_down", "kohya", "OneTrainer"])
def test_each_layer_has_its_own_alpha_and_those_without_one_have_scale_one(
    tmp_path, pipeline, naming
):
    joined = ("attn.to_q", "attn.to_k", "attn.to_v", "add_k_proj", "add_v_proj", "proj_mlp")
    alphas = {
        layer: 4.0 if layer.endswith((*joined, "add_q_proj")) else 0.5 + index
        for index, layer in enumerate(ORIGINAL)
    }
    alphas["transformer.context_embedder"] = RANK  # without an alpha, the same as the rank
    original = {layer: Pair(p.down, p.up, alphas[layer]) for layer, p in ORIGINAL.items()}
    tensors = NAMINGS[naming](original)
    names = ("context_embedder.alpha", "txt_in.alpha")
    (without,) = [name for name in tensors if name.endswith(names)]
    del tensors[without]
    expected = {layer: pair.change for layer, pair in original.items()}
    assert_changes(changed(pipeline, tmp_path / "a.safetensors", tensors), expected)


@pytest.mark.parametrize("stabilised", [False, True])
@pytest.mark.parametrize("place", ["header", "file beside"])
def test_alphas_come_from_pefts_settings(tmp_path, pipeline, place, stabilised):
    settings = {
        "r": 8,
        "lora_alpha": 6,
        "rank_pattern": {"to_q": RANK},
        "alpha_pattern": {"transformer_blocks.0.attn.to_k": 9, "^proj_out": 12},
        "use_rslora": stabilised,
        "unknown_to_this_version": {"x": 1},
    }
    layers = [*(f"{BLOCK}.attn.to_{letter}" for letter in "qkv"), "transformer.proj_out"]
    pairs = {layer: ORIGINAL[layer] for layer in layers}
    metadata, path = None, tmp_path / "adapter_model.safetensors"
    if place == "header":
        flat = {f"transformer.{name}": value for name, value in settings.items()}
        metadata = {"lora_adapter_metadata": json.dumps(flat)}
        tensors = written(pairs, prefixed(*DIFFUSERS_PARTS), PEFT)
    else:
        (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
        tensors = written(pairs, prefixed("base_model.model.", "", ""), PEFT)
    tensors = {name: t for name, t in tensors.items() if not name.endswith(".alpha")}
    divisor = RANK**0.5 if stabilised else RANK
    alphas = dict(zip(layers, (6, 9, 6, 12), strict=True))
    expected = {
        layer: alphas[layer] / divisor * pair.up @ pair.down for layer, pair in pairs.items()
    }
    assert_changes(changed(pipeline, path, tensors, metadata), expected)


def test_pefts_weights_without_its_settings_are_used_with_a_note(tmp_path, pipeline):
    pairs = {f"{BLOCK}.attn.to_q": ORIGINAL[f"{BLOCK}.attn.to_q"]}
    path = tmp_path / "adapter_model.safetensors"
    save_file(written(pairs, prefixed("base_model.model.", "", ""), PEFT, alphas=False), path)
    with style_loras(pipeline, [StyleLora(str(path))]) as (style,):
        assert_changes(adapter_changes(pipeline), {n: p.change for n, p in pairs.items()})
        assert len(style.notes) == 1 and "adapter_config.json is missing" in style.notes[0]


def test_a_layer_under_two_names_counts_once(tmp_path, pipeline):
    both = NAMINGS["kohya"](ORIGINAL) | NAMINGS["diffusers"](ORIGINAL)
    expected = {layer: pair.change for layer, pair in ORIGINAL.items()}
    assert_changes(changed(pipeline, tmp_path / "a.safetensors", both), expected)


def test_a_layer_under_two_names_with_two_contents_is_refused(tmp_path, pipeline):
    both = NAMINGS["kohya"](ORIGINAL) | NAMINGS["diffusers"](ORIGINAL)
    both["transformer.proj_out.lora_A.weight"] *= 2
    save_file(both, tmp_path / "a.safetensors")
    with (
        pytest.raises(ModelError, match="changes the layer proj_out twice and differently"),
        style_loras(pipeline, [StyleLora(str(tmp_path / "a.safetensors"))]),
    ):
        pass


def test_the_published_models_layers_are_those_of_diffusers_conversion():
    """Every row of Black Forest Labs' weights has a number; diffusers moves them."""
    with torch.device("meta"):
        flux = FluxTransformer2DModel(num_layers=1, num_single_layers=1, guidance_embeds=True)
    sizes = {
        **{f"double_blocks.0.{side}_attn.qkv": 9216 for side in ("img", "txt")},
        **{f"double_blocks.0.{side}_attn.proj": 3072 for side in ("img", "txt")},
        **{f"double_blocks.0.{side}_mlp.0": 12288 for side in ("img", "txt")},
        **{f"double_blocks.0.{side}_mlp.2": 3072 for side in ("img", "txt")},
        **{f"double_blocks.0.{side}_mod.lin": 18432 for side in ("img", "txt")},
        "single_blocks.0.linear1": 21504,
        "single_blocks.0.linear2": 3072,
        "single_blocks.0.modulation.lin": 9216,
        **{
            f"{name}_in.{side}_layer": 3072
            for name in ("time", "vector", "guidance")
            for side in ("in", "out")
        },
        "img_in": 3072,
        "txt_in": 3072,
        "final_layer.linear": 64,
        "final_layer.adaLN_modulation.1": 6144,
    }
    rows = dict(
        zip(sizes, torch.arange(sum(sizes.values())).split(list(sizes.values())), strict=True)
    )
    published = {f"{name}.weight": numbers for name, numbers in rows.items()}
    published |= {f"{name}.bias": numbers for name, numbers in rows.items()}
    for block, norm in (("double_blocks.0", "img_attn."), ("double_blocks.0", "txt_attn.")):
        published |= {
            f"{block}.{norm}norm.{k}_norm.scale": torch.zeros(1) for k in ("query", "key")
        }
    published |= {f"single_blocks.0.norm.{k}_norm.scale": torch.zeros(1) for k in ("query", "key")}
    ours = convert_flux_transformer_checkpoint_to_diffusers(dict(published))

    linear = [name for name, layer in flux.named_modules() if isinstance(layer, nn.Linear)]
    table = LayerTable({"transformer": linear})
    met = set()
    for name, numbers in rows.items():
        place = table.find(f"diffusion_model.{name}")
        assert place is not None, name
        found = torch.cat([ours[f"{layer}.weight"] for layer in place.names])
        assert torch.equal(found, numbers.roll(len(numbers) // 2) if place.swapped else numbers)
        met |= set(place.names)
    assert met == set(linear)
