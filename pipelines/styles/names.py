"""Names of the tensors in LoRA files, as every trainer of FLUX.1 writes them; no torch.

A name is a prefix, a layer, and the kind of tensor. The layer's name may be diffusers' or Black
Forest Labs', with dots or with underscores: `LayerTable` has all of them. It knows nothing of what
is in the tensors: see `pipelines.styles.changes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Part = Literal["transformer", "text_encoder", "text_encoder_2"]
PARTS: tuple[Part, ...] = ("transformer", "text_encoder", "text_encoder_2")

# Kinds of tensors, by the end of their names.
_ENDS = {
    "down": r"\.lora_(?:A|down)(?:\.(?!weight$|bias$)\w+)?(?:\.weight)?"
    r"|(?:[._]lora|\.lora_linear_layer)?\.down\.weight",
    "up": r"\.lora_(?:B|up)(?:\.(?!weight$|bias$)\w+)?(?:\.weight)?"
    r"|(?:[._]lora|\.lora_linear_layer)?\.up\.weight",
    "up_bias": r"\.lora_(?:B|up)(?:\.\w+)?\.bias",
    "diff_b": r"\.diff_b",
    "alpha": r"\.alpha",
    **{name: rf"\.{name}" for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")},
    **{name: rf"\.{name}" for name in ("lokr_w1", "lokr_w1_a", "lokr_w1_b")},
    **{name: rf"\.{name}" for name in ("lokr_w2", "lokr_w2_a", "lokr_w2_b")},
}
_TENSOR = re.compile(
    "(.+?)(?:" + "|".join(f"(?P<{kind}>{end})" for kind, end in _ENDS.items()) + ")"
)
# Prefixes of each part, after those of PEFT and of ComfyUI's model, with underscores for dots.
_WRAPPERS = ("base_model_model_", "model_")
_PREFIXES: Mapping[Part, tuple[str, ...]] = {
    "transformer": (
        *("", "transformer_", "diffusion_model_", "unet_"),
        *("lora_unet_", "lora_transformer_", "lycoris_"),
    ),
    "text_encoder": (
        *("text_encoder_", "text_encoders_clip_l_transformer_", "clip_l_transformer_", "clip_l_"),
        *("lora_te_", "lora_te1_", "lycoris_te1_"),
    ),
    "text_encoder_2": (
        *("text_encoder_2_", "text_encoders_t5xxl_transformer_", "t5xxl_transformer_", "t5xxl_"),
        *("t5_", "lora_te2_", "lora_te3_"),
    ),
}
_DOTTED_PREFIX = re.compile(
    r"^(?:(?:base_model\.model|model|transformer|diffusion_model|text_encoder(?:_2)?)\.)+"
)

# Black Forest Labs' layers and those of XLabs, with underscores for dots; several of diffusers'
# layers are parts of one of theirs, in this order.
_IMAGE_QKV = ("attn.to_q", "attn.to_k", "attn.to_v")
_TEXT_QKV = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
_DOUBLE_BLOCK = {
    "img_attn_qkv": _IMAGE_QKV,
    "img_attn_proj": ("attn.to_out.0",),
    "img_mlp_0": ("ff.net.0.proj",),
    "img_mlp_2": ("ff.net.2",),
    "img_mod_lin": ("norm1.linear",),
    "txt_attn_qkv": _TEXT_QKV,
    "txt_attn_proj": ("attn.to_add_out",),
    "txt_mlp_0": ("ff_context.net.0.proj",),
    "txt_mlp_2": ("ff_context.net.2",),
    "txt_mod_lin": ("norm1_context.linear",),
    "processor_qkv_lora1": _IMAGE_QKV,
    "processor_proj_lora1": ("attn.to_out.0",),
    "processor_qkv_lora2": _TEXT_QKV,
    "processor_proj_lora2": ("attn.to_add_out",),
}
_SINGLE_BLOCK = {
    "linear1": (*_IMAGE_QKV, "proj_mlp"),
    "linear2": ("proj_out",),
    "modulation_lin": ("norm.linear",),
    "processor_qkv": _IMAGE_QKV,
    "processor_proj": ("proj_out",),
}
_OUTSIDE_BLOCKS = {
    "img_in": "x_embedder",
    "img_in_proj": "x_embedder",
    "txt_in": "context_embedder",
    "time_in_in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in_out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in_in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in_out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in_in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in_out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer_linear": "proj_out",
    "final_layer_adaLN_modulation_1": "norm_out.linear",
}
_SWAPPED = "final_layer_adaLN_modulation_1"


@dataclass(frozen=True)
class Layers:
    """Layers of a pipeline that one layer of a file stands for.

    Attributes:
        part: the part of the pipeline.
        names: diffusers' names of the layers, whose outputs stand in the file in this order.
        swapped: True if the halves of the outputs are the other way round in the file: Black
            Forest Labs' last modulation gives shift and scale, diffusers' gives scale and shift.
    """

    part: Part
    names: tuple[str, ...]
    swapped: bool = False


def split_name(tensor: str) -> tuple[str, str] | None:
    """Return the layer's name in the file and the kind of tensor, as "down", "up" or "alpha".

    Returns:
        None where the name ends like no tensor of a LoRA, LoHa or LoKr.
    """
    match = _TENSOR.fullmatch(tensor)
    return (match[1], str(match.lastgroup)) if match else None


def without_prefix(layer: str) -> str:
    """Return a layer's name with dots as PEFT's settings write it, as "blocks.0.attn.to_q"."""
    return _DOTTED_PREFIX.sub("", layer)


class LayerTable:
    """Layers of a pipeline, to be found by any trainer's name.

    Args:
        layers: names of the linear layers of each part of the pipeline that it has.
    """

    def __init__(self, layers: Mapping[Part, Iterable[str]]) -> None:
        self._by_part = {part: dict(_all_names(part, names)) for part, names in layers.items()}

    def find(self, layer: str) -> Layers | None:
        """Return what a file's layer stands for; None where the pipeline lacks it."""
        name = layer.replace(".", "_")
        for wrapper in ("", *_WRAPPERS):
            if not name.startswith(wrapper):
                continue
            bare = name.removeprefix(wrapper)
            for part, table in self._by_part.items():
                for prefix in _PREFIXES[part]:
                    if bare.startswith(prefix) and bare.removeprefix(prefix) in table:
                        return table[bare.removeprefix(prefix)]
        return None


def _all_names(part: Part, layers: Iterable[str]) -> Iterator[tuple[str, Layers]]:
    """Yield every name of a part's layers, with underscores for dots."""
    own = set(layers)
    for name in own:
        bare = name.removeprefix("text_model.").replace(".", "_")
        yield bare, Layers(part, (name,))
        if part == "text_encoder":  # some versions of transformers have this module more
            yield f"text_model_{bare}", Layers(part, (name,))
    if part == "transformer":
        for other, names in _published_names(own):
            if own.issuperset(names):
                yield other, Layers(part, names, swapped=other == _SWAPPED)


def _published_names(own: set[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the names that others than diffusers give to FLUX's layers, with diffusers' names."""
    for other, name in _OUTSIDE_BLOCKS.items():
        yield other, (name,)
    for theirs, ours, block in (
        ("double_blocks", "transformer_blocks", _DOUBLE_BLOCK),
        ("single_blocks", "single_transformer_blocks", _SINGLE_BLOCK),
    ):
        for index in sorted({name.split(".")[1] for name in own if name.startswith(f"{ours}.")}):
            for other, names in block.items():
                joined = tuple(f"{ours}.{index}.{name}" for name in names)
                yield f"{theirs}_{index}_{other}", joined
                if len(joined) > 1:  # OneTrainer's names of the parts
                    for number, name in enumerate(joined):
                        yield f"{theirs}_{index}_{other}_{number}", (name,)
