"""Story files: a storyboard's words, order and settings as YAML that a person reads and edits.

`storyboard.importing.story_file` reads them. They hold no pictures: neither takes nor the
character's reference picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from pipelines.errors import UserError
from storyboard.board import Frame, RenderSettings, Storyboard, Style, Value
from storyboard.frames import identity_frame

# Fields that a story file has no key for: they stand for what it does not hold.
LEFT_OUT = {
    Frame: {"id", "take"},
    RenderSettings: {"width", "height"},
}
_REMARKS = """\
# A storyboard of Throughline. Open it on the page, or render it with
#     python -m storyboard render FILE --out pictures
"""
_REFERENCE = """\
# The character's reference picture is not in this file: save a ZIP for it, or add
# `reference: picture.png`{strength} below `character`.
"""


def story_text(board: Storyboard) -> str:
    """Return a storyboard as the text of a story file; a field at its default is left out.

    Raises:
        UserError: if it has no frames.
    """
    if not board.frames:
        raise UserError(
            "The storyboard has no frames, and a story file needs one.",
            "Add a frame, or save it as a ZIP or as storyboard.json.",
        )
    character = board.character
    settings = board.settings
    story: dict[str, Any] = {}
    if board.title.strip():
        story["title"] = board.title
    described = {"name": character.name, "description": character.description}
    if described := {key: text for key, text in described.items() if text.strip()}:
        story["character"] = described
    story["model"] = settings.model
    story["size"] = f"{settings.width}x{settings.height}"
    story |= _changed(
        settings, leave_out={*LEFT_OUT[RenderSettings], "model", "styles", "identity"}
    )
    story |= _identity(board)
    if settings.styles:
        story["styles"] = [_style(style) for style in settings.styles]
    story["frames"] = [_frame(frame) for frame in board.frames]
    body = yaml.safe_dump(story, allow_unicode=True, sort_keys=False, width=100)
    strength = "" if character.strength is None else f" and `strength: {character.strength:g}`"
    remark = _REFERENCE.format(strength=strength) if character.reference else ""
    return f"{_REMARKS}{remark}\n{body}"


def _identity(board: Storyboard) -> dict[str, int]:
    """Return the number of the identity frame where it is named, or is not the first frame."""
    frame = identity_frame(board)
    named = any(frame.id == board.settings.identity for frame in board.frames)
    if not named and (frame is None or board.frames[0].has_words):
        return {}
    identity = board.settings.identity if named or frame is None else frame.id
    return {"identity": board.position(identity) + 1}


def _frame(frame: Frame) -> dict[str, Any]:
    fields = _changed(frame, leave_out=LEFT_OUT[Frame])
    words = [field for field in ("location", "action", "character") if field in fields]
    # A frame without words is one all the same.
    return {field: fields[field] for field in words} | fields or {"action": ""}


def _style(style: Style) -> dict[str, Any]:
    return {"source": style.source, **_changed(style, leave_out={"source"})}


def _changed(value: Value, leave_out: Sequence[str] | set[str]) -> dict[str, Any]:
    """Return the fields that are not at their defaults; a text without words counts as empty."""
    fields = value.model_dump(mode="json", exclude=set(leave_out), exclude_defaults=True)
    return {k: v for k, v in fields.items() if not (isinstance(v, str) and not v.strip())}
