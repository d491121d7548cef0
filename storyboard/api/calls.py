"""Questions of a front end, checked and answered as plain data.

A question is `{"name": ..., "data": {...}}`: an action of `Actions`, and its arguments by name. An
answer is one of `{"ok": ...}`, `{"problem": ..., "remedy": ...}` and `{"consent": ...}`. Whoever
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
from storyboard.errors import ConsentNeeded

# Every public method of `Actions` that a front end may call.
CALLS = (
    *("setup", "models", "open", "new", "example", "boards", "save", "news"),
    *("plan", "generate", "cancel", "choose_take", "read_outcome", "give_consent"),
    *("take_words", "star_take", "remove_take", "bring_back_take"),
    *("archive", "save_character", "load_character"),
    *("upload_picture", "edit_mask", "find_figure", "use_picture", "set_reference"),
    *("reopen_picture", "discard_picture"),
)

_FAULT = UserError("The page sent something that cannot be understood.", "Reload the page.")


class Calls:
    """The actions by their names.

    Args:
        uploaded: returns the path of an uploaded file, and raises `UserError` where a browser
            names any other.
    """

    def __init__(self, actions: Actions, uploaded: Callable[[object], Path]) -> None:
        strict = ConfigDict(strict=True, arbitrary_types_allowed=True)
        self._calls = {name: validate_call(config=strict)(getattr(actions, name)) for name in CALLS}
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
        except UserError as error:
            return {"problem": error.problem, "remedy": error.remedy}

    def _ask(self, question: object) -> Any:
        if not isinstance(question, Mapping):
            raise _FAULT
        name, data = question.get("name"), question.get("data", {})
        if not isinstance(name, str) or name not in self._calls or not isinstance(data, Mapping):
            raise _FAULT
        arguments = {key: data[key] for key in data if isinstance(key, str)}
        if "path" in arguments:
            arguments["path"] = self._uploaded(arguments["path"])
        try:
            return self._calls[name](**arguments)
        except ValidationError as error:
            raise _FAULT from error
