"""Conversion between the document that a page edits and the stored storyboard.

The page owns the document: words, order and settings. The server owns takes and pictures: the
chosen take of a frame and the picture of a character are never read from a document. Everything
that a browser sends passes through `read_document`. Knows no jobs and no files.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from pipelines.errors import UserError
from pipelines.models.specs import ModelSpec
from storyboard.board import (
    MAX_FRAMES,
    SIZE_STEP,
    Character,
    Frame,
    RenderSettings,
    Storyboard,
    Style,
)

BLANK_FRAMES = 4

# The server owns the other fields.
_FRAME_FIELDS = Frame.model_fields.keys() - {"take"}
_CHARACTER_FIELDS = Character.model_fields.keys() - {"reference"}
_BOUND = re.compile(r"\w+ should(?= (?:be|have) )")  # "Input should be less than ..."
_RATIOS = ((1, 1), (4, 3), (3, 2), (16, 9), (3, 4), (2, 3), (9, 16))


def blank_storyboard(spec: ModelSpec) -> Storyboard:
    """Return a new project's storyboard: empty frames of the model's own size."""
    return Storyboard(
        frames=tuple(Frame() for _ in range(BLANK_FRAMES)),
        settings=RenderSettings(model=spec.name, width=spec.width, height=spec.height),
    )


def document_of(storyboard: Storyboard, project_id: str) -> dict[str, Any]:
    """Return the document that a page edits, with the id of its project."""
    return {
        "project": project_id,
        "title": storyboard.title,
        "character": storyboard.character.model_dump(exclude={"reference"}),
        "frames": [frame.model_dump(exclude={"take"}) for frame in storyboard.frames],
        "settings": storyboard.settings.model_dump(mode="json"),
    }


def revision_of(storyboard: Storyboard) -> str:
    """Return a name for what a page edits of a storyboard; the same content has the same name."""
    content = json.dumps(document_of(storyboard, ""), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def read_document(
    document: object,
    stored: Storyboard,
    models: Collection[str],
    styles: Collection[str] | None = None,
) -> Storyboard:
    """Return the stored storyboard, changed as a document says.

    Only the fields that a page may change are read; a stored frame keeps its other fields, such as
    its chosen take.

    Args:
        models: names of the models that may be chosen, besides the stored one.
        styles: LoRAs of the hub that may be chosen; None for these and all files of this machine.

    Raises:
        UserError: if it is not a document, or a value in it is out of bounds.
    """
    sent = _mapping(document)
    frames = sent.get("frames", ())
    if not isinstance(frames, list):
        raise _not_a_document()
    if len(frames) > MAX_FRAMES:
        raise UserError(f"A storyboard has at most {MAX_FRAMES} frames.", "Remove some.")
    settings = _settings(sent.get("settings", {}))
    if settings.get("model", stored.settings.model) not in (*models, stored.settings.model):
        raise UserError("That model cannot be chosen here.", "Choose another one.")
    if styles is not None:
        known = {style.source for style in stored.settings.styles}
        for source in (str(style["source"]) for style in settings.get("styles", [])):
            if source not in known:
                check_style(source, styles)
    kept = {frame.id: frame.model_dump() for frame in stored.frames}
    character = _fields_of(sent.get("character", {}), _CHARACTER_FIELDS)
    fields = _fields_of(sent, ("title",)) | {
        "character": stored.character.model_dump() | character,
        "frames": [_frame(frame, kept) for frame in frames],
        "settings": stored.settings.model_dump() | settings,
    }
    try:
        return Storyboard.model_validate(stored.model_dump() | fields)
    except ValidationError as error:
        raise UserError(_first_fault(error), "The change was not saved.") from error


def picture_sizes(spec: ModelSpec) -> list[dict[str, Any]]:
    """Return the sizes that a page offers: the usual ratios, with about the model's own area."""
    area = spec.width * spec.height

    def side(square: float) -> int:
        pixels: float = square**0.5
        return max(1, round(pixels / SIZE_STEP)) * SIZE_STEP

    return [
        {"ratio": f"{a}:{b}", "width": side(area * a / b), "height": side(area * b / a)}
        for a, b in _RATIOS
    ]


def _frame(sent: object, kept: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    fields = _fields_of(sent, _FRAME_FIELDS)
    frame_id = fields.get("id")
    if not isinstance(frame_id, str):
        raise _not_a_document()
    return kept.get(frame_id, {}) | fields


def _settings(sent: object) -> dict[str, Any]:
    settings = _fields_of(sent, RenderSettings.model_fields)
    styles = settings.get("styles", [])
    if not isinstance(styles, list):
        raise _not_a_document()
    rows = [_fields_of(style, Style.model_fields) for style in styles]
    # A page shows an empty row for a new style.
    named = [style for style in rows if str(style.get("source", "")).strip()]
    return settings | {"styles": named} if "styles" in settings else settings


def check_style(source: str, styles: Collection[str]) -> None:
    """Refuse a style that is not one of these; its name never leaves this machine.

    Raises:
        UserError: if it is not.
    """
    if not is_listed(source, styles):
        listed = f"These can: {', '.join(sorted(styles))}." if styles else "Here are none."
        raise UserError(f"The style {source} cannot be chosen here.", listed)


def is_listed(source: str, styles: Collection[str]) -> bool:
    """Return whether a style is one of these, or a file of one."""
    wanted = source.strip()
    return any(wanted == style or wanted.startswith(f"{style}/") for style in styles)


def _fields_of(sent: object, names: Collection[str]) -> dict[str, Any]:
    fields = _mapping(sent)
    return {name: fields[name] for name in names if name in fields}


def _mapping(sent: object) -> Mapping[str, Any]:
    if not isinstance(sent, Mapping):
        raise _not_a_document()
    return sent


def _not_a_document() -> UserError:
    return UserError("The page sent something that is not a storyboard.", "Reload the page.")


def _first_fault(error: ValidationError) -> str:
    """Return a sentence about the first fault of a document, with its field."""
    first = error.errors(include_url=False)[0]
    path = list(first["loc"])
    words = []
    if len(path) > 1 and path[0] == "frames" and isinstance(path[1], int):
        words.append(f"frame {path[1] + 1}")
        path = path[2:]
    words += [str(part).replace("_", " ") for part in path]
    fault = str(first["msg"]).removeprefix("Value error, ")
    if not words:
        return f"{fault}."
    subject = " ".join(words).capitalize()
    bound = _BOUND.match(fault)
    return f"{subject} must{fault[bound.end() :]}." if bound else f"{subject}: {fault}."
