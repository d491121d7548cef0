"""Parts of answers that tell a page about a board; other actions put them together."""

from __future__ import annotations

import threading
from typing import Any

from pipelines.models.specs import ModelSpec
from storyboard.api.document import blank_storyboard, document_of, revision_of
from storyboard.api.reference_editor import ReferenceEditor
from storyboard.api.takes import frame_results, freshness_fields
from storyboard.board import Storyboard
from storyboard.errors import DeletedError, ProjectError
from storyboard.storage.damage import damage_of
from storyboard.storage.project import Project
from storyboard.storage.projects import Store

Answer = dict[str, Any]


class BoardAnswers:
    """Boards as a page shows them; for any thread.

    Args:
        spec: the model of new boards.
        references: the editor of their reference pictures.
    """

    def __init__(self, store: Store, spec: ModelSpec, references: ReferenceEditor) -> None:
        self._store = store
        self._spec = spec
        self._references = references
        self._creating = threading.Lock()

    def open(self, project_id: str) -> Project:
        """Return a stored project.

        Raises:
            DeletedError: if it is in the bin.
            ProjectError: if there is none.
        """
        try:
            return self._store.open(project_id)
        except DeletedError:
            raise
        except ProjectError as error:
            raise ProjectError(
                f"There is no storyboard {project_id!r} here.",
                "If its folder is only away for a moment, load this address again; else open "
                "another one.",
            ) from error

    def open_or_create(self, project_id: str) -> Project:
        """Return a project; a blank board becomes one with its first change.

        Raises:
            DeletedError: if it is in the bin.
        """
        if self._store.has(project_id):
            return self._store.open(project_id)
        with self._creating:
            try:
                return self._store.open(project_id)
            except ProjectError:
                return self._store.create(blank_storyboard(self._spec), project_id)

    def load(self, project_id: str) -> Storyboard:
        """Return a stored storyboard, or a blank one where there is none.

        Raises:
            DeletedError: if it is in the bin.
            ProjectError: if it cannot be read.
        """
        try:
            return self._store.open(project_id).load()
        except ProjectError as error:
            if isinstance(error, DeletedError) or self._store.has(project_id):
                raise
            return blank_storyboard(self._spec)

    def board(self, project: Project, board: Storyboard) -> Answer:
        """Return everything that is stored of a board."""
        return (
            {"board": document_of(board, project.id), "revision": revision_of(board)}
            | self.results(project, board)
            | {"reference": self._references.state(project)}
        )

    def results(self, project: Project, board: Storyboard) -> Answer:
        """Return the takes of a board, how they stand to it as it is now, and what is damaged."""
        # In this order, the file of a chosen take is read once.
        return freshness_fields(project, board) | {
            "results": frame_results(project, board),
            "damaged": damage_of(project),
        }

    def reference(self, project: Project, board: Storyboard) -> Answer:
        """Return a board's reference picture, and how its takes stand to it."""
        return {"reference": self._references.state(project)} | freshness_fields(project, board)
