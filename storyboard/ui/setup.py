"""What a page is told once: the limits of a document, and the models that can be chosen.

It knows nothing of Gradio; what it tells is plain data.
"""

from __future__ import annotations

from typing import Any

from pipelines.registry import ModelSpec, SubjectSpec
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
from storyboard.ui.documents import picture_sizes

MOST_UPLOADED = 20_000_000  # bytes of a picture or a character file

LIMITS: dict[str, Any] = {
    "frames": MAX_FRAMES,
    "guidance": [MIN_GUIDANCE, MAX_GUIDANCE],
    "long": LONG_TEXT,
    "seed": MAX_SEED,
    "short": SHORT_TEXT,
    "steps": MAX_STEPS,
    "strength": [0, MAX_REFERENCE_STRENGTH],
    "style_weight": [-MAX_STYLE_WEIGHT, MAX_STYLE_WEIGHT],
    "styles": MAX_STYLES,
    "upload": MOST_UPLOADED,
}


def model_told(spec: ModelSpec) -> dict[str, Any]:
    """A model as pages know it."""
    return {
        "name": spec.name,
        "title": spec.title,
        "note": spec.note,
        "licence": spec.licence,
        "licence_url": spec.licence_url,
        "non_commercial": spec.non_commercial,
        "steps": spec.steps,
        "guidance": spec.guidance_scale if spec.learnt_guidance else None,
        "sizes": picture_sizes(spec),
        "subject": None if spec.subject is None else _subject(spec.subject),
    }


def _subject(spec: SubjectSpec) -> dict[str, Any]:
    return {
        "title": spec.title,
        "licence": spec.licence,
        "licence_url": spec.licence_url,
        "research_only": spec.research_only,
        "strength": spec.strength,
        "note": spec.note,
    }
