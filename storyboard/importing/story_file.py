"""Story files: a whole storyboard in one text file, as a person writes it.

Two formats. YAML (`assets/example/story.yaml` shows and explains every key), and CharaConsist's
prompt files: a line `background#character#action` for each frame, groups separated by blank
lines, each group a storyboard of its own whose first line is the identity frame.

A fault is one line that names the file, the line and what to do. It knows nothing of rendering.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from pydantic import ValidationError

from pipelines.errors import UnknownModelError
from pipelines.models.catalog import find_model
from pipelines.models.shortcuts import SHORTCUTS
from storyboard.board import (
    MAX_FRAMES,
    MAX_GUIDANCE,
    MAX_REFERENCE_STRENGTH,
    MAX_SEED,
    MAX_STYLE_WEIGHT,
    MAX_STYLES,
    MIN_GUIDANCE,
    Character,
    Frame,
    RenderSettings,
    Storyboard,
    Style,
)
from storyboard.errors import StoryFileError
from storyboard.settings import ROOT

EXAMPLE_STORY = ROOT / "assets" / "example" / "story.yaml"

STORY_KEYS = (
    "title",
    "character",
    "model",
    "size",
    "steps",
    "guidance",
    "shortcut",
    "seed",
    "consistent",
    "merge",
    "styles",
    "frames",
)
CHARACTER_KEYS = ("name", "description", "reference", "strength")
STYLE_KEYS = ("source", "weight", "trigger")
FRAME_KEYS = (
    "location",
    "action",
    "character",
    "share_background",
    "reference_strength",
    "seed",
)

T = TypeVar("T")

_SIZE = re.compile(r"(\d{1,5})\s*[xX\u00d7]\s*(\d{1,5})")
_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{0,18})?")
_SEPARATOR = "#"


@dataclass(frozen=True)
class Story:
    """What a story file holds.

    Attributes:
        storyboards: one for YAML, one for each group of the line format.
        sized: whether the file itself says how large the frames are; otherwise they have the
            native size of the file's model.
        reference: the picture of the character that it names, not prepared yet; None for none.
        one_character: whether every storyboard has one character, whom a picture could show; not
            so where the lines of a group name several.
    """

    storyboards: tuple[Storyboard, ...]
    sized: bool
    reference: Path | None = None
    one_character: bool = True


def read_story(path: Path) -> Story:
    """Read a story file of either format.

    The ending decides: `.yaml` and `.yml` against `.txt`. With any other, the file is in the line
    format where each of its lines has exactly two "#".

    Raises:
        StoryFileError: if it cannot be read, with the line and what to do.
    """
    text = _text(path)
    suffix = path.suffix.casefold()
    lines = [line for line in text.splitlines() if line.strip()]
    looks_like_lines = bool(lines) and all(line.count(_SEPARATOR) == 2 for line in lines)
    if suffix == ".txt" or (looks_like_lines and suffix not in (".yaml", ".yml")):
        return _Lines(path).read(text)
    return _Yaml(path).read(text)


def parse_size(text: str) -> tuple[int, int]:
    """Width and height in pixels from "768x512".

    Raises:
        ValueError: if it is not of that form, or a size that frames cannot have.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size (write it as 768x512)")
    return check_size(int(match[1]), int(match[2]))


def check_size(width: int, height: int) -> tuple[int, int]:
    """The size itself, if frames can have it.

    Raises:
        ValueError: otherwise.
    """
    try:
        settings = RenderSettings(width=width, height=height)
    except ValidationError as error:
        raise ValueError(
            f"{width}x{height} is not a size that frames can have "
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


class _Lines:
    """Reads the line format.

    Args:
        path: the file, for its name in faults and titles.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, text: str) -> Story:
        groups: list[list[tuple[str, str, str]]] = [[]]
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                groups.append([])
                continue
            groups[-1].append(self._parts(number, line))
            if len(groups[-1]) > MAX_FRAMES:
                self._fail(
                    number,
                    f"a group has at most {MAX_FRAMES} frames (begin another after a blank line)",
                )
        filled = [group for group in groups if group]
        if not filled:
            self._fail(None, "it holds no frames (write a line background#character#action)")
        titles = [self.path.stem]
        if len(filled) > 1:
            titles = [f"{self.path.stem}, group {n}" for n in range(1, len(filled) + 1)]
        boards = (_group(title, group) for title, group in zip(titles, filled, strict=True))
        alike = all(len({character for _, character, _ in group}) == 1 for group in filled)
        return Story(tuple(boards), sized=False, one_character=alike)

    def _parts(self, number: int, line: str) -> tuple[str, str, str]:
        parts = line.split(_SEPARATOR)
        if len(parts) != 3:
            self._fail(
                number,
                f"expected background#character#action with two '#', found {len(parts) - 1}",
            )
        background, character, action = (part.strip() for part in parts)
        if not (background or character or action):
            self._fail(number, "the line has no words (say where, who and what)")
        try:
            Frame(location=background, character=character, action=action)
        except ValidationError as error:
            self._fail(number, _first(error))
        return background, character, action

    def _fail(self, line: int | None, fault: str) -> NoReturn:
        raise StoryFileError(self.path, line, fault)


def _group(title: str, lines: list[tuple[str, str, str]]) -> Storyboard:
    characters = {character for _, character, _ in lines}
    # Where the lines differ each frame carries its own words, so that an empty one means nobody.
    shared = characters.pop() if len(characters) == 1 else ""
    return Storyboard(
        title=title[:500],
        character=Character(description=shared),
        frames=tuple(
            Frame(location=background, character="" if shared else character, action=action)
            for background, character, action in lines
        ),
        settings=_native(RenderSettings().model),
    )


class _Yaml:
    """Reads the YAML format, from the nodes of the file so that every fault has its line.

    Args:
        path: the file, for its name in faults and titles.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, text: str) -> Story:
        root = self._compose(text)
        if root is None:
            self._fail(None, "it is empty (`python -m storyboard new FILE` writes an example)")
        nodes = self._mapping(root, "the story", STORY_KEYS)
        if "frames" not in nodes:
            self._fail(root, "there are no frames (add a list called 'frames')")
        settings = self._settings(nodes)
        seed = self._get(nodes, "seed", self._integer, None)
        frames = self._frames(nodes["frames"], seed)
        character, reference = Character(), None
        if "character" in nodes:
            character, reference = self._character(nodes["character"])
        values = {
            "title": self._get(nodes, "title", self._words, self.path.stem[:500]),
            "character": character,
            "settings": settings,
            "frames": frames,
        }
        board = self._build(Storyboard, values, nodes)
        return Story((board,), sized="size" in nodes, reference=reference)

    def _compose(self, text: str) -> yaml.Node | None:
        try:
            root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._fail(mark.line + 1 if mark else None, f"this is not YAML: {error.problem}")
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            self._fail(line, f"this is not YAML: {error.reason}")
        except RecursionError:
            self._fail(None, "it is nested too deeply (a story needs three levels)")
        return root

    def _settings(self, nodes: dict[str, yaml.Node]) -> RenderSettings:
        settings = _native(RenderSettings().model)
        if "model" in nodes:
            try:
                settings = _native(self._words(nodes["model"], "model"))
            except UnknownModelError as error:
                self._fail(nodes["model"], str(error))
        values: dict[str, Any] = settings.model_dump()
        if "size" in nodes:
            values["width"], values["height"] = self._size(nodes["size"])
        values["steps"] = self._get(nodes, "steps", self._integer, None)
        values["guidance"] = self._get(nodes, "guidance", self._number, None)
        values["shortcut"] = self._get(nodes, "shortcut", self._words, "exact")
        values["consistent"] = self._get(nodes, "consistent", self._switch, True)
        values["merge"] = self._get(nodes, "merge", self._switch, True)
        if "styles" in nodes:
            values["styles"] = self._styles(nodes["styles"])
        return self._build(RenderSettings, values, nodes)

    def _character(self, node: yaml.Node) -> tuple[Character, Path | None]:
        """The character, and the picture that it is to be prepared from."""
        if not isinstance(node, yaml.MappingNode):
            nodes = {"description": node}
        else:
            nodes = self._mapping(node, "the character", CHARACTER_KEYS)
        values = {
            "name": self._get(nodes, "name", self._words, ""),
            "description": self._get(nodes, "description", self._words, ""),
            "strength": self._get(nodes, "strength", self._number, None),
        }
        reference = self._get(nodes, "reference", self._picture, None)
        if reference is None and "strength" in nodes:
            self._fail(nodes["strength"], "'strength' is for a picture (add 'reference')")
        return self._build(Character, values, nodes), reference

    def _picture(self, node: yaml.Node, key: str) -> Path:
        path = self.path.parent / os.path.expanduser(self._words(node, key))
        if not path.is_file():
            self._fail(node, f"there is no picture {path} (name it as seen from the story file)")
        return path

    def _styles(self, node: yaml.Node) -> tuple[Style, ...]:
        if not isinstance(node, yaml.SequenceNode):
            self._fail(node, "'styles' is a list of LoRAs (begin each with '- ')")
        if len(node.value) > MAX_STYLES:
            self._fail(node.value[MAX_STYLES], f"a storyboard has at most {MAX_STYLES} styles")
        return tuple(self._style(item) for item in node.value)

    def _style(self, node: yaml.Node) -> Style:
        nodes = {"source": node}
        if isinstance(node, yaml.MappingNode):
            nodes = self._mapping(node, "a style", STYLE_KEYS)
            if "source" not in nodes:
                self._fail(node, "a style needs a 'source' (a .safetensors file, or owner/name)")
        source = self._words(nodes["source"], "source")
        near = self.path.parent / os.path.expanduser(source)
        values = {
            "source": str(near) if near.exists() else source,
            "weight": self._get(nodes, "weight", self._number, 1.0),
            "trigger": self._get(nodes, "trigger", self._words, ""),
        }
        return self._build(Style, values, nodes)

    def _frames(self, node: yaml.Node, seed: int | None) -> tuple[Frame, ...]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            self._fail(node, "'frames' is a list of frames (begin each with '- ')")
        if len(node.value) > MAX_FRAMES:
            self._fail(node.value[MAX_FRAMES], f"a storyboard has at most {MAX_FRAMES} frames")
        return tuple(self._frame(item, seed) for item in node.value)

    def _frame(self, node: yaml.Node, seed: int | None) -> Frame:
        nodes = self._mapping(node, "a frame", FRAME_KEYS)
        if not nodes:
            self._fail(node, "the frame has no words (say where it is and what happens)")
        values = {
            "location": self._get(nodes, "location", self._words, ""),
            "action": self._get(nodes, "action", self._words, ""),
            "character": self._get(nodes, "character", self._words, ""),
            "share_background": self._get(nodes, "share_background", self._switch, False),
            "reference_strength": self._get(nodes, "reference_strength", self._number, None),
            "seed": self._get(nodes, "seed", self._integer, seed),
        }
        return self._build(Frame, values, nodes)

    def _mapping(self, node: yaml.Node, what: str, known: Iterable[str]) -> dict[str, yaml.Node]:
        known = tuple(known)
        if not isinstance(node, yaml.MappingNode):
            self._fail(node, f"{what} is written as 'key: value' lines ({', '.join(known)})")
        found: dict[str, yaml.Node] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name not in known:
                near = difflib.get_close_matches(str(name), known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
                self._fail(key, f"{what} has no key {name!r} ({hint})")
            if name in found:
                self._fail(key, f"{name!r} is there twice (remove one)")
            found[name] = value
        return found

    def _get(
        self,
        nodes: dict[str, yaml.Node],
        key: str,
        read: Callable[[yaml.Node, str], T],
        default: T,
    ) -> T:
        return read(nodes[key], key) if key in nodes else default

    def _words(self, node: yaml.Node, key: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self._fail(node, f"{key!r} is a text (put it on one line, or in quotes)")
        if node.tag.endswith(":null"):
            self._fail(node, f"{key!r} is empty (write something, or remove the line)")
        return str(node.value).strip()

    def _integer(self, node: yaml.Node, key: str) -> int:
        if isinstance(node, yaml.ScalarNode) and re.fullmatch(r"[+-]?\d{1,18}", node.value):
            return int(node.value)
        self._fail(node, f"{key!r} is a whole number")

    def _number(self, node: yaml.Node, key: str) -> float:
        if isinstance(node, yaml.ScalarNode) and _NUMBER.fullmatch(node.value):
            return float(node.value)
        self._fail(node, f"{key!r} is a number")

    def _switch(self, node: yaml.Node, key: str) -> bool:
        if isinstance(node, yaml.ScalarNode) and node.tag.endswith(":bool"):
            return node.value.casefold() in ("true", "yes", "on")
        self._fail(node, f"{key!r} is true or false")

    def _size(self, node: yaml.Node) -> tuple[int, int]:
        try:
            if isinstance(node, yaml.SequenceNode) and len(node.value) == 2:
                width, height = (self._integer(side, "size") for side in node.value)
                return check_size(width, height)
            return parse_size(self._words(node, "size"))
        except ValueError as error:
            self._fail(node, str(error))

    def _build(
        self, kind: Callable[..., T], values: dict[str, Any], nodes: dict[str, yaml.Node]
    ) -> T:
        try:
            return kind(**values)
        except ValidationError as error:
            key = str(error.errors()[0]["loc"][0])
            self._fail(nodes.get(key), _first(error))

    def _fail(self, where: yaml.Node | int | None, fault: str) -> NoReturn:
        line = where.start_mark.line + 1 if isinstance(where, yaml.Node) else where
        raise StoryFileError(self.path, line, " ".join(fault.split()))


def _native(model: str) -> RenderSettings:
    spec = find_model(model)
    return RenderSettings(model=model, width=spec.width, height=spec.height)


def _first(error: ValidationError) -> str:
    """The first fault of a value, in a person's words."""
    fault = error.errors()[0]
    key = str(fault["loc"][0])
    limits = fault.get("ctx", {})
    if fault["type"] == "string_too_long":
        return f"{key!r} is longer than {limits['max_length']} characters (shorten it)"
    if key == "seed":
        return f"'seed' is a whole number from 0 to {MAX_SEED}"
    if key == "steps":
        return "'steps' is a whole number from 1 to 200"
    if key == "guidance":
        return f"'guidance' is a number from {MIN_GUIDANCE} to {MAX_GUIDANCE}"
    if key == "shortcut":
        return f"'shortcut' is one of {', '.join(shortcut.name for shortcut in SHORTCUTS)}"
    if key in ("strength", "reference_strength"):
        return f"{key!r} is a number from 0 to {MAX_REFERENCE_STRENGTH}"
    if key == "weight":
        return f"'weight' is a number from -{MAX_STYLE_WEIGHT} to {MAX_STYLE_WEIGHT}"
    return f"{key!r}: {fault['msg']}"
