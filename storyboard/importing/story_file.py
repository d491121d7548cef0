"""Story files: a whole storyboard in one text file, as a person writes it.

There are two formats: YAML (`assets/example/story.yaml` shows and explains every key), and
CharaConsist's prompt files, with a line `background#character#action` for each frame and blank
lines between groups, each group a storyboard of its own whose first line is the identity frame.

Every error is one line that names the file, the line in it and what is expected there. This module
knows nothing of rendering.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails

from pipelines.errors import UnknownModelError
from pipelines.models.catalog import find_model
from storyboard.board import (
    MAX_FRAMES,
    MAX_SEED,
    MAX_STYLES,
    SHORT_TEXT,
    Character,
    Frame,
    RenderSettings,
    Storyboard,
    Style,
    Value,
)
from storyboard.errors import StoryFileError
from storyboard.settings import ROOT

EXAMPLE_STORY = ROOT / "assets" / "example" / "story.yaml"

_SIZE = re.compile(r"(\d{1,5})\s*[xX\u00d7]\s*(\d{1,5})")
_SEPARATOR = "#"
_LIST = "should be a list (begin each item with '- ')"
# By pydantic's type of error; its own words do for all others.
_EXPECTED = {
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "float_parsing": "should be a number",
    "int_parsing": "should be a whole number",
    "list_type": _LIST,
    "missing": "is missing",
    "model_type": "should be lines of 'key: value'",
    "string_type": "should be a text (put it on one line, or in quotes)",
    "too_short": _LIST,
}


@dataclass(frozen=True)
class StoryFile:
    """The content of a story file.

    Attributes:
        storyboards: one for YAML, one for each group of the line format.
        sized: whether the file itself gives the size of the frames; otherwise they have the
            native size of the file's model.
        reference: the picture of the character, not prepared yet; None where there is none.
        one_character: whether each storyboard has a single character that a picture could show;
            not so where the lines of a group name several.
    """

    storyboards: tuple[Storyboard, ...]
    sized: bool
    reference: Path | None = None
    one_character: bool = True


def read_story(path: Path, alone: bool = False) -> StoryFile:
    """Read a story file of either format.

    The ending decides: `.yaml` and `.yml` against `.txt`. With any other, the file is in the line
    format where each of its lines has exactly two "#".

    Args:
        alone: whether the file came without those that it names, from another machine: none of
            them is looked for then, and its model need not be known here.

    Raises:
        StoryFileError: if it cannot be read, with the line and what to do.
    """
    text = _text(path)
    suffix = path.suffix.casefold()
    lines = [line for line in text.splitlines() if line.strip()]
    looks_like_lines = bool(lines) and all(line.count(_SEPARATOR) == 2 for line in lines)
    if suffix == ".txt" or (looks_like_lines and suffix not in (".yaml", ".yml")):
        return _read_lines(path, text)
    return _read_yaml(path, text, alone)


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height in pixels from "768x512".

    Raises:
        ValueError: if it is not of that form, or a size that frames cannot have.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size (write it as 768x512)")
    try:
        settings = RenderSettings.model_validate({"width": match[1], "height": match[2]})
    except ValidationError as error:
        raise ValueError(
            f"{text} is not a size that frames can have "
            "(both sides are multiples of 16, from 64 to 2048)"
        ) from error
    return settings.width, settings.height


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise StoryFileError(path, None, "there is no such file") from error
    except IsADirectoryError as error:
        raise StoryFileError(path, None, "this is a folder (name a story file)") from error
    except OSError as error:
        raise StoryFileError(path, None, f"cannot be read ({error.strerror})") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise StoryFileError(path, line, "this is not UTF-8 text (save it as UTF-8)") from error


def _read_lines(path: Path, text: str) -> StoryFile:
    groups: list[list[Frame]] = [[]]
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            groups.append([])
            continue
        parts = [part.strip() for part in line.split(_SEPARATOR)]
        try:
            if len(parts) != 3:
                raise ValueError(
                    f"expected background#character#action with two '#', found {len(parts) - 1}"
                )
            if not any(parts):
                raise ValueError("the line has no words (say where, who and what)")
            if len(groups[-1]) == MAX_FRAMES:
                raise ValueError(
                    f"a group has at most {MAX_FRAMES} frames (begin another after a blank line)"
                )
            groups[-1].append(Frame(location=parts[0], character=parts[1], action=parts[2]))
        except ValueError as error:
            invalid = error.errors() if isinstance(error, ValidationError) else []
            fault = _expected(invalid[0]) if invalid else str(error)
            raise StoryFileError(path, number, fault) from error
    groups = [group for group in groups if group]
    if not groups:
        raise StoryFileError(path, None, "no frames (write a line background#character#action)")
    titles = [f"{path.stem}, group {number}" for number, _ in enumerate(groups, 1)]
    boards = tuple(map(_group, titles if len(groups) > 1 else [path.stem], groups))
    alike = not any(frame.character for board in boards for frame in board.frames)
    return StoryFile(boards, sized=False, one_character=alike)


def _group(title: str, frames: list[Frame]) -> Storyboard:
    characters = {frame.character for frame in frames}
    # Where the lines differ, each frame keeps its own words, so that an empty one means nobody.
    shared = characters.pop() if len(characters) == 1 else ""
    board = Storyboard(
        title=title[:SHORT_TEXT],
        character=Character(description=shared),
        frames=tuple(f.model_copy(update={"character": ""}) if shared else f for f in frames),
        settings=RenderSettings.model_validate(_native(RenderSettings().model)),
    )
    return _with_identity(board)


def _with_identity(board: Storyboard, number: int | None = None) -> Storyboard:
    """Return a storyboard with this identity frame; None for the first one, even without words."""
    frame = board.frames[(number or 1) - 1]
    if number is None and frame.has_words:
        return board
    settings = board.settings.model_copy(update={"identity": frame.id})
    return board.model_copy(update={"settings": settings})


class _Loader(yaml.BaseLoader):
    """Leaves every value the text that is in the file; refuses empty values and double keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        found = super().construct_mapping(node, deep)
        keys = [key.value for key, _ in node.value]
        for index, (key, _) in enumerate(node.value):
            if key.value in keys[:index]:
                problem = f"{key.value!r} is there twice (remove one)"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        return found

    def construct_scalar(self, node: yaml.ScalarNode) -> str:
        return str(super().construct_scalar(node)).strip()

    def construct_empty(self, node: yaml.Node) -> None:
        problem = "a value is empty (write something, or remove the line)"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


_EMPTY = "tag:yaml.org,2002:null"
_Loader.add_implicit_resolver(_EMPTY, re.compile("(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_constructor(_EMPTY, _Loader.construct_empty)


def _short_form_of(key: str) -> BeforeValidator:
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


def _refuse_empty(value: object) -> object:
    if value == {}:
        raise ValueError("the frame has no words (say where it is and what happens)")
    return value


def _parse_size(value: object) -> tuple[int, int]:
    sides = value if isinstance(value, list) else [value]
    return parse_size("x".join(side if isinstance(side, str) else "?" for side in sides))


def _near(value: str | Path, info: ValidationInfo) -> Path | None:
    """Return a path as seen from the story file, whose folder is the context.

    It is None where the file came alone.
    """
    folder: Any = info.context
    return None if folder is None else Path(folder, os.path.expanduser(value))


class _Character(Value, defer_build=True):
    name: str = ""
    description: str = ""
    reference: Path | None = None
    strength: float | None = None

    @field_validator("reference")
    @classmethod
    def _find(cls, value: Path, info: ValidationInfo) -> Path:
        path = _near(value, info)
        if path is None:
            return value
        if not os.path.isfile(path):  # Path.is_file fails at names that are too long
            raise ValueError(f"there is no picture {path} (name it as seen from the story file)")
        return path

    @field_validator("strength")
    @classmethod
    def _check_reference(cls, value: float, info: ValidationInfo) -> float:
        if info.data.get("reference", ...) is None:
            raise ValueError("'strength' is for a picture (add 'reference')")
        return value


class _Style(Style, defer_build=True):
    @field_validator("source")
    @classmethod
    def _find(cls, value: str, info: ValidationInfo) -> str:
        near = _near(value, info)
        return str(near) if near is not None and os.path.exists(near) else value


class _Frame(Value, defer_build=True):
    location: str = ""
    action: str = ""
    character: str = ""
    share_background: bool = False
    reference_strength: float | None = None
    seed: int | None = None
    locked: bool = False


class _Story(Value, defer_build=True):
    """The keys of a YAML story file; the storyboard itself checks the bounds of their values."""

    title: str = ""
    character: Annotated[_Character, _short_form_of("description")] = _Character()
    model: str = RenderSettings().model
    size: Annotated[tuple[int, int], BeforeValidator(_parse_size)] | None = None
    steps: int | None = None
    guidance: float | None = None
    shortcut: str = "exact"
    # Checked here, as it goes into every frame that has none.
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] | None = None
    consistent: bool = True
    merge: bool = True
    styles: list[Annotated[_Style, _short_form_of("source")]] = Field([], max_length=MAX_STYLES)
    frames: list[Annotated[_Frame, BeforeValidator(_refuse_empty)]] = Field(
        min_length=1, max_length=MAX_FRAMES
    )
    identity: int | None = None

    @field_validator("model")
    @classmethod
    def _check_model(cls, value: str, info: ValidationInfo) -> str:
        if info.context is None:  # a file that came alone names a model of its own machine
            return value
        try:
            find_model(value)
        except UnknownModelError as error:
            raise ValueError(str(error)) from error
        return value

    @field_validator("identity")
    @classmethod
    def _check_identity(cls, value: int, info: ValidationInfo) -> int:
        frames = len(info.data.get("frames", ()))
        if frames and not 1 <= value <= frames:
            raise ValueError(f"'identity' should be the number of a frame, from 1 to {frames}")
        return value

    def storyboard(self, title: str) -> Storyboard:
        """Return the storyboard, with this title where the file has none.

        Raises:
            ValidationError: if a value is out of bounds.
        """
        given = self.model_dump(exclude_unset=True, exclude={"identity"})
        settings = {key: given[key] for key in RenderSettings.model_fields if key in given}
        settings = _native(self.model) | settings
        if self.size is not None:
            settings["width"], settings["height"] = self.size
        board = Storyboard.model_validate(
            {
                "title": given.get("title", title),
                "character": self.character.model_dump(exclude={"reference"}),
                "frames": [{"seed": self.seed, **frame} for frame in given["frames"]],
                "settings": settings,
            }
        )
        return _with_identity(board, self.identity)


def _read_yaml(path: Path, text: str, alone: bool) -> StoryFile:
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        content = None if root is None else loader.construct_document(root)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise StoryFileError(path, line, f"the YAML is wrong: {error.reason}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        fault = f"the YAML is wrong: {error.problem}"
        raise StoryFileError(path, mark.line + 1 if mark else None, fault) from error
    except RecursionError as error:
        fault = "it is nested too deeply (a story needs three levels)"
        raise StoryFileError(path, None, fault) from error
    if root is None:
        fault = "it is empty (`python -m storyboard new FILE` writes an example)"
        raise StoryFileError(path, None, fault)
    try:
        story = _Story.model_validate(content, context=None if alone else path.parent)
        board = story.storyboard(path.stem[:SHORT_TEXT])
    except ValidationError as error:
        # What is missing may be misspelt elsewhere.
        faults = [(f["type"] == "missing", _line(root, f), _expected(f)) for f in error.errors()]
        raise StoryFileError(path, *min(faults)[1:]) from error
    return StoryFile((board,), story.size is not None, story.character.reference)


def _line(node: yaml.Node, fault: ErrorDetails) -> int:
    """Return the line of the key or list item at fault, or of what it should be in."""
    line = node.start_mark.line
    path = [part for part in fault["loc"] if part != "settings"]
    if fault["type"] == "too_long":
        path.append(fault["ctx"]["max_length"])
    for part in path:
        if isinstance(node, yaml.MappingNode):
            children = {key.value: (key, value) for key, value in node.value}
        else:
            children = {index: (item, item) for index, item in enumerate(node.value)}
        if part not in children:
            break
        start, node = children[part]
        line = start.start_mark.line
    return line + 1


def _expected(fault: ErrorDetails) -> str:
    """Return a fault that pydantic found, in a person's words."""
    *above, key = ("the story", *fault["loc"])
    if fault["type"] == "value_error":
        return fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        parts = {
            "character": _Character.model_fields,
            "styles": _Style.model_fields,
            "frames": _Frame.model_fields,
        }
        known = list(parts.get(str((*above, "")[1]), _Story.model_fields))
        near = difflib.get_close_matches(str(key), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        return f"there is no key {key!r} ({hint})"
    subject = f"item {key + 1} of {above[-1]!r}" if isinstance(key, int) else repr(key)
    expected = re.sub("^(Input|String|List) ", "", fault["msg"])
    if fault["type"] == "too_long":
        return f"{subject} should have at most {fault['ctx']['max_length']} items"
    return f"{subject} {_EXPECTED.get(fault['type'], expected)}"


def _native(model: str) -> dict[str, Any]:
    """Return a model and its size; without a size where there is no such model here."""
    try:
        spec = find_model(model)
    except UnknownModelError:
        return {"model": model}
    return {"model": model, "width": spec.width, "height": spec.height}
