"""Step plans: the published numbers, short schedules, and the merge weight's course."""

from dataclasses import replace

import pytest

from pipelines.consistency.plan import StepPlan
from pipelines.request import ConsistencySettings
from pipelines.sampling.schedule import step_plan


def plan(steps: int, **changes: object) -> StepPlan:
    return step_plan(steps, replace(ConsistencySettings(), **changes))


def test_fifty_steps_are_the_published_ones():
    assert plan(50) == StepPlan(50, 1, 41, 1, 11, 31, 0.8, 0.5, 10)


def test_twenty_steps_are_those_of_the_published_short_setting():
    found = plan(20, merge_weight=0.7, similarity_threshold=0.6)
    assert found == StepPlan(20, 1, 16, 1, 4, 12, 0.7, 0.6, 4)


def test_masks_are_cleaned_as_published_unless_the_settings_say_otherwise():
    assert (plan(50).mask_erode, plan(50).mask_dilate) == (3, 5)
    own = plan(50, mask_erode=1, mask_dilate=3)
    assert (own.mask_erode, own.mask_dilate) == (1, 3)


@pytest.mark.parametrize("steps", [2, 3, 4, 8, 20, 28, 50, 100])
def test_every_schedule_shares_after_its_first_step_and_masks_before_its_last(steps):
    found = plan(steps)
    assert not found.shares(0)
    assert found.mask_step < steps - 1
    assert found.probe_steps == found.mask_step + 1
    assert found.share_end <= steps
    assert any(found.shares(step) for step in range(steps)) == (steps > 1)


def test_one_step_has_a_mask_and_shares_nothing():
    found = plan(1)
    assert found.mask_step == 0
    assert not found.shares(0)


def test_merge_weight_is_constant_then_half_a_cosine():
    found = plan(50)
    weights = [found.weight_of_merge(step) for step in range(1, 31)]
    assert weights[:11] == [0.8] * 11
    assert weights[10:] == sorted(weights[10:], reverse=True)
    assert found.weight_of_merge(21) == pytest.approx(0.4)
    assert found.weight_of_merge(31) == pytest.approx(0.0)


def test_without_merge_no_step_merges():
    found = plan(50, merge=False)
    assert not any(found.merges(step) for step in range(50))
    assert found.shares(20)


@pytest.mark.parametrize(
    "numbers",
    [
        dict(share_start=0),
        dict(mask_step=20),
        dict(mask_step=-1),
        dict(merge_start=9, merge_end=3),
        dict(mask_erode=2),
        dict(mask_dilate=-1),
        dict(every=0),
        dict(probe_every=0),
    ],
)
def test_impossible_step_numbers_are_refused(numbers):
    possible = dict(
        steps=20,
        share_start=1,
        share_end=16,
        merge_start=1,
        merge_decay=4,
        merge_end=12,
        merge_weight=0.8,
        similarity_threshold=0.5,
        mask_step=4,
    )
    with pytest.raises(ValueError, match="="):
        StepPlan(**{**possible, **numbers})


def test_steps_that_evaluate_the_model():
    found = StepPlan(20, 1, 16, 1, 4, 12, 0.8, 0.5, mask_step=4, every=3, probe_every=3)
    assert [s for s in range(20) if found.evaluates(s, probe=False)] == [
        0,
        1,
        2,
        3,
        4,
        7,
        10,
        13,
        16,
        19,
    ]
    assert [s for s in range(5) if found.evaluates(s, probe=True)] == [0, 3, 4]
    exact = plan(20)
    assert all(exact.evaluates(s, probe=probe) for s in range(20) for probe in (True, False))
