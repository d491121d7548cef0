"""Questions of a front end, checked and answered as plain data.

A question is `{"name": ..., "data": {...}}`: an action of `Actions`, and its arguments by name. An
answer is one of `{"ok": ...}`, `{"problem": ..., "remedy": ...}` and `{"consent": ...}`; a problem
with a board that was deleted also has "deleted", which says whether it can be restored. Whoever
can reach the application can send anything, so every argument is checked against the action's
signature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError, validate_call

from pipelines.errors import UserError
from storyboard.api.actions import Actions
from storyboard.errors import ConsentNeeded, DeletedError

# Every public method of `Actions` that a front end may call.
CALLS = (
    *("setup", "models", "open", "new", "example", "save", "news"),
    *("plan", "generate", "cancel", "choose_take", "read_outcome", "give_consent"),
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

    def answer(self, question: object) -> dict[str, Any]:
        """Answer a question; for any thread.

        Returns:
            The answer; see the module.
        """
        try:
            return {"ok": self._ask(question)}
        except ConsentNeeded as needed:
            return {
                "consent": {
                    "key": needed.key,
                    "terms": needed.problem,
                    "licence": needed.licence,
                    "licence_url": needed.licence_url,
                    "download_bytes": needed.download_bytes,
                }
            }
        except DeletedError as error:
            deleted = {"project": error.project, "restorable": error.restorable}
            return {"problem": error.problem, "remedy": error.remedy, "deleted": deleted}
        except UserError as error:
            return {"problem": error.problem, "remedy": error.remedy}

    def _ask(self, question: object) -> Any:
        if not isinstance(question, Mapping):
            raise _fault()
        name, data = question.get("name"), question.get("data", {})
        if not isinstance(name, str) or name not in self._calls or not isinstance(data, Mapping):
            raise _fault()
        arguments = {key: data[key] for key in data if isinstance(key, str)}
        if "path" in arguments:
            arguments["path"] = self._uploaded(arguments["path"])
        ask = self._calls[name]
        try:
            return ask(**arguments)
        except ValidationError as error:
            if error.title != ask.__qualname__:  # not of the arguments, so a fault of ours
                raise
            raise _fault() from error


def _fault() -> UserError:
    """Return a new error each time: one that is raised again and again keeps all of its traces."""
    return UserError("The page sent something that cannot be understood.", "Reload the page.")
