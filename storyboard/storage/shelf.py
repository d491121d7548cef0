"""The shelf: the projects as a list that a person keeps in order, and the bin.

    <root>/.bin/<project id>/                a deleted project, whole
    <root>/.bin/<project id>/deleted.json    the time of its deletion
    <root>/<project id>/example              marks the project that holds the example

A deleted project can be restored until it is deleted for good, which is a step of its own. This
module knows nothing of jobs: whoever deletes a project stops its renders first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from storyboard.board import SHORT_TEXT, Storyboard, new_id
from storyboard.errors import ProjectError
from storyboard.storage.files import (
    TEMPORARY,
    DocumentKind,
    copy_folder,
    fault_of,
    remove,
    write_result,
)
from storyboard.storage.project import BIN, Project
from storyboard.storage.projects import Store
from storyboard.storage.storyboard_file import STORYBOARD, storyboard_content
from storyboard.storage.summaries import ProjectInfo
from storyboard.storage.unfinished import UNFINISHED

DELETED_FILE = DocumentKind("throughline deleted storyboard")

_RECORD = "deleted.json"
_EXAMPLE = "example"
_EXAMPLE_WORDS = "The button Example opens this board; without this file it makes a new one.\n"
# What a copy of a project does not take with it.
_LEFT_OUT = (STORYBOARD, UNFINISHED, "draft", _EXAMPLE, _RECORD)


@dataclass(frozen=True)
class DeletedInfo:
    """Summary of a project in the bin, and the time when it was deleted, UTC."""

    info: ProjectInfo
    deleted: datetime


class Shelf:
    """The projects of a store as a person keeps them; for any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bin = store.root / BIN

    def rename(self, project_id: str, title: str) -> Storyboard:
        """Give a project another title, and return its storyboard.

        Raises:
            ProjectError: if there is no such project, or the title is too long or no text.
        """
        project = self._store.open(project_id)
        try:
            Storyboard(title=title)
        except ValidationError as error:  # too long, or halves of characters
            raise ProjectError(
                f"That cannot be a title ({fault_of(error)}).", "Type another one."
            ) from error
        return project.edit(lambda board: board.model_copy(update={"title": title}))

    def duplicate(self, project_id: str) -> Project:
        """Copy a project with all takes and reference pictures, and return the copy.

        Raises:
            ProjectError: if there is none, or the copy cannot be written.
        """
        original = self._store.open(project_id)
        # Loaded first, so that all takes that it names are there when the folders are copied.
        board = original.load()
        title = f"{board.title[: SHORT_TEXT - 5]} copy".strip()
        copy = storyboard_content(board.model_copy(update={"title": title}))

        def kept(path: Path) -> bool:
            outside = path.parent == original.path and path.name in _LEFT_OUT
            return not (outside or path.name.startswith(".") or path.name.endswith(TEMPORARY))

        def fill(folder: Path) -> None:
            copy_folder(original.path, folder, kept)
            write_result(folder / STORYBOARD, copy)

        return self._store.build(fill)

    def delete(self, project_id: str) -> None:
        """Move a project to the bin.

        Raises:
            ProjectError: if there is none, or it cannot be moved.
        """
        project = self._store.left(project_id)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_result(project.path / _RECORD, DELETED_FILE.dump({"deleted": now}))
        project.move(self._bin / project_id)

    def restore(self, project_id: str) -> Project:
        """Take a project out of the bin.

        Raises:
            ProjectError: if it is not there, or cannot be moved.
        """
        self._store.deleted(project_id).move(self._store.root / project_id)
        project = self._store.left(project_id)
        remove(project.path / _RECORD)
        return project

    def deleted(self) -> list[DeletedInfo]:
        """Return the projects in the bin, the last deleted first."""
        found = [DeletedInfo(i, self._deletion(i)) for i in self._store.infos(self._bin)]
        return sorted(found, key=lambda entry: entry.deleted, reverse=True)

    def destroy(self, project_id: str) -> None:
        """Delete a project in the bin for good, with all its takes and pictures.

        Raises:
            ProjectError: if it is not there, or cannot be deleted.
        """
        project = self._store.deleted(project_id)
        # Out of sight first: a project that is half deleted is never listed.
        going = self._bin / f".going-{new_id()}"
        project.move(going)
        for folder in self._bin.glob(".going-*"):  # also what an interrupted run has left
            remove(folder)

    def example(self) -> Project | None:
        """Return the project that holds the example, the last changed; None where there is none."""
        whole = (info for info in self._store.projects() if not info.fault)
        marked = [info for info in whole if self.is_example(info.id)]
        return self._store.open(marked[0].id) if marked else None

    def is_example(self, project_id: str) -> bool:
        """Return whether a project, not a deleted one, holds the example."""
        try:
            return (self._store.open(project_id).path / _EXAMPLE).is_file()
        except (ProjectError, OSError):
            return False

    def mark_example(self, project: Project) -> None:
        """Remember that a project holds the example.

        Raises:
            ProjectError: if it cannot be written.
        """
        write_result(project.path / _EXAMPLE, _EXAMPLE_WORDS.encode())

    def _deletion(self, info: ProjectInfo) -> datetime:
        try:
            record = DELETED_FILE.read(self._bin / info.id / _RECORD)
            deleted = datetime.fromisoformat(str(record.get("deleted")))
            return deleted if deleted.tzinfo else deleted.replace(tzinfo=UTC)
        except (ProjectError, ValueError):  # moved there by hand
            return info.modified
