"""Summaries of projects, for lists: each storyboard is read once, and again when it has changed."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from storyboard.errors import ProjectError
from storyboard.storage.storyboard_file import STORYBOARD, read_storyboard
from storyboard.storage.take_files import picture_fault

# Seconds since 1970 that a date can show.
_EARLIEST, _LATEST = -62_000_000_000, 253_000_000_000


@dataclass(frozen=True)
class ProjectInfo:
    """Summary of a project.

    Attributes:
        id: its identifier.
        title: its title; empty where it cannot be read.
        frames: number of its frames.
        modified: time of the last change, UTC.
        take: the first chosen take whose picture can be shown; None where there is none.
        fault: why it cannot be opened, as a sentence; empty where it can.
    """

    id: str
    title: str
    frames: int
    modified: datetime
    take: str | None
    fault: str = ""


class Summaries:
    """Summaries that were made already; for any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        # By folder: time and size of the storyboard's file when it was read, and what was found.
        self._known: dict[Path, tuple[tuple[int, int], ProjectInfo]] = {}

    def of(self, folder: Path) -> ProjectInfo | None:
        """Return the summary of the project in a folder; None where there is none.

        A folder with takes or pictures and no storyboard is a damaged project. One without
        anything is what a crash left, before the first save.
        """
        path = folder / STORYBOARD
        status = _status(path)
        if status is None:
            return None
        stamp = (status.st_mtime_ns, status.st_size)
        with self._guard:
            then, info = self._known.get(folder, (None, None))
        if then == stamp and info is not None:
            return info
        info = _summary(path, datetime.fromtimestamp(_bounded(status.st_mtime), UTC))
        with self._guard:
            self._known[folder] = (stamp, info)
        return info


def _status(path: Path) -> os.stat_result | None:
    """Return the time and size of a storyboard's file, or of its folder where it has none."""
    folder = path.parent
    try:
        if os.path.exists(path):
            return path.stat()
        names = {entry.name for entry in os.scandir(folder)}
        return folder.stat() if names & {STORYBOARD, "takes", "references"} else None
    except PermissionError:  # reading it says so
        return folder.stat()
    except OSError:  # it is deleted at this moment, or it is a file
        return None


def _summary(path: Path, modified: datetime) -> ProjectInfo:
    folder = path.parent
    try:
        board = read_storyboard(path)
    except ProjectError as error:
        fault = error.problem.replace(f"{folder}{os.sep}", "")
        return ProjectInfo(folder.name, "", 0, modified, None, fault)
    takes = (frame.take for frame in board.frames if frame.take)
    pictures = ((take, folder / "takes" / take / "image.png") for take in takes)
    take = next((take for take, path in pictures if not picture_fault(path)), None)
    return ProjectInfo(folder.name, board.title, len(board.frames), modified, take)


def _bounded(seconds: float) -> float:
    return min(max(seconds, _EARLIEST), _LATEST)
