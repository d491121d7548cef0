"""What a page is told of the models: what can be chosen, and what it costs."""

from __future__ import annotations

import pytest

from pipelines.models import measured
from pipelines.models.catalog import FLUX1_DEV, MINIATURE, MODELS
from pipelines.models.measured import NOT_MEASURED, Interval, ShortcutCost, turbo_loras
from pipelines.models.shortcuts import SHORTCUTS
from storyboard.api.limits import model_told


def test_every_model_has_every_shortcut_with_what_it_costs_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cost = ShortcutCost("both", 20, 20, *[Interval(0.1, 0.0, 0.2)] * 6)
    monkeypatch.setattr(measured, "shortcut_costs", lambda: {MINIATURE.name: (cost,)})
    for spec in MODELS:
        told = model_told(spec)["shortcuts"]
        assert [choice["name"] for choice in told] == [shortcut.name for shortcut in SHORTCUTS]
        assert [choice["probe"] for choice in told] == [False, True, False, True]
        assert [bool(choice["cost"]) for choice in told] == [False, False, False, spec is MINIATURE]
        notes = [choice["note"].endswith(NOT_MEASURED) for choice in told]
        assert notes == [False, True, True, spec is not MINIATURE]
    both = model_told(MINIATURE)["shortcuts"][3]
    assert both["cost"] == [list(line) for line in cost.lines]
    assert both["conditions"] == cost.conditions


def test_how_to_do_with_fewer_steps_is_told_where_it_is_known() -> None:
    words = model_told(FLUX1_DEV)["fewer_steps"]
    for lora in turbo_loras()[FLUX1_DEV.name]:
        assert f"{lora.source} with weight {lora.weight:g}, {lora.steps} steps" in words
    assert "not tried" in words
    assert model_told(MINIATURE)["fewer_steps"] == ""
