"""What a person has agreed to, so that they are asked once: a small JSON file beside the projects.

What needs consent is named in `pipelines.models.catalog`, and asked for in `storyboard.engine`.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

from pipelines.models.specs import CharacterAdapterSpec, MattingSpec
from storyboard.errors import ConsentNeeded, ProjectError
from storyboard.storage.files import DocumentKind, unwritable, write_atomically

CONSENTS_FILE = DocumentKind("throughline consents")

_writing = threading.Lock()


class Consents:
    """The agreements in a file; every question reads it, so that all who share it agree.

    Args:
        path: the file; made with the first consent.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def given(self, key: str) -> bool:
        """Whether a person has agreed to what has this key.

        Raises:
            ProjectError: if the file is damaged or not ours.
        """
        return key in self._read()

    def require(self, key: str, asked: CharacterAdapterSpec | MattingSpec, terms: str) -> None:
        """See that a person has agreed to what has this key.

        Args:
            key: what the agreement is remembered under.
            asked: what has to be agreed to.
            terms: the same in a sentence.

        Raises:
            ConsentNeeded: if nobody has.
            ProjectError: if the file is damaged or not ours.
        """
        if self.given(key):
            return
        raise ConsentNeeded(
            key=key,
            title=asked.title,
            licence=asked.licence,
            licence_url=asked.licence_url,
            download_bytes=asked.download_bytes,
            terms=terms,
        )

    def give(self, key: str) -> None:
        """Remember that a person has agreed, and when.

        Raises:
            ProjectError: if the file is damaged or not ours, or the disk does not take it.
        """
        with _writing:
            given = self._read()
            if key in given:
                return
            given[key] = datetime.now(UTC).isoformat(timespec="seconds")
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(self._path, CONSENTS_FILE.dump({"given": given}))
            except OSError as error:
                raise unwritable(self._path, error) from error

    def _read(self) -> dict[str, str]:
        if not self._path.exists():
            return {}
        given = CONSENTS_FILE.read(self._path).get("given")
        if not isinstance(given, dict):
            raise ProjectError(
                f"{self._path} is damaged (it lists no consents).",
                "It was left as it is; move it away to be asked again.",
            )
        return given
