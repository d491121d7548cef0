"""Evaluation suite as data: prompts, seeds, and the truth of each picture.

A suite is a fixed, versioned JSON file, so that numbers of different days can be compared. This
module reads and writes it without torch; `evaluation.drawn.suite` makes one from the drawn
world, `evaluation.metrics` scores the pictures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipelines.errors import UserError
from pipelines.request import Prompt
from storyboard.settings import ROOT

SUITE = ROOT / "assets" / "evaluation" / "suite-v1.json"
REFERENCE_SUITE = ROOT / "assets" / "evaluation" / "references-v1.json"
KIND = "throughline evaluation suite"
SUITE_VERSION = 1


class SuiteError(UserError):
    """File that is not a suite of the version that this release reads."""


@dataclass(frozen=True)
class SuiteReference:
    """Picture of a character, as a person would upload it.

    Attributes:
        seed: of the drawing.
        scene: the scene with the character, as `SuiteFrame.scene`.
    """

    seed: int
    scene: Mapping[str, str]


@dataclass(frozen=True)
class SuiteFrame:
    """Picture to render.

    Attributes:
        prompt: its prompt.
        seed: seed of the initial latents.
        scene: its truth besides the character: attribute names and their values
            (place, time, weather, shot, action, position, view, facing).
        stated: names of the attributes, the character's too, that the prompt states and that can be
            seen in a picture drawn of it.
        referred: names of the character's attributes that only the reference shows and that can be
            seen in a picture drawn of this frame.
        place_of: index of the earlier frame whose place this one is in, in the same words; None
            where it has its own place, or where `SuiteCharacter.shares_place` holds.
    """

    prompt: Prompt
    seed: int
    scene: Mapping[str, str]
    stated: tuple[str, ...]
    referred: tuple[str, ...] = ()
    place_of: int | None = None


@dataclass(frozen=True)
class SuiteCharacter:
    """Character and the frames that show it; the first is the identity frame.

    Attributes:
        name: unique in the suite; can be a file's name.
        attributes: the character's appearance, by attribute name.
        left_out: attributes that no prompt mentions, so that only the identity frame, or the
            reference, shows them.
        shares_place: whether all frames are in the identity frame's place, in the same words.
        frames: in their order.
        reference: a picture of the character; None where there is none.
    """

    name: str
    attributes: Mapping[str, str]
    left_out: tuple[str, ...]
    shares_place: bool
    frames: tuple[SuiteFrame, ...]
    reference: SuiteReference | None = None

    def __post_init__(self) -> None:
        if not self.frames:
            raise ValueError(f"character {self.name!r} has no frames")
        unknown = [name for name in self.left_out if name not in self.attributes]
        if unknown:
            raise ValueError(f"character {self.name!r} has no attributes {unknown} to leave out")
        for index, frame in enumerate(self.frames):
            if frame.place_of is not None and not 0 <= frame.place_of < index:
                raise ValueError(
                    f"frame {index} of character {self.name!r} is in the place of frame "
                    f"{frame.place_of}, which is not an earlier one"
                )

    def place_source(self, index: int) -> int | None:
        """Return the index of the frame whose place a frame is in; None for its own."""
        if self.shares_place:
            return 0 if index else None
        return self.frames[index].place_of

    def truth(self, index: int) -> dict[str, str]:
        """Return all attributes that the frame with this index should show."""
        return {**self.attributes, **self.frames[index].scene}


@dataclass(frozen=True)
class Suite:
    """Prompts and characters of an evaluation.

    Attributes:
        version: of the suite; results of different versions cannot be compared.
        width: of every picture, in pixels.
        height: of every picture, in pixels.
        world: its part of the drawn world, for `evaluation.drawn.suite`.
        characters: several frames each, to measure whether the character stays the same.
        prompts: one frame each, to measure whether a prompt is followed.
    """

    version: int
    width: int
    height: int
    world: Mapping[str, Any]
    characters: tuple[SuiteCharacter, ...]
    prompts: tuple[SuiteCharacter, ...]

    def __post_init__(self) -> None:
        names = [case.name for case in (*self.characters, *self.prompts)]
        if len(set(names)) < len(names):
            raise ValueError("two characters or prompts of the suite have the same name")

    @property
    def has_references(self) -> bool:
        """True where its characters have references."""
        return any(case.reference is not None for case in self.characters)

    def to_json(self) -> str:
        """Write the suite as JSON, a line for each character."""
        head = {
            "kind": KIND,
            "version": self.version,
            "width": self.width,
            "height": self.height,
            "world": self.world,
        }
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
        for key, cases in (("characters", self.characters), ("prompts", self.prompts)):
            rows = ",\n".join(f"    {json.dumps(_plain(case))}" for case in cases)
            lines.append(f"  {json.dumps(key)}: [\n{rows}\n  ]" if rows else f'  "{key}": []')
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> Suite:
        """Read a suite from the JSON of `to_json`.

        Raises:
            SuiteError: if it is not a suite, or one of another version.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise SuiteError(f"is damaged: {error}") from error
        if not isinstance(data, dict) or data.get("kind") != KIND:
            raise SuiteError("is not an evaluation suite")
        if data.get("version") != SUITE_VERSION:
            raise SuiteError(
                f"has version {data.get('version')!r}; this release reads version {SUITE_VERSION}"
            )
        try:
            return TypeAdapter(cls).validate_python(data)
        except ValidationError as error:
            first = error.errors()[0]
            found = ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
            raise SuiteError(f"is damaged: {found}") from error


def read_suite(path: Path) -> Suite:
    """Read a suite's file.

    Raises:
        SuiteError: if it cannot be read, is not a suite, or is one of another version.
    """
    try:
        return Suite.from_json(path.read_text(encoding="utf-8"))
    except SuiteError as error:
        raise SuiteError(f"{path} {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path} cannot be read: {error}.") from error


def _plain(case: SuiteCharacter) -> dict[str, Any]:
    """Convert a case to JSON-ready data, without the fields that it lacks."""
    data = asdict(case)
    if case.reference is None:
        del data["reference"]
    for frame in data["frames"]:
        if not frame["referred"]:
            del frame["referred"]
        if frame["place_of"] is None:
            del frame["place_of"]
    return data
