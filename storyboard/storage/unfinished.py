"""Frames that a render was asked for and that have no take of it yet, by the run that renders them.

    <project>/unfinished.json

A run that ends in between leaves the file, so that its frames can be offered again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from storyboard.board import Identifier
from storyboard.errors import ProjectError
from storyboard.storage.files import DocumentKind, remove, write_result
from storyboard.storage.locks import ProjectLock

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


class UnfinishedFrames:
    """The unfinished frames of a project; for any thread.

    Args:
        folder: the project's folder.
        lock: the project's lock.
    """

    def __init__(self, folder: Path, lock: ProjectLock) -> None:
        self._path = folder / UNFINISHED
        self._lock = lock

    def now(self) -> Unfinished:
        """Return the unfinished frames; none where nothing is known."""
        if not self._path.is_file():
            return Unfinished()
        try:
            record = _Record.model_validate(UNFINISHED_FILE.read(self._path))
        except (ProjectError, ValidationError):  # the frames are there, without takes
            return Unfinished()
        return Unfinished(record.run, tuple(record.frames))

    def begin(self, run: str, frames: Iterable[str]) -> None:
        """Remember that a run renders these frames, besides those that it renders already.

        Raises:
            ProjectError: if it cannot be stored.
        """
        with self._lock.held():
            before = self.now()
            known = before.frames if before.run == run else ()
            self._write(Unfinished(run, tuple(dict.fromkeys([*known, *frames]))))

    def finish(self, *frames: str) -> None:
        """Forget that these frames are rendered; without any, that any is.

        Raises:
            ProjectError: if it cannot be stored.
        """
        with self._lock.held():
            before = self.now()
            left = tuple(frame for frame in before.frames if frames and frame not in frames)
            if before.frames:
                self._write(Unfinished(before.run, left))

    def _write(self, unfinished: Unfinished) -> None:
        if unfinished.frames:
            body = {"run": unfinished.run, "frames": list(unfinished.frames)}
            write_result(self._path, UNFINISHED_FILE.dump(body))
        else:
            remove(self._path)
