"""Header of a LoRA file: the layers that it changes, the kind of change, and settings; no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from pipelines.errors import ModelError
from pipelines.styles.names import split_name

# PEFT saves its settings in a file of their own, beside the weights.
PEFT_WEIGHTS, PEFT_SETTINGS = "adapter_model.safetensors", "adapter_config.json"

_IN_THE_HEADER = "lora_adapter_metadata"
_MATRICES = ("down", "hada_w1_b", "lokr_w1", "lokr_w1_b")
# Kinds of changes that cannot be added to a model as a style is, by parts of tensors' names.
_REFUSED = {
    (".dora_scale", ".lora_magnitude_vector"): (
        "is a DoRA. It also scales the model's own weights, which no strength or second style can "
        "be added to"
    ),
    (".lora_mid", ".hada_t1", ".lokr_t2"): "is a LoRA for convolutions, which FLUX.1 has not",
    (".oft_", ".boft_", "oft_blocks", "oft_R"): "is an OFT, which turns the weights: no LoRA",
    (".a1.weight", ".b1.weight"): "is a GLoRA, which scales the model's own weights",
    (".on_input",): "is an IA3, which scales the model's own values: no LoRA",
    ("ip_adapter_",): "is an IP-Adapter, which takes a picture: no LoRA",
    (".scale_weight", ".weight_scale", ".scale_input"): (
        "has matrices with scales of their own, a form of fp8 that is not read"
    ),
}


@dataclass(frozen=True)
class StyleInfo:
    """Contents of a LoRA file's header.

    Attributes:
        layers: number of layers that it changes; 0 where the file holds no LoRA.
        keys: names of all tensors.
        settings: PEFT's settings by part of the pipeline, "" for all parts; empty where there are
            none.
    """

    layers: int
    keys: tuple[str, ...]
    settings: Mapping[str, Mapping[str, Any]]


def read_info(path: Path) -> StyleInfo:
    """Read the header of a LoRA file, without its weights, and PEFT's settings beside it.

    Raises:
        ValueError: if the file is no complete safetensors file, or its settings are no JSON.
        OSError: if it cannot be opened.
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(
            f"{path} is no safetensors file, is damaged, or is not completely downloaded: {error}."
        ) from error
    kinds = {name: split_name(name) for name, shape in shapes.items() if shape}
    layers = {kind[0] for kind in kinds.values() if kind and kind[1] in _MATRICES}
    return StyleInfo(len(layers), tuple(shapes), _read_settings(path, metadata))


def check_kind(source: str, keys: Iterable[str]) -> None:
    """Check that a file changes layers by something that can be added to their weights.

    Raises:
        ModelError: if it holds another kind of change, such as a DoRA.
    """
    keys = list(keys)
    for marks, words in _REFUSED.items():
        found = next((key for key in keys if any(mark in key for mark in marks)), None)
        if found:
            raise ModelError(
                f"{source} {words}: see its tensor {found}.",
                "Choose a LoRA, LoHa or LoKr for FLUX.1.",
                "broken",
            )


def _read_settings(path: Path, metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    beside = path.with_name(PEFT_SETTINGS)
    try:
        if path.name == PEFT_WEIGHTS and beside.is_file():
            return {"": _mapping(json.loads(beside.read_text(encoding="utf-8")))}
        flat = _mapping(json.loads(metadata.get(_IN_THE_HEADER) or "{}"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the settings of {path} cannot be read: {error}.") from error
    settings: dict[str, dict[str, Any]] = {}
    for name, value in flat.items():
        part, _, setting = name.rpartition(".")
        settings.setdefault(part, {})[setting] = value
    return settings


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("they are no JSON object")
    return value
