"""Actions on boards as a whole: the shelf, the bin, and boards as files.

Where strangers share the application, nobody sees a list: whoever knows a board's identifier, which
nobody can guess, may copy, delete and restore that one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.models.specs import ModelSpec
from storyboard.api.document import is_listed
from storyboard.api.routes import download_address, small_address
from storyboard.board import Storyboard
from storyboard.errors import ProjectError
from storyboard.exporting.story import story_text
from storyboard.formats import ENDINGS, FORMS, import_file
from storyboard.jobs.runner import Runner
from storyboard.storage.archive import check_archive
from storyboard.storage.projects import Store
from storyboard.storage.shelf import Shelf
from storyboard.storage.summaries import ProjectInfo

Answer = dict[str, Any]

_PATIENCE = 10.0  # seconds for the jobs of a deleted board to stop


class ShelfActions:
    """Actions on boards, for any number of pages at once; from any thread.

    Every action raises `UserError` where it cannot be done; nothing has changed then.

    Args:
        runner: runs the boards' jobs.
        store: the boards.
        models: the models that may be chosen; the first is that of new boards.
        listed: whether the boards may be listed; not where strangers share them.
        styles: LoRAs of the hub that may be chosen; None for these and all files of this machine.
    """

    def __init__(
        self,
        runner: Runner,
        store: Store,
        models: list[ModelSpec],
        listed: bool,
        styles: Collection[str] | None = None,
    ) -> None:
        self._runner = runner
        self._store = store
        self._shelf = Shelf(store)
        self._models = models
        self._listed = listed
        self._styles = styles

    def boards(self, project: str = "") -> Answer:
        """Return the stored boards, the last changed first, and how many are in the bin.

        Args:
            project: the board that the page shows; the only one where they are not listed.
        """
        if self._listed:
            infos = self._store.projects()
        else:
            infos = [info for info in [project and self._store.info(project)] if info]
        deleted = len(self._shelf.deleted()) if self._listed else 0
        return {"boards": [_entry(info) for info in infos], "deleted": deleted}

    def rename_board(self, project: str, title: str) -> Answer:
        """Give a board another title."""
        self._shelf.rename(project, title)
        return {}

    def duplicate_board(self, project: str) -> Answer:
        """Copy a board with all takes and reference pictures; return the copy's "project"."""
        copy = self._shelf.duplicate(project)
        return {"project": copy.id, "title": copy.load().title}

    def delete_board(self, project: str) -> Answer:
        """Move a board to the bin, after its jobs were cancelled."""
        self._store.left(project)
        jobs = self._runner.pending(project)
        for job in reversed(jobs):
            job.cancel()
        deadline = time.monotonic() + _PATIENCE
        for job in jobs:
            job.wait(max(0.0, deadline - time.monotonic()))
        self._store.left(project).unfinished.finish()
        self._shelf.delete(project)
        return {}

    def restore_board(self, project: str) -> Answer:
        """Take a board out of the bin; it may be out already."""
        try:
            self._shelf.restore(project)
        except ProjectError:
            self._store.left(project)
        return {"project": project}

    def bin(self) -> Answer:
        """Return the deleted boards, the last deleted first; none where they are not listed."""
        found = self._shelf.deleted() if self._listed else []
        rows = [_entry(e.info, deleted=True) | {"deleted": e.deleted.isoformat()} for e in found]
        return {"bin": rows}

    def empty_board(self, project: str) -> Answer:
        """Delete a board in the bin for good, with all its takes and pictures."""
        self._shelf.destroy(project)
        return {}

    def archive(self, project: str, form: str = "zip") -> Answer:
        """Return the address of the board as a "file", its "name", and what is "lost" in it.

        Args:
            form: "zip" (everything), "json" or "yaml" (words and settings).

        Raises:
            UserError: if it cannot be written in this form.
        """
        kind = next((known for known in FORMS if known == form), None)
        if kind is None:
            raise UserError(f"A storyboard cannot be saved as {form!r}.", "Reload the page.")
        opened = self._store.open(project)
        board = opened.load()
        # Said here, where it is heard: the address is opened by the browser alone.
        lost: list[str] = []
        if kind == "yaml":
            story_text(board)
        elif kind == "zip":
            lost = check_archive(opened)
        ending = ENDINGS[kind]
        name = f"{file_name(board.title) or 'storyboard'}{ending}"
        file = download_address(opened, f"storyboard{ending}")
        return {"name": name, "file": file, "lost": lost}

    def import_board(self, path: Path) -> Answer:
        """Make new boards of a file: a ZIP, a `storyboard.json`, or a story file.

        Args:
            path: the file; never a path that a browser named.

        Returns:
            The new "boards" by their "project" and "title", and "notes" about what was left out.
        """
        notes: list[str] = []

        def adapt(board: Storyboard) -> Storyboard:
            adapted, words = self._adapted(board)
            notes.extend(word for word in words if word not in notes)
            return adapted

        imported = import_file(path, self._store, adapt)
        boards = [{"project": p.id, "title": p.load().title} for p in imported.projects]
        return {"boards": boards, "notes": [*notes, *imported.notes]}

    def _adapted(self, board: Storyboard) -> tuple[Storyboard, list[str]]:
        """Return a board from elsewhere with a model and styles that may be chosen here."""
        settings, notes = board.settings, []
        own = self._models[0]
        if settings.model not in {spec.name for spec in self._models}:
            notes.append(f"Its model {settings.model} cannot be chosen here: {own.title} is set.")
            size = {"width": own.width, "height": own.height}
            given = {"model": own.name, "steps": None, "guidance": None, **size}
            settings = settings.model_copy(update=given)
        if self._styles is not None:
            listed = self._styles
            styles = tuple(style for style in settings.styles if is_listed(style.source, listed))
            if styles != settings.styles:
                notes.append("Styles that cannot be chosen here were left out.")
                settings = settings.model_copy(update={"styles": styles})
        return board.model_copy(update={"settings": settings}), notes


def file_name(words: str) -> str:
    """Return words as the name of a file, without an ending; perhaps empty."""
    return re.sub(r"\W+", "-", words.casefold()).strip("-")[:60]


def _entry(info: ProjectInfo, deleted: bool = False) -> Answer:
    return {
        "id": info.id,
        "title": info.title,
        "frames": info.frames,
        "modified": info.modified.isoformat(),
        "picture": info.take and small_address(info.id, info.take, deleted),
        "fault": info.fault,
    }
