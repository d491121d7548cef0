"""Styles as a request knows them: which LoRA, how strong, which words call it; no torch.

A LoRA changes how a model paints by a product of two thin matrices per layer. It knows what stands
in a LoRA file's header; `pipelines.styles.lora` puts LoRAs into a model.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    pass

StyleFormat = Literal["kohya", "diffusers", "xlabs", "other"]

_MOST_TRIGGERS = 5
_LARGEST_HEADER = 100_000_000  # bytes; the safetensors library's own limit
_DOWN = re.compile(r"(\.lora_down|\.lora_A|[._]lora\d*\.down)\.weight$")


@dataclass(frozen=True)
class StyleInfo:
    """What the header of a LoRA file says about it.

    Attributes:
        format: whose naming its tensors follow; "other" where that is not known.
        rank: the rank that most of its layers have; 0 where the file holds no LoRA.
        layers: how many layers it changes.
        title: the name its maker gave it; empty where there is none.
        triggers: words that it may have been trained with, the likeliest first.
        keys: names of all tensors.
        settings: what PEFT stored with it, as JSON; empty where there are none.
    """

    format: StyleFormat
    rank: int
    layers: int
    title: str
    triggers: tuple[str, ...]
    keys: tuple[str, ...]
    settings: str


def read_info(path: Path) -> StyleInfo:
    """Read what a LoRA file says about itself; its weights are not read.

    Raises:
        ValueError: if the file is no complete safetensors file.
        OSError: if it cannot be opened.
    """
    header = _read_header(path)
    metadata = {name: str(value) for name, value in header.pop("__metadata__").items()}
    ranks = Counter(
        t["shape"][0] for name, t in header.items() if _DOWN.search(name) and t["shape"]
    )
    title = metadata.get("modelspec.title") or metadata.get("ss_output_name") or ""
    return StyleInfo(
        format=_format_of(header),
        rank=ranks.most_common(1)[0][0] if ranks else 0,
        layers=ranks.total(),
        title=title.strip(),
        triggers=_triggers_of(metadata),
        keys=tuple(header),
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
    """The trigger phrase, or the tags that most of the training pictures had."""
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


def _read_header(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 1 < length <= min(size - 8, _LARGEST_HEADER):
            raise ValueError(f"{path} is no safetensors file, or not completely downloaded.")
        raw = file.read(length)
    try:
        header = json.loads(raw)
        tensors = [t for name, t in header.items() if name != "__metadata__"]
        ends = [t["data_offsets"][1] for t in tensors if isinstance(t["shape"], list)]
        header["__metadata__"] = dict(header.get("__metadata__", {}))
        complete = size == 8 + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"{path} is no safetensors file, or damaged.") from error
    if not complete:
        raise ValueError(f"{path} is damaged or not completely downloaded.")
    return header
