"""Data that travels between processes that render: key/value banks, pictures, events; no torch."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.errors import UserError
from pipelines.events import PipelineEvent
from pipelines.request import RenderRequest

if TYPE_CHECKING:
    from PIL import Image


class PortableBank(Protocol):
    """Key/value bank of a frame as other rooms see it; it can be pickled."""

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        ...


@dataclass(frozen=True)
class BankExchange:
    """Banks that travel between the processes that render the frames of one storyboard.

    Attributes:
        received: pickled banks of frames that were rendered elsewhere, by the frames' ids. Those
            frames are rendered again only as targets.
        keep: called with the id and the bank of every source frame, as soon as it is rendered; the
            bank is closed soon after. None for nothing.
    """

    received: Mapping[str, bytes] = field(default_factory=dict)
    keep: Callable[[str, PortableBank], None] | None = None

    def unpacked(self) -> dict[str, Any]:
        """Unpickle the banks; imports torch."""
        return {name: pickle.loads(bank) for name, bank in self.received.items()}


NO_BANKS = BankExchange()

Pictures = Mapping[str, "Image.Image"]
"""Prepared reference pictures, RGB, by their names in a request."""

Rendering = Generator[PipelineEvent | UserError, None, None]
"""Events of a render that may run in another process; an error for a person comes as the last."""

Render = Callable[[RenderRequest, Pictures, BankExchange], Rendering]
