"""Story files that are written say what the storyboard says."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import UserError
from storyboard.board import Character, Frame, RenderSettings, Storyboard, Style
from storyboard.exporting.story import LEFT_OUT, story_text
from storyboard.frames import identity_frame
from storyboard.importing.story_file import EXAMPLE_STORY, _Frame, _Story, read_story

ODD = Storyboard(
    title='yes: "no" #1, \u2028 ~',
    character=Character(name="null", description="a girl\nwith: two lines\t\U0001f600"),
    frames=(
        Frame(action="12", location="~", share_background=True, seed=0, locked=True),
        Frame(action="- item", location="true", character="another: one", reference_strength=0.25),
        Frame(id="third", action="#hash", location="'quoted'", seed=2**32 - 1),
        Frame(),
        Frame(share_background=True),
    ),
    settings=RenderSettings(
        model="flux1-dev",
        width=768,
        height=512,
        steps=12,
        guidance=2.5,
        shortcut="both",
        consistent=False,
        merge=False,
        identity="third",
        styles=(Style(source="owner/name", weight=-0.5, trigger="in ink"), Style(source="a/b")),
    ),
)


def content_of(board: Storyboard) -> dict[str, object]:
    content = board.model_dump(exclude={"frames": {"__all__": {"id", "take"}}})
    identity = identity_frame(board)
    content["settings"]["identity"] = None if identity is None else board.position(identity.id)
    return content


def test_the_identity_frame_stays_where_it_is_not_named(tmp_path: Path) -> None:
    board = Storyboard(
        character=Character(description="a girl"), frames=(Frame(), Frame(action="waving"))
    )
    for identity in ("", "gone", board.frames[0].id):
        settings = board.settings.model_copy(update={"identity": identity})
        told = board.model_copy(update={"settings": settings})
        (tmp_path / "story.yaml").write_text(story_text(told))
        (again,) = read_story(tmp_path / "story.yaml").storyboards
        assert content_of(again) == content_of(told)


@pytest.mark.parametrize("board", [ODD, read_story(EXAMPLE_STORY).storyboards[0]])
def test_a_storyboard_is_read_back_as_it_was(board: Storyboard, tmp_path: Path) -> None:
    path = tmp_path / "story.yaml"
    path.write_text(story_text(board), encoding="utf-8")
    (again,) = read_story(path).storyboards
    assert content_of(again) == content_of(board)


def test_every_field_has_a_key_or_is_left_out_on_purpose() -> None:
    keys = {*_Frame.model_fields, *LEFT_OUT[Frame]}
    assert Frame.model_fields.keys() - keys == set()
    keys = {*_Story.model_fields, *LEFT_OUT[RenderSettings]}
    assert RenderSettings.model_fields.keys() - keys == set()


def test_a_picture_is_said_to_be_left_out(tmp_path: Path) -> None:
    character = Character(description="a girl", reference=f"{'a' * 64}.png", strength=0.5)
    text = story_text(Storyboard(character=character, frames=(Frame(action="waving"),)))
    assert "reference picture is not in this file" in text
    # Without the picture, the strength would be refused; it belongs to it.
    assert "add\n# `reference: picture.png` and `strength: 0.5` below `character`." in text
    (tmp_path / "story.yaml").write_text(text)
    (again,) = read_story(tmp_path / "story.yaml").storyboards
    assert again.character == Character(description="a girl")


def test_a_storyboard_without_frames_cannot_be_a_story_file() -> None:
    with pytest.raises(UserError, match="no frames"):
        story_text(Storyboard())
