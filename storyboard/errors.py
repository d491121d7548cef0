"""Errors of the application; `pipelines.errors` has the rest of the tree.

UserError
├── StoryFileError   a story file that cannot be read, with file and line
├── ProjectError     a file of a project that cannot be read or written
├── UsageError       a command with options that make no sense
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
        line: line of the fault, counted from 1; None if it concerns the whole file.
        fault: the fault, and what is expected.
    """

    def __init__(self, path: Path | str, line: int | None, fault: str) -> None:
        where = f"{path}:{line}" if line is not None else str(path)
        super().__init__(f"{where}: {' '.join(fault.split())}")
        self.path = Path(path)
        self.line = line


class ProjectError(UserError):
    """A file of a project that cannot be read or written."""


class UsageError(UserError):
    """A command with options that make no sense."""


class ConsentNeeded(UserError):
    """Weights or code whose terms a person has to agree to before the download.

    Args:
        key: the key of the consent in `storyboard.storage.consents`.
        title: name of the weights or the code.
        licence: name of the licence.
        licence_url: address of the licence.
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
    """A render that was stopped on purpose."""
