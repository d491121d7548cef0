"""Frames that a render was asked for and that have no take of it yet, by the run that renders them.

    <project>/unfinished.json

A run that ends in between leaves the file, so that its frames can be offered again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from storyboard.board import Identifier
from storyboard.errors import ProjectError
from storyboard.storage.files import DocumentKind, remove, write_result

UNFINISHED_FILE = DocumentKind("throughline unfinished frames")
UNFINISHED = "unfinished.json"


@dataclass(frozen=True)
class Unfinished:
    """Frames without their take, and the run that renders them, or did until it ended."""

    run: str = ""
    frames: tuple[str, ...] = ()


class _Record(BaseModel):
    run: Identifier
    frames: list[Identifier]


def read_unfinished(folder: Path) -> Unfinished:
    """Return the unfinished frames of the project in a folder; none where nothing is known."""
    path = folder / UNFINISHED
    if not path.is_file():
        return Unfinished()
    try:
        record = _Record.model_validate(UNFINISHED_FILE.read(path))
    except (ProjectError, ValidationError):  # the frames are there, without takes, for all to see
        return Unfinished()
    return Unfinished(record.run, tuple(record.frames))


def write_unfinished(folder: Path, unfinished: Unfinished) -> None:
    """Store the unfinished frames of the project in a folder.

    Raises:
        ProjectError: if they cannot be stored.
    """
    path = folder / UNFINISHED
    if unfinished.frames:
        body = {"run": unfinished.run, "frames": list(unfinished.frames)}
        write_result(path, UNFINISHED_FILE.dump(body))
    else:
        remove(path)
