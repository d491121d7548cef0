"""Presence of an application: it holds a lock as long as it runs, however it ends.

    <folder>/.locks/<run>.run    locked while the run of this name lasts

By it others know whether a folder is in use, and whether a run that left something behind is over.
On a disk without locks nobody is present.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from storyboard.board import new_id
from storyboard.storage.locks import FOLDER

_ENDING = ".run"


class Presence:
    """Presence of this run in a folder; a context manager.

    Args:
        folder: the folder, which need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.run = new_id()
        self._locks = folder / FOLDER
        self._own = FileLock(self._path(self.run))

    def __enter__(self) -> Self:
        """Begin the presence, where the disk has locks."""
        # Some disks have no locks, or cannot be written: such a run is not seen by others.
        with suppress(OSError, NotImplementedError):
            self._locks.mkdir(parents=True, exist_ok=True)
            self._own.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the presence."""
        self._own.release()
        with suppress(OSError):
            self._path(self.run).unlink()

    def others(self) -> bool:
        """Return whether other runs use the folder; forget those that are over."""
        try:
            names = [path.stem for path in self._locks.glob(f"*{_ENDING}")]
        except OSError:
            return False
        return any([self.is_running(name) for name in names if name != self.run])

    def is_running(self, run: str) -> bool:
        """Return whether a run, this one or another, still lasts."""
        if run == self.run:
            return True
        path = self._path(run)
        try:
            if not path.is_file():
                return False
            with FileLock(path, timeout=0):
                path.unlink()
        except Timeout:
            return True
        except (OSError, NotImplementedError):
            return False  # without locks nobody can hold one
        return False

    def _path(self, run: str) -> Path:
        return self._locks / f"{Path(run).name}{_ENDING}"
