"""Measured figures: read from their files, and described for the model they were measured on."""

from pipelines.models import measured
from pipelines.models.catalog import MODELS
from pipelines.models.measured import (
    COSTS_FILE,
    COSTS_FORMAT,
    Interval,
    ShortcutCost,
    cost_of,
    describe,
    shortcut_costs,
    turbo_loras,
)
from pipelines.models.shortcuts import SHORTCUTS, find_shortcut

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


def test_the_cost_of_a_shortcut_is_described_for_the_model_that_it_was_measured_on(monkeypatch):
    monkeypatch.setattr(measured, "shortcut_costs", lambda: {"miniature": (COST,)})
    assert cost_of("half-steps", "miniature") is COST
    description = describe("half-steps", "miniature")
    assert description.startswith(f"{find_shortcut('half-steps').note} {COST.conditions}: time")
    assert "20 characters in 30 steps" in COST.conditions
    assert COST.lines == (
        ("time", "\u221231 %", "\u221233 to \u221230"),
        ("character kept", "\u22121.2 points", "\u22123.0 to +0.6"),
        ("actions right", "+0.5 points", "\u22121.0 to +2.0"),
        ("places right", "0 points", "0 to 0"),
        ("masks alike", "97 %", "95 to 99"),
        ("colours apart", "2.1", "2.0 to 2.3"),
    )
    for quantity, change, ends in COST.lines:
        assert f"{quantity} {change} ({ends})" in description
    for name, model in (("both", "miniature"), ("half-steps", "flux1-dev")):
        assert cost_of(name, model) is None
        assert describe(name, model).endswith("Not measured on this model.")


def test_no_shortcut_has_no_cost():
    assert describe("exact", "flux1-dev") == SHORTCUTS[0].note


def test_the_measured_figures_are_complete_and_of_models_in_the_catalog():
    steps = {spec.name: spec.steps for spec in MODELS}
    assert {*shortcut_costs(), *turbo_loras()} <= set(steps)
    for model, costs in shortcut_costs().items():
        assert [cost.name for cost in costs] == [shortcut.name for shortcut in SHORTCUTS[1:]]
        (run,) = {(cost.characters, cost.steps) for cost in costs}
        assert run[1] == steps[model]


def test_costs_are_written_as_they_were_read():
    assert COSTS_FORMAT.dump_json(shortcut_costs(), indent=2) + b"\n" == COSTS_FILE.read_bytes()
