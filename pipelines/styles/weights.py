"""Weights of a LoRA file, in any trainer's names and number format: the change of each layer.

Every tensor is either used exactly, or named in a note, or the file is refused. diffusers'
converters are not used, because they drop what they do not know: alphas beside `lora_A`, biases,
LoKr and LoHa, all of a second naming, and layers of FLUX models of other sizes than FLUX.1's.
A layer without an alpha has scale 1, also where others have one; diffusers' loader gives it the
alpha of another. InstantCharacter's published code ignores the alphas of files in diffusers'
format, so it changes such a layer by rank/alpha times as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import FluxPipeline
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.errors import ModelError
from pipelines.styles.changes import (
    Change,
    KroneckerChange,
    LayerChange,
    Scales,
    changes_of,
)
from pipelines.styles.info import PEFT_SETTINGS, PEFT_WEIGHTS, StyleInfo, check_kind, read_info
from pipelines.styles.names import PARTS, Layers, LayerTable, Part, split_name, without_prefix

ANOTHER_FILE = "Choose a LoRA that was trained on FLUX.1, saved as safetensors."
_SAME_CHANGE = 0.01  # difference of two equal changes, of which one was rounded to fp8 or bf16
_Kind = TypeVar("_Kind", LayerChange, KroneckerChange)
# Textual inversion: words that OneTrainer and others train together with the weights.
_TRAINED_WORDS = ("bundle_emb.", "emb_params", "clip_l.emb", "t5.emb")


@dataclass(frozen=True)
class StyleWeights:
    """Changes of a LoRA file to one pipeline.

    Attributes:
        layers: the changes by LoRA, by the layer's name, for each part of the pipeline; the scale
            is multiplied into `up`, and all is in the part's number format.
        kroneckers: the changes by LoKr in the same way.
        notes: parts of the file that are not used, each a sentence for a person.
    """

    layers: Mapping[Part, Mapping[str, LayerChange]]
    kroneckers: Mapping[Part, Mapping[str, KroneckerChange]]
    notes: tuple[str, ...]

    def count(self, part: Part) -> int:
        """Return the number of layers of this part that change."""
        return len(self.layers[part].keys() | self.kroneckers[part].keys())


def read_weights(path: Path, source: str, pipeline: FluxPipeline) -> StyleWeights:
    """Read a LoRA, LoHa or LoKr for the layers that a pipeline has.

    Args:
        path: the safetensors file.
        source: its name in messages.
        pipeline: the pipeline that it is for; parts that are None have no layers.

    Raises:
        ModelError: if the file holds no LoRA, one of a kind that is not supported, or one for
            another model; if its matrices do not fit each other or hold NaN or infinity.
        ValueError: if it is damaged. Exceptions of safetensors are raised too.
    """
    info = read_info(path)
    check_kind(source, info.keys)
    layers, unknown = _by_layer(load_file(path))
    models = {part: model for part in PARTS if (model := getattr(pipeline, part, None)) is not None}
    linear = {part: dict(_linear_layers(model)) for part, model in models.items()}
    table = LayerTable(linear)

    dtypes = {part: model.dtype for part, model in models.items()}
    reading = _Reading(source, info, linear, dtypes)
    foreign = []
    for name, tensors in layers.items():
        place = table.find(name)
        if place is not None:
            reading.add(name, place, tensors)
        elif any(_is_used(tensor) for kind, tensor in tensors.items() if kind != "alpha"):
            foreign.append(name)
    if not layers:
        raise ModelError(
            f"{source} is no LoRA: none of its {len(info.keys)} tensors belongs to one.",
            ANOTHER_FILE,
            "broken",
        )
    if not reading.changes:
        raise ModelError(
            f"The LoRA {source} changes nothing in this model: none of its {len(layers)} layers, "
            f"such as {min(layers)}, is in the transformer or the text encoders.",
            ANOTHER_FILE,
            "broken",
        )
    return StyleWeights(
        {part: _of_kind(LayerChange, reading.changes, part) for part in PARTS},
        {part: _of_kind(KroneckerChange, reading.changes, part) for part in PARTS},
        tuple(_notes(source, info, foreign, unknown, reading.has_alphas)),
    )


class _Reading:
    """Changes that have been read from a file, by part and layer, in the number format of each."""

    def __init__(
        self,
        source: str,
        info: StyleInfo,
        linear: Mapping[Part, Mapping[str, tuple[int, int]]],
        dtypes: Mapping[Part, torch.dtype],
    ) -> None:
        self.changes: dict[tuple[Part, str], list[Change]] = {}
        self.has_alphas = bool(info.settings)
        self._source = source
        self._settings = info.settings
        self._linear = linear
        self._dtypes = dtypes

    def add(self, name: str, place: Layers, tensors: Mapping[str, Tensor]) -> None:
        """Add what the tensors of one layer of the file change.

        Raises:
            ModelError: if they do not fit each other or the model, or contradict the file itself.
        """
        self.has_alphas |= "alpha" in tensors
        settings = self._settings.get(place.part, self._settings.get("", {}))
        sizes = [self._linear[place.part][layer] for layer in place.names]
        outputs = [size[1] for size in sizes]
        scales = Scales(without_prefix(name), tensors.get("alpha"), settings)
        try:
            changes = changes_of(tensors, scales, sizes[0][0])
        except ValueError as error:
            raise ModelError(
                f"The LoRA {self._source} is damaged in its layer {name}: {error}.",
                "Get the LoRA again, or choose another.",
                "broken",
            ) from error
        for change in changes:
            self._check_size(name, change.size, (sizes[0][0], sum(outputs)))
        whole = [change.swapped() if place.swapped else change for change in changes]
        parts = zip(*(change.parts(outputs) for change in whole), strict=True)
        for layer, found in zip(place.names, parts, strict=bool(whole)):
            cast = [self._cast(change, layer, self._dtypes[place.part]) for change in found]
            before = self.changes.setdefault((place.part, layer), cast)
            if before is not cast and not _same(before, cast):
                raise ModelError(
                    f"The LoRA {self._source} changes the layer {layer} twice and differently, "
                    f"under two names, of which one is {name}.",
                    "Choose a version of it that was saved by one program.",
                    "broken",
                )

    def _check_size(self, name: str, theirs: tuple[int, int], ours: tuple[int, int]) -> None:
        if theirs == ours:
            return
        if theirs == (2 * ours[0], ours[1]) and name.endswith(("img_in", "x_embedder")):
            raise ModelError(
                f"The LoRA {self._source} is a control LoRA: it takes a second picture, such as "
                "depth or edges, which a style has not.",
                ANOTHER_FILE,
                "broken",
            )
        raise ModelError(
            f"The LoRA {self._source} is for another model: its layer {name} maps {theirs[0]} "
            f"values to {theirs[1]}, this model's maps {ours[0]} to {ours[1]}.",
            "Choose a LoRA that was trained on this model, or the model that it was trained on.",
            "broken",
        )

    def _cast(self, change: Change, layer: str, dtype: torch.dtype) -> Change:
        """Return a change in another number format, if it holds neither NaN nor infinity then."""
        if not change.is_finite():
            raise ModelError(
                f"The LoRA {self._source} holds values that are no numbers (NaN or infinity) in "
                f"its layer {layer}.",
                "Get the LoRA again, or choose another.",
                "broken",
            )
        cast = change.to(dtype)
        if not cast.is_finite():
            raise ModelError(
                f"The LoRA {self._source} holds values in its layer {layer} that are too large for "
                f"the numbers of this model, {dtype}.",
                "Choose bfloat16 or float32 (THROUGHLINE_DTYPE), or another LoRA.",
                "broken",
            )
        return cast


def _by_layer(tensors: Mapping[str, Tensor]) -> tuple[dict[str, dict[str, Tensor]], list[str]]:
    """Return the tensors by layer and kind, and the names of those that belong to no LoRA."""
    layers: dict[str, dict[str, Tensor]] = {}
    unknown = []
    for name, tensor in tensors.items():
        found = split_name(name)
        if found is not None:
            layers.setdefault(found[0], {})[found[1]] = tensor
        elif _is_used(tensor):
            unknown.append(name)
    return layers, unknown


def _is_used(tensor: Tensor) -> bool:
    """Return False for a tensor of zeros, which changes nothing."""
    return bool(tensor.to(torch.float32).any())


def _linear_layers(model: nn.Module) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the names of a model's linear layers, with their inputs and outputs."""
    for name, module in model.named_modules():
        inner = ".base_layer" in name or ".lora_" in name  # of adapters that are there already
        layer: Any = module
        if hasattr(layer, "in_features") and not inner:
            yield name, (layer.in_features, layer.out_features)


def _same(first: list[Change], second: list[Change]) -> bool:
    """Compare two readings of one layer; they may have been rounded differently."""
    ours, theirs = (
        torch.stack([change.to(torch.float32).product() for change in changes]).sum(0)
        for changes in (first, second)
    )
    return bool((ours - theirs).norm() <= _SAME_CHANGE * ours.norm())


def _of_kind(
    kind: type[_Kind], changes: Mapping[tuple[Part, str], list[Change]], part: Part
) -> dict[str, _Kind]:
    return {
        layer: change
        for (owner, layer), several in changes.items()
        for change in several
        if owner == part and isinstance(change, kind)
    }


def _notes(
    source: str, info: StyleInfo, foreign: list[str], unknown: list[str], has_alphas: bool
) -> Iterator[str]:
    if foreign:
        yield (
            f"Part of the LoRA {source} is not used, because this model lacks its layers, such as "
            f"{foreign[0]} ({len(foreign)} in all)."
        )
    words = [name for name in unknown if name.startswith(_TRAINED_WORDS)]
    if words:
        yield (
            f"The words that were trained with the LoRA {source}, such as {words[0]}, are not used."
        )
    others = [name for name in unknown if name not in words]
    if others:
        yield (
            f"Part of the LoRA {source} is not used, because it is no matrix of a LoRA, LoHa or "
            f"LoKr: {others[0]} ({len(others)} in all). The style may look different."
        )
    if source.endswith(PEFT_WEIGHTS) and not has_alphas:
        yield (
            f"The strength of the LoRA {source} is not known, because {PEFT_SETTINGS} is missing "
            "beside it. If the style looks too weak or too strong, change its weight."
        )
