"""Ways to paint faster that change the pictures, and what each costs; no torch.

Knows their names, for people and stories, and what was measured of them; `pipelines.request` knows
what they ask of a render. `python -m benchmarks.shortcuts` measures, and prints what `COSTS` holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipelines.request import Shortcuts
from pipelines.scores import Interval

ShortcutName = Literal["exact", "coarse-probe", "half-steps", "both"]


@dataclass(frozen=True)
class Shortcut:
    """A choice that a storyboard has; the first is to take none.

    Attributes:
        name: for stories and the command line.
        title: for a page.
        shortcuts: what it asks of a render.
        note: what it does, for a person.
    """

    name: ShortcutName
    title: str
    shortcuts: Shortcuts
    note: str


SHORTCUTS = (
    Shortcut("exact", "Exact", Shortcuts(), "The model is asked at every step."),
    Shortcut(
        "coarse-probe",
        "Coarse probe",
        Shortcuts(probe_every=2),
        "Looks for the character in only half of the steps that go ahead of a frame.",
    ),
    Shortcut(
        "half-steps",
        "Half of the later steps",
        Shortcuts(every=2),
        "Once the character is found in a frame, the model is asked at every other step.",
    ),
    Shortcut(
        "both",
        "Both",
        Shortcuts(every=2, probe_every=2),
        "Coarse probe, and half of the later steps.",
    ),
)


@dataclass(frozen=True)
class ShortcutCost:
    """What a shortcut saves and loses on one model, over characters of the evaluation's kind.

    Shares are of 1; all intervals are 95 %, over characters.

    Attributes:
        name: the shortcut.
        characters: how many were painted, each in several frames, exactly and with the shortcut.
        steps: denoising steps, the model's own.
        saved: share of the time of a storyboard.
        identity: share of the left-out attributes kept, minus that of the exact frames.
        action: share of the frames with the stated action, minus likewise.
        place: share of the frames in the stated place, minus likewise.
        mask_overlap: intersection over union with the exact frames' masks.
        color_distance: mean CIELAB distance to the exact pictures (CIE76), pixel by pixel.
    """

    name: ShortcutName
    characters: int
    steps: int
    saved: Interval
    identity: Interval
    action: Interval
    place: Interval
    mask_overlap: Interval
    color_distance: Interval

    @property
    def words(self) -> str:
        """All of it for a person, two sentences."""
        return (
            f"Measured with {self.characters} characters in {self.steps} steps: "
            f"{100 * self.saved.value:.0f} % less time; character kept {_points(self.identity)}, "
            f"actions followed {_points(self.action)}, places {_points(self.place)}. "
            f"Against exact frames, masks overlap by {100 * self.mask_overlap.value:.0f} % and "
            f"colours are {self.color_distance.value:.1f} apart (CIELAB)."
        )


# By the model's name in the registry: what `python -m benchmarks.shortcuts` printed.
COSTS: Mapping[str, tuple[ShortcutCost, ...]] = {}


@dataclass(frozen=True)
class TurboLora:
    """A LoRA with which a model needs fewer steps.

    Attributes:
        source: its repository on the Hugging Face hub.
        weight: that its page advises.
        steps: likewise.
        guidance: likewise.
    """

    source: str
    weight: float
    steps: int
    guidance: float


# By the model's name: what the LoRAs' own pages say. None of them was ever tried here.
TURBO_LORAS: Mapping[str, tuple[TurboLora, ...]] = {
    "flux1-dev": (TurboLora("alimama-creative/FLUX.1-Turbo-Alpha", 1.0, 8, 3.5),),
}


def find_shortcut(name: ShortcutName) -> Shortcut:
    """The shortcut of this name."""
    return next(shortcut for shortcut in SHORTCUTS if shortcut.name == name)


def cost_of(name: ShortcutName, model: str) -> ShortcutCost | None:
    """What a shortcut was measured to cost; None where it was not.

    Args:
        name: the shortcut.
        model: a model's name in the registry.
    """
    return next((cost for cost in COSTS.get(model, ()) if cost.name == name), None)


def describe(name: ShortcutName, model: str) -> str:
    """What a shortcut does and what it costs on a model, for a person."""
    note = find_shortcut(name).note
    if find_shortcut(name).shortcuts == Shortcuts():
        return note
    cost = cost_of(name, model)
    return f"{note} {cost.words if cost else 'Not measured on this model.'}"


def _points(change: Interval) -> str:
    """A change of a share, in points of a hundred."""
    value, low, high = (f"{100 * share:+.1f}" for share in (change.value, change.low, change.high))
    return f"{value} points ({low} to {high})".replace("-", "\N{MINUS SIGN}")
