"""The application's exceptions, one tree.

StoryboardError
├── UserError            what a person is shown: what was wrong, with what, what to do
│   ├── StoryFileError   a story file that cannot be read (file, line, fault)
│   ├── ProjectError     a project folder that cannot be opened or written
│   ├── UsageError       a command that cannot mean what was typed
│   ├── PictureError     a picture that cannot be used as a reference
│   │   └── NoFigureFound it can be opened, but a person has to paint over its figure
│   ├── ModelError       a model or a LoRA that cannot be loaded (licence, token, network, files)
│   ├── ConsentNeeded    weights or code whose terms a person has to agree to first
│   └── OutOfMemoryError a render that does not fit
└── RenderCancelled      a render was stopped on purpose
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


class StoryboardError(Exception):
    """Base of everything that this application raises on purpose.

    It is the same after a way between processes, whatever its constructor takes.
    """

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args, self.__dict__)


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


class UsageError(UserError):
    """A command that cannot mean what was typed."""


class PictureError(UserError):
    """A picture that cannot be used as a reference."""


class NoFigureFound(PictureError):
    """No figure was found in a picture; a person can paint over it.

    Args:
        problem: what was wrong, and what to do.
        source: the picture, opened.
        mask: what was found of the figure, mode "L" and of the picture's size.
    """

    def __init__(self, problem: str, source: Image.Image, mask: Image.Image) -> None:
        super().__init__(problem)
        self.source = source
        self.mask = mask


class ModelError(UserError):
    """A model or a LoRA that cannot be loaded."""


class ConsentNeeded(UserError):
    """Something is downloaded only after a person has agreed to its terms.

    Args:
        key: what `storyboard.consents` remembers the agreement under.
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


class OutOfMemoryError(UserError):
    """A render that does not fit into the memory there is."""


class RenderCancelled(StoryboardError):
    """A render was stopped on purpose."""


def _restored(
    kind: type[StoryboardError], words: tuple[object, ...], fields: dict[str, object]
) -> StoryboardError:
    error = kind.__new__(kind, *words)
    error.__dict__.update(fields)
    return error
