"""Models on the page: their shortcuts with costs, and advice on fewer steps."""

from __future__ import annotations

import pytest

from pipelines.models import measured
from pipelines.models.catalog import FLUX1_DEV, MINIATURE, MODELS, find_model
from pipelines.models.measured import NOT_MEASURED, Interval, ShortcutCost, turbo_loras
from pipelines.models.shortcuts import SHORTCUTS
from pipelines.models.specs import ModelSpec
from storyboard.api.document import picture_sizes
from storyboard.api.limits import model_fields


def test_every_model_has_every_shortcut_with_what_it_costs_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cost = ShortcutCost("both", 20, 20, *[Interval(0.1, 0.0, 0.2)] * 6)
    monkeypatch.setattr(measured, "shortcut_costs", lambda: {MINIATURE.name: (cost,)})
    for spec in MODELS:
        choices = model_fields(spec)["shortcuts"]
        assert [choice["name"] for choice in choices] == [shortcut.name for shortcut in SHORTCUTS]
        assert [choice["probe"] for choice in choices] == [False, True, False, True]
        costs = [bool(choice["cost"]) for choice in choices]
        assert costs == [False, False, False, spec is MINIATURE]
        notes = [choice["note"].endswith(NOT_MEASURED) for choice in choices]
        assert notes == [False, True, True, spec is not MINIATURE]
    both = model_fields(MINIATURE)["shortcuts"][3]
    assert both["cost"] == [list(line) for line in cost.lines]
    assert both["conditions"] == cost.conditions


def test_advice_on_fewer_steps_names_turbo_loras() -> None:
    words = model_fields(FLUX1_DEV)["fewer_steps"]
    for lora in turbo_loras()[FLUX1_DEV.name]:
        assert f"{lora.source} with weight {lora.weight:g}, {lora.steps} steps" in words
    assert "not tried" in words
    assert model_fields(MINIATURE)["fewer_steps"] == ""


def test_a_page_gets_what_a_model_was_made_for_and_the_words_that_it_knows() -> None:
    fields = model_fields(MINIATURE)
    assert fields["made_for"]["steps"] == [8, 50]
    assert fields["made_for"]["guidance"] == [1, 6]
    assert "waving" in fields["knows"]["words"] and "fishing" in fields["knows"]["actions"]
    assert model_fields(FLUX1_DEV)["knows"] is None
    assert model_fields(find_model("someone/finetune"))["made_for"] is None


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_offered_sizes_are_those_that_a_model_was_made_for(spec: ModelSpec) -> None:
    assert spec.made_for is not None
    lowest, highest = spec.made_for.area
    for size in picture_sizes(spec):
        assert lowest <= size["width"] * size["height"] <= highest, size
