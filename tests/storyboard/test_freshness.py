"""Freshness of takes: what has changed since they were rendered, and where they came from."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.models.catalog import FLUX1_DEV
from pipelines.request import Shortcuts
from storyboard.board import Frame, Style
from storyboard.freshness import Freshness, Origin, compare_takes, rendered_with
from tests.storyboard.boards import ANOTHER, FRAMES, Shelf, board, pictured, plan

FREE = tuple(f.model_copy(update={"share_background": False}) for f in FRAMES)


def shelf(*frames: Frame, of: Any = board, **values: Any) -> Shelf:
    """A storyboard whose frames were all rendered in one job."""
    made = Shelf(of(*(frames or FRAMES), **values))
    made.render()
    return made


def compare(made: Shelf) -> Freshness:
    return compare_takes(made.board, made.chosen)


def outdated(made: Shelf) -> dict[str, list[str]]:
    return {name: list(why) for name, why in compare(made).outdated.items()}


def test_a_coarse_probe_changes_frames_with_a_probe_pass_and_frames_at_their_location() -> None:
    frames = (
        Frame(id="a", location="beach", character="a girl"),
        Frame(id="b", location="forest", character="a girl", share_background=True),
        Frame(id="c", location="forest", share_background=True),
        Frame(id="d", location="hill"),
    )
    request = plan(board(*frames, character=""))
    assert [f.identity_from for f in request.frames] == [None, "a", None, None]
    alike = {f.id: rendered_with(request, f.id, Shortcuts(probe_every=2)) for f in frames}
    assert alike == {"a": True, "b": False, "c": False, "d": True}
    assert not any(rendered_with(request, f.id, Shortcuts(every=2)) for f in frames)


# ---- what is fresh


@pytest.mark.parametrize("of", [board, pictured])
@pytest.mark.parametrize("identity", ["", "d"])
def test_an_unchanged_board_is_fresh_in_one_job_and_frame_by_frame(of: Any, identity: str) -> None:
    made = shelf(of=of, identity=identity)
    everything = frozenset("abcde")
    assert compare(made).fresh == everything
    for name in ("e", "d" if not identity else "b", "c", "e"):
        made.render([name])
        assert compare(made).fresh == everything, name
    first = identity or "a"
    made.render([first])
    assert compare(made).fresh == {first}
    for name in sorted("abcde", key=lambda name: name != first):
        made.render([name])
    assert compare(made).fresh == everything


def test_the_same_seed_and_words_again_leave_the_others_fresh() -> None:
    made = shelf(*(f.model_copy(update={"seed": 3}) for f in FRAMES))
    made.render(["a"])
    made.render()
    made.render(["b"])
    assert compare(made).fresh == frozenset("abcde")


def test_frames_without_a_take_or_its_request_are_neither_fresh_nor_outdated() -> None:
    made = Shelf(board(*FRAMES))
    made.render(["a"])
    found = compare(made)
    assert (found.fresh, found.outdated) == ({"a"}, {})
    whole = shelf()
    rest = {name: request for name, request in whole.chosen.items() if name != "a"}
    found = compare_takes(whole.board, rest)
    assert (found.fresh, found.outdated) == (frozenset("bcde"), {})
    assert not found.identity["b"].current


# ---- the frame itself


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"action": "lying"}, "The action has changed."),
        ({"action": ""}, "The action has changed."),
        ({"location": "hill"}, "The location has changed."),
        ({"location": "hill", "action": "lying"}, "The location and the action have changed."),
        ({"location": "forest."}, "The location has changed."),
        ({"seed": 1}, "The seed has changed."),
    ],
)
def test_a_frames_own_changes_are_named(change: dict[str, Any], sentence: str) -> None:
    made = shelf()
    made.edit("e", **change)
    assert outdated(made) == {"e": [sentence]}


def test_a_frame_with_another_character_keeps_no_identity() -> None:
    made = shelf()
    made.edit("e", character="a boy")
    assert outdated(made) == {
        "e": [
            "The description of the character has changed.",
            "It no longer keeps the character of frame 1.",
        ]
    }


def test_white_space_and_the_takes_own_seed_change_nothing() -> None:
    made = shelf()
    taken = {f.frame_id: f.seed for f in made.chosen["e"].frames}
    made.edit("e", seed=taken["e"], action="  dancing ", locked=True)
    assert compare(made).fresh == frozenset("abcde")


def test_changes_of_the_reference_picture_are_named() -> None:
    made = shelf(*FRAMES[:1], of=pictured, strength=0.4)
    character = made.board.character

    def change(**fields: Any) -> list[str]:
        changed = character.model_copy(update=fields)
        board = made.board.model_copy(update={"character": changed})
        return list(compare_takes(board, made.chosen).outdated["a"])

    assert change(reference=ANOTHER) == ["The character's reference picture was replaced."]
    assert change(reference="") == ["The character's reference picture was removed."]
    assert change(strength=0) == ["The character's reference picture was removed."]
    assert change(strength=0.5) == [
        "The strength of the reference picture has changed from 0.4 to 0.5."
    ]
    plain = shelf(*FRAMES[:1], model=FLUX1_DEV.name)
    added = made.board.model_copy(update={"frames": plain.board.frames})
    assert list(compare_takes(added, plain.chosen).outdated["a"]) == [
        "The character's reference picture was added."
    ]


# ---- settings


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"steps": 7}, "The number of steps changed from 9 to 7."),
        ({"guidance": 5}, "The guidance changed from 3.5 to 5."),
        ({"width": 512}, "The size changed from 256 \u00d7 256 to 512 \u00d7 256."),
        ({"styles": (Style(source="o/n"),)}, "The styles have changed."),
        ({"shortcut": "half-steps"}, "The shortcut is another one now: Half of the later steps."),
        ({"model": "flux1-krea-dev"}, "The model changed from FLUX.1 [dev] to FLUX.1 Krea [dev]."),
        ({"model": "/gone"}, "The model /gone is not there any more."),
    ],
)
def test_changed_settings_are_named_for_every_frame(change: dict[str, Any], sentence: str) -> None:
    made = shelf(*FREE, model=FLUX1_DEV.name, steps=9)
    made.set(**change)
    found = outdated(made)
    assert set(found) == set("abcde")
    assert found["a"] == [sentence]
    assert found["b"][0] == sentence


def test_merging_and_the_probe_pass_matter_where_there_is_an_identity_frame() -> None:
    made = shelf(model=FLUX1_DEV.name)
    made.set(merge=False)
    assert outdated(made)["b"] == ["Merging was turned off."]
    assert set(outdated(made)) == set("bcde")
    assert outdated(made)["d"] == [
        "Merging was turned off.",
        "Frame 2, whose location this frame keeps, is out of date itself.",
    ]
    made.set(merge=True, shortcut="coarse-probe")
    assert set(outdated(made)) == set("bcde")


def test_turning_consistency_off_and_on_is_named() -> None:
    made = shelf()
    made.set(consistent=False)
    assert outdated(made) == dict.fromkeys(
        "bcde", ["Frames no longer share characters and locations."]
    )
    alone = shelf(consistent=False)
    alone.set(consistent=True)
    found = outdated(alone)
    assert found["b"] == ["It keeps the character of frame 1 now, and did not before."]
    assert found["c"] == ["It keeps the character and location of frame 1 now, and did not before."]


# ---- source frames


def test_a_redone_identity_frame_is_named_until_its_readers_are_rendered() -> None:
    made = shelf()
    before = made.board.frame("a").take
    made.render(["a"])
    found = outdated(made)
    assert found["e"] == ["Frame 1, whose character this frame keeps, has another take now."]
    assert found["c"] == [
        "Frame 1, whose character and location this frame keeps, has another take now."
    ]
    assert found["d"] == [
        "Frame 1, whose character this frame keeps, has another take now.",
        "Frame 2, whose location this frame keeps, is out of date itself.",
    ]
    made.render(["b", "c", "d"])
    assert set(outdated(made)) == {"e"}
    # Another take of it is chosen: those that came from the redone one are out of date.
    made.board = made.board.with_take("a", str(before))
    assert set(outdated(made)) == set("bcd")


def test_a_render_cancelled_half_way_leaves_the_rest_out_of_date() -> None:
    made = shelf()
    made.render(only="ab")
    assert set(outdated(made)) == set("cde")
    made.render(["c", "d", "e"])
    assert outdated(made) == {}


def test_an_edited_source_makes_its_readers_out_of_date() -> None:
    made = shelf()
    made.edit("b", action="resting")
    assert outdated(made) == {
        "b": ["The action has changed."],
        "d": ["Frame 2, whose location this frame keeps, is out of date itself."],
    }


def test_another_identity_frame_is_named() -> None:
    made = shelf(*FREE)
    made.set(identity="c")
    found = outdated(made)
    sentence = "It keeps the character of frame 3 now, and was generated with that of frame 1."
    assert found == {
        "a": ["It keeps the character of frame 3 now, and did not before."],
        "b": [sentence],
        "c": ["It is the identity frame now, and was generated with the character of frame 1."],
        "d": [sentence],
        "e": [sentence],
    }
    made.set(identity="gone")
    assert outdated(made) == {}


def test_a_removed_or_moved_frame_gives_its_character_and_location_to_another() -> None:
    made = shelf(*FRAMES)
    made.order("c", "a", "b", "d", "e")
    found = outdated(made)
    assert found["a"] == ["It keeps the character and location of frame 1 now, and did not before."]
    (sentence,) = found["c"]
    assert sentence.startswith("It is the identity frame now")
    assert sentence.endswith("with the character and location of frame 2.")
    made.order("b", "c", "d", "e")
    found = outdated(made)
    assert found["c"] == [
        "It keeps the character of frame 1 now, and was generated with that of a frame that is "
        "gone.",
        "It no longer keeps the location of a frame that is gone.",
    ]
    made = shelf()
    made.set(identity="a")
    made.order("a", "d", "b", "c", "e")
    assert outdated(made)["b"] == ["It keeps the location of frame 2 now, and did not before."]
    assert outdated(made)["d"] == ["It no longer keeps the location of frame 3."]


def test_a_source_without_a_take_is_named() -> None:
    made = shelf()
    made.edit("a", take=None)
    assert outdated(made)["e"] == [
        "Frame 1, whose character this frame keeps, has not been generated."
    ]


# ---- frames that are left as they are


def test_locked_and_empty_frames_say_so_and_are_no_work() -> None:
    made = shelf()
    made.edit("a", locked=True, action="lying")
    made.edit("e", action="", location="")
    found = compare(made)
    assert found.outdated == {}
    assert found.kept == {
        "a": ("The action has changed.",),
        "e": ("The location and the action have changed.",),
    }


def test_readers_of_a_locked_frame_of_other_settings_can_be_fresh() -> None:
    made = shelf(*FREE, steps=9)
    made.edit("a", locked=True)
    made.set(steps=7)
    assert set(outdated(made)) == set("bcde")
    made.render()
    found = compare(made)
    assert (set(found.outdated), set(found.kept)) == (set(), {"a"})
    # It is the same frame, but not the picture that is on the board.
    assert found.identity["b"] == Origin("a", current=False)


# ---- origins


def test_origins_say_where_a_take_came_from_and_whether_it_is_there_still() -> None:
    made = shelf()
    found = compare(made)
    assert found.identity == dict.fromkeys("bcde", Origin("a", current=True))
    assert found.location == {"c": Origin("a", current=True), "d": Origin("b", current=True)}
    made.render(["a"])
    made.edit("d", share_background=False)
    found = compare(made)
    assert set(found.identity.values()) == {Origin("a", current=False)}
    assert found.location == {"c": Origin("a", current=False), "d": Origin("b", current=True)}
    made.render(["e"])
    assert compare(made).identity["e"] == Origin("a", current=True)
    made.order("b", "c", "d", "e")
    assert compare(made).identity["e"] == Origin("a", current=False)


def test_a_location_rendered_with_other_settings_is_not_the_one_on_the_board() -> None:
    made = shelf(steps=9)
    made.set(steps=7)
    made.render(["d"])
    assert compare(made).location["d"] == Origin("b", current=False)
    made.set(steps=9)
    made.render(["d"])
    assert compare(made).location["d"] == Origin("b", current=True)


def test_a_take_that_lacks_its_frame_says_so() -> None:
    made = shelf()
    request = plan(board(Frame(id="z", action="x")))
    found = compare_takes(made.board, made.chosen | {"e": request})
    assert found.outdated == {"e": ("Its take does not say how it was rendered.",)}
