"""Weights of a LoRA file, in any trainer's names: one pair of matrices for each layer.

A layer becomes W + weight * scale * B A, where scale is alpha/rank if the file has an alpha for
that layer (kohya's and diffusers' `.alpha` tensors, or PEFT's settings in the header), else 1. That
is PEFT's rule. InstantCharacter's published code ignores the alphas of files in diffusers' format,
so it changes such a layer by rank/alpha times as much; diffusers' loader gives one layer's alpha
also to layers without one, which is not done here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import FluxPipeline
from peft import LoraConfig
from peft.utils.other import get_pattern_key
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.errors import ModelError
from pipelines.styles.info import read_info

Part = Literal["transformer", "text_encoder"]
PARTS: tuple[Part, ...] = ("transformer", "text_encoder")
ANOTHER_FILE = "Choose a LoRA that was trained on FLUX.1, saved as safetensors."

_T5 = ("lora_te2_", "lora_te3_", "text_encoder_2.", "text_encoders.t5xxl.")
_OTHER_KINDS = {
    ".lokr_": "a LoKr",
    ".hada_": "a LoHa",
    "dora_scale": "a DoRA",
    "lora_magnitude_vector": "a DoRA",
    ".lora_B.bias": "a LoRA with biases",
    "norm_q": "a control LoRA",
    "query_norm": "a control LoRA",
}
_MATRIX = re.compile(
    r"(transformer|text_encoder)\.(?:text_model\.)?(.+)\."
    r"(?:lora_([AB])|lora\.(down|up)|lora_linear_layer\.(down|up))\.weight"
)
_KOHYA_CLIP = re.compile(
    r"lora_te1?_text_model_(encoder)_(layers)_(\d+)_(self_attn|mlp)_(\w+)\."
    r"(lora_down\.weight|lora_up\.weight|alpha)"
)
_PEFT_NAMES = {"lora_down.weight": "lora_A.weight", "lora_up.weight": "lora_B.weight"}


@dataclass(frozen=True)
class LayerChange:
    """Two matrices whose product changes a layer's weight.

    Attributes:
        down: A, shape (rank, inputs of the layer).
        up: B, shape (outputs of the layer, rank).
    """

    down: Tensor
    up: Tensor

    @property
    def rank(self) -> int:
        """Columns of B."""
        return int(self.up.shape[1])


@dataclass(frozen=True)
class StyleWeights:
    """Changes of a LoRA file to one pipeline.

    Attributes:
        layers: the changes by the layer's name, for each part of the pipeline; the scale is
            multiplied into `up`, and both are in the part's number format.
        notes: parts of the file that are not used, each a sentence for a person.
    """

    layers: Mapping[Part, Mapping[str, LayerChange]]
    notes: tuple[str, ...]


def read_weights(path: Path, source: str, pipeline: FluxPipeline) -> StyleWeights:
    """Read a LoRA for the layers that a pipeline has.

    Args:
        path: the safetensors file.
        source: its name in messages.
        pipeline: the pipeline that it is for; parts that are None have no layers.

    Raises:
        ModelError: if the file holds no LoRA, one of a kind that is not supported, or one for
            another model.
        ValueError: if it is damaged. Exceptions of diffusers and safetensors are raised too.
    """
    info = read_info(path)
    _check_kind(source, info.keys)
    tensors = load_file(path)
    for_t5 = [name for name in tensors if name.startswith(_T5)]
    for name in for_t5:
        del tensors[name]
    # diffusers' own conversion finds CLIP's layers only where attention outputs are among them.
    for_clip = {new: tensors.pop(old) for old, new in _kohya_clip_names(tensors)}
    converted, alphas = pipeline.lora_state_dict(tensors, return_alphas=True)
    changes = _pair_up({**converted, **for_clip})
    scales = _Scales({**(alphas or {}), **for_clip}, info.settings)

    layers: dict[Part, dict[str, LayerChange]] = {part: {} for part in PARTS}
    # Tensors for which diffusers found no layer, as kohya's of the final layer.
    unplaced = (n for n in converted if ".lora" in n and not _MATRIX.fullmatch(n))
    foreign = sorted({name.rpartition(".lora")[0] for name in unplaced})
    for (part, name), change in changes.items():
        model = getattr(pipeline, part)
        size = None if model is None else _size_of_linear(model, name)
        if size is None:
            foreign.append(f"{part}.{name}")
            continue
        _check_shape(source, f"{part}.{name}", change, size)
        up = change.up.to(torch.float32) * scales.of(part, name, change.rank)
        layers[part][name] = LayerChange(change.down.to(model.dtype), up.to(model.dtype))
    if not any(layers.values()):
        raise ModelError(
            f"The LoRA {source} changes nothing in this model: none of its {info.layers} layers "
            "is in the transformer or the CLIP text encoder.",
            ANOTHER_FILE,
            "broken",
        )
    return StyleWeights(layers, tuple(_notes(source, for_t5, foreign)))


class _Scales:
    """Scale of each layer's B A, from alphas by "part.layer.alpha" or PEFT's settings as JSON."""

    def __init__(self, alphas: Mapping[str, Tensor], settings: str) -> None:
        self._alphas = {
            name.replace("text_encoder.text_model.", "text_encoder."): alpha
            for name, alpha in alphas.items()
        }
        by_part: dict[str, dict[str, Any]] = {}
        for name, value in (json.loads(settings) if settings else {}).items():
            part, _, setting = name.partition(".")
            by_part.setdefault(part, {})[setting] = value
        self._configs = {part: LoraConfig(**values) for part, values in by_part.items()}

    def of(self, part: Part, layer: str, rank: int) -> float:
        """Return alpha/rank (alpha/sqrt(rank) if rank-stabilised), or 1 without an alpha."""
        alpha = self._alphas.get(f"{part}.{layer}.alpha")
        if alpha is not None:
            return float(alpha) / rank
        config = self._configs.get(part)
        if config is None:
            return 1.0
        patterns = config.alpha_pattern or {}
        given = float(patterns.get(get_pattern_key(list(patterns), layer), config.lora_alpha))
        return given / (math.sqrt(rank) if config.use_rslora else rank)


def _kohya_clip_names(tensors: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Return kohya's names of tensors for CLIP, each with PEFT's name."""
    matches = filter(None, map(_KOHYA_CLIP.fullmatch, tensors))
    return [
        (m[0], ".".join(["text_encoder", *m.groups()[:-1], _PEFT_NAMES.get(m[6], m[6])]))
        for m in matches
    ]


def _pair_up(tensors: Mapping[str, Tensor]) -> dict[tuple[Part, str], LayerChange]:
    """Return both matrices of each layer; tensors that are no matrix of a LoRA are ignored."""
    downs: dict[tuple[Part, str], Tensor] = {}
    ups: dict[tuple[Part, str], Tensor] = {}
    for name, tensor in tensors.items():
        match = _MATRIX.fullmatch(name)
        if match:
            part: Part = "transformer" if match[1] == "transformer" else "text_encoder"
            side = match[3] or match[4] or match[5]
            (downs if side in ("A", "down") else ups)[part, match[2]] = tensor
    halves = downs.keys() ^ ups.keys()
    if halves:
        raise ValueError(f"one of the two matrices of {'.'.join(min(halves))} is missing.")
    return {layer: LayerChange(down, ups[layer]) for layer, down in downs.items()}


def _size_of_linear(model: nn.Module, name: str) -> tuple[int, int] | None:
    """Return the inputs and outputs of a linear layer of the model; None where it has none."""
    try:
        layer: Any = model.get_submodule(name)
    except AttributeError:
        return None
    return (layer.in_features, layer.out_features) if hasattr(layer, "in_features") else None


def _check_kind(source: str, keys: tuple[str, ...]) -> None:
    for mark, kind in _OTHER_KINDS.items():
        if any(mark in key for key in keys):
            raise ModelError(
                f"{source} is {kind}, which is not supported as a style.", ANOTHER_FILE, "broken"
            )
    if not any("lora" in key for key in keys):
        raise ModelError(
            f"{source} is no LoRA: none of its {len(keys)} tensors belongs to one.",
            ANOTHER_FILE,
            "broken",
        )


def _check_shape(source: str, name: str, change: LayerChange, size: tuple[int, int]) -> None:
    if change.down.ndim != 2 or change.up.ndim != 2 or change.down.shape[0] != change.rank:
        raise ValueError(
            f"the matrices of {name} do not fit each other: {tuple(change.down.shape)} and "
            f"{tuple(change.up.shape)}."
        )
    theirs = (change.down.shape[1], change.up.shape[0])
    if theirs != size:
        raise ModelError(
            f"The LoRA {source} is for another model: its layer {name} maps {theirs[0]} values to "
            f"{theirs[1]}, this model's maps {size[0]} to {size[1]}.",
            "Choose a LoRA that was trained on this model, or the model that it was trained on.",
            "broken",
        )


def _notes(source: str, for_t5: list[str], foreign: list[str]) -> Iterator[str]:
    if for_t5:
        yield f"The layers of the LoRA {source} for the T5 text encoder are not used."
    if foreign:
        yield (
            f"Part of the LoRA {source} is not used, because this model lacks its layers, such as "
            f"{foreign[0]} ({len(foreign)} in all)."
        )
