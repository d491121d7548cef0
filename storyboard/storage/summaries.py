"""Summaries of projects, for lists: each storyboard is read once, and again when it has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from storyboard.board import Storyboard
from storyboard.errors import ProjectError


@dataclass(frozen=True)
class ProjectInfo:
    """Summary of a project.

    Attributes:
        id: its identifier.
        title: its title.
        frames: number of its frames.
        modified: time of the last change, UTC.
        take: the chosen take of its first rendered frame; None where nothing is rendered.
    """

    id: str
    title: str
    frames: int
    modified: datetime
    take: str | None


class Summaries:
    """Summaries that were made already; for any thread.

    Args:
        load: reads the storyboard of the project in a folder.
    """

    def __init__(self, load: Callable[[Path], Storyboard]) -> None:
        self._load = load
        self._guard = threading.Lock()
        # By folder: time and size of the storyboard's file when it was read, and what was found.
        self._known: dict[Path, tuple[tuple[int, int], ProjectInfo | None]] = {}

    def of(self, folder: Path) -> ProjectInfo | None:
        """Return the summary of the project in a folder; None where it cannot be read."""
        try:
            status = (folder / "storyboard.json").stat()
        except OSError:  # it is deleted at this moment
            return None
        stamp = (status.st_mtime_ns, status.st_size)
        with self._guard:
            then, info = self._known.get(folder, (None, None))
        if then == stamp:
            return info
        try:
            board = self._load(folder)
        except ProjectError:  # opening such a project reports why it cannot be read
            info = None
        else:
            take = next((frame.take for frame in board.frames if frame.take), None)
            modified = datetime.fromtimestamp(status.st_mtime, UTC)
            info = ProjectInfo(folder.name, board.title, len(board.frames), modified, take)
        with self._guard:
            self._known[folder] = (stamp, info)
        return info
