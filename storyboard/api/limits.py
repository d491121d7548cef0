"""Limits of a document, and the models that a page offers, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipelines.models.catalog import FLUX1_SCHNELL
from pipelines.models.measured import NOT_MEASURED, TurboLora, cost_of, turbo_loras
from pipelines.models.shortcuts import SHORTCUTS, Shortcut
from pipelines.models.specs import MadeFor, ModelSpec
from pipelines.models.vocabulary import Vocabulary
from pipelines.request import Shortcuts
from storyboard.api.document import picture_sizes
from storyboard.board import (
    LONG_TEXT,
    MAX_FRAMES,
    MAX_GUIDANCE,
    MAX_REFERENCE_STRENGTH,
    MAX_SEED,
    MAX_STEPS,
    MAX_STYLE_WEIGHT,
    MAX_STYLES,
    MIN_GUIDANCE,
    SHORT_TEXT,
)

# Fields of specs that a page shows as they are.
_MODEL_FIELDS = ("name", "title", "note", "licence", "licence_url", "non_commercial", "steps")
_ADAPTER_FIELDS = ("title", "licence", "licence_url", "research_only", "strength", "note")

MAX_UPLOAD_BYTES = 20_000_000  # of a picture or a character file
MAX_BOARD_BYTES = 500_000_000  # of a storyboard's ZIP
MAX_QUESTION_BYTES = 10_000_000  # the strokes of a mask are the largest that pages send

LIMITS: dict[str, Any] = {
    "board": MAX_BOARD_BYTES,
    "frames": MAX_FRAMES,
    "guidance": [MIN_GUIDANCE, MAX_GUIDANCE],
    "long": LONG_TEXT,
    "seed": MAX_SEED,
    "short": SHORT_TEXT,
    "steps": MAX_STEPS,
    "strength": [0, MAX_REFERENCE_STRENGTH],
    "style_weight": [-MAX_STYLE_WEIGHT, MAX_STYLE_WEIGHT],
    "styles": MAX_STYLES,
    "upload": MAX_UPLOAD_BYTES,
}


def model_fields(spec: ModelSpec) -> dict[str, Any]:
    """Return a model's fields on the page.

    Raises:
        ModelError: if the file of its words is missing or damaged.
    """
    adapter, words = spec.character_adapter, spec.known_words
    return {
        **{name: getattr(spec, name) for name in _MODEL_FIELDS},
        "guidance": spec.guidance_scale if spec.learnt_guidance else None,
        "sizes": picture_sizes(spec),
        "shortcuts": [_shortcut(shortcut, spec) for shortcut in SHORTCUTS],
        "made_for": spec.made_for and _plain(spec.made_for),
        "knows": words and _plain(words),
        "fewer_steps": _fewer_steps(turbo_loras().get(spec.name, ())),
        "subject": adapter and {name: getattr(adapter, name) for name in _ADAPTER_FIELDS},
    }


def _plain(values: MadeFor | Vocabulary) -> dict[str, list[Any] | None]:
    """Return a dataclass of tuples as JSON has it."""
    return {name: value and list(value) for name, value in asdict(values).items()}


def _shortcut(shortcut: Shortcut, spec: ModelSpec) -> dict[str, Any]:
    cost = cost_of(shortcut.name, spec.name)
    exact = shortcut.shortcuts == Shortcuts()
    return {
        "name": shortcut.name,
        "title": shortcut.title,
        "note": shortcut.note if cost or exact else f"{shortcut.note} {NOT_MEASURED}",
        "probe": shortcut.shortcuts.probe_every > 1,
        "conditions": cost.conditions if cost else "",
        "cost": [list(line) for line in cost.lines] if cost else [],
    }


def _fewer_steps(loras: Sequence[TurboLora]) -> str:
    """Return advice on rendering in fewer steps; empty where there is none."""
    if not loras:
        return ""
    advice = "; ".join(
        f"{lora.source} with weight {lora.weight:g}, {lora.steps} steps and guidance "
        f"{lora.guidance:g}"
        for lora in loras
    )
    return (
        f"For fewer steps, use {FLUX1_SCHNELL.title} ({FLUX1_SCHNELL.steps} steps), or add a turbo "
        "LoRA under Style with the settings of its page, which were not tried with Throughline: "
        f"{advice}."
    )
