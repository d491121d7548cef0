"""Documents: what a browser may change, and what it may not."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.models.catalog import FLUX1_DEV, MINIATURE, MODELS
from storyboard.api.document import (
    blank_storyboard,
    document_of,
    picture_sizes,
    read_document,
    revision_of,
)
from storyboard.board import MAX_FRAMES, Character, Frame, RenderSettings, Storyboard, Style

STORED = Storyboard(
    title="A day",
    character=Character(name="Maya", description="a girl"),
    frames=(
        Frame(id="a", action="waving", location="beach", share_background=True, take="t1"),
        Frame(id="b", action="running", location="beach", character="a dog", seed=7, take="t2"),
    ),
    settings=RenderSettings(steps=12, merge=False),
)
MODEL_NAMES = ["miniature"]


def document() -> dict[str, Any]:
    return document_of(STORED, "p1")


def test_an_untouched_document_gives_the_stored_storyboard() -> None:
    assert read_document(document(), STORED, MODEL_NAMES) == STORED


def test_a_document_does_not_carry_what_the_server_owns() -> None:
    assert all("take" not in frame for frame in document()["frames"])
    assert "reference" not in document()["character"]


def test_what_a_page_edits_is_read() -> None:
    sent = document()
    sent["title"] = "A night"
    sent["character"]["description"] = "a boy"
    sent["frames"][0] |= {"action": "singing", "share_background": False, "seed": 5}
    sent["settings"] |= {"width": 320, "height": 208, "steps": None, "guidance": 4.5}
    sent["settings"] |= {"consistent": False, "shortcut": "both"}
    sent["character"]["strength"] = sent["frames"][1]["reference_strength"] = 1.5
    sent["settings"]["styles"] = [{"source": "a/b", "weight": -1, "trigger": "ink", "path": "x"}]
    read = read_document(sent, STORED, MODEL_NAMES)
    assert (read.title, read.character.description) == ("A night", "a boy")
    changes = {"action": "singing", "share_background": False, "seed": 5}
    assert read.frames[0] == STORED.frames[0].model_copy(update=changes)
    assert (read.settings.width, read.settings.steps) == (320, None)
    assert (read.settings.guidance, read.settings.consistent) == (4.5, False)
    assert read.settings.shortcut == "both"
    assert (read.character.strength, read.frames[1].reference_strength) == (1.5, 1.5)
    assert read.settings.styles == (Style(source="a/b", weight=-1, trigger="ink"),)


def test_order_and_new_frames_are_read_and_takes_stay_with_their_frames() -> None:
    sent = document()
    sent["frames"] = [sent["frames"][1], {"id": "c", "action": "sitting"}, sent["frames"][0]]
    read = read_document(sent, STORED, MODEL_NAMES)
    assert [(f.id, f.take) for f in read.frames] == [("b", "t2"), ("c", None), ("a", "t1")]


def test_a_browser_cannot_choose_takes_or_add_fields() -> None:
    sent = document() | {"kind": "other", "version": 9}
    sent["frames"][0] |= {"take": "t2", "path": "/etc/passwd"}
    assert read_document(sent, STORED, MODEL_NAMES) == STORED


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("frames", 1, "action"), "x" * 501, "Frame 2 action"),
        (("frames", 0, "seed"), -1, "Frame 1 seed"),
        (("frames", 0, "id"), "../b", "Frame 1 id"),
        (("frames", 0, "share_background"), "perhaps", "Frame 1 share background"),
        (("character", "description"), "x" * 2001, "Character description"),
        (("settings", "width"), 100, "Settings width"),
        (("settings", "steps"), 100000, r"Settings steps must be .* 200\."),
        (("settings", "guidance"), 10.5, "Settings guidance"),
        (("settings", "guidance"), "strong", "Settings guidance must be a valid number"),
        (("settings", "shortcut"), "quick", "Settings shortcut"),
        (("title",), ["x"], "Title must be a valid string"),
    ],
)
def test_values_out_of_bounds_are_refused_by_name(
    place: tuple[Any, ...], value: object, words: str
) -> None:
    sent = document()
    target: Any = sent
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    with pytest.raises(UserError, match=words):
        read_document(sent, STORED, MODEL_NAMES)


@pytest.mark.parametrize("sent", [None, "text", 3, [], {"frames": "none"}, {"frames": [None]}])
def test_what_is_no_document_is_refused(sent: object) -> None:
    with pytest.raises(UserError, match="Reload the page"):
        read_document(sent, STORED, MODEL_NAMES)


def test_a_frame_without_an_id_is_refused() -> None:
    with pytest.raises(UserError, match="not a storyboard"):
        read_document({"frames": [{"action": "waving"}]}, STORED, MODEL_NAMES)


def test_frames_with_the_same_id_are_refused() -> None:
    sent = document()
    sent["frames"].append(dict(sent["frames"][0]))
    with pytest.raises(UserError, match="same id"):
        read_document(sent, STORED, MODEL_NAMES)


def test_too_many_frames_are_refused() -> None:
    sent = document()
    sent["frames"] = [{"id": f"f{n}"} for n in range(MAX_FRAMES + 1)]
    with pytest.raises(UserError, match=f"at most {MAX_FRAMES} frames"):
        read_document(sent, STORED, MODEL_NAMES)


def test_only_offered_models_and_the_stored_one_can_be_chosen() -> None:
    sent = document()
    sent["settings"]["model"] = "somebody/else"
    with pytest.raises(UserError, match="cannot be chosen"):
        read_document(sent, STORED, MODEL_NAMES)
    with pytest.raises(UserError, match="cannot be chosen"):
        read_document(sent | {"settings": {"model": ["miniature"]}}, STORED, MODEL_NAMES)
    kept = STORED.model_copy(update={"settings": RenderSettings(model="somebody/else")})
    assert read_document(sent, kept, MODEL_NAMES).settings.model == "somebody/else"


def test_a_revision_is_a_name_for_what_a_page_edits() -> None:
    revision = revision_of(STORED)
    assert revision_of(Storyboard.model_validate(STORED.model_dump())) == revision
    character = STORED.character.model_copy(update={"reference": f"{'0' * 64}.png"})
    taken = STORED.with_take("a", "t9").model_copy(update={"character": character})
    assert revision_of(taken) == revision  # takes and pictures are the server's
    others = [
        {"title": "A night"},
        {"frames": STORED.frames[::-1]},
        {"frames": STORED.frames[:1]},
        {"settings": STORED.settings.model_copy(update={"steps": 13})},
        {"character": STORED.character.model_copy(update={"strength": 0.5})},
    ]
    changed = {revision_of(STORED.model_copy(update=change)) for change in others}
    assert len(changed) == len(others) and revision not in changed


def test_a_document_names_its_project_and_nothing_else_of_the_server() -> None:
    assert document()["project"] == "p1"
    assert document().keys() == {"project", "title", "character", "frames", "settings"}
    assert json.loads(json.dumps(document())) == document()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("title",), "\ud800"),
        (("settings", "guidance"), math.nan),
        (("settings", "guidance"), math.inf),
        (("frames", 0, "seed"), 10**400),
        (("frames", 0, "seed"), math.nan),
        (("frames", 0, "reference_strength"), math.nan),
        (("settings", "width"), True),
        (("settings", "styles"), [{"source": "a/b", "weight": math.nan}]),
        (("frames", 0, "id"), "a\n"),
        (("frames", 0, "id"), "\ud800"),
    ],
)
def test_values_that_no_page_sends_are_refused_in_words(
    place: tuple[Any, ...], value: object
) -> None:
    sent = document()
    target: Any = sent
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    with pytest.raises(UserError) as refused:
        read_document(sent, STORED, MODEL_NAMES)
    assert refused.value.remedy


def test_a_blank_storyboard_is_as_large_as_its_model_likes() -> None:
    blank = blank_storyboard(FLUX1_DEV)
    assert (blank.settings.model, blank.settings.width) == ("flux1-dev", FLUX1_DEV.width)
    assert len(blank.frames) == 4


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_sizes_have_the_models_area_and_can_be_stored(spec: Any) -> None:
    sizes = picture_sizes(spec)
    assert (sizes[0]["width"], sizes[0]["height"]) == (spec.width, spec.height)
    for size in sizes:
        RenderSettings(width=size["width"], height=size["height"])
        across, down = map(int, size["ratio"].split(":"))
        assert size["width"] / size["height"] == pytest.approx(across / down, rel=0.07)
        assert size["width"] * size["height"] == pytest.approx(spec.width * spec.height, rel=0.07)
    assert picture_sizes(MINIATURE)[1] == {"ratio": "4:3", "width": 288, "height": 224}
