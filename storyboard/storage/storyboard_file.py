"""The file of a storyboard, `storyboard.json`, in all versions of its format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storyboard.board import Storyboard
from storyboard.storage.files import DocumentKind, Migration, invalid

STORYBOARD = "storyboard.json"


def _unchanged(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body as it is: the defaults of the new fields are what it meant."""
    return body


def _name_identity_frame(body: dict[str, Any]) -> dict[str, Any]:
    """Name the first frame as the identity frame where it has a take and no words.

    Until then the first frame was it in any case; now one without words is passed over.
    """
    match body.get("storyboard"):
        case {"frames": [{"id": first, "take": str()} as frame, *_], "settings": dict(settings)}:
            if not any(frame.get(key) for key in ("action", "location", "character")):
                settings["identity"] = first
    return body


STORYBOARD_FILE = DocumentKind(
    "throughline storyboard",
    (
        Migration("characters may have a reference picture, storyboards styles", _unchanged),
        Migration("storyboards may take a shortcut", _unchanged),
        Migration("frames may be locked, and any may be the identity frame", _name_identity_frame),
    ),
)


def storyboard_content(storyboard: Storyboard) -> bytes:
    """Return the content of the file that holds this storyboard."""
    return STORYBOARD_FILE.dump({"storyboard": storyboard.model_dump(mode="json")})


def read_storyboard(path: Path) -> Storyboard:
    """Read a storyboard's file.

    Raises:
        ProjectError: if it is missing, damaged or of another kind.
    """
    body = STORYBOARD_FILE.read(path)
    try:
        return Storyboard.model_validate(body.get("storyboard"))
    except ValidationError as error:
        raise invalid(path, error) from error
