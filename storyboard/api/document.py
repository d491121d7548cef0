"""The document that a page edits and the storyboard that is stored: each made from the other.

The page owns the document: words, order, toggles. The server owns what was painted or uploaded:
which take of a frame is chosen, and which picture a character has, never comes from a document.
Everything that a browser sends passes through `read_document`. It knows nothing of Gradio, jobs or
files.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import ValidationError

from pipelines.errors import UserError
from pipelines.models.specs import ModelSpec
from storyboard.board import (
    MAX_FRAMES,
    SIZE_STEP,
    Frame,
    RenderSettings,
    Storyboard,
)

BLANK_FRAMES = 4

_FRAME_FIELDS = (
    *("id", "action", "location", "share_background", "character", "reference_strength"),
    "seed",
)
_CHARACTER_FIELDS = ("name", "description", "strength")
_SETTINGS_FIELDS = (
    *("model", "width", "height", "steps", "guidance", "shortcut", "consistent", "merge"),
    "styles",
)
_STYLE_FIELDS = ("source", "weight", "trigger")
_HUB_LORA = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_RATIOS = ((1, 1), (4, 3), (3, 2), (16, 9), (3, 4), (2, 3), (9, 16))


def blank_storyboard(spec: ModelSpec) -> Storyboard:
    """What a new project holds: a few frames without words, as large as the model likes them."""
    return Storyboard(
        frames=tuple(Frame() for _ in range(BLANK_FRAMES)),
        settings=RenderSettings(model=spec.name, width=spec.width, height=spec.height),
    )


def document_of(storyboard: Storyboard, project_id: str) -> dict[str, Any]:
    """The document that a page edits.

    Args:
        storyboard: what is stored.
        project_id: the project that it belongs to; every document says which.
    """
    return {
        "project": project_id,
        "revision": 0,
        "title": storyboard.title,
        "character": storyboard.character.model_dump(include=set(_CHARACTER_FIELDS)),
        "frames": [f.model_dump(include=set(_FRAME_FIELDS)) for f in storyboard.frames],
        "settings": storyboard.settings.model_dump(mode="json", include=set(_SETTINGS_FIELDS)),
    }


def project_of(document: object) -> str:
    """The project that a document says it belongs to.

    Raises:
        UserError: if it is no document.
    """
    project = _mapping(document).get("project")
    if not isinstance(project, str):
        raise _not_a_document()
    return project


def revision_of(document: object) -> int:
    """How often the page had changed the document; 0 where it does not say."""
    revision = _mapping(document).get("revision")
    return revision if isinstance(revision, int) else 0


def read_document(
    document: object, stored: Storyboard, models: Collection[str], local_styles: bool = True
) -> Storyboard:
    """The storyboard that a document asks for.

    Only the fields that a page may change are taken from it; a frame that is stored already keeps
    all others, its chosen take among them.

    Args:
        document: what the browser sent.
        stored: the storyboard as it is stored.
        models: names of the models that may be chosen; the stored one stays allowed too.
        local_styles: whether styles may be files on this machine; else only the hub's.

    Raises:
        UserError: if it is no document, or a value in it is out of bounds.
    """
    sent = _mapping(document)
    frames = sent.get("frames", ())
    if not isinstance(frames, list):
        raise _not_a_document()
    if len(frames) > MAX_FRAMES:
        raise UserError(f"A storyboard has at most {MAX_FRAMES} frames.", "Remove some.")
    settings = _settings(sent.get("settings", {}))
    if settings.get("model", stored.settings.model) not in {*models, stored.settings.model}:
        raise UserError("That model cannot be chosen here.", "Choose another one.")
    if not local_styles:
        _check_styles(settings.get("styles", []))
    kept = {frame.id: frame.model_dump() for frame in stored.frames}
    fields: dict[str, Any] = {
        "character": stored.character.model_dump()
        | _picked(sent.get("character", {}), _CHARACTER_FIELDS),
        "frames": [_frame(frame, kept) for frame in frames],
        "settings": stored.settings.model_dump() | settings,
    }
    fields |= _picked(sent, ("title",))
    try:
        return Storyboard.model_validate(stored.model_dump() | fields)
    except ValidationError as error:
        raise UserError(_explained(error), "The change was not saved.") from error


def picture_sizes(spec: ModelSpec) -> list[dict[str, Any]]:
    """The sizes that a page offers: about as many pixels as the model's own, in usual shapes."""
    area = spec.width * spec.height
    sizes = []
    for across, down in _RATIOS:
        width = _stepped((area * across / down) ** 0.5)
        height = _stepped((area * down / across) ** 0.5)
        sizes.append({"ratio": f"{across}:{down}", "width": width, "height": height})
    return sizes


def _stepped(side: float) -> int:
    return max(1, round(side / SIZE_STEP)) * SIZE_STEP


def _frame(sent: object, kept: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    fields = _picked(sent, _FRAME_FIELDS)
    frame_id = fields.get("id")
    if not isinstance(frame_id, str):
        raise _not_a_document()
    return kept.get(frame_id, {}) | fields


def _settings(sent: object) -> dict[str, Any]:
    settings = _picked(sent, _SETTINGS_FIELDS)
    styles = settings.get("styles", [])
    if not isinstance(styles, list):
        raise _not_a_document()
    picked = [_picked(style, _STYLE_FIELDS) for style in styles]
    # A page shows a row for a style before anything is written in it.
    named = [style for style in picked if str(style.get("source", "")).strip()]
    return settings | {"styles": named} if "styles" in settings else settings


def _check_styles(styles: list[dict[str, Any]]) -> None:
    for style in styles:
        if not _HUB_LORA.fullmatch(str(style["source"]).strip()):
            raise UserError(
                f"{style['source']} is not the name of a LoRA on the Hugging Face hub.",
                "Here styles come from the hub: owner/name, or owner/name/file.safetensors.",
            )


def _picked(sent: object, names: tuple[str, ...]) -> dict[str, Any]:
    fields = _mapping(sent)
    return {name: fields[name] for name in names if name in fields}


def _mapping(sent: object) -> Mapping[str, Any]:
    if not isinstance(sent, Mapping):
        raise _not_a_document()
    return sent


def _not_a_document() -> UserError:
    return UserError("The page sent something that is not a storyboard.", "Reload the page.")


def _explained(error: ValidationError) -> str:
    """The first fault of a document, in words that name the place in it."""
    first = error.errors(include_url=False)[0]
    place = list(first["loc"])
    words = []
    if len(place) > 1 and place[0] == "frames" and isinstance(place[1], int):
        words.append(f"frame {place[1] + 1}")
        place = place[2:]
    words += [str(part).replace("_", " ") for part in place]
    fault = str(first["msg"]).removeprefix("Value error, ")
    return f"{' '.join(words).capitalize()}: {fault}." if words else f"{fault}."
