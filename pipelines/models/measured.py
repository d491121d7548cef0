"""Measured figures of the models and advice for them, read from `assets/measured`; no torch.

`python -m evaluation.studies.shortcuts --save` writes the costs of shortcuts; benchmarks/RESULTS.md
names the machine that they were measured on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from pipelines.models.shortcuts import ShortcutName, find_shortcut
from pipelines.request import Shortcuts

NOT_MEASURED = "Not measured on this model."

_FOLDER = Path(__file__).resolve().parents[2] / "assets" / "measured"
COSTS_FILE = _FOLDER / "shortcuts.json"


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ShortcutCost:
    """Savings and losses of a shortcut on one model, over characters like the evaluation's.

    Shares are of 1; intervals are over characters.

    Attributes:
        name: the shortcut.
        characters: number of characters, each rendered exactly and with the shortcut.
        steps: denoising steps, the model's own.
        saved: share of the time of a storyboard.
        identity: share of the left-out attributes kept, minus that of the exact frames.
        action: share of the frames with the stated action, minus that of the exact frames.
        place: share of the frames at the stated location, minus that of the exact frames.
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
        """Conditions of the measurement, for a person."""
        return (
            f"Measured with {self.characters} characters in {self.steps} steps against exact "
            "frames, colours in CIELAB"
        )

    @property
    def lines(self) -> tuple[tuple[str, str, str], ...]:
        """Each quantity, its change and the interval's ends, for a person."""
        less = Interval(-self.saved.value, -self.saved.high, -self.saved.low)
        return (
            ("time", f"{_signed(100 * less.value, 0)} %", _ends(less, 100, 0)),
            *(
                (quantity, f"{_signed(100 * change.value)} points", _ends(change, 100))
                for quantity, change in (
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


@dataclass(frozen=True)
class TurboLora:
    """A LoRA with which a model needs fewer steps; its page's advice, not tried here.

    Attributes:
        source: its repository on the Hugging Face hub.
        weight: advised weight.
        steps: advised denoising steps.
        guidance: advised distilled guidance.
    """

    source: str
    weight: float
    steps: int
    guidance: float


COSTS_FORMAT = TypeAdapter(dict[str, tuple[ShortcutCost, ...]])


@cache
def shortcut_costs() -> Mapping[str, tuple[ShortcutCost, ...]]:
    """Read the measured costs of shortcuts, by the model's name."""
    return COSTS_FORMAT.validate_json(COSTS_FILE.read_bytes())


@cache
def turbo_loras() -> Mapping[str, tuple[TurboLora, ...]]:
    """Read the known turbo LoRAs, by the model's name."""
    known = TypeAdapter(dict[str, tuple[TurboLora, ...]])
    return known.validate_json((_FOLDER / "turbo_loras.json").read_bytes())


def cost_of(name: ShortcutName, model: str) -> ShortcutCost | None:
    """Return the measured cost of a shortcut on a model of the catalog; None if not measured."""
    return next((cost for cost in shortcut_costs().get(model, ()) if cost.name == name), None)


def describe(name: ShortcutName, model: str) -> str:
    """Describe a shortcut and its cost on a model, for a person."""
    shortcut, cost = find_shortcut(name), cost_of(name, model)
    if shortcut.shortcuts == Shortcuts():
        return shortcut.note
    if cost is None:
        return f"{shortcut.note} {NOT_MEASURED}"
    changes = (f"{quantity} {change} ({ends})" for quantity, change, ends in cost.lines)
    return f"{shortcut.note} {cost.conditions}: {', '.join(changes)}."


def _signed(value: float, digits: int = 1) -> str:
    """Write a number with its sign; 0 has none."""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}".replace("-", "\N{MINUS SIGN}") if rounded else "0"


def _ends(interval: Interval, times: float, digits: int = 1) -> str:
    return f"{_signed(times * interval.low, digits)} to {_signed(times * interval.high, digits)}"
