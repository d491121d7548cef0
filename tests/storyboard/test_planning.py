"""From storyboards to requests: source frames, seeds, and redone frames."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ModelError, UserError
from pipelines.models.catalog import FLUX1_DEV, FLUX1_SCHNELL, MODELS, find_model
from pipelines.models.specs import ModelSpec
from pipelines.request import Prompt, RenderRequest, Shortcuts, StyleLora
from storyboard.board import MAX_SEED, Frame, Style
from storyboard.frames import REFERENCE_WORDS, compose_prompt, identity_source, reference_of
from storyboard.freshness import compare_takes
from storyboard.planning import plan_render
from tests.storyboard.boards import (
    ANOTHER,
    FRAMES,
    PICTURE,
    board,
    frame_of,
    pictured,
    plan,
    recipe,
)


def test_all_frames_have_the_first_ones_character_and_their_locations() -> None:
    request = plan(board(*FRAMES))
    assert request.targets == ("a", "b", "c", "d", "e")
    assert [f.frame_id for f in request.frames] == list(request.targets)
    assert [f.identity_from for f in request.frames] == [None, "a", "a", "a", "a"]
    assert [f.background_from for f in request.frames] == [None, None, "a", "b", None]


def test_without_consistency_every_frame_stands_alone() -> None:
    request = plan(board(*FRAMES, consistent=False))
    assert {(f.identity_from, f.background_from) for f in request.frames} == {(None, None)}


def test_share_all_keeps_the_first_location_everywhere() -> None:
    request = plan(board(*FRAMES), share_all=True)
    assert [f.background_from for f in request.frames] == [None, "a", "a", "a", "a"]


def test_settings_come_from_the_storyboard_and_else_from_the_model() -> None:
    spec = find_model("flux1-dev")
    own = plan(board(*FRAMES, model="flux1-dev", width=512, height=768, steps=9, merge=False))
    assert (own.model, own.steps, own.consistency.merge) == ("flux1-dev", 9, False)
    assert {(f.width, f.height) for f in own.frames} == {(512, 768)}
    models = plan(board(*FRAMES, model="flux1-dev"))
    assert (models.steps, models.guidance_scale) == (spec.steps, spec.guidance_scale)
    assert models.consistency == spec.consistency


def test_guidance_is_the_storyboards_for_models_that_have_learnt_it() -> None:
    assert plan(board(*FRAMES, model="flux1-dev", guidance=6)).guidance_scale == 6
    assert plan(board(*FRAMES, model="flux1-krea-dev")).guidance_scale == 4.5
    assert plan(board(*FRAMES, model="flux1-schnell", guidance=6)).guidance_scale == 0


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_every_model_keeps_its_characters_by_its_own_settings(spec: ModelSpec) -> None:
    request = plan(board(*FRAMES, model=spec.name))
    own = spec.consistency_for(spec.steps)
    assert request.consistency == own
    unmerged = plan(board(*FRAMES, model=spec.name, merge=False))
    assert unmerged.consistency == replace(own, merge=False)


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("steps", [1, 4, 6, 8, 12, 20, 50])
def test_settings_follow_the_number_of_steps(spec: ModelSpec, steps: int) -> None:
    request = plan(board(*FRAMES, model=spec.name, steps=steps))
    assert (request.steps, request.consistency) == (steps, spec.consistency_for(steps))


def test_seeds_are_kept_or_drawn() -> None:
    storyboard = board(Frame(id="a", action="x", seed=0), Frame(id="b", action="y"))
    first = plan(storyboard)
    assert first.frames[0].seed == 0
    assert 0 <= first.frames[1].seed <= MAX_SEED
    other = plan_render(storyboard, None, {}, random.Random(6))
    assert other.frames[1].seed != first.frames[1].seed


def test_a_frame_with_nobody_has_no_identity_frame_but_keeps_its_location() -> None:
    frames = (
        Frame(id="a", location="beach", character="a girl", share_background=True),
        Frame(id="b", location="beach", share_background=True),
    )
    empty = plan(board(*frames, character="")).frames[1]
    assert (empty.identity_from, empty.background_from) == (None, "a")


def test_a_redone_frame_matches_the_chosen_takes_and_is_the_only_target() -> None:
    whole = plan(board(*FRAMES))
    # Edits since: none of them may reach the frames that are only sources.
    edited = board(*(f.model_copy(update={"action": "lying down"}) for f in FRAMES))
    chosen = dict.fromkeys("abcde", whole)
    redone = plan(edited, ["d"], chosen)
    assert redone.targets == ("d",)
    frame = redone.frames[-1]
    assert frame.prompt.action == "lying down"
    assert frame.identity_from is not None and frame.background_from is not None
    assert recipe(redone, frame.identity_from) == recipe(whole, "a")
    assert recipe(redone, frame.background_from) == recipe(whole, "b")
    assert len(redone.frames) == 3
    assert sorted(f.original for f in redone.frames) == ["a", "b", "d"]


def test_redoing_again_and_again_does_not_accumulate_frames() -> None:
    storyboard = board(*FRAMES)
    chosen = dict.fromkeys("abcde", plan(storyboard))
    for name in "dbdbdad":
        request = plan(storyboard, [name], chosen)
        assert request.targets == (name,)
        chosen[name] = request
    assert len(chosen["d"].frames) <= 4


def test_a_location_with_an_older_character_is_a_source_as_it_was() -> None:
    storyboard = board(*FRAMES)
    whole = plan(storyboard)
    chosen = dict.fromkeys("abcde", whole)
    chosen["a"] = plan_render(storyboard, ["a"], chosen, random.Random(99))
    redone = plan(storyboard, ["d"], chosen)
    frame = redone.frames[-1]
    assert frame.identity_from is not None and frame.background_from is not None
    assert recipe(redone, frame.identity_from) == recipe(chosen["a"], "a")
    # b was rendered from the first a, and is so again, beside the new one.
    assert recipe(redone, frame.background_from) == recipe(whole, "b")
    assert recipe(whole, "a") != recipe(chosen["a"], "a")
    assert len(redone.frames) == 4


def test_redone_frames_are_each_others_sources() -> None:
    storyboard = board(*FRAMES)
    chosen = dict.fromkeys("abcde", plan(storyboard))
    both = plan(storyboard, ["c", "a"], chosen)
    assert both.targets == ("a", "c")
    assert [f.frame_id for f in both.frames] == ["a", "c"]
    assert (both.frames[1].identity_from, both.frames[1].background_from) == ("a", "a")


def test_a_source_that_was_never_rendered_becomes_a_target() -> None:
    request = plan(board(*FRAMES), ["d"])
    assert request.targets == ("a", "b", "d")


@pytest.mark.parametrize("change", [{"width": 512}, {"model": "flux1-dev"}])
def test_a_take_of_another_size_or_model_is_no_source(change: dict[str, Any]) -> None:
    chosen = dict.fromkeys("abcde", plan(board(*FRAMES)))
    assert plan(board(*FRAMES, **change), ["c"], chosen).targets == ("a", "c")
    assert plan(board(*FRAMES, steps=3, guidance=3), ["c"], chosen).targets == ("c",)


def test_a_take_is_a_source_also_after_its_own_source_was_removed() -> None:
    whole = plan(board(*FRAMES))
    chosen = dict.fromkeys("abcde", whole)
    rest = board(*FRAMES[1:])
    redone = plan(rest, ["d"], chosen)
    frame = redone.frames[-1]
    assert frame.identity_from is not None
    assert recipe(redone, frame.identity_from) == recipe(whole, "b")


def test_frames_have_the_reference_where_they_show_its_character() -> None:
    stranger = Frame(id="f", location="forest", character="an old man")
    request = plan(pictured(*FRAMES, stranger))
    assert [f.reference for f in request.frames] == [*[PICTURE] * 5, None]
    assert request.references == {PICTURE}
    assert FLUX1_DEV.character_adapter is not None
    assert {f.reference_strength for f in request.frames[:5]} == {
        FLUX1_DEV.character_adapter.strength
    }
    assert plan(board(*FRAMES, model=FLUX1_DEV.name)).references == frozenset()
    assert RenderRequest.from_dict(request.to_dict()) == request


def test_frames_with_the_pictured_character_share_it_with_each_other_alone() -> None:
    frames = (
        Frame(id="a", action="sitting", character="an old man"),
        Frame(id="b", action="waving"),
        Frame(id="c", action="sleeping", character="an old man"),
        Frame(id="d", action="running", reference_strength=0),
    )
    request = plan(pictured(*frames))
    assert [f.identity_from for f in request.frames] == [None, None, None, "b"]
    without = plan(board(*frames))
    assert [f.identity_from for f in without.frames] == [None, None, None, "b"]
    redone = plan(pictured(*frames), ["d"], dict.fromkeys("abcd", request))
    assert [f.original for f in redone.frames] == ["b", "d"]


def test_a_source_of_a_location_that_becomes_a_target_gets_its_own_source() -> None:
    frames = (
        Frame(id="a", action="waving"),
        Frame(id="b", location="beach", action="running", share_background=True),
        Frame(id="c", location="beach", character="an old man", share_background=True),
    )
    assert plan(pictured(*frames), ["c"]).targets == ("a", "b", "c")
    chosen = {"a": plan(pictured(*frames))}
    request = plan(pictured(*frames), ["c"], chosen)
    assert request.targets == ("b", "c")
    frames_of = {f.frame_id: f for f in request.frames}
    assert frame_of(request, frames_of["b"].identity_from) == "a"
    assert (frames_of["c"].identity_from, frames_of["c"].background_from) == (None, "b")


def test_the_frames_strength_goes_before_the_characters_and_that_before_the_models() -> None:
    frames = (Frame(id="a", action="x"), Frame(id="b", action="y", reference_strength=1.5))
    storyboard = pictured(*frames, strength=0.3)
    assert [f.reference_strength for f in plan(storyboard).frames] == [0.3, 1.5]
    off = pictured(Frame(id="a", action="x", reference_strength=0), *frames[1:], strength=0.3)
    assert [(f.reference, f.reference_strength) for f in plan(off).frames] == [
        (None, 1.0),
        (PICTURE, 1.5),
    ]
    assert reference_of(off, off.frames[0], FLUX1_DEV) == (None, 1.0)
    assert reference_of(off, off.frames[1], FLUX1_DEV) == (PICTURE, 1.5)


def test_a_character_in_a_picture_alone_has_words_for_its_mask() -> None:
    frames = (Frame(id="a", location="a beach", action="waving"), Frame(id="b", action="running"))
    request = plan(pictured(*frames, character=" "))
    assert request.frames[0].prompt == Prompt("a beach,", f"{REFERENCE_WORDS},", "waving")
    assert request.frames[1].identity_from == "a"
    described = plan(pictured(*frames, character="a girl"))
    assert described.frames[0].prompt.character == "a girl,"
    stranger = Frame(action="waving", character="an old man")
    assert compose_prompt(pictured(stranger, character=""), stranger).character == "an old man,"


def test_a_model_that_cannot_use_pictures_says_so_and_which_can() -> None:
    with pytest.raises(ModelError, match=r"\[schnell\] cannot use") as caught:
        plan(pictured(*FRAMES, model=FLUX1_SCHNELL.name))
    assert FLUX1_DEV.title in caught.value.remedy and "remove" in caught.value.remedy
    assert plan(pictured(*FRAMES, model=FLUX1_SCHNELL.name, strength=0)).references == frozenset()
    stranger = Frame(action="waving", character="an old man")
    assert plan(pictured(stranger, model=FLUX1_SCHNELL.name)).references == frozenset()


def test_a_redone_frame_has_the_new_picture_and_its_source_the_old_one() -> None:
    whole = plan(pictured(*FRAMES, strength=0.4))
    redone = plan(pictured(*FRAMES, picture=ANOTHER), ["c"], dict.fromkeys("abcde", whole))
    frame = redone.frames[-1]
    assert redone.targets == ("c",)
    assert frame.reference == ANOTHER
    assert frame.identity_from is not None
    assert recipe(redone, frame.identity_from) == recipe(whole, "a")
    assert redone.frames[0].reference == PICTURE
    assert redone.references == {PICTURE, ANOTHER}


def test_redoing_a_frame_when_nothing_changed_asks_for_the_same_picture_again() -> None:
    frames = tuple(f.model_copy(update={"seed": 3}) for f in FRAMES)
    whole = plan(pictured(*frames))
    redone = plan(pictured(*frames), ["d"], dict.fromkeys("abcde", whole))
    assert recipe(redone, "d") == recipe(whole, "d")
    # The same words, seed and location, but another picture or strength: not the same source.
    chosen = dict.fromkeys("abcde", whole)
    chosen["b"] = plan(pictured(*frames, strength=0.2))
    both = plan(pictured(*frames), ["d"], chosen)
    assert sorted(f.original for f in both.frames) == ["a", "a", "b", "d"]


def test_styles_are_the_storyboards_for_all_frames() -> None:
    styles = (Style(source="ink.safetensors", weight=0.5, trigger="in ink"), Style(source="o/n"))
    request = plan(board(*FRAMES, styles=styles))
    assert request.styles == (StyleLora("ink.safetensors", 0.5, "in ink"), StyleLora("o/n"))
    assert plan(board(*FRAMES)).styles == ()
    redone = plan(board(*FRAMES), ["c"], dict.fromkeys("abcde", request))
    assert (redone.targets, redone.styles) == (("c",), ())


def test_shortcuts_are_the_storyboards_for_all_frames() -> None:
    assert plan(board(*FRAMES)).shortcuts == Shortcuts()
    assert plan(board(*FRAMES, shortcut="coarse-probe")).shortcuts == Shortcuts(probe_every=2)
    assert plan(board(*FRAMES, shortcut="both")).shortcuts == Shortcuts(every=2, probe_every=2)


def test_frames_that_were_rendered_with_other_shortcuts_are_not_mixed() -> None:
    exact = plan(board(*FRAMES))
    chosen = dict.fromkeys("abcde", exact)
    half = plan(board(*FRAMES, shortcut="half-steps"), ["d"], chosen)
    assert half.targets == ("a", "b", "d")  # its identity frame and its location become new takes
    seeds = {frame.frame_id: frame.seed for frame in exact.frames}
    assert [f.seed for f in half.frames[:2]] == [seeds["a"], seeds["b"]]
    assert half.frames[2].seed != seeds["d"]
    # The identity frame has no probe pass: a coarse one leaves its picture as it is.
    coarse = plan(board(*FRAMES, shortcut="coarse-probe"), ["d"], chosen)
    assert coarse.targets == ("b", "d")
    again = plan(board(*FRAMES, shortcut="coarse-probe"), ["d"], chosen | {"b": coarse})
    assert again.targets == ("d",)


@pytest.mark.parametrize("schema", [1, 2, 3, 4])
def test_a_take_of_an_older_schema_is_current_and_a_source(schema: int) -> None:
    stored = json.loads(Path(f"tests/data/requests/schema-{schema}.json").read_text("utf-8"))
    request = RenderRequest.from_dict(stored)
    frames = tuple(
        Frame(id=name, location=location, action=action, share_background=True)
        for name, location, action in (
            ("beach-1", "on a sunny beach", "waving"),
            ("forest-1", "in a forest", "running"),
            ("forest-2", "in a forest", "sitting"),
        )
    )
    values: dict[str, Any] = dict(width=256, height=192, model=FLUX1_DEV.name, steps=request.steps)
    if schema >= 3:
        values |= dict(styles=(Style(source="owner/ink", weight=0.5, trigger="in ink"),))
    if schema >= 4:
        values |= dict(shortcut="both")
    storyboard = board(*frames, character="a girl in a red coat", **values)
    if schema >= 3:
        character = {"reference": "0123456789abcdef" * 4 + ".png", "strength": 0.75}
        changed = storyboard.character.model_copy(update=character)
        storyboard = storyboard.model_copy(update={"character": changed})
    assert [identity_source(storyboard, frame) for frame in frames] == [None, "beach-1", "beach-1"]
    found = compare_takes(storyboard, dict.fromkeys((f.id for f in frames), request))
    assert found.fresh >= {"forest-2"}
    after = board(
        frames[0],
        Frame(id="forest-2", location="in a forest", action="x", share_background=True),
        Frame(id="last", location="in a forest", action="y", share_background=True),
        character="a girl",
        **values,
    )
    redone = plan(after, ["last"], {"beach-1": plan(after, ["beach-1"]), "forest-2": request})
    # The source of its location is copied with all its sources, whose ids are those of the story.
    assert redone.targets == ("last",)
    source = redone.frames[-1].background_from
    assert source is not None and recipe(redone, source) == recipe(request, "forest-2")
    assert [f.original for f in redone.frames] == [
        *("beach-1", "beach-1", "beach-1", "forest-1", "forest-2"),
        "last",
    ]


def test_plans_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(UserError, match="no frames"):
        plan(board())
    with pytest.raises(UserError, match="no longer"):
        plan(board(*FRAMES), ["gone"])
    with pytest.raises(UserError, match="no frame to generate"):
        plan(board(*FRAMES), [])
    with pytest.raises(UserError, match="Frame 2 has no words"):
        plan(board(Frame(action="x"), Frame(), character=""))
    with pytest.raises(ModelError, match="miniature"):
        plan(board(*FRAMES, model="minature"))


def test_every_plan_is_a_request_that_survives_json() -> None:
    request = plan(board(*FRAMES), ["d"], dict.fromkeys("abcde", plan(board(*FRAMES))))
    assert RenderRequest.from_dict(request.to_dict()) == request


def test_an_identity_frame_late_on_the_board_is_rendered_before_its_readers() -> None:
    storyboard = board(*FRAMES, identity="d")
    request = plan(storyboard)
    assert request.targets == ("d", "a", "b", "c", "e")
    assert [f.identity_from for f in request.frames] == [None, "d", "d", "d", "d"]
    # The identity frame gives its location too, since it comes first.
    assert [f.background_from for f in request.frames] == [None, None, "d", "a", None]
    redone = plan(storyboard, ["b"], dict.fromkeys("abcde", request))
    assert redone.targets == ("b",)
    assert [f.original for f in redone.frames] == ["d", "b"]
    assert plan(storyboard, ["a", "d"]).targets == ("d", "a")
    assert plan(storyboard, ["c"]).targets == ("d", "a", "c")


@pytest.mark.parametrize("identity", [*"abcde", "gone", ""])
@pytest.mark.parametrize("share_all", [False, True])
@pytest.mark.parametrize("of", [board, pictured])
def test_every_identity_frame_and_order_gives_a_plan(
    of: Any, share_all: bool, identity: str
) -> None:
    stranger = Frame(id="s", location="forest", character="an old man", share_background=True)
    blank = Frame(id="x")
    for seed in range(10):
        frames = random.Random(seed).sample((*FRAMES, stranger, blank), 7)
        request = plan(of(*frames, identity=identity), share_all=share_all)
        assert sorted(request.targets) == ["a", "b", "c", "d", "e", "s", "x"]
        assert request.frames[0].identity_from is None


def test_without_a_name_the_first_frame_with_words_is_the_identity_frame() -> None:
    blank = Frame(id="x")
    assert [f.identity_from for f in plan(board(blank, *FRAMES)).frames][:2] == [None, "a"]
    assert plan(board(blank, *FRAMES)).targets[:3] == ("a", "x", "b")
    named = plan(board(blank, *FRAMES, identity="x"))
    assert [f.identity_from for f in named.frames][:2] == [None, "x"]
    assert plan(board(blank)).frames[0].identity_from is None


def test_locked_frames_are_sources_and_never_targets() -> None:
    locked = FRAMES[0].model_copy(update={"locked": True, "take": "t"})
    storyboard = board(locked, *FRAMES[1:])
    chosen = {"a": plan(board(*FRAMES))}
    request = plan(storyboard, None, chosen)
    assert request.targets == ("b", "c", "d", "e")
    assert frame_of(request, request.frames[-1].identity_from) == "a"
    with pytest.raises(UserError, match="Frame 1 is locked"):
        plan(storyboard, ["a", "b"], chosen)
    with pytest.raises(UserError, match="no frame to generate"):
        plan(board(locked), None, chosen)
    # A lock without a take keeps nothing yet.
    unrendered = locked.model_copy(update={"take": None})
    assert plan(board(unrendered, *FRAMES[1:]), ["c"]).targets == ("a", "c")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 512}, "character and location of frame 1, whose take has another size"),
        ({"model": "flux1-dev"}, "whose take is of another model"),
        ({"shortcut": "half-steps"}, "whose take was generated with another shortcut"),
    ],
)
def test_a_locked_source_that_cannot_stay_is_refused(change: dict[str, Any], words: str) -> None:
    locked = FRAMES[0].model_copy(update={"locked": True, "take": "t"})
    chosen = {"a": plan(board(*FRAMES))}
    with pytest.raises(UserError, match=words) as caught:
        plan(board(locked, *FRAMES[1:], **change), ["c"], chosen)
    assert "Frame 1 is locked" in caught.value.problem
    assert "Unlock frame 1" in caught.value.remedy
    with pytest.raises(UserError, match="cannot be read"):
        plan(board(locked, *FRAMES[1:]), ["c"], {})
    assert plan(board(locked, *FRAMES[1:], steps=3), ["c"], chosen).targets == ("c",)


def test_seeds_of_sources_that_nobody_asked_for_are_kept_when_planned_again() -> None:
    chosen = dict.fromkeys("abcde", plan(board(*FRAMES)))
    wider = board(*FRAMES, width=512)
    first = plan_render(wider, ["e"], chosen, random.Random(1))
    again = plan_render(wider, first.targets, chosen, random.Random(2), keep_seeds=["a"])
    assert first.targets == again.targets == ("a", "e")
    assert first.frames[0].seed == again.frames[0].seed == chosen["a"].frames[0].seed
    assert first.frames[1].seed != again.frames[1].seed
