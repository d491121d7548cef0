"""Targets of a render: what a wish means, what comes with it, what is left out."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.errors import UserError
from storyboard.board import Frame
from storyboard.targets import AddedSource, Targets, Wish, choose_targets
from tests.storyboard.boards import FRAMES, Shelf, board

NOTHING = Targets((), (), (), (), ())
BLANK = Frame(id="x")


def shelf(*frames: Frame, **values: Any) -> Shelf:
    """A storyboard whose frames were all rendered in one job."""
    made = Shelf(board(*frames, **values))
    made.render()
    return made


def choose(made: Shelf, wish: Wish) -> Targets:
    return choose_targets(made.board, wish, made.chosen)


def test_new_means_never_generated_or_out_of_date_in_the_right_order() -> None:
    made = Shelf(board(*FRAMES, BLANK))
    assert choose(made, "new").targets == tuple("abcde")
    assert choose(made, "new").empty == ("x",)
    made.render(["a", "b"])
    assert choose(made, "new").targets == ("c", "d", "e")
    made.render(["c", "d", "e"])
    assert choose(made, "new") == Targets((), (), ("x",), (), ())
    made.edit("b", action="resting")
    assert choose(made, "new").targets == ("b", "d")
    made.set(identity="e")
    assert choose(made, "new").targets == ("e", "a", "b", "c", "d")


def test_all_means_all_with_words_that_are_not_locked() -> None:
    made = shelf(*FRAMES)
    made.edit("b", locked=True)
    made.edit("e", action="", location="")
    found = choose(made, "all")
    assert (found.targets, found.empty, found.locked) == (("a", "c", "d"), ("e",), ("b",))
    # A lock keeps nothing where there is no take yet.
    fresh = Shelf(board(FRAMES[0].model_copy(update={"locked": True})))
    assert choose(fresh, "all").targets == ("a",)


def test_locked_frames_that_are_out_of_date_are_left_out_of_what_is_new() -> None:
    made = shelf(*FRAMES)
    made.edit("e", locked=True)
    assert choose(made, "new") == NOTHING
    made.edit("e", action="lying")
    assert choose(made, "new") == Targets((), (), (), ("e",), ())


def test_frames_by_their_ids_may_be_empty_and_not_locked() -> None:
    made = Shelf(board(*FRAMES, BLANK))
    made.render(["a"])
    assert choose(made, ["x"]).targets == ("x",)
    assert choose(made, []) == NOTHING
    made.edit("a", locked=True)
    found = choose(made, ["b", "a"])
    assert (found.targets, found.locked, found.added) == (("b",), ("a",), ())
    with pytest.raises(UserError, match="no longer"):
        choose(made, ["gone"])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"width": 512}, "whose take has another size"),
        ({"model": "flux1-dev"}, "whose take is of another model"),
        ({"shortcut": "both"}, "whose take was generated with another shortcut"),
    ],
)
def test_sources_that_come_with_a_frame_are_named_with_their_reason(
    change: dict[str, Any], why: str
) -> None:
    made = shelf(*FRAMES)
    made.set(**change)
    assert choose(made, ["d"]).added == (
        AddedSource("a", f"Frame 4 keeps the character of frame 1, {why}."),
        AddedSource("b", f"Frame 4 keeps the location of frame 2, {why}."),
    )
    made.edit("b", locked=True)
    with pytest.raises(UserError, match="Frame 2 is locked"):
        choose(made, ["d"])
    assert choose(made, ["e"]).targets == ("e",)


def test_a_source_that_was_never_generated_comes_with_its_reader() -> None:
    made = Shelf(board(*FRAMES))
    found = choose(made, ["c"])
    why = "Frame 3 keeps the character and location of frame 1, which has not been generated yet."
    assert (found.targets, found.added) == (("c",), (AddedSource("a", why),))
    assert made.render(["c"]).targets == ("a", "c")


def test_an_empty_identity_frame_comes_with_its_readers_and_is_asked_for() -> None:
    made = Shelf(board(BLANK, *FRAMES, identity="x"))
    found = choose(made, "all")
    assert found.targets == tuple("abcde") and found.empty == ("x",)
    assert [source.frame_id for source in found.added] == ["x"]


def test_the_targets_and_what_comes_with_them_are_what_a_render_makes() -> None:
    made = shelf(*FRAMES, BLANK)
    for change in ({"width": 512}, {"identity": "d"}, {"shortcut": "both"}, {"consistent": False}):
        made.set(**change)
        for wish in ("new", "all", ["d"], ["c", "a"]):
            found = choose(made, wish)
            request = Shelf(made.board, dict(made.requests)).render(found.targets)
            added = {source.frame_id for source in found.added}
            assert set(request.targets) == {*found.targets, *added}
            assert tuple(t for t in request.targets if t not in added) == found.targets


def test_what_is_new_is_done_after_one_render() -> None:
    made = shelf(*FRAMES)
    made.render(["a"])
    made.edit("b", action="resting")
    made.set(steps=7, identity="c")
    made.render(choose(made, "new").targets)
    assert choose(made, "new") == NOTHING


def test_targets_that_would_come_out_the_same_are_named() -> None:
    made = shelf(*(f.model_copy(update={"seed": 3}) for f in FRAMES))
    assert choose(made, "all").unchanged == tuple("abcde")
    assert choose(made, ["d"]).unchanged == ("d",)
    made.edit("b", seed=None)
    assert choose(made, ["d"]).unchanged == ("d",)
    # Its location comes out anew.
    assert choose(made, ["b", "d"]).unchanged == ()
    assert choose(made, "all").unchanged == ("a", "c", "e")
    made.set(steps=7)
    assert choose(made, "all").unchanged == ()
