"""LoRA for the tiny pipeline, written in the names of every trainer.

`ORIGINAL` is the LoRA in diffusers' names; what follows renames it, and joins layers where a
trainer joins them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.pipelines.styles.lora_files import matrix

RANK = 3
BLOCK, SINGLE = "transformer.transformer_blocks.0", "transformer.single_transformer_blocks.1"
CLIP, T5 = "text_encoder.encoder.layers.0", "text_encoder_2.encoder.block.0.layer"


@dataclass(frozen=True)
class Pair:
    """Matrices of one layer: down, shape (rank, inputs), and up, shape (outputs, rank)."""

    down: Tensor
    up: Tensor
    alpha: float = 2.0

    @property
    def change(self) -> Tensor:
        """The change of the weight at strength 1."""
        return self.alpha / self.down.shape[0] * self.up.float() @ self.down.float()


Original = Mapping[str, Pair]
Tensors = dict[str, Tensor]

# Groups of layers that Black Forest Labs' model computes as one, and every other layer by itself;
# with inputs, and outputs of each.
_GROUPS: dict[tuple[str, ...], tuple[int, ...]] = {
    tuple(f"{BLOCK}.attn.to_{letter}" for letter in "qkv"): (32, 32, 32, 32),
    tuple(f"{BLOCK}.attn.add_{letter}_proj" for letter in "qkv"): (32, 32, 32, 32),
    (f"{BLOCK}.attn.to_out.0",): (32, 32),
    (f"{BLOCK}.attn.to_add_out",): (32, 32),
    (f"{BLOCK}.ff.net.0.proj",): (32, 128),
    (f"{BLOCK}.ff.net.2",): (128, 32),
    (f"{BLOCK}.ff_context.net.0.proj",): (32, 128),
    (f"{BLOCK}.ff_context.net.2",): (128, 32),
    (f"{BLOCK}.norm1.linear",): (32, 192),
    (f"{BLOCK}.norm1_context.linear",): (32, 192),
    (
        *(f"{SINGLE}.attn.to_{letter}" for letter in "qkv"),
        f"{SINGLE}.proj_mlp",
    ): (32, 32, 32, 32, 128),
    (f"{SINGLE}.proj_out",): (160, 32),
    (f"{SINGLE}.norm.linear",): (32, 96),
    ("transformer.x_embedder",): (16, 32),
    ("transformer.context_embedder",): (16, 32),
    ("transformer.time_text_embed.timestep_embedder.linear_1",): (256, 32),
    ("transformer.time_text_embed.timestep_embedder.linear_2",): (32, 32),
    ("transformer.time_text_embed.guidance_embedder.linear_1",): (256, 32),
    ("transformer.time_text_embed.guidance_embedder.linear_2",): (32, 32),
    ("transformer.time_text_embed.text_embedder.linear_1",): (16, 32),
    ("transformer.time_text_embed.text_embedder.linear_2",): (32, 32),
    ("transformer.norm_out.linear",): (32, 64),
    ("transformer.proj_out",): (32, 16),
    **{
        (f"{CLIP}.{name}",): (16, 16)
        for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    },
    **{(f"{CLIP}.{name}",): (16, 16) for name in ("self_attn.out_proj", "mlp.fc1", "mlp.fc2")},
    **{(f"{T5}.0.SelfAttention.{name}",): (16, 16) for name in "qkvo"},
    **{(f"{T5}.1.DenseReluDense.{name}",): (16, 16) for name in ("wi", "wo")},
}


def _original() -> dict[str, Pair]:
    pairs: dict[str, Pair] = {}
    for number, (layers, (inputs, *outputs)) in enumerate(_GROUPS.items()):
        down = matrix(RANK, inputs, 100 * number)
        for index, (layer, rows) in enumerate(zip(layers, outputs, strict=True)):
            pairs[layer] = Pair(down, matrix(rows, RANK, 100 * number + index + 1))
    return pairs


ORIGINAL: Original = _original()

# Black Forest Labs' names of the groups, with the prefix of diffusers' parts.
_PUBLISHED = {
    BLOCK: "transformer.double_blocks.0",
    SINGLE: "transformer.single_blocks.1",
    "attn.to_q": "img_attn.qkv",
    "attn.add_q_proj": "txt_attn.qkv",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "proj_out": "linear2",
    "norm.linear": "modulation.lin",
    "x_embedder": "img_in",
    "context_embedder": "txt_in",
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
}


def _published(layer: str) -> str:
    """Return Black Forest Labs' name of the layer or group that begins with this layer."""
    if layer == "transformer.proj_out":
        return "transformer.final_layer.linear"
    for block in (BLOCK, SINGLE):
        if layer.startswith(block):
            name = layer.removeprefix(f"{block}.")
            inside = "linear1" if (block, name) == (SINGLE, "attn.to_q") else _PUBLISHED[name]
            return f"{_PUBLISHED[block]}.{inside}"
    part, _, name = layer.partition(".")
    return f"{part}.{_PUBLISHED[name]}" if part == "transformer" else layer


def joined(original: Original, sparse: bool = False) -> dict[str, Pair]:
    """Return a LoRA with the layers that Black Forest Labs' model has.

    Args:
        original: the LoRA in diffusers' layers.
        sparse: True for sd-scripts' form of layers that were trained by themselves: their matrices
            stand beside each other, with zeros around them.
    """
    pairs: dict[str, Pair] = {}
    for layers in _GROUPS:
        members = [original[layer] for layer in layers if layer in original]
        if not members:
            continue
        ups = [member.up for member in members]
        down, up, alpha = members[0].down, torch.cat(ups), members[0].alpha
        if sparse and len(layers) > 1:
            down = torch.cat([member.down for member in members])
            up, alpha = torch.block_diag(*ups), alpha * len(layers)
        if layers[0] == "transformer.norm_out.linear":
            up = torch.cat([up[up.shape[0] // 2 :], up[: up.shape[0] // 2]])
        pairs[_published(layers[0])] = Pair(down, up, alpha)
    return pairs


def one_trainer_layers(original: Original) -> dict[str, Pair]:
    """Return a LoRA with OneTrainer's newer names, which number the members of a group."""
    pairs: dict[str, Pair] = {}
    for layers in _GROUPS:
        for index, layer in enumerate(layers):
            name = _published(layers[0]) + (f".{index}" if len(layers) > 1 else "")
            name = "transformer.img_in.proj" if name == "transformer.img_in" else name
            up = original[layer].up
            if layer == "transformer.norm_out.linear":
                up = torch.cat([up[up.shape[0] // 2 :], up[: up.shape[0] // 2]])
            pairs[name] = Pair(original[layer].down, up, original[layer].alpha)
    return pairs


def written(
    pairs: Mapping[str, Pair], rename: Callable[[str], str], sides: str, alphas: bool = True
) -> Tensors:
    """Return tensors of a file.

    Args:
        pairs: matrices by layer.
        rename: name of a layer in the file.
        sides: ends of the names of A and B, with a space between.
        alphas: False where a format has no alphas, so that trainers multiply them into B.
    """
    tensors: Tensors = {}
    down, up = sides.split()
    for layer, pair in pairs.items():
        name = rename(layer)
        scale = 1.0 if alphas else pair.alpha / pair.down.shape[0]
        tensors[f"{name}{down}"] = pair.down.clone()
        tensors[f"{name}{up}"] = (pair.up * scale).clone()
        if alphas:
            tensors[f"{name}.alpha"] = torch.tensor(pair.alpha)
    return tensors


def prefixed(transformer: str, clip: str, t5: str, dots: bool = True) -> Callable[[str], str]:
    """Return a function that puts these prefixes in place of the pipeline's parts."""

    def rename(layer: str) -> str:
        part, _, name = layer.partition(".")
        prefix = {"transformer": transformer, "text_encoder": clip, "text_encoder_2": t5}[part]
        return prefix + (name if dots else name.replace(".", "_"))

    return rename


PEFT = ".lora_A.weight .lora_B.weight"
KOHYA = ".lora_down.weight .lora_up.weight"
DIFFUSERS_PARTS = ("transformer.", "text_encoder.text_model.", "text_encoder_2.")
COMFY_PARTS = (
    "text_encoders.clip_l.transformer.text_model.",
    "text_encoders.t5xxl.transformer.",
)
KOHYA_PARTS = ("lora_te1_text_model_", "lora_te3_")


def _xlabs(original: Original, prefix: str = "") -> Tensors:
    """Return attention alone, in XLabs' names, which have no alphas."""
    names = {
        "transformer.double_blocks.0.img_attn.qkv": "double_blocks.0.processor.qkv_lora1",
        "transformer.double_blocks.0.txt_attn.qkv": "double_blocks.0.processor.qkv_lora2",
        "transformer.double_blocks.0.img_attn.proj": "double_blocks.0.processor.proj_lora1",
        "transformer.double_blocks.0.txt_attn.proj": "double_blocks.0.processor.proj_lora2",
        "transformer.single_blocks.1.linear1": "single_blocks.1.processor.qkv_lora",
        "transformer.single_blocks.1.linear2": "single_blocks.1.processor.proj_lora",
    }
    pairs = {name: pair for name, pair in joined(xlabs_part(original)).items()}
    return written(
        pairs, lambda layer: prefix + names[layer], ".down.weight .up.weight", alphas=False
    )


def xlabs_part(original: Original) -> dict[str, Pair]:
    """Return the layers that XLabs' format has."""
    attention = re.compile(r"(.+\.attn\..+|.+single_transformer_blocks\.1\.proj_out)")
    return {
        layer: pair
        for layer, pair in original.items()
        if attention.fullmatch(layer) and layer.startswith("transformer.")
    }


def _mixed(original: Original) -> Tensors:
    """Return half of the layers in kohya's names, half in diffusers'."""
    inside = {name: pair for name, pair in original.items() if name.startswith(BLOCK)}
    outside = {name: pair for name, pair in original.items() if name not in inside}
    return written(
        joined(inside), prefixed("lora_unet_", *KOHYA_PARTS, dots=False), KOHYA
    ) | written(outside, prefixed(*DIFFUSERS_PARTS), PEFT)


# Name in the documentation, and the file's tensors.
NAMINGS: dict[str, Callable[[Original], Tensors]] = {
    "diffusers": lambda o: written(o, prefixed(*DIFFUSERS_PARTS), PEFT),
    "diffusers, lora_down": lambda o: written(o, prefixed(*DIFFUSERS_PARTS), KOHYA),
    "diffusers, lora.down": lambda o: written(
        o, prefixed(*DIFFUSERS_PARTS), ".lora.down.weight .lora.up.weight"
    ),
    "diffusers, lora_linear_layer": lambda o: written(
        o,
        prefixed(*DIFFUSERS_PARTS),
        ".lora_linear_layer.down.weight .lora_linear_layer.up.weight",
    ),
    "diffusers, without prefix": lambda o: written(
        o, prefixed("", "text_encoder.", "text_encoder_2."), PEFT
    ),
    "ai-toolkit": lambda o: written(o, prefixed(*DIFFUSERS_PARTS), PEFT, alphas=False),
    "PEFT": lambda o: written(
        o, prefixed("base_model.model.", "text_encoder.", "text_encoder_2."), PEFT
    ),
    "PEFT, transformer": lambda o: written(
        o,
        prefixed(*(f"base_model.model.{part}" for part in DIFFUSERS_PARTS)),
        ".lora_A.default.weight .lora_B.default.weight",
    ),
    "PEFT, Black Forest Labs' layers": lambda o: written(
        joined(o), prefixed("base_model.model.", "text_encoder.", "text_encoder_2."), PEFT
    ),
    "kohya": lambda o: written(joined(o), prefixed("lora_unet_", *KOHYA_PARTS, dots=False), KOHYA),
    "kohya, split_qkv": lambda o: written(
        joined(o, sparse=True), prefixed("lora_unet_", *KOHYA_PARTS, dots=False), KOHYA
    ),
    "kohya, diffusers' layers": lambda o: written(
        o, prefixed("lora_unet_", "lora_te_text_model_", "lora_te3_", dots=False), KOHYA
    ),
    "ComfyUI": lambda o: written(joined(o), prefixed("diffusion_model.", *COMFY_PARTS), KOHYA),
    "ComfyUI, lora_A": lambda o: written(
        joined(o), prefixed("diffusion_model.", *COMFY_PARTS), PEFT
    ),
    "ComfyUI, diffusers' layers": lambda o: written(
        o, prefixed("diffusion_model.", "clip_l.text_model.", "t5xxl."), KOHYA
    ),
    "ComfyUI, model": lambda o: written(
        joined(o), prefixed("model.diffusion_model.", *COMFY_PARTS), KOHYA
    ),
    "Black Forest Labs": lambda o: written(
        joined(o), prefixed("", "text_encoder.", "text_encoder_2."), PEFT
    ),
    "OneTrainer": lambda o: written(
        o, prefixed("lora_transformer_", "lora_te1_text_model_", "lora_te2_", dots=False), KOHYA
    ),
    "OneTrainer, OMI": lambda o: written(
        one_trainer_layers(o), prefixed("transformer.", "clip_l.text_model.", "t5."), KOHYA
    ),
    "LyCORIS": lambda o: written(
        o, prefixed("lycoris_", "lora_te1_text_model_", "lora_te3_", dots=False), KOHYA
    ),
    "XLabs": _xlabs,
    "XLabs, ComfyUI": lambda o: _xlabs(o, "diffusion_model."),
    "two namings in one file": _mixed,
}
