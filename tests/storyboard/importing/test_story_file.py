"""StoryFile files: both formats, and every error with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.models.catalog import find_model
from storyboard.board import MAX_FRAMES, MAX_STYLES, Character, Frame, RenderSettings, Style
from storyboard.errors import StoryFileError
from storyboard.frames import background_source
from storyboard.importing.story_file import EXAMPLE_STORY, StoryFile, parse_size, read_story
from storyboard.settings import ROOT

WHOLE = """\
title: Maya's day
character: {name: Maya, description: a girl}
model: flux1-dev
size: [512, 768]
steps: 12
guidance: 4.5
shortcut: half-steps
seed: 3
consistent: yes
merge: false
frames:
  - location: on a beach
    action: waving
    share_background: true
  - location: on a beach
    action: 42
    character: an old man
    share_background: on
    seed: 9
"""


def read(tmp_path: Path, text: str, name: str = "story.yaml") -> StoryFile:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_story(path)


def test_every_key_is_read(tmp_path: Path) -> None:
    story = read(tmp_path, WHOLE)
    (board,) = story.storyboards
    assert story.sized
    assert board.title == "Maya's day"
    assert board.character == Character(name="Maya", description="a girl")
    settings = board.settings
    assert (settings.model, settings.width, settings.height) == ("flux1-dev", 512, 768)
    assert (settings.steps, settings.guidance) == (12, 4.5)
    assert (settings.consistent, settings.merge) == (True, False)
    assert settings.shortcut == "half-steps"
    first, second = (f.model_dump(exclude={"id"}) for f in board.frames)
    assert first == Frame(
        location="on a beach", action="waving", share_background=True, seed=3
    ).model_dump(exclude={"id"})
    assert second == Frame(
        location="on a beach",
        action="42",
        character="an old man",
        share_background=True,
        seed=9,
    ).model_dump(exclude={"id"})


def test_only_frames_are_required_and_the_rest_is_the_models(tmp_path: Path) -> None:
    story = read(tmp_path, "frames: [{action: waving}]", "a day.yml")
    (board,) = story.storyboards
    assert not story.sized
    assert (board.title, board.character) == ("a day", Character())
    assert (board.settings.steps, board.settings.guidance) == (None, None)
    assert board.settings.shortcut == "exact"
    assert board.frames[0].seed is None
    large = read(tmp_path, "model: flux1-dev\nframes: [{action: waving}]").storyboards[0]
    spec = find_model("flux1-dev")
    assert (large.settings.width, large.settings.height) == (spec.width, spec.height)


PICTURED = """\
character:
  name: Maya
  reference: pictures/maya.png
  strength: 0.8
styles:
  - ink.safetensors
  - {source: owner/watercolor, weight: -0.5, trigger: in watercolor style}
frames:
  - {action: waving, reference_strength: 0}
  - {action: running}
"""


def test_pictures_and_styles_are_found_from_where_the_story_is(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "maya.png").write_bytes(b"looked at later")
    (tmp_path / "ink.safetensors").write_bytes(b"likewise")
    story = read(tmp_path, PICTURED)
    (board,) = story.storyboards
    assert story.reference == tmp_path / "pictures" / "maya.png"
    assert story.one_character
    assert board.character == Character(name="Maya", strength=0.8)
    assert [f.reference_strength for f in board.frames] == [0, None]
    assert board.settings.styles == (
        Style(source=str(tmp_path / "ink.safetensors")),
        Style(source="owner/watercolor", weight=-0.5, trigger="in watercolor style"),
    )
    (tmp_path / "ink.safetensors").unlink()
    assert read(tmp_path, PICTURED).storyboards[0].settings.styles[0].source == "ink.safetensors"
    long = "x" * 300  # longer than names of files can be
    (board,) = read(tmp_path, f"styles: [{long}]\nframes: [{{action: a}}]").storyboards
    assert board.settings.styles[0].source == long
    absolute = PICTURED.replace("pictures/", f"{tmp_path}/pictures/")
    assert read(tmp_path, absolute).reference == story.reference
    assert read(tmp_path, "frames: [{action: a}]").reference is None


@pytest.mark.parametrize("size", ["320x192", "320 x 192", "320X192", "320×192", "[320, 192]"])
def test_sizes(tmp_path: Path, size: str) -> None:
    settings = read(tmp_path, f"size: {size}\nframes: [{{action: a}}]").storyboards[0].settings
    assert (settings.width, settings.height) == (320, 192)


@pytest.mark.parametrize("text", ["320", "320x", "100x100", "32x32", "4096x64", "axb"])
def test_sizes_that_frames_cannot_have(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "empty"),
        ("title: a\n", 1, "'frames' is missing"),
        ("just words", 1, "'the story' should be lines of 'key: value'"),
        ("titel: a\nframes: []", 1, "no key 'titel' (did you mean 'title'?)"),
        ("title: a\n7: b\n", 2, "known: title"),
        ("? [a]\n: b\n", 1, "unhashable key"),
        ("title: a\ntitle: b\n", 2, "twice"),
        ("title: a\nframes: waving\n", 2, "'frames' should be a list"),
        ("title: a\nframes: []\n", 2, "'frames' should be a list"),
        ("frames:\n  - waving\n", 2, "item 1 of 'frames' should be lines of 'key: value'"),
        ("frames:\n  - {}\n", 2, "no words"),
        ("frames:\n  - action: a\n    place: b\n", 3, "no key 'place'"),
        ("frames:\n  - action: a\n    share_backgruond: on\n", 3, "mean 'share_background'"),
        ("frames:\n  - action:\n", 2, "a value is empty"),
        ("frames:\n  - action: [a, b]\n", 2, "'action' should be a text"),
        (
            "frames:\n  - action: a\n    seed: -1\n",
            3,
            "'seed' should be greater than or equal to 0",
        ),
        (
            "frames:\n  - action: a\n    seed: 4294967296\n",
            3,
            "should be less than or equal to 4294967295",
        ),
        ("frames:\n  - action: a\n    seed: 1.5\n", 3, "'seed' should be a whole number"),
        ("frames:\n  - action: a\n    share_background: maybe\n", 3, "true or false"),
        (
            f"frames:\n  - location: b\n    action: {'x' * 501}\n",
            3,
            "'action' should have at most 500 characters",
        ),
        ("steps: 0\nframes: [{action: a}]\n", 1, "'steps' should be greater than or equal to 1"),
        (
            "guidance: 0.5\nframes: [{action: a}]\n",
            1,
            "'guidance' should be greater than or equal to 1",
        ),
        (
            "shortcut: quick\nframes: [{action: a}]\n",
            1,
            "should be 'exact', 'coarse-probe', 'half-",
        ),
        ("shortcut: [both]\nframes: [{action: a}]\n", 1, "'shortcut' should be a text"),
        (
            "title: a\nguidance: 11\nframes: [{action: a}]\n",
            2,
            "'guidance' should be less than or equal to 10",
        ),
        ("guidance: strong\nframes: [{action: a}]\n", 1, "'guidance' should be a number"),
        ("guidance: .nan\nframes: [{action: a}]\n", 1, "'guidance' should be a number"),
        ("guidance: [3]\nframes: [{action: a}]\n", 1, "'guidance' should be a valid number"),
        ("\n\nsize: 100x100\nframes: [{action: a}]\n", 3, "multiples of 16"),
        ("size: 256\nframes: [{action: a}]\n", 1, "768x512"),
        ("size: [256]\nframes: [{action: a}]\n", 1, "size"),
        ("model: minature\nframes: [{action: a}]\n", 1, "Did you mean 'miniature'?"),
        ("character: {nmae: a}\nframes: [{action: a}]\n", 1, "mean 'name'"),
        ("character:\n  reference: none.png\nframes: [{action: a}]\n", 2, "no picture"),
        ("character:\n  reference: .\nframes: [{action: a}]\n", 2, "no picture"),
        ("character:\n  reference: ~nobody/a.png\nframes: [{action: a}]\n", 2, "no picture"),
        (f"character:\n  reference: {'x' * 300}\nframes: [{{action: a}}]\n", 2, "no picture"),
        (f"model: {'x' * 300}\nframes: [{{action: a}}]\n", 1, "There is no model"),
        ("character:\n  name: a\n  strength: 1\nframes: [{action: a}]\n", 3, "add 'reference'"),
        (
            "frames:\n  - action: a\n    reference_strength: 3\n",
            3,
            "should be less than or equal to 2",
        ),
        ("frames:\n  - action: a\n    reference_strength: .nan\n", 3, "should be a number"),
        ("styles: ink\nframes: [{action: a}]\n", 1, "'styles' should be a list"),
        ("styles:\n  - weight: 1\nframes: [{action: a}]\n", 2, "'source' is missing"),
        (
            "styles:\n  - source: a/b\n    weight: 3\nframes: [{action: a}]\n",
            3,
            "'weight' should be less than or equal to 2",
        ),
        ("styles:\n  - source: a/b\n    wieght: 1\nframes: [{action: a}]\n", 3, "mean 'weight'"),
        (
            "styles:\n" + "  - a/b\n" * (MAX_STYLES + 1) + "frames: [{action: a}]\n",
            2 + MAX_STYLES,
            "'styles' should have at most 4 items",
        ),
        ("frames:\n  - action: a\nseed: -1\n", 3, "'seed' should be greater than or equal to 0"),
        ("seed: 3\nframes:\n  - action: a\n    seed: -1\n", 4, "'seed' should be greater"),
        ("frames: [{action: a}]\nmerge: [a]\n", 2, "'merge' should be true or false"),
        ("title: [\n", 2, "the YAML is wrong"),
        ("title: a\n  b: c\n", 2, "the YAML is wrong"),
        ("title: a\n---\ntitle: b\n", 2, "the YAML is wrong"),
        ("title: a\nframes: \x07\n", 2, "the YAML is wrong"),
        ("[" * 2000, None, "nested too deeply"),
        ("frames:\n" + "  - action: a\n" * (MAX_FRAMES + 1), MAX_FRAMES + 2, "at most"),
    ],
)
def test_an_error_is_one_line_that_names_file_and_line(
    tmp_path: Path, text: str, line: int | None, words: str
) -> None:
    with pytest.raises(StoryFileError) as caught:
        read(tmp_path, text)
    message = str(caught.value)
    where = str(tmp_path / "story.yaml") + (f":{line}" if line else "")
    assert message.startswith(f"{where}: ")
    assert words in message
    assert "\n" not in message


def test_aliases_that_multiply_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["title: &a0 [x, x, x, x, x, x, x, x]"]
    lines += [f"k{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]" for i in range(1, 20)]
    with pytest.raises(StoryFileError, match="'title' should be a text"):
        read(tmp_path, "\n".join([*lines, "size: *a19", "frames: *a19"]))
    with pytest.raises(StoryFileError, match="recursive"):
        read(tmp_path, "frames: &a [*a]")
    board = read(tmp_path, "title: &a beach\nframes: [{location: *a}]").storyboards[0]
    assert board.frames[0].location == "beach"


GROUPS = """\
on a beach#a girl in a hoodie#waving
in a forest#a girl in a hoodie#running

in a kitchen # a man # cooking
in a park#his dog#sleeping
at night##
"""


def test_the_line_format_is_groups_of_frames(tmp_path: Path) -> None:
    story = read(tmp_path, GROUPS, "prompts.txt")
    girl, man = story.storyboards
    assert not story.sized
    assert (girl.title, man.title) == ("prompts, group 1", "prompts, group 2")
    assert girl.character.description == "a girl in a hoodie"
    assert [(f.location, f.character, f.action) for f in girl.frames] == [
        ("on a beach", "", "waving"),
        ("in a forest", "", "running"),
    ]
    assert man.character.description == ""
    assert [(f.location, f.character, f.action) for f in man.frames] == [
        ("in a kitchen", "a man", "cooking"),
        ("in a park", "his dog", "sleeping"),
        ("at night", "", ""),
    ]
    assert not story.one_character
    alike = "a#a girl#b\nc#a girl#d\n\ne#a man#f\n"
    assert read(tmp_path, alike, "prompts.txt").one_character


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "no frames"),
        ("\n \n", None, "no frames"),
        ("a#b#c\n\na#b\n", 3, "found 1"),
        ("a#b#c#d\n", 1, "found 3"),
        ("a#b#c\n # # \n", 2, "no words"),
        (f"a#b#{'x' * 501}\n", 1, "'action' should have at most 500 characters"),
        ("a#b#c\n" * (MAX_FRAMES + 1), MAX_FRAMES + 1, "at most"),
    ],
)
def test_an_error_in_the_line_format(
    tmp_path: Path, text: str, line: int | None, words: str
) -> None:
    with pytest.raises(StoryFileError) as caught:
        read(tmp_path, text, "prompts.txt")
    assert caught.value.line == line
    assert words in str(caught.value)


def test_content_decides_where_the_ending_does_not(tmp_path: Path) -> None:
    assert len(read(tmp_path, GROUPS, "prompts").storyboards) == 2
    assert read(tmp_path, WHOLE, "story.txtish").storyboards[0].title == "Maya's day"
    # A remark with two '#' does not make YAML a prompt file.
    remarked = "# one # two\ntitle: a\nframes: [{action: a}]\n"
    assert read(tmp_path, remarked, "story").storyboards[0].title == "a"


def test_a_file_that_is_not_readable_text_is_reported(tmp_path: Path) -> None:
    with pytest.raises(StoryFileError, match="no such file"):
        read_story(tmp_path / "none.yaml")
    with pytest.raises(StoryFileError, match="folder"):
        read_story(tmp_path)
    path = tmp_path / "latin.yaml"
    path.write_bytes("title: a\nframes: é\n".encode("latin-1"))
    with pytest.raises(StoryFileError, match=r"latin\.yaml:2: .*UTF-8"):
        read_story(path)


def test_a_byte_order_mark_is_no_part_of_the_story(tmp_path: Path) -> None:
    path = tmp_path / "story.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + WHOLE.encode())
    assert read_story(path).storyboards[0].title == "Maya's day"


def test_the_example_is_a_story_that_shares_a_location() -> None:
    (board,) = read_story(EXAMPLE_STORY).storyboards
    assert board.settings.model == "miniature"
    assert len(board.frames) == 6
    assert all(f.location and f.action for f in board.frames)
    assert any(background_source(board, f) for f in board.frames)


EARLIER = ROOT / "tests" / "data" / "stories"  # see the README of tests/data/projects


def test_a_story_of_an_earlier_release_reads_as_it_did_then() -> None:
    story = read_story(EARLIER / "story.yaml")
    assert (story.sized, story.reference) == (True, EARLIER / "hero.png")
    (board,) = story.storyboards
    assert board.title == "Maya's day"
    assert board.character == Character(
        name="Maya", description="a girl in a red dress", strength=0.75
    )
    assert board.settings == RenderSettings(
        model="flux1-dev",
        width=768,
        height=512,
        steps=12,
        guidance=4.5,
        shortcut="half-steps",
        merge=False,
        styles=(
            Style(source="owner/oil"),
            Style(source="owner/ink", weight=-0.5, trigger="in ink: black"),
        ),
    )
    assert [frame.model_copy(update={"id": ""}) for frame in board.frames] == [
        Frame.model_construct(
            id="", action="waving", location="on a beach", share_background=True, seed=7
        ),
        Frame.model_construct(
            id="",
            action="42",
            location="On a beach",
            share_background=True,
            reference_strength=0.0,
            seed=9,
        ),
        Frame.model_construct(
            id="", location="in a forest with tall trees", character="an old man", seed=7
        ),
    ]


def test_lines_of_an_earlier_release_read_as_they_did_then() -> None:
    story = read_story(EARLIER / "prompts.txt")
    assert (story.sized, story.reference, story.one_character) == (False, None, False)
    assert [
        (
            board.title,
            board.character.description,
            [(frame.location, frame.character, frame.action) for frame in board.frames],
        )
        for board in story.storyboards
    ] == [
        (
            "prompts, group 1",
            "a girl",
            [("on a beach", "", "waving"), ("in a forest", "", "running")],
        ),
        (
            "prompts, group 2",
            "",
            [
                ("in a kitchen", "a man", "cooking"),
                ("in a park", "his dog", "sleeping"),
                ("at night", "", ""),
            ],
        ),
    ]
    assert {board.settings for board in story.storyboards} == {RenderSettings()}


def test_a_story_names_its_identity_frame_and_locks_frames(tmp_path: Path) -> None:
    text = "identity: 2\nframes: [{action: a}, {action: b, locked: true}]"
    (board,) = read(tmp_path, text).storyboards
    assert board.settings.identity == board.frames[1].id
    assert [frame.locked for frame in board.frames] == [False, True]
    (board,) = read(tmp_path, "frames: [{action: a}]").storyboards
    assert (board.settings.identity, board.frames[0].locked) == ("", False)


@pytest.mark.parametrize("number", ["0", "3", "-1"])
def test_an_identity_frame_that_is_not_there_is_refused(tmp_path: Path, number: str) -> None:
    with pytest.raises(StoryFileError, match=r"yaml:2: 'identity' .* a frame, from 1 to 2"):
        read(tmp_path, f"frames: [{{action: a}}, {{action: b}}]\nidentity: {number}")
    with pytest.raises(StoryFileError, match="whole number"):
        read(tmp_path, "frames: [{action: a}]\nidentity: first")


def test_a_first_frame_without_words_stays_the_identity_frame(tmp_path: Path) -> None:
    (lines,) = read(tmp_path, "#a girl#\nbeach#a girl#waving", "story.txt").storyboards
    assert lines.settings.identity == lines.frames[0].id
    (story,) = read(tmp_path, "frames: [{seed: 3}, {action: a}]").storyboards
    assert story.settings.identity == story.frames[0].id
