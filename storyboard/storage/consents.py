"""Consents of a person, each given once: a small JSON file beside the projects.

`pipelines.models.catalog` names what needs consent, and `storyboard.engine` requires it.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

from pipelines.models.specs import CharacterAdapterSpec, MattingSpec
from storyboard.errors import ConsentNeeded, ProjectError
from storyboard.storage.files import DocumentKind, write_result

CONSENTS_FILE = DocumentKind("throughline consents")

_writing = threading.Lock()


class Consents:
    """The consents in a file, which is read at every call, since processes share it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def given(self, key: str) -> bool:
        """Return whether a person has given the consent of this key.

        Raises:
            ProjectError: if the file is damaged or of another kind.
        """
        return key in self._read()

    def require(self, key: str, asked: CharacterAdapterSpec | MattingSpec, terms: str) -> None:
        """Check that a person has agreed to the terms of weights or code; see `ConsentNeeded`.

        Raises:
            ConsentNeeded: if nobody has.
            ProjectError: if the file is damaged or of another kind.
        """
        if not self.given(key):
            raise ConsentNeeded(key, asked, terms)

    def give(self, key: str) -> None:
        """Store that a person has agreed, and when.

        Raises:
            ProjectError: if the file is damaged or of another kind, or cannot be written.
        """
        with _writing:
            given = self._read()
            if key in given:
                return
            given[key] = datetime.now(UTC).isoformat(timespec="seconds")
            write_result(self._path, CONSENTS_FILE.dump({"given": given}))

    def _read(self) -> dict[str, str]:
        if not self._path.exists():
            return {}
        given = CONSENTS_FILE.read(self._path).get("given")
        if not isinstance(given, dict):
            raise ProjectError(
                f"{self._path} is damaged (it lists no consents).",
                "It was left as it is; move it away to give consents anew.",
            )
        return given
