"""Orders of passes: what advances together, and how many evaluations it takes."""

import pytest

from pipelines.consistency.plan import StepPlan
from pipelines.request import FrameRequest, Prompt
from pipelines.sampling.schedule import Segment, one_after_another, side_by_side

STEPS = 50
PLAN = StepPlan(STEPS, 1, 40, 1, 40, 40, 0.8, 0.5, 10)  # 11 steps of a probe pass
SHORT = StepPlan(2, 1, 2, 1, 2, 2, 0.8, 0.5, 0)


def frames(*sources: tuple[str | None, str | None]) -> list[FrameRequest]:
    """Make frames a, b, c ..., each with the sources of its character and its background."""
    return [
        FrameRequest(
            name, Prompt("", "", "runs"), 0, 64, 64, identity_from=who, background_from=where
        )
        for name, (who, where) in zip("abcdefgh", sources, strict=False)
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
        # b reads its character from a, and is the background source of c and d.
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
def test_what_is_read_is_there(some, keep_early, plan):
    """Masks before they are needed; keys in a bank, or of a source that is at the same step."""
    steps = {frame.frame_id: plan.steps for frame in some}
    schedule = side_by_side(some, plan, steps, keep_early=keep_early)
    early, by_id = plan.probe_steps, {frame.frame_id: frame for frame in some}
    masked, probed, finished = set(), set(), set()
    for stage in schedule.stages:
        order = [segment.frame_id for segment in stage]
        assert order == [frame.frame_id for frame in some if frame.frame_id in order]
        segments = {segment.frame_id: segment for segment in stage}
        for segment in stage:
            frame = by_id[segment.frame_id]
            if segment.phase == "render" and frame.identity_from is not None:
                assert segment.frame_id in probed
            assert frame.background_from is None or frame.background_from in masked
            for source in {frame.identity_from, frame.background_from} - {None}:
                for step in range(segment.first, min(segment.last, plan.share_end)):
                    if segment.phase == "probe" and source == frame.identity_from != (
                        frame.background_from
                    ):
                        continue  # a probe pass never shares the foreground
                    kept = keep_early and step < early and source in masked
                    there = (
                        source in segments
                        and segments[source].first <= step < segments[source].last
                    )
                    assert not plan.shares(step) or kept or there
                if segment.first <= plan.mask_step < segment.last:
                    assert source in masked or segments[source].last > plan.mask_step
        for segment in stage:
            if segment.phase == "probe":
                probed.add(segment.frame_id)
            elif segment.last > plan.mask_step:
                masked.add(segment.frame_id)
            if segment.phase == "render" and segment.last == plan.steps:
                finished.add(segment.frame_id)
    assert finished == set(by_id)


def test_frames_that_were_rendered_elsewhere_are_read_without_a_segment():
    some = CHAIN[2:4]
    schedule = side_by_side(some, PLAN, all_steps(some), keep_early=True)
    assert {segment.frame_id for stage in schedule.stages for segment in stage} == {"c", "d"}
    assert schedule.evaluations == 2 * 60
