"""Header of a LoRA file: its format, rank, title and trigger words; no torch.

A LoRA changes each layer of a model by a product of two thin matrices; `pipelines.styles.lora`
loads LoRAs into a model.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from safetensors import SafetensorError, safe_open

StyleFormat = Literal["kohya", "diffusers", "xlabs", "other"]

_MOST_TRIGGERS = 5
_DOWN = re.compile(r"(\.lora_down|\.lora_A|[._]lora\d*\.down)\.weight$")


@dataclass(frozen=True)
class StyleInfo:
    """Contents of a LoRA file's header.

    Attributes:
        format: trainer whose names its tensors have; "other" where it is not known.
        rank: the most frequent rank of its layers; 0 where the file holds no LoRA.
        layers: number of layers that it changes.
        title: its name; empty where it has none.
        triggers: words that it may have been trained with, the likeliest first.
        keys: names of all tensors.
        settings: PEFT's settings as JSON; empty where there are none.
    """

    format: StyleFormat
    rank: int
    layers: int
    title: str
    triggers: tuple[str, ...]
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
    ranks = Counter(shape[0] for name, shape in shapes.items() if _DOWN.search(name) and shape)
    title = metadata.get("modelspec.title") or metadata.get("ss_output_name") or ""
    return StyleInfo(
        format=_format_of(shapes),
        rank=ranks.most_common(1)[0][0] if ranks else 0,
        layers=ranks.total(),
        title=title.strip(),
        triggers=_triggers_of(metadata),
        keys=tuple(shapes),
        settings=metadata.get("lora_adapter_metadata", ""),
    )


def _format_of(names: Mapping[str, object]) -> StyleFormat:
    if any(name.endswith(".lora_down.weight") for name in names):
        return "kohya"
    if any(".processor." in name for name in names):
        return "xlabs"
    if any(name.startswith(("transformer.", "text_encoder.")) for name in names):
        return "diffusers"
    return "other"


def _triggers_of(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Return the trigger phrase, or the most frequent tags of the training pictures."""
    phrase = metadata.get("modelspec.trigger_phrase", "").strip()
    if phrase:
        return (phrase,)
    try:
        folders = json.loads(metadata.get("ss_tag_frequency", "{}"))
    except ValueError:
        return ()
    counts: Counter[str] = Counter()
    for tags in folders.values() if isinstance(folders, dict) else ():
        if isinstance(tags, dict):
            counts.update({t.strip(): n for t, n in tags.items() if isinstance(n, int)})
    return tuple(tag for tag, _ in counts.most_common(_MOST_TRIGGERS) if tag)
