"""The application's exceptions, one tree.

StoryboardError
├── UserError            what a person is shown: what was wrong, with what, what to do
│   ├── StoryFileError   a story file that cannot be read (file, line, fault)
│   ├── ProjectError     a project folder that cannot be opened or written
│   ├── ModelError       a model that cannot be loaded (licence, token, network, files)
│   └── OutOfMemoryError a render that does not fit
└── RenderCancelled      a render was stopped on purpose
"""

from __future__ import annotations

from pathlib import Path


class StoryboardError(Exception):
    """Base of everything that this application raises on purpose."""


class UserError(StoryboardError):
    """A fault that a person can mend; its text is shown to them as it is.

    Args:
        problem: what was wrong, with what.
        remedy: what to do about it.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem} {remedy}".strip())
        self.problem = problem
        self.remedy = remedy


class StoryFileError(UserError):
    """A story file that cannot be read.

    Args:
        path: the file.
        line: line of the fault, counted from 1, or None when it concerns the whole file.
        fault: what is wrong there.
    """

    def __init__(self, path: Path | str, line: int | None, fault: str) -> None:
        place = f"{path}:{line}" if line is not None else str(path)
        super().__init__(f"{place}: {fault}")
        self.path = Path(path)
        self.line = line
        self.fault = fault


class ProjectError(UserError):
    """A project folder that cannot be opened or written."""


class ModelError(UserError):
    """A model that cannot be loaded."""


class OutOfMemoryError(UserError):
    """A render that does not fit into the memory there is."""


class RenderCancelled(StoryboardError):
    """A render was stopped on purpose."""
