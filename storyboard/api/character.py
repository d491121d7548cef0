"""Actions on the character: its reference picture, and character files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from storyboard.api.board_answers import BoardAnswers
from storyboard.api.limits import MAX_UPLOAD_BYTES
from storyboard.api.reference_editor import ReferenceEditor
from storyboard.api.routes import download_address
from storyboard.api.shelf import file_name
from storyboard.board import Storyboard
from storyboard.storage.character_file import SUFFIX, load_character
from storyboard.storage.project import Project

Answer = dict[str, Any]


class CharacterActions:
    """Actions on a board's character, for any number of pages at once; from any thread.

    Every action raises `UserError` where it cannot be done; the stored storyboard is unchanged
    then.
    """

    def __init__(self, boards: BoardAnswers, references: ReferenceEditor) -> None:
        self._boards = boards
        self._references = references

    def upload_picture(self, project: str, path: Path) -> Answer:
        """Find the character in an uploaded picture; the answer says if it cannot be used.

        Args:
            path: the picture; never a path that a browser named.

        Raises:
            UserError: if the file is too large.
        """
        _check_size(path)
        return {"reference": self._references.begin(self._boards.open_or_create(project), path)}

    def edit_mask(self, project: str, draft: str, strokes: str) -> Answer:
        """Edit the mask of an uploaded picture; see `ReferenceEditor.edit_mask`.

        Raises:
            UserError: if the strokes cannot be read, or the picture is damaged.
        """
        return {"reference": self._references.edit_mask(self._boards.open(project), draft, strokes)}

    def find_figure(self, project: str, draft: str) -> Answer:
        """Find the figure in an uploaded picture with the network.

        Raises:
            UserError: if there is no network, or it fails; the mask is unchanged. A `ConsentNeeded`
                where a person has to agree to its download first.
        """
        return {"reference": self._references.find_figure(self._boards.open(project), draft)}

    def use_picture(self, project: str, draft: str, strokes: str) -> Answer:
        """Make an uploaded picture the character's reference picture.

        Args:
            draft: the uploaded picture.
            strokes: all strokes, empty where there are none; see `ReferenceEditor.edit_mask`.

        Raises:
            UserError: if no figure was found in it, or it cannot be stored.
        """
        opened = self._boards.open(project)
        board = _with_reference(opened, self._references.finish(opened, draft, strokes))
        self._references.discard(opened, draft)
        return self._boards.reference(opened, board)

    def set_reference(self, project: str, name: str) -> Answer:
        """Choose the character's reference picture among the project's, or none.

        Args:
            name: the picture's name; empty for none.

        Raises:
            UserError: if the project has no such picture.
        """
        opened = self._boards.open(project)
        if name:
            opened.references.path(name)
        return self._boards.reference(opened, _with_reference(opened, name))

    def reopen_picture(self, project: str) -> Answer:
        """Open the reference picture again, to edit its mask.

        Raises:
            UserError: if there is none, or its files are missing.
        """
        return {"reference": self._references.reopen(self._boards.open(project))}

    def discard_picture(self, project: str, draft: str) -> Answer:
        """Delete an uploaded picture that is not in use."""
        opened = self._boards.open(project)
        self._references.discard(opened, draft)
        return {"reference": self._references.state(opened)}

    def save_character(self, project: str) -> Answer:
        """Return the address of the character as a file that other storyboards load, and its name.

        Raises:
            UserError: if there is nothing to save.
        """
        character = self._boards.load(project).character
        if not (character.description.strip() or character.reference):
            raise UserError("There is no character to save yet.", "Describe one first.")
        opened = self._boards.open(project)
        name = f"{file_name(character.name) or 'character'}{SUFFIX}"
        return {"name": name, "file": download_address(opened, "board.character")}

    def load_character(self, project: str, path: Path) -> Answer:
        """Replace the storyboard's character by a file's; everything else stays.

        Args:
            path: the file; never a path that a browser named.

        Raises:
            UserError: if the file holds no character, or it cannot be stored.
        """
        _check_size(path)
        loaded = load_character(path)
        opened = self._boards.open_or_create(project)
        changes = {"character": loaded.adopt(opened.references)}
        return self._boards.board(opened, opened.edit(lambda old: old.model_copy(update=changes)))


def _check_size(path: Path) -> None:
    if path.stat().st_size > MAX_UPLOAD_BYTES:
        most = f"{MAX_UPLOAD_BYTES // 1_000_000} MB"
        raise UserError(f"{path.name} is larger than {most}.", "Choose a smaller file.")


def _with_reference(project: Project, name: str) -> Storyboard:
    """Store the character with this reference picture and return the storyboard."""

    def change(stored: Storyboard) -> Storyboard:
        character = stored.character.model_copy(update={"reference": name})
        return stored.model_copy(update={"character": character})

    return project.edit(change)
