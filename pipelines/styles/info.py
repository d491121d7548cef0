"""Header of a LoRA file, which changes each layer by a product of two matrices; no torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

_DOWN = re.compile(r"(\.lora_down|\.lora_A|[._]lora\d*\.down)\.weight$")


@dataclass(frozen=True)
class StyleInfo:
    """Contents of a LoRA file's header.

    Attributes:
        layers: number of layers that it changes; 0 where the file holds no LoRA.
        keys: names of all tensors.
        settings: PEFT's settings as JSON; empty where there are none.
    """

    layers: int
    keys: tuple[str, ...]
    settings: str


def read_info(path: Path) -> StyleInfo:
    """Read the header of a LoRA file, without its weights.

    Raises:
        ValueError: if the file is no complete safetensors file.
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
    layers = sum(bool(_DOWN.search(name) and shape) for name, shape in shapes.items())
    return StyleInfo(layers, tuple(shapes), metadata.get("lora_adapter_metadata", ""))
