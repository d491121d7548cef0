"""The requests that render a character in every way, each picture once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.rows import (
    IDENTITY_FRAME,
    REFERENCE_ROWS,
    ROWS,
    Conditioning,
    SuiteRow,
    frame_ids,
    requests,
)
from evaluation.suite import SUITE_VERSION, Suite, SuiteCharacter, SuiteFrame, SuiteReference
from pipelines.models.catalog import INSTANT_CHARACTER, MINIATURE
from pipelines.request import FrameRequest, Prompt, RenderRequest

FRAMES = tuple(
    SuiteFrame(Prompt("on a beach,", "a girl,", action), seed, {"action": action}, ("action",))
    for seed, action in enumerate(("waving", "reading", "dancing"), start=7)
)
SHARED = SuiteCharacter("c01", {"top": "coat"}, ("top",), True, FRAMES)
ROAMING = replace(SHARED, name="c02", shares_place=False)
SINGLE = replace(SHARED, name="p001", shares_place=False, frames=FRAMES[:1])
SUITE = Suite(SUITE_VERSION, 64, 48, {}, (SHARED, ROAMING), (SINGLE,))
PLAIN, SHARING, MERGE, PLACE = ROWS


def planned(
    case: SuiteCharacter, *rows: SuiteRow, missing: set[str] | None = None
) -> list[RenderRequest]:
    names = set(frame_ids(case, rows)) if missing is None else missing
    return list(requests(SUITE, case, rows, MINIATURE, 3, names))


def frame(request: RenderRequest, frame_id: str) -> FrameRequest:
    return next(f for f in request.frames if f.frame_id == frame_id)


def test_every_picture_is_rendered_once_and_two_settings_take_two_requests() -> None:
    first, second = planned(SHARED, *ROWS)
    assert first.targets == (
        IDENTITY_FRAME, "plain-2", "plain-3", "sharing-2", "sharing-3",
    )  # fmt: skip
    assert second.targets == ("merge-2", "merge-3", "place-2", "place-3")
    assert not first.consistency.merge
    assert second.consistency == replace(MINIATURE.consistency_for(3), merge=True)
    assert IDENTITY_FRAME in {f.frame_id for f in second.frames}
    assert sorted((*first.targets, *second.targets)) == sorted(frame_ids(SHARED, ROWS))


def test_only_shared_places_are_shared() -> None:
    assert "place-2" not in frame_ids(ROAMING, ROWS)
    assert planned(ROAMING, *ROWS)[1].targets == ("merge-2", "merge-3")
    shared = frame(planned(SHARED, PLACE)[0], "place-2")
    assert (shared.identity_from, shared.background_from) == (IDENTITY_FRAME, IDENTITY_FRAME)
    merged = frame(planned(SHARED, MERGE)[0], "merge-2")
    assert (merged.identity_from, merged.background_from) == (IDENTITY_FRAME, None)
    alone = frame(planned(SHARED, PLAIN)[0], "plain-2")
    assert (alone.identity_from, alone.background_from) == (None, None)


def test_rows_differ_in_nothing_but_their_name_and_what_they_take() -> None:
    first, second = planned(SHARED, *ROWS)
    for row, request in ((SHARING, first), (MERGE, second), (PLACE, second)):
        plain = frame(first, "plain-3")
        found = frame(request, row.frame_id(2))
        bare = replace(found, frame_id="plain-3", identity_from=None, background_from=None)
        assert bare == plain
    assert first.frames[0] == second.frames[0]


def test_a_single_prompt_is_one_plain_picture() -> None:
    (request,) = planned(SINGLE, *ROWS)
    assert request.targets == (IDENTITY_FRAME,)
    assert [f.identity_from for f in request.frames] == [None]


def test_the_models_own_settings_are_used() -> None:
    (request,) = planned(ROAMING, PLAIN)
    assert (request.model, request.steps) == ("miniature", 3)
    assert request.true_cfg_scale == MINIATURE.true_cfg_scale
    assert request.consistency == MINIATURE.consistency_for(3)
    assert (request.frames[0].width, request.frames[0].height) == (64, 48)
    assert [f.seed for f in request.frames] == [7, 8, 9]


def test_rendered_frames_are_not_requested_again() -> None:
    (request,) = planned(SHARED, *ROWS, missing={"place-3"})
    assert request.targets == ("place-3",)
    assert planned(SHARED, *ROWS, missing=set()) == []


def test_a_new_row_says_what_it_changes() -> None:
    weak = SuiteRow("weak", "a weak merge", changes={"merge": True, "merge_weight": 0.2})
    assert weak.settings(MINIATURE, 3).merge_weight == 0.2
    plain, changed = planned(ROAMING, PLAIN, MERGE, weak)
    assert "weak-2" in changed.targets and changed.consistency.merge_weight == 0.2
    assert "merge-2" in plain.targets
    with pytest.raises(TypeError, match="strength"):
        SuiteRow("bad", "bad", changes={"strength": 1}).settings(MINIATURE, 3)


PICTURE = "ab" * 32 + ".png"
UPLOAD = SuiteReference(5, {"place": "farm"})
KNOWN = replace(
    ROAMING, name="r01", reference=UPLOAD, frames=(*FRAMES[:2], replace(FRAMES[2], place_of=1))
)
NONE, CONSISTENCY, REFERENCE, BOTH = REFERENCE_ROWS
ABLATED = SuiteRow(
    "no-time",
    "reference, without time",
    consistent=False,
    conditioning=Conditioning("reference-no-time", bundle=Path("bundle"), model="other"),
)


def conditioned(*rows: SuiteRow, strength: float = 0.7) -> list[RenderRequest]:
    subject = replace(INSTANT_CHARACTER, strength=strength)
    spec = replace(MINIATURE, character_adapter=subject)
    return list(requests(SUITE, KNOWN, rows, spec, 3, set(frame_ids(KNOWN, rows)), PICTURE))


def test_rows_with_and_without_the_reference_have_their_own_identity_frames() -> None:
    (request,) = conditioned(*REFERENCE_ROWS)
    names = [frame.frame_id for frame in request.frames]
    assert names == frame_ids(KNOWN, REFERENCE_ROWS) == list(request.targets)
    assert names == [
        "identity", "none-2", "none-3", "consistency-2", "consistency-3",
        "identity-reference", "reference-2", "reference-3", "both-2", "both-3",
    ]  # fmt: skip
    assert frame(request, "consistency-2").identity_from == "identity"
    assert frame(request, "both-2").identity_from == "identity-reference"
    assert frame(request, "reference-2").identity_from is None


def test_only_rows_with_a_conditioning_name_the_reference() -> None:
    (request,) = conditioned(*REFERENCE_ROWS)
    for name in ("identity", "none-2", "consistency-3"):
        assert frame(request, name).reference is None
    for name in ("identity-reference", "reference-3", "both-2"):
        assert frame(request, name).reference == PICTURE
        assert frame(request, name).reference_strength == 0.7
    bare = replace(
        frame(request, "both-3"), frame_id="none-3", identity_from=None, background_from=None,
        reference=None, reference_strength=1.0,
    )  # fmt: skip
    assert bare == frame(request, "none-3")


def test_a_row_may_have_its_own_strength() -> None:
    weak = replace(REFERENCE, name="weak", conditioning=Conditioning("weak", strength=0.2))
    (request,) = conditioned(REFERENCE, weak)
    assert frame(request, "weak-2").reference_strength == 0.2
    assert frame(request, "identity-weak").reference_strength == 0.2
    assert frame(request, "identity-reference").reference_strength == 0.7


def test_frames_share_the_place_of_another_in_rows_that_share() -> None:
    (request,) = conditioned(*REFERENCE_ROWS)
    assert frame(request, "consistency-3").background_from == "consistency-2"
    assert frame(request, "both-3").background_from == "both-2"
    assert frame(request, "both-2").background_from is None
    assert frame(request, "reference-3").background_from is None


def test_an_ablation_is_rendered_with_its_own_model() -> None:
    own, other = conditioned(REFERENCE, BOTH, ABLATED)
    assert (own.model, other.model) == ("miniature", "other")
    assert other.targets == ("identity-reference-no-time", "no-time-2", "no-time-3")
    assert own.consistency == other.consistency == MINIATURE.consistency_for(3)


def test_a_character_without_a_reference_is_not_rendered_with_one() -> None:
    assert frame_ids(ROAMING, (NONE, REFERENCE)) == ["identity", "none-2", "none-3"]
    assert not any(request.references for request in planned(ROAMING, NONE, REFERENCE))
