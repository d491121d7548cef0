"""Questions of a front end, checked and answered as plain data.

A question is `{"name": ..., "data": {...}}`: an action of `Actions`, and its arguments by name. An
answer is one of `{"ok": ...}`, `{"problem": ..., "remedy": ...}` and `{"consent": ...}`; a problem
with a board that was deleted also has "deleted", which says whether it can be restored. Whoever
can reach the application can send anything, so every argument is checked against the action's
signature.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError, validate_call

from pipelines.errors import UserError
from storyboard.api.actions import Actions
from storyboard.errors import ConsentNeeded, DeletedError

# Every public method of `Actions` that a front end may call.
CALLS = (
    *("setup", "models", "open", "new", "example", "save", "news"),
    *("plan", "generate", "cancel", "choose_take", "read_outcome", "forget_left", "give_consent"),
    *("take_words", "star_take", "remove_take", "bring_back_take"),
)
# Every public method of `CharacterActions` likewise.
CHARACTER_CALLS = (
    *("save_character", "load_character"),
    *("upload_picture", "edit_mask", "find_figure", "use_picture", "set_reference"),
    *("reopen_picture", "discard_picture"),
)
# Every public method of `ShelfActions` likewise.
SHELF_CALLS = (
    *("boards", "rename_board", "duplicate_board", "delete_board", "restore_board"),
    *("bin", "empty_board", "archive", "import_board"),
)

# Keys of words for people in answers.
_WORDS = ("problem", "remedy", "fault", "notes")
_FOLDER = "the server's folder"


class Calls:
    """The actions by their names.

    Args:
        uploaded: returns the path of an uploaded file, and raises `UserError` where a browser
            names any other.
    """

    def __init__(self, actions: Actions, uploaded: Callable[[object], Path]) -> None:
        strict = ConfigDict(strict=True, arbitrary_types_allowed=True)
        methods = {name: getattr(actions, name) for name in CALLS}
        methods |= {name: getattr(actions.character, name) for name in CHARACTER_CALLS}
        methods |= {name: getattr(actions.shelf, name) for name in SHELF_CALLS}
        self._calls = {name: validate_call(config=strict)(call) for name, call in methods.items()}
        self._uploaded = uploaded
        self._projects = actions.projects
        self._asks_consent = actions.asks_consent

    def answer(self, question: object, visitor: str = "") -> dict[str, Any]:
        """Answer a question; for any thread.

        Args:
            visitor: who asks; see `storyboard.api.sharing`.

        Returns:
            The answer; see the module. Its words name files without the server's folders.
        """
        folders = [self._projects]
        try:
            name, arguments = self._read(question)
            if "path" in arguments:
                folders.append(arguments["path"].parent)
            if name == "generate":
                arguments["visitor"] = visitor
            answer = {"ok": self._ask(name, arguments)}
        except UserError as error:
            answer = _refusal(error, self._asks_consent)
        named: dict[str, Any] = _named(answer, folders)
        return named

    def _read(self, question: object) -> tuple[str, dict[str, Any]]:
        """Return the name of a question's action, and its arguments, unchecked but for paths."""
        if not isinstance(question, Mapping):
            raise _fault()
        name, data = question.get("name"), question.get("data", {})
        if not isinstance(name, str) or name not in self._calls or not isinstance(data, Mapping):
            raise _fault()
        arguments = {key: data[key] for key in data if isinstance(key, str)}
        if "path" in arguments:
            arguments["path"] = self._uploaded(arguments["path"])
        return name, arguments

    def _ask(self, name: str, arguments: dict[str, Any]) -> Any:
        ask = self._calls[name]
        try:
            return ask(**arguments)
        except ValidationError as error:
            if error.title != ask.__qualname__:  # not of the arguments, so a fault of ours
                raise
            raise _fault() from error


def _refusal(error: UserError, asks_consent: bool) -> dict[str, Any]:
    """Return the answer where an action cannot be done."""
    words = {"problem": error.problem, "remedy": error.remedy}
    match error:
        case ConsentNeeded() if not asks_consent:
            remedy = f"Whoever runs this agrees to it with THROUGHLINE_CONSENTS={error.key}."
            return words | {"remedy": remedy}
        case ConsentNeeded():
            terms = {"key": error.key, "terms": error.problem, "licence": error.licence}
            size = {"licence_url": error.licence_url, "download_bytes": error.download_bytes}
            return {"consent": terms | size}
        case DeletedError():
            return words | {"deleted": {"project": error.project, "restorable": error.restorable}}
    return words


def _named(answer: Any, folders: Sequence[Path], key: str = "") -> Any:
    """Return an answer whose words for people leave these folders out of the names of files."""
    if isinstance(answer, dict):
        return {name: _named(value, folders, name) for name, value in answer.items()}
    if isinstance(answer, list):
        return [_named(value, folders, key) for value in answer]
    if key in _WORDS and isinstance(answer, str):
        for folder in folders:
            answer = answer.replace(f"{folder}{os.sep}", "").replace(str(folder), _FOLDER)
    return answer


def _fault() -> UserError:
    """Return a new error each time: one that is raised again and again keeps all of its traces."""
    return UserError("The page sent something that cannot be understood.", "Reload the page.")
