"""Shortcuts: faster ways to render that change the pictures; no torch.

Their names for people and stories; `pipelines.models.measured` knows their costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.request import Shortcuts

ShortcutName = Literal["exact", "coarse-probe", "half-steps", "both"]


@dataclass(frozen=True)
class Shortcut:
    """A choice of a storyboard; the first one is to take no shortcut.

    Attributes:
        name: its name in stories and on the command line.
        title: its name for a page.
        shortcuts: its settings in a request.
        note: its effect in one sentence, for a person.
    """

    name: ShortcutName
    title: str
    shortcuts: Shortcuts
    note: str


SHORTCUTS = (
    Shortcut("exact", "Exact", Shortcuts(), "The model is evaluated at every step."),
    Shortcut(
        "coarse-probe",
        "Coarse probe",
        Shortcuts(probe_every=2),
        "Before a frame is rendered, its character is searched for in every other step only.",
    ),
    Shortcut(
        "half-steps",
        "Half of the later steps",
        Shortcuts(every=2),
        "Once its character is found, a frame evaluates the model at every other step only.",
    ),
    Shortcut(
        "both",
        "Both shortcuts",
        Shortcuts(every=2, probe_every=2),
        "Coarse probe, and half of the later steps.",
    ),
)


def find_shortcut(name: ShortcutName) -> Shortcut:
    """Return the shortcut of this name."""
    return next(shortcut for shortcut in SHORTCUTS if shortcut.name == name)
