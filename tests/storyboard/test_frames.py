"""Questions about frames: prompts, reference pictures, source frames."""

from __future__ import annotations

import pytest

from pipelines.request import Prompt
from storyboard.board import Character, Frame, Storyboard
from storyboard.frames import (
    KeptLocation,
    background_source,
    compose_prompt,
    identity_frame,
    identity_source,
    kept_locations,
    reference_picture,
    sources_first,
)
from tests.storyboard.boards import FRAMES, PICTURE, board, pictured


@pytest.mark.parametrize(
    ("location", "character", "action", "expected"),
    [
        ("a beach", "a girl", "waving", ("a beach,", "a girl,", "waving")),
        ("a beach, ", " a girl.", "waving", ("a beach,", "a girl.", "waving")),
        ("a  beach", "", "sunrise", ("a beach,", "", "sunrise")),
        ("a beach", "", "", ("a beach", "", "")),
        ("", "a girl\nin red", "", ("", "a girl in red", "")),
        ("a beach", "a girl", "", ("a beach,", "a girl", "")),
    ],
)
def test_prompts(location: str, character: str, action: str, expected: tuple[str, ...]) -> None:
    frame = Frame(location=location, action=action)
    assert compose_prompt(board(frame, character=character), frame) == Prompt(*expected)


def test_a_frame_can_show_somebody_else() -> None:
    frame = Frame(location="a beach", character="an old man", action="waving")
    assert compose_prompt(board(frame), frame).text == "a beach, an old man, waving"


def test_frames_that_describe_nobody_else_have_the_reference_picture() -> None:
    own, other = Frame(action="waving", character=" "), Frame(character="an old man")
    storyboard = Storyboard(character=Character(reference=PICTURE), frames=(own, other))
    assert [reference_picture(storyboard, frame) for frame in storyboard.frames] == [PICTURE, ""]
    assert reference_picture(Storyboard(frames=(own,)), own) == ""


def test_frames_keep_the_location_of_the_first_that_shares_it() -> None:
    storyboard = board(
        Frame(id="a", location="beach"),
        Frame(id="b", location="The  Beach,", share_background=True),
        Frame(id="c", location="the beach", share_background=True),
        Frame(id="d", location="forest", share_background=True),
        Frame(id="e", location="the beach."),
        Frame(id="f", location="THE BEACH", share_background=True),
        Frame(id="g", location=" ", share_background=True),
    )
    sources = {f.id: background_source(storyboard, f) for f in storyboard.frames}
    assert sources == {"a": None, "b": None, "c": "b", "d": None, "e": None, "f": "b", "g": None}


def test_the_named_identity_frame_gives_its_character_to_all_others() -> None:
    storyboard = board(*FRAMES, identity="c")
    sources = [identity_source(storyboard, frame) for frame in storyboard.frames]
    assert sources == ["c", "c", None, "c", "c"]
    fallback = board(*FRAMES[:2], identity="c")
    assert [identity_source(fallback, frame) for frame in fallback.frames] == [None, "a"]
    assert identity_frame(board(*FRAMES, identity="c", consistent=False)) is None
    assert identity_frame(board()) is None


@pytest.mark.parametrize(
    ("own", "described", "sources"),
    [
        (["", "an old man", ""], "a girl", [None, None, "a"]),
        (["an old man", "", ""], "a girl", [None, None, "b"]),
        (["", " A  girl ", ""], "a girl", [None, "a", "a"]),
        (["an old man", "an old man", "a dog"], "a girl", [None, "a", None]),
        (["", "an old man", "an old man"], "", [None, None, "b"]),
        (["", "", ""], "", [None, None, None]),
    ],
)
def test_a_character_of_one_frame_takes_no_identity_from_anothers(
    own: list[str], described: str, sources: list[str | None]
) -> None:
    frames = [
        Frame(id=name, action="waving", character=character)
        for name, character in zip("abc", own, strict=True)
    ]
    storyboard = board(*frames, character=described)
    assert [identity_source(storyboard, frame) for frame in frames] == sources


def test_an_identity_frame_shows_the_pictured_character() -> None:
    stranger = Frame(id="s", location="beach", character="an old man", share_background=True)
    storyboard = pictured(stranger, *FRAMES, identity="s")
    found = identity_frame(storyboard)
    assert found is not None and found.id == "a"
    assert identity_source(storyboard, stranger) is None
    assert identity_frame(pictured(stranger)) is None


def test_a_named_identity_frame_gives_its_location_before_earlier_frames() -> None:
    storyboard = board(*FRAMES, identity="d")
    sources = {f.id: background_source(storyboard, f) for f in storyboard.frames}
    assert sources == {"a": None, "b": "d", "c": "a", "d": None, "e": None}


def test_frames_are_ordered_after_their_sources() -> None:
    assert sources_first(board(*FRAMES), "edcba") == list("abcde")
    assert sources_first(board(*FRAMES, identity="d"), "abd") == list("dab")
    assert sources_first(board(*FRAMES, identity="e"), "abc") == list("abc")


def test_kept_locations_name_their_source_readers_and_the_frames_beside_them() -> None:
    storyboard = board(
        Frame(id="a", location="Stra\u00dfe", share_background=True),
        Frame(id="b", location="STRASSE,"),
        Frame(id="c", location="strasse", share_background=True),
        Frame(id="d", location="forest", share_background=True),
        Frame(id="e", location=" ., ", share_background=True),
    )
    assert kept_locations(storyboard) == {
        "a": KeptLocation(None, ("c",), ("b",)),
        "c": KeptLocation("a", (), ("b",)),
        "d": KeptLocation(None, (), ()),
    }


@pytest.mark.parametrize("identity", ["", "d", "e"])
def test_kept_locations_are_those_of_the_render(identity: str) -> None:
    storyboard = board(*FRAMES, identity=identity)
    kept = kept_locations(storyboard)
    assert kept is not None and any(one.source for one in kept.values())
    for frame in storyboard.frames:
        source = background_source(storyboard, frame)
        assert (kept[frame.id].source if frame.id in kept else None) == source
        if source is not None:
            assert frame.id in kept[source].readers
    assert sum(len(one.readers) for one in kept.values()) == sum(
        one.source is not None for one in kept.values()
    )


def test_no_location_is_kept_where_frames_share_nothing() -> None:
    assert kept_locations(board(*FRAMES, consistent=False)) is None
