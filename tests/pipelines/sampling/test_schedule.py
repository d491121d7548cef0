"""Orders of passes: what advances together, and how many evaluations it takes."""

import pytest

from pipelines.consistency.plan import StepPlan
from pipelines.request import FrameRequest, Prompt
from pipelines.sampling.schedule import Segment, one_after_another, side_by_side

STEPS = 50
PLAN = StepPlan(STEPS, 1, 40, 1, 40, 40, 0.8, 0.5, 10)  # 11 steps of a probe pass
SHORT = StepPlan(2, 1, 2, 1, 2, 2, 0.8, 0.5, 0)


def frames(*lenders: tuple[str | None, str | None]) -> list[FrameRequest]:
    """Frames a, b, c ..., each with whom it takes its character and its place from."""
    return [
        FrameRequest(
            name, Prompt("", "", "runs"), 0, 64, 64, identity_from=who, background_from=where
        )
        for name, (who, where) in zip("abcdefgh", lenders, strict=False)
    ]


ALONE = (None, None)
FOREGROUND = frames(ALONE, *[("a", None)] * 4)
PLACE = frames(ALONE, *[("a", "a")] * 4)
CHAIN = frames(ALONE, ("a", None), ("a", "b"), ("a", "b"), ("a", "a"))


def all_steps(some: list[FrameRequest]) -> dict[str, int]:
    return {frame.frame_id: STEPS for frame in some}


@pytest.mark.parametrize(
    ("some", "evaluations"),
    [(FOREGROUND, 50 + 4 * 60), (PLACE, 50 + 4 * 60), (frames(*[ALONE] * 3), 150)],
)
def test_with_a_bank_every_step_0_is_done_once(some, evaluations):
    schedule = one_after_another(some, PLAN, all_steps(some))
    assert schedule.evaluations == evaluations
    assert schedule.lasting_steps is None
    assert all(len(stage) == 1 for stage in schedule.stages)


@pytest.mark.parametrize(
    ("some", "kept", "anew"),
    [
        # Foreground alone: the identity frame goes through ten steps once more.
        (FOREGROUND, 50 + 4 * 60, 5 * 60),
        # With its place: once more beside the probe passes, which need its mask first.
        (PLACE, 50 + 4 * 60, 5 * 60 + 10),
        # b takes its character from a, and lends its place to c and d.
        (CHAIN, 50 + 4 * 60, None),
        (frames(*[ALONE] * 3), 150, 150),
    ],
)
def test_side_by_side(some, kept, anew):
    steps = all_steps(some)
    with_bank = side_by_side(some, PLAN, steps, keep_early=True)
    without = side_by_side(some, PLAN, steps, keep_early=False)
    assert with_bank.evaluations == kept
    assert anew is None or without.evaluations == anew
    assert (with_bank.lasting_steps, without.lasting_steps) == (11, 0)


def test_the_stages_of_a_shared_character():
    steps = all_steps(FOREGROUND)
    first, last = side_by_side(FOREGROUND, PLAN, steps, keep_early=False).stages
    assert first == (Segment("a", "render", 0, 11), *(Segment(n, "probe", 0, 11) for n in "bcde"))
    assert last == tuple(Segment(name, "render", 1, 50) for name in "abcde")
    first, last = side_by_side(FOREGROUND, PLAN, steps, keep_early=True).stages
    assert last[0] == Segment("a", "render", 11, 50, resumes=True)


@pytest.mark.parametrize("plan", [PLAN, SHORT])
@pytest.mark.parametrize("keep_early", [True, False])
@pytest.mark.parametrize("some", [FOREGROUND, PLACE, CHAIN, [CHAIN[i] for i in (0, 1, 3)]])
def test_whoever_is_read_is_there(some, keep_early, plan):
    """Masks before they are needed; keys in a bank, or of a lender that is at the same step."""
    steps = {frame.frame_id: plan.steps for frame in some}
    schedule = side_by_side(some, plan, steps, keep_early=keep_early)
    early, by_id = plan.probe_steps, {frame.frame_id: frame for frame in some}
    masked, probed, finished = set(), set(), set()
    for stage in schedule.stages:
        order = [leg.frame_id for leg in stage]
        assert order == [frame.frame_id for frame in some if frame.frame_id in order]
        legs = {leg.frame_id: leg for leg in stage}
        for leg in stage:
            frame = by_id[leg.frame_id]
            if leg.phase == "render" and frame.identity_from is not None:
                assert leg.frame_id in probed
            assert frame.background_from is None or frame.background_from in masked
            for lender in {frame.identity_from, frame.background_from} - {None}:
                for step in range(leg.first, min(leg.last, plan.share_end)):
                    if leg.phase == "probe" and lender == frame.identity_from != (
                        frame.background_from
                    ):
                        continue  # a probe pass never shares the foreground
                    kept = keep_early and step < early and lender in masked
                    there = lender in legs and legs[lender].first <= step < legs[lender].last
                    assert not plan.shares(step) or kept or there
                if leg.first <= plan.mask_step < leg.last:
                    assert lender in masked or legs[lender].last > plan.mask_step
        for leg in stage:
            if leg.phase == "probe":
                probed.add(leg.frame_id)
            elif leg.last > plan.mask_step:
                masked.add(leg.frame_id)
            if leg.phase == "render" and leg.last == plan.steps:
                finished.add(leg.frame_id)
    assert finished == set(by_id)


def test_frames_that_were_painted_elsewhere_lend_without_a_leg():
    some = CHAIN[2:4]
    schedule = side_by_side(some, PLAN, all_steps(some), keep_early=True)
    assert {leg.frame_id for stage in schedule.stages for leg in stage} == {"c", "d"}
    assert schedule.evaluations == 2 * 60
