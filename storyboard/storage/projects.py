"""Projects: all storyboards below one folder.

    <root>/<project id>/         see `storyboard.storage.project`
    <root>/.bin/<project id>/    see `storyboard.storage.shelf`

A new project appears complete or not at all. This module knows nothing of models, jobs or pages.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from storyboard.board import Storyboard, new_id
from storyboard.errors import DeletedError, ProjectError
from storyboard.storage.files import unwritable
from storyboard.storage.locks import ProjectLock
from storyboard.storage.project import BIN, Project, checked_id, is_identifier
from storyboard.storage.storyboard_file import STORYBOARD
from storyboard.storage.summaries import ProjectInfo, Summaries
from storyboard.storage.take_files import TakeFiles


class Store:
    """All projects below one folder, made with the first; safe to use from any thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._guard = threading.Lock()
        self._locks: dict[str, ProjectLock] = {}
        self._takes = TakeFiles()
        self._summaries = Summaries(lambda folder: self._in(folder).load())

    def create(self, storyboard: Storyboard, project_id: str | None = None) -> Project:
        """Make a new project with this storyboard.

        Args:
            project_id: its identifier, which may come from a browser; None for a new one.

        Raises:
            DeletedError: if there was one of this name, and it is in the bin.
            ProjectError: if it exists already or cannot be written.
        """
        project_id = checked_id(new_id() if project_id is None else project_id, "project")
        self._check_kept(project_id)
        folder = self.root / project_id
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise unwritable(folder, error) from error
        project = self._project(project_id)
        project.save(storyboard)
        return project

    def build(self, fill: Callable[[Path], None]) -> Project:
        """Make a new project whose files something else writes; it appears whole or not at all.

        Args:
            fill: writes all files of a project into an empty folder.

        Raises:
            ProjectError: if they cannot be written.
        """
        project_id = new_id()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new-", dir=self.root) as temporary:
                unfinished = Path(temporary, project_id)
                unfinished.mkdir()
                fill(unfinished)
                unfinished.rename(self.root / project_id)
        except OSError as error:
            raise unwritable(self.root / project_id, error) from error
        return self._project(project_id)

    def open(self, project_id: str) -> Project:
        """Return the project of this identifier, which may come from a browser.

        Raises:
            DeletedError: if it is in the bin.
            ProjectError: if there is none.
        """
        if not self.has(project_id):
            self._check_kept(project_id)
            raise ProjectError(
                f"There is no project {project_id!r} in {self.root}.",
                "Open another one, or start a new storyboard.",
            )
        return self._project(project_id)

    def has(self, project_id: str) -> bool:
        """Return whether there is a project of this identifier, which may come from a browser.

        Raises:
            ProjectError: if it cannot be the name of one.
        """
        return (self.root / checked_id(project_id, "project") / STORYBOARD).is_file()

    def deleted(self, project_id: str) -> Project:
        """Return a project in the bin, whose identifier may come from a browser.

        Raises:
            ProjectError: if there is none.
        """
        folder = self.root / BIN / checked_id(project_id, "project")
        if not (folder / STORYBOARD).is_file():
            raise ProjectError(
                f"There is no project {project_id!r} in the bin.", "Reload the page."
            )
        return self._in(folder)

    def projects(self) -> list[ProjectInfo]:
        """Return all readable projects, the last saved first."""
        return self.infos(self.root)

    def infos(self, folder: Path) -> list[ProjectInfo]:
        """Return the readable projects in a folder, the last saved first."""
        folders = (path.parent for path in folder.glob(f"*/{STORYBOARD}"))
        found = (self._summaries.of(f) for f in folders if is_identifier(f.name))
        infos = [info for info in found if info is not None]
        return sorted(infos, key=lambda info: info.modified, reverse=True)

    def _check_kept(self, project_id: str) -> None:
        if (self.root / BIN / project_id).is_dir():
            raise DeletedError(project_id)

    def _project(self, project_id: str) -> Project:
        return self._in(self.root / project_id)

    def _in(self, folder: Path) -> Project:
        with self._guard:
            lock = self._locks.setdefault(folder.name, ProjectLock(self.root, folder.name))
        return Project(folder, lock, self._takes)
