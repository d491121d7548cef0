"""Cuts of a request into parts: nothing is lost, and the cheaper way is chosen."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from pipelines.request import FrameRequest, Prompt, RenderRequest
from storyboard.jobs.ray.request_parts import Costs, Measures, RequestPart, cut_request

WORDS = Prompt("beach", "a girl", "waving")
# Ten seconds a step at this size, and transfers of next to no time.
SLOW = Costs(step=10 / 64**2, bank=100.0, speed=1e9)
# As SLOW, and transfers that take longer than any render.
HEAVY = replace(SLOW, bank=1e9)


def frame(name: str, identity: str | None = None, location: str | None = None) -> FrameRequest:
    return FrameRequest(name, WORDS, 1, 64, 64, identity, location)


def request_for(*frames: FrameRequest, targets: str | None = None) -> RenderRequest:
    names = tuple(f.frame_id for f in frames) if targets is None else tuple(targets)
    return RenderRequest("miniature", frames, names, steps=50)


STORY = request_for(frame("a"), *(frame(name, "a") for name in "bcdefgh"))
LOCATIONS = request_for(
    frame("a"),
    frame("b", "a"),
    frame("c", "a", "a"),
    frame("d", "a", "b"),
    frame("e", "a", "a"),
    frame("f", "a", "b"),
)


def targets_of(parts: tuple[RequestPart, ...]) -> list[str]:
    return ["".join(part.targets) for part in parts]


@pytest.mark.parametrize("seed", range(30))
def test_every_target_is_in_one_part_that_can_be_rendered(seed: int) -> None:
    rng = random.Random(seed)
    frames = [frame("0")]
    for number in range(1, rng.randint(2, 12)):
        names = [f.frame_id for f in frames]
        location = rng.choice([None, *names])
        frames.append(frame(str(number), rng.choice([None, *names]), location))
    wanted = rng.sample([f.frame_id for f in frames], rng.randint(1, len(frames)))
    request = replace(request_for(*frames), targets=tuple(sorted(wanted, key=int)))
    parts = cut_request(
        request,
        workers=rng.randint(1, 5),
        others=rng.randint(0, 2),
        costs=rng.choice([SLOW, HEAVY, Costs()]),
    )
    assert sorted(t for part in parts for t in part.targets) == sorted(request.targets)
    assert [part.number for part in parts] == list(range(len(parts)))
    for part in parts:
        own = part.request(request)  # would raise if a frame came before what it takes from
        assert own.targets == part.targets
        assert part.receives <= {f.frame_id for f in own.frames} - set(part.targets)
        assert part.receives <= parts[0].sends
        assert part is parts[0] or not part.sends
    senders = parts[0].request(request)
    for part in parts[1:]:
        for reader in part.request(request).frames:
            # A bank that is sent for a character or a location was recorded for one.
            if reader.identity_from in part.receives:
                assert any(f.identity_from == reader.identity_from for f in senders.frames)
            if reader.background_from in part.receives:
                assert any(f.background_from == reader.background_from for f in senders.frames)


def test_one_worker_renders_all() -> None:
    (part,) = cut_request(STORY, workers=1, others=0, costs=SLOW)
    assert part.targets == STORY.targets
    assert part.request(STORY) == STORY
    # 50 steps for the first; a probe pass of 11 steps more for each of the others.
    assert part.work == pytest.approx(10 * (50 + 7 * 61))


def test_a_single_request_is_cut_for_all_workers() -> None:
    parts = cut_request(STORY, workers=4, others=0, costs=HEAVY)
    assert targets_of(parts) == ["ab", "cd", "ef", "gh"]
    assert {part.receives for part in parts} == {frozenset()}
    # The second renders the first frame again, up to the step where sharing ends.
    assert parts[1].work == pytest.approx(10 * (41 + 2 * 61))
    assert [f.frame_id for f in parts[1].request(STORY).frames] == ["a", "c", "d"]


def test_of_as_many_requests_as_workers_each_stays_whole() -> None:
    assert targets_of(cut_request(STORY, workers=4, others=3, costs=SLOW)) == ["abcdefgh"]


def test_there_are_no_more_parts_than_targets() -> None:
    assert targets_of(cut_request(STORY, workers=64, others=0, costs=HEAVY))[-1] == "h"
    assert len(cut_request(STORY, workers=64, others=0, costs=HEAVY)) <= len(STORY.targets)


def test_a_bank_is_sent_where_that_saves_others_time() -> None:
    parts = cut_request(STORY, workers=4, others=1, costs=SLOW)
    assert [sorted(part.receives) for part in parts] == [[], ["a"]]
    assert parts[0].sends == {"a"}
    assert sum(part.work for part in parts) == pytest.approx(10 * (50 + 7 * 61), rel=1e-3)


def test_a_frame_is_rendered_again_where_its_bank_is_too_large_or_unknown() -> None:
    for costs in (HEAVY, replace(SLOW, bank=None)):
        parts = cut_request(STORY, workers=4, others=1, costs=costs)
        assert len(parts) == 2
        assert not any(part.receives or part.sends for part in parts)


def test_no_part_waits_for_a_bank_that_it_renders_as_soon() -> None:
    assert not any(part.receives for part in cut_request(STORY, workers=2, others=0, costs=SLOW))


def test_frames_with_one_location_stay_together() -> None:
    assert targets_of(cut_request(LOCATIONS, workers=2, others=0, costs=HEAVY)) == ["ace", "bdf"]


def test_a_frame_that_is_only_a_source_is_rendered_by_its_readers() -> None:
    request = request_for(*STORY.frames, targets="gh")
    parts = cut_request(request, workers=2, others=0, costs=HEAVY)
    assert targets_of(parts) == ["g", "h"]
    assert [f.frame_id for f in parts[1].request(request).frames] == ["a", "h"]


def test_without_targets_there_is_nothing_to_cut() -> None:
    with pytest.raises(ValueError, match="without targets"):
        cut_request(replace(STORY, targets=()), workers=2, others=0, costs=SLOW)


def test_costs_are_measured_for_each_model() -> None:
    measures = Measures()
    assert measures.costs("miniature") == Costs()
    measures.add_step("miniature", 100, 2.0)
    measures.add_bank("miniature", 100, 5000)
    measures.add_transfer(10**9, 0.5)
    assert measures.costs("miniature") == Costs(0.02, 50.0, 2e9)
    assert measures.costs("flux1-dev") == Costs(speed=2e9)
    for _ in range(50):
        measures.add_step("miniature", 100, 1.0)
    assert measures.costs("miniature").step == pytest.approx(0.01, rel=1e-3)
