"""Errors of the imaging engine and of everything above it, in one tree.

ThroughlineError
├── UserError                a fault that a person can mend: problem and remedy
│   ├── ModelError           a model, LoRA or bundle that cannot be loaded or used, and the reason
│   │   ├── UnknownModelError  a name that stands for no model
│   │   └── OutOfMemoryError   a model or a render that does not fit into memory
│   ├── PictureError         a picture that cannot be used as a reference
│   │   └── NoFigureFound    a picture in which a person has to paint over the figure
│   └── (storyboard.errors)  story files, projects, commands, consent
└── (storyboard.errors)      RenderCancelled

Errors survive pickling, so that worker processes can report them. No torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image

# What torch's allocators for the GPU, for Metal and for the CPU say when there is no more.
_MEMORY_SIGNS = ("out of memory", "allocate memory", "not enough memory")

ModelFault = Literal["gated", "token", "network", "memory", "missing", "broken", "unsuited"]


class ThroughlineError(Exception):
    """Base of every error that Throughline raises on purpose.

    Pickling restores its fields, whatever its constructor takes.
    """

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args, self.__dict__)


class UserError(ThroughlineError):
    """A fault that a person can mend; its text is shown as it is.

    Args:
        problem: what was wrong, with what.
        remedy: what to do about it.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem} {remedy}".strip())
        self.problem = problem
        self.remedy = remedy


class ModelError(UserError):
    """A model, a LoRA or a bundle that cannot be loaded or used.

    Args:
        problem: what was wrong, with what, one sentence.
        remedy: what to do about it.
        reason: the kind of fault.
    """

    def __init__(self, problem: str, remedy: str = "", reason: ModelFault = "unsuited") -> None:
        super().__init__(problem, remedy)
        self.reason: ModelFault = reason


class UnknownModelError(ModelError):
    """A name that stands for no known model, repository or folder."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy, "missing")


class OutOfMemoryError(ModelError):
    """A model or a render that does not fit into the memory there is."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy, "memory")


class PictureError(UserError):
    """A picture that cannot be used as a reference."""


class NoFigureFound(PictureError):
    """A picture in which no figure was found; a person can paint over it.

    Args:
        problem: what was wrong, and what to do.
        source: the picture, opened.
        mask: what was found of the figure, mode "L" and of the picture's size.
    """

    def __init__(self, problem: str, source: Image.Image, mask: Image.Image) -> None:
        super().__init__(problem)
        self.source = source
        self.mask = mask


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of torch or Python says that memory ran out."""
    words = str(error).casefold()
    return isinstance(error, MemoryError) or any(sign in words for sign in _MEMORY_SIGNS)


def out_of_memory(error: RuntimeError | MemoryError, purpose: str, remedy: str) -> OutOfMemoryError:
    """Translate an error that says that memory ran out for a purpose, as "to render ...".

    Raises:
        RuntimeError: the error itself, if it says something else.
    """
    if not is_out_of_memory(error):
        raise error
    return OutOfMemoryError(f"Not enough memory {purpose}.", remedy)


def _restored(
    kind: type[ThroughlineError], words: tuple[object, ...], fields: dict[str, object]
) -> ThroughlineError:
    error = kind.__new__(kind, *words)
    error.__dict__.update(fields)
    return error
