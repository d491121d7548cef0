"""Specifications of models: settings by number of steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.models.catalog import FLUX1_DEV, MINIATURE, MODELS, find_model
from pipelines.models.specs import FewSteps, ModelSpec
from pipelines.request import ConsistencySettings
from pipelines.sampling.schedule import step_plan

WITH_FEW_STEPS = [spec for spec in MODELS if spec.few_steps]
FOUR, EIGHT = (ConsistencySettings(merge_weight=weight) for weight in (0.4, 0.6))


@pytest.mark.parametrize("entries", [(4, 8), (8, 4)])
def test_a_schedule_takes_the_settings_of_the_shortest_that_it_fits(entries):
    by_most = {4: FewSteps(4, FOUR), 8: FewSteps(8, EIGHT)}
    spec = replace(FLUX1_DEV, few_steps=tuple(by_most[most] for most in entries))
    own = spec.consistency
    expected = {1: FOUR, 4: FOUR, 5: EIGHT, 8: EIGHT, 9: own, 20: own, 50: own}
    assert {steps: spec.consistency_for(steps) for steps in expected} == expected


def test_settings_for_no_step_are_refused():
    with pytest.raises(ValueError, match="most=0"):
        FewSteps(0, FOUR)


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_settings_of_many_steps_hold_from_twenty_on(spec: ModelSpec):
    assert all(spec.consistency_for(steps) == spec.consistency for steps in range(20, 201))


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_every_schedule_of_a_model_finds_a_mask_and_shares_and_merges(spec: ModelSpec):
    for steps in range(3, 51):
        plan = step_plan(steps, spec.consistency_for(steps))
        assert plan.mask_step < steps - 1
        assert any(map(plan.shares, range(steps)))
        assert any(map(plan.merges, range(steps)))
        assert all(0 <= plan.weight_of_merge(s) <= 1 for s in range(steps) if plan.merges(s))


@pytest.mark.parametrize("spec", WITH_FEW_STEPS, ids=lambda spec: spec.name)
def test_few_steps_share_at_half_of_them_and_leave_the_last_to_the_frame_itself(spec: ModelSpec):
    for most in (few.most for few in spec.few_steps):
        for steps in range(4, most + 1):
            plan = step_plan(steps, spec.consistency_for(steps))
            assert 2 * sum(map(plan.shares, range(steps))) >= steps
            # Tokens of another pose at the last step stay as they are: the picture falls apart.
            assert not plan.shares(steps - 1)


def test_a_folder_of_a_small_model_has_the_miniatures_settings_for_few_steps(
    miniature_folder: Path,
):
    assert find_model(str(miniature_folder)).few_steps == MINIATURE.few_steps != ()


@pytest.mark.parametrize("spec", WITH_FEW_STEPS, ids=lambda spec: spec.name)
def test_few_steps_change_when_a_character_is_kept_and_nothing_of_its_masks(spec: ModelSpec):
    names = ("mask_erode", "mask_dilate", "merge")
    for few in spec.few_steps:
        assert all(getattr(few.consistency, n) == getattr(spec.consistency, n) for n in names)
