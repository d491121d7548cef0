"""Errors of the application; `pipelines.errors` has the rest of the tree.

UserError
├── StoryFileError   a story file that cannot be read (file, line, fault)
├── ProjectError     a project folder that cannot be opened or written
├── UsageError       a command that cannot mean what was typed
└── ConsentNeeded    weights or code whose terms a person has to agree to first
RenderCancelled      a render that was stopped on purpose
"""

from __future__ import annotations

from pathlib import Path

from pipelines.errors import ThroughlineError, UserError


class StoryFileError(UserError):
    """A story file that cannot be read.

    Args:
        path: the file.
        line: line of the fault, counted from 1, or None when it concerns the whole file.
        fault: what is wrong there.
    """

    def __init__(self, path: Path | str, line: int | None, fault: str) -> None:
        where = f"{path}:{line}" if line is not None else str(path)
        super().__init__(f"{where}: {' '.join(fault.split())}")
        self.path = Path(path)
        self.line = line


class ProjectError(UserError):
    """A project folder that cannot be opened or written."""


class UsageError(UserError):
    """A command that cannot mean what was typed."""


class ConsentNeeded(UserError):
    """Something is downloaded only after a person has agreed to its terms.

    Args:
        key: what `storyboard.storage.consents` remembers the agreement under.
        title: what is to be downloaded.
        licence: name of its licence.
        licence_url: where that can be read.
        download_bytes: size of the download in bytes; 0 where it is not known.
        terms: what has to be agreed to, one sentence.
    """

    def __init__(
        self,
        key: str,
        title: str,
        licence: str,
        licence_url: str,
        download_bytes: int,
        terms: str,
    ) -> None:
        super().__init__(terms, f"Read its licence ({licence}) at {licence_url} and agree to it.")
        self.key = key
        self.title = title
        self.licence = licence
        self.licence_url = licence_url
        self.download_bytes = download_bytes
        self.terms = terms


class RenderCancelled(ThroughlineError):
    """A render was stopped on purpose."""
