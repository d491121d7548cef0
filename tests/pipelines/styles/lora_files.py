"""Small style LoRAs in three formats, and their sums with the weights of the tiny pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import FluxPipeline
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file
from torch import Tensor

from tests.pipelines.snapshots import named_models

RANK = 2
QKV = "lora_unet_double_blocks_0_img_attn_qkv"
OUT = "lora_unet_single_blocks_1_linear2"
FC1 = "lora_te1_text_model_encoder_layers_0_mlp_fc1"


def matrix(rows: int, columns: int, seed: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)) / 3


def kohya_file(folder: Path, **more: Tensor) -> str:
    """Two layers of the transformer and one of CLIP, two of them with an alpha of half the rank."""
    tensors = {
        f"{QKV}.lora_down.weight": matrix(RANK, 32, 1),
        f"{QKV}.lora_up.weight": matrix(96, RANK, 2),
        f"{QKV}.alpha": torch.tensor(1.0),
        f"{OUT}.lora_down.weight": matrix(RANK, 160, 3),
        f"{OUT}.lora_up.weight": matrix(32, RANK, 4),
        f"{FC1}.lora_down.weight": matrix(RANK, 16, 5),
        f"{FC1}.lora_up.weight": matrix(16, RANK, 6),
        f"{FC1}.alpha": torch.tensor(1.0),
    }
    save_file({**tensors, **more}, folder / "kohya.safetensors")
    return str(folder / "kohya.safetensors")


def diffusers_tensors() -> dict[str, Tensor]:
    """Make one layer with an alpha of half the rank, and two whose names end alike."""
    block = "transformer.transformer_blocks.0.attn.to_q"
    return {
        f"{block}.lora_A.weight": matrix(RANK, 32, 1),
        f"{block}.lora_B.weight": matrix(32, RANK, 2),
        f"{block}.alpha": torch.tensor(1.0),
        "transformer.proj_out.lora_A.weight": matrix(RANK, 32, 3),
        "transformer.proj_out.lora_B.weight": matrix(16, RANK, 4),
        "transformer.single_transformer_blocks.2.proj_out.lora_A.weight": matrix(3, 160, 5),
        "transformer.single_transformer_blocks.2.proj_out.lora_B.weight": matrix(32, 3, 6),
        "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_A.weight": matrix(RANK, 16, 7),
        "text_encoder.text_model.encoder.layers.0.mlp.fc1.lora_B.weight": matrix(16, RANK, 8),
    }


def diffusers_file(folder: Path, **options: Any) -> str:
    save_file(diffusers_tensors(), folder / "diffusers.safetensors", **options)
    return str(folder / "diffusers.safetensors")


def xlabs_file(folder: Path) -> str:
    """Attention of one block; this format knows no alphas."""
    name = "double_blocks.1.processor.qkv_lora1"
    tensors = {
        f"{name}.down.weight": matrix(RANK, 32, 1),
        f"{name}.up.weight": matrix(96, RANK, 2),
    }
    save_file(tensors, folder / "xlabs.safetensors")
    return str(folder / "xlabs.safetensors")


def xlabs_changes() -> dict[str, Tensor]:
    """Sum that `xlabs_file` adds to the weights at weight 1."""
    ups = zip("qkv", matrix(96, RANK, 2).chunk(3), strict=True)
    block = "transformer.transformer_blocks.1.attn"
    return {f"{block}.to_{letter}": up @ matrix(RANK, 32, 1) for letter, up in ups}


def kohya_changes() -> dict[str, Tensor]:
    """Sum that `kohya_file` adds to the weights at weight 1, by alpha/rank * up @ down."""
    down = matrix(RANK, 32, 1)
    ups = matrix(96, RANK, 2).chunk(3)
    names = [f"transformer.transformer_blocks.0.attn.to_{letter}" for letter in "qkv"]
    return {
        **{name: 0.5 * up @ down for name, up in zip(names, ups, strict=True)},
        "transformer.single_transformer_blocks.1.proj_out": matrix(32, RANK, 4)
        @ matrix(RANK, 160, 3),
        "text_encoder.encoder.layers.0.mlp.fc1": 0.5 * matrix(16, RANK, 6) @ matrix(RANK, 16, 5),
    }


def diffusers_changes() -> dict[str, Tensor]:
    """Sum that `diffusers_file` adds to the weights at weight 1."""
    return {
        "transformer.transformer_blocks.0.attn.to_q": 0.5
        * matrix(32, RANK, 2)
        @ matrix(RANK, 32, 1),
        "transformer.proj_out": matrix(16, RANK, 4) @ matrix(RANK, 32, 3),
        "transformer.single_transformer_blocks.2.proj_out": matrix(32, 3, 6) @ matrix(3, 160, 5),
        "text_encoder.encoder.layers.0.mlp.fc1": matrix(16, RANK, 8) @ matrix(RANK, 16, 7),
    }


def adapter_changes(pipeline: FluxPipeline) -> dict[str, Tensor]:
    """Return the sum that the active adapters add to the weights, by layer."""
    found: dict[str, Tensor] = {}
    for part, model in named_models(pipeline).items():
        for name, layer in model.named_modules():
            if not isinstance(layer, BaseTunerLayer):
                continue
            own = f"{part}.{name}".replace(".base_layer", "")  # one kind may stand in another
            found.setdefault(own, torch.zeros_like(layer.get_base_layer().weight))
            matrices = {**getattr(layer, "lora_A", {}), **getattr(layer, "lokr_w1", {})}
            for adapter in layer.active_adapters:
                if adapter in matrices:
                    found[own] = found[own] + layer.get_delta_weight(adapter)
    return found
