"""Projects: all storyboards below one folder.

    <root>/<project id>/         see `storyboard.storage.project`
    <root>/.bin/<project id>/    see `storyboard.storage.shelf`

A new project appears complete or not at all. This module knows nothing of models, jobs or pages.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from storyboard.board import Storyboard, new_id
from storyboard.errors import DeletedError, ProjectError
from storyboard.storage.files import new_folder, unwritable
from storyboard.storage.locks import ProjectLock
from storyboard.storage.presence import Presence
from storyboard.storage.project import BIN, Project, checked_id, is_identifier
from storyboard.storage.storyboard_file import STORYBOARD
from storyboard.storage.summaries import ProjectInfo, Summaries
from storyboard.storage.take_files import TakeFiles


class Store:
    """All projects below one folder, made with the first; safe to use from any thread.

    Attributes:
        presence: tells other applications that this one uses the folder, while it is entered.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.presence = Presence(root)
        self._guard = threading.Lock()
        self._locks: dict[str, ProjectLock] = {}
        self._takes = TakeFiles()
        self._summaries = Summaries()

    def create(self, storyboard: Storyboard, project_id: str | None = None) -> Project:
        """Make a new project with this storyboard.

        A folder of its name that has no storyboard is taken: a crash or a full disk left it.

        Args:
            project_id: its identifier, which may come from a browser; None for a new one.

        Raises:
            DeletedError: if there was one of this name, and it is in the bin.
            ProjectError: if it exists already or cannot be written.
        """
        project_id = checked_id(new_id() if project_id is None else project_id, "project")
        self._check_kept(project_id)
        project = self._project(project_id)
        with project.locked():
            if self.has(project_id):
                raise ProjectError(
                    f"The project {project_id} exists already in {self.root}.",
                    "Open it, or give the new one another name.",
                )
            project.save(storyboard)
        return project

    def build(self, fill: Callable[[Path], None]) -> Project:
        """Make a new project whose files something else writes; it appears whole or not at all.

        Args:
            fill: writes all files of a project into an empty folder.

        Raises:
            ProjectError: if they cannot be written.
        """
        folder = self.root / new_id()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with new_folder(folder) as unfinished:
                fill(unfinished)
        except OSError as error:
            raise unwritable(folder, error) from error
        return self._project(folder.name)

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
        """Return whether there is a storyboard of this identifier, which may come from a browser.

        It may be damaged: opening it says so.

        Raises:
            ProjectError: if it cannot be the name of one.
        """
        return os.path.lexists(self.root / checked_id(project_id, "project") / STORYBOARD)

    def left(self, project_id: str) -> Project:
        """Return a project of which a folder is left, with or without its storyboard.

        Raises:
            DeletedError: if it is in the bin.
            ProjectError: if there is none.
        """
        if not os.path.isdir(self.root / checked_id(project_id, "project")):
            return self.open(project_id)
        return self._project(project_id)

    def deleted(self, project_id: str) -> Project:
        """Return a project in the bin, whose identifier may come from a browser.

        Raises:
            ProjectError: if there is none.
        """
        folder = self.root / BIN / checked_id(project_id, "project")
        if not os.path.isdir(folder):
            raise ProjectError(
                f"There is no project {project_id!r} in the bin.", "Reload the page."
            )
        return self._in(folder)

    def projects(self) -> list[ProjectInfo]:
        """Return all projects, the last saved first; what cannot be read says why."""
        return self.infos(self.root)

    def infos(self, folder: Path) -> list[ProjectInfo]:
        """Return the projects in a folder, the last saved first."""
        try:
            names = sorted(path.name for path in folder.iterdir())
        except OSError:  # there is none yet, or it cannot be read
            return []
        found = (self._summaries.of(folder / name) for name in names if is_identifier(name))
        infos = [info for info in found if info is not None]
        return sorted(infos, key=lambda info: info.modified, reverse=True)

    def info(self, project_id: str) -> ProjectInfo | None:
        """Return one project's summary; None where there is none.

        Raises:
            ProjectError: if it cannot be the name of one.
        """
        return self._summaries.of(self.root / checked_id(project_id, "project"))

    def _check_kept(self, project_id: str) -> None:
        if os.path.isdir(self.root / BIN / project_id):
            raise DeletedError(project_id)

    def _project(self, project_id: str) -> Project:
        return self._in(self.root / project_id)

    def _in(self, folder: Path) -> Project:
        with self._guard:
            lock = self._locks.setdefault(folder.name, ProjectLock(self.root, folder.name))
        return Project(folder, lock, self._takes)
