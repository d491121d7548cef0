"""Lock of a project: one writer at a time, in this process and in others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

FOLDER = ".locks"


class ProjectLock:
    """Lock of one project; the same thread may take it again.

    Two applications may serve one folder, and the command line beside them. Their lock is a file
    outside of the project, which can be moved meanwhile. On a disk that has no locks, or where none
    can be written, the lock holds in this process alone.

    Args:
        projects: the folder of all projects.
        project_id: the project.
    """

    def __init__(self, projects: Path, project_id: str) -> None:
        self._threads = threading.RLock()
        self._file = projects / FOLDER / f"{project_id}.lock"
        self._processes = FileLock(self._file)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; wait for it where somebody else has it."""
        with self._threads:
            shared = self._acquire()
            try:
                yield
            finally:
                if shared:
                    self._processes.release()

    def _acquire(self) -> bool:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._processes.acquire()
        except (OSError, NotImplementedError):
            return False
        return True
