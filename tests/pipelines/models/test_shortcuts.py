"""Shortcuts: their names, and how what they cost is told."""

from typing import get_args

from pipelines.models import shortcuts
from pipelines.models.catalog import MODELS
from pipelines.models.shortcuts import (
    COSTS,
    SHORTCUTS,
    TURBO_LORAS,
    Interval,
    ShortcutCost,
    ShortcutName,
    cost_of,
    describe,
    find_shortcut,
)
from pipelines.request import Shortcuts

COST = ShortcutCost(
    name="half-steps",
    characters=20,
    steps=30,
    saved=Interval(0.314, 0.3, 0.33),
    identity=Interval(-0.0123, -0.03, 0.006),
    action=Interval(0.005, -0.01, 0.02),
    place=Interval(0.0, 0.0, 0.0),
    mask_overlap=Interval(0.97, 0.95, 0.99),
    color_distance=Interval(2.14, 2.0, 2.3),
)


def test_every_choice_is_another_and_the_first_takes_no_shortcut():
    assert tuple(shortcut.name for shortcut in SHORTCUTS) == get_args(ShortcutName)
    assert len({shortcut.shortcuts for shortcut in SHORTCUTS}) == len(SHORTCUTS)
    assert SHORTCUTS[0].shortcuts == Shortcuts()
    coarse, half, both = (find_shortcut(name).shortcuts for name in get_args(ShortcutName)[1:])
    assert (coarse.every, half.probe_every) == (1, 1)
    assert both == Shortcuts(every=half.every, probe_every=coarse.probe_every)


def test_the_cost_of_a_shortcut_is_told_for_the_model_that_it_was_measured_on(monkeypatch):
    monkeypatch.setattr(shortcuts, "COSTS", {"miniature": (COST,)})
    assert cost_of("half-steps", "miniature") is COST
    told = describe("half-steps", "miniature")
    assert told.startswith(f"{find_shortcut('half-steps').note} {COST.conditions}: time")
    assert "20 characters in 30 steps" in COST.conditions
    assert COST.lines == (
        ("time", "\u221231 %", "\u221233 to \u221230"),
        ("character kept", "\u22121.2 points", "\u22123.0 to +0.6"),
        ("actions right", "+0.5 points", "\u22121.0 to +2.0"),
        ("places right", "0 points", "0 to 0"),
        ("masks alike", "97 %", "95 to 99"),
        ("colours apart", "2.1", "2.0 to 2.3"),
    )
    for what, change, ends in COST.lines:
        assert f"{what} {change} ({ends})" in told
    for name, model in (("both", "miniature"), ("half-steps", "flux1-dev")):
        assert cost_of(name, model) is None
        assert describe(name, model).endswith("Not measured on this model.")


def test_no_shortcut_costs_nothing():
    assert describe("exact", "flux1-dev") == SHORTCUTS[0].note


def test_what_is_known_is_of_models_that_there_are_and_complete():
    steps = {spec.name: spec.steps for spec in MODELS}
    assert {*COSTS, *TURBO_LORAS} <= set(steps)
    for model, costs in COSTS.items():
        assert [cost.name for cost in costs] == [shortcut.name for shortcut in SHORTCUTS[1:]]
        (run,) = {(cost.characters, cost.steps) for cost in costs}
        assert run[1] == steps[model]
