"""Answer to whether a model can render on this machine; `pipelines.engine.usability` finds it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usability:
    """Answer for one model, in plain words.

    Attributes:
        usable: True where it can, if need be after a download.
        words: sentences for a person: the device and the download, or what is missing.
    """

    usable: bool
    words: str
