"""Ways to paint faster that change the pictures, and what each costs; no torch.

Knows their names, for people and stories, and what was measured of them; `pipelines.request` knows
what they ask of a render. `python -m evaluation.studies.shortcuts` measures, and prints what
`COSTS` holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipelines.request import Shortcuts

NOT_MEASURED = "Not measured on this model."

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
        "Before a frame is painted, its character is looked for in every other step alone.",
    ),
    Shortcut(
        "half-steps",
        "Half of the later steps",
        Shortcuts(every=2),
        "Once its character is found, a frame asks the model at every other step alone.",
    ),
    Shortcut(
        "both",
        "Both shortcuts",
        Shortcuts(every=2, probe_every=2),
        "Coarse probe, and half of the later steps.",
    ),
)


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % confidence interval.

    Attributes:
        value: the estimate.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    value: float
    low: float
    high: float


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
    def conditions(self) -> str:
        """How it was measured, for a person."""
        return (
            f"Measured with {self.characters} characters in {self.steps} steps against exact "
            "frames, colours in CIELAB"
        )

    @property
    def lines(self) -> tuple[tuple[str, str, str], ...]:
        """What changes, by how much, and the ends of the interval, for a person."""
        less = Interval(-self.saved.value, -self.saved.high, -self.saved.low)
        return (
            ("time", f"{_signed(100 * less.value, 0)} %", _ends(less, 100, 0)),
            *(
                (what, f"{_signed(100 * change.value)} points", _ends(change, 100))
                for what, change in (
                    ("character kept", self.identity),
                    ("actions right", self.action),
                    ("places right", self.place),
                )
            ),
            (
                "masks alike",
                f"{100 * self.mask_overlap.value:.0f} %",
                f"{100 * self.mask_overlap.low:.0f} to {100 * self.mask_overlap.high:.0f}",
            ),
            (
                "colours apart",
                f"{self.color_distance.value:.1f}",
                f"{self.color_distance.low:.1f} to {self.color_distance.high:.1f}",
            ),
        )


# By the model's name in the registry: what `python -m evaluation.studies.shortcuts --steps 10`
# printed, on one thread of two AMD EPYC cores.
COSTS: Mapping[str, tuple[ShortcutCost, ...]] = {
    "miniature": (
        ShortcutCost(
            name="coarse-probe",
            characters=20,
            steps=20,
            saved=Interval(0.0638, 0.0412, 0.0861),
            identity=Interval(0.0015, -0.0196, 0.0254),
            action=Interval(0.0, 0.0, 0.0),
            place=Interval(0.0, 0.0, 0.0),
            mask_overlap=Interval(0.9922, 0.9896, 0.9946),
            color_distance=Interval(0.5887, 0.5149, 0.6626),
        ),
        ShortcutCost(
            name="half-steps",
            characters=20,
            steps=20,
            saved=Interval(0.3021, 0.274, 0.3276),
            identity=Interval(0.0056, -0.019, 0.0359),
            action=Interval(0.0375, 0.0, 0.075),
            place=Interval(0.0, 0.0, 0.0),
            mask_overlap=Interval(1.0, 1.0, 1.0),
            color_distance=Interval(0.8457, 0.7951, 0.912),
        ),
        ShortcutCost(
            name="both",
            characters=20,
            steps=20,
            saved=Interval(0.3648, 0.3395, 0.3884),
            identity=Interval(-0.0013, -0.0236, 0.0201),
            action=Interval(0.0125, 0.0, 0.0375),
            place=Interval(0.0, 0.0, 0.0),
            mask_overlap=Interval(0.9922, 0.9896, 0.9946),
            color_distance=Interval(1.0866, 0.9955, 1.1851),
        ),
    ),
}


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
    shortcut, cost = find_shortcut(name), cost_of(name, model)
    if shortcut.shortcuts == Shortcuts():
        return shortcut.note
    if cost is None:
        return f"{shortcut.note} {NOT_MEASURED}"
    changes = (f"{what} {change} ({ends})" for what, change, ends in cost.lines)
    return f"{shortcut.note} {cost.conditions}: {', '.join(changes)}."


def _signed(value: float, digits: int = 1) -> str:
    """A number with its sign; none for 0."""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}".replace("-", "\N{MINUS SIGN}") if rounded else "0"


def _ends(interval: Interval, times: float, digits: int = 1) -> str:
    return f"{_signed(times * interval.low, digits)} to {_signed(times * interval.high, digits)}"
