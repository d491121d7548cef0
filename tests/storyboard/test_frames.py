"""Questions about frames: prompts, reference pictures, source frames."""

from __future__ import annotations

import pytest

from pipelines.request import Prompt
from storyboard.board import Character, Frame, Storyboard
from storyboard.frames import (
    background_source,
    compose_prompt,
    identity_frame,
    identity_source,
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
