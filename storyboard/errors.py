"""Errors of the application; `pipelines.errors` has the rest of the tree.

UserError
├── StoryFileError   a story file that cannot be read, with file and line
├── ProjectError     a file of a project that cannot be read or written
│   └── DeletedError  a project that is in the bin, or gone
├── UsageError       a command with options that make no sense
└── ConsentNeeded    weights or code whose terms a person has to agree to first
RenderCancelled      a render that was stopped on purpose
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import ThroughlineError, UserError

if TYPE_CHECKING:
    from pipelines.models.specs import CharacterAdapterSpec, MattingSpec


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
        self.line = line


class ProjectError(UserError):
    """A file of a project that cannot be read or written."""


class DeletedError(ProjectError):
    """A project that was deleted.

    Args:
        project: its identifier.
        restorable: whether it is in the bin; otherwise it is gone.
    """

    def __init__(self, project: str, restorable: bool = True) -> None:
        if restorable:
            words = ("This storyboard has been deleted; it is in the bin.", "Restore it to go on.")
        else:
            words = (
                "This storyboard is no longer there: it was deleted for good, or its folder moved.",
                "Keep the words on this page, or open another storyboard.",
            )
        super().__init__(*words)
        self.project = project
        self.restorable = restorable


class UsageError(UserError):
    """A command with options that make no sense."""


class ConsentNeeded(UserError):
    """Weights or code whose terms a person has to agree to before the download.

    Args:
        key: the key of the consent in `storyboard.storage.consents`.
        asked: the weights or the code.
        terms: what has to be agreed to, one sentence.
    """

    def __init__(self, key: str, asked: CharacterAdapterSpec | MattingSpec, terms: str) -> None:
        licence = f"({asked.licence}) at {asked.licence_url}"
        super().__init__(terms, f"Read its licence {licence} and agree to it.")
        self.key = key
        self.licence = asked.licence
        self.licence_url = asked.licence_url
        self.download_bytes = asked.download_bytes


class RenderCancelled(ThroughlineError):
    """A render that was stopped on purpose."""
