"""The domain: a storyboard, its character, its frames and their takes.

Values only: it knows nothing of files, models, jobs or pages. Imports pydantic, and the names of
shortcuts.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from pipelines.models.shortcuts import ShortcutName

MAX_FRAMES = 48
MAX_SEED = 2**32 - 1
MAX_STEPS = 200
MIN_GUIDANCE, MAX_GUIDANCE = 1, 10
MAX_REFERENCE_STRENGTH = 2
MAX_STYLES = 4
MAX_STYLE_WEIGHT = 2
SHORT_TEXT = 500
LONG_TEXT = 2000
SIZE_STEP = 16

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
ShortText = Annotated[str, StringConstraints(max_length=SHORT_TEXT)]
LongText = Annotated[str, StringConstraints(max_length=LONG_TEXT)]
PictureSide = Annotated[int, Field(ge=64, le=2048, multiple_of=SIZE_STEP)]
# A file of the project's references: the SHA-256 of its bytes; empty for none.
PictureName = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64}\.png)?\z")]
ReferenceStrength = Annotated[
    float | None, Field(ge=0, le=MAX_REFERENCE_STRENGTH, allow_inf_nan=False)
]


def new_id() -> str:
    """A short random identifier."""
    return uuid.uuid4().hex[:12]


class Value(BaseModel):
    """Base of all domain values: immutable, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Character(Value):
    """Who the story is about: described in words, shown in a reference picture, or both.

    Attributes:
        name: what the people who make the storyboard call the character; not painted.
        description: what the character looks like, in words.
        reference: name of the prepared picture that frames follow; empty for none.
        strength: how closely they follow it, in [0, 2]; 0 is not at all, None the model's own.
    """

    name: ShortText = ""
    description: LongText = ""
    reference: PictureName = ""
    strength: ReferenceStrength = None


class Style(Value):
    """A LoRA that all frames are painted with.

    Attributes:
        source: a `.safetensors` file, or a LoRA on the Hugging Face hub as "owner/name" or
            "owner/name/file.safetensors".
        weight: how strongly it is applied, in [-2, 2]; 1 is as trained.
        trigger: the words that call it; empty where it needs none.
    """

    source: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=SHORT_TEXT)
    ]
    weight: float = Field(
        default=1.0, ge=-MAX_STYLE_WEIGHT, le=MAX_STYLE_WEIGHT, allow_inf_nan=False
    )
    trigger: ShortText = ""


class Take(Value):
    """One painted result of a frame; takes are never overwritten.

    Attributes:
        id: its folder in the project.
        frame_id: the frame it belongs to.
        created: when it was painted, UTC.
        seconds: how long it took.
        seed: the seed it was painted with.
        matches: tokens matched with the identity frame; None when it had no identity frame.
        foreground: share of the picture that the foreground mask covers, in [0, 1].
        prompt: the whole prompt it was painted from.
        model: the model that painted it.
    """

    id: Identifier = Field(default_factory=new_id)
    frame_id: Identifier
    created: datetime = Field(default_factory=lambda: datetime.now(UTC))
    seconds: float = Field(ge=0)
    seed: int = Field(ge=0, le=MAX_SEED)
    matches: int | None = Field(default=None, ge=0)
    foreground: float = Field(ge=0, le=1)
    prompt: str
    model: str


class Frame(Value):
    """One picture of the story.

    Attributes:
        id: its identifier, stable across edits and moves.
        action: what the character does.
        location: where it happens; frames with the same words are at the same place.
        share_background: whether the place is kept the same, to the picture, as in the other
            frames at this location that share it.
        character: who is in this frame, in words; empty for the storyboard's character. Whoever
            is described here does not follow the storyboard's reference picture.
        reference_strength: how closely this frame follows the reference picture, in [0, 2]; None
            for the character's own strength.
        seed: the seed to paint with, or None for a new one at each render.
        take: id of the chosen take, or None before the first.
    """

    id: Identifier = Field(default_factory=new_id)
    action: ShortText = ""
    location: ShortText = ""
    share_background: bool = False
    character: LongText = ""
    reference_strength: ReferenceStrength = None
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED)
    take: Identifier | None = None

    @property
    def place(self) -> str:
        """The location in a form that can be compared: case, spaces and end commas aside."""
        return " ".join(self.location.casefold().split()).rstrip(",. ")


class RenderSettings(Value):
    """How all frames of a storyboard are painted.

    Attributes:
        model: name in the registry, a Hugging Face repository, or a local folder.
        width: width of the frames in pixels.
        height: height of the frames in pixels.
        steps: denoising steps; None for the model's own number.
        guidance: how closely pictures follow the words, for models that have learnt it; None for
            the model's own strength.
        shortcut: how the frames are painted faster than exactly.
        consistent: whether frames share the character of the first frame.
        merge: whether matched tokens are also merged (CharaConsist's adaptive token merge).
        styles: LoRAs that the frames are painted with, added to each other.
    """

    model: Annotated[str, StringConstraints(min_length=1, max_length=300)] = "miniature"
    width: PictureSide = 256
    height: PictureSide = 256
    steps: int | None = Field(default=None, ge=1, le=MAX_STEPS)
    guidance: float | None = Field(default=None, ge=MIN_GUIDANCE, le=MAX_GUIDANCE)
    shortcut: ShortcutName = "exact"
    consistent: bool = True
    merge: bool = True
    styles: tuple[Style, ...] = Field(default=(), max_length=MAX_STYLES)


class Storyboard(Value):
    """A title, a character, and frames in order.

    The first frame is the identity frame; where the character has a picture, the first that follows
    it.

    Attributes:
        title: the storyboard's title.
        character: who the frames show.
        frames: the frames in order.
        settings: how they are painted.
    """

    title: ShortText = "Untitled storyboard"
    character: Character = Character()
    frames: tuple[Frame, ...] = Field(default=(), max_length=MAX_FRAMES)
    settings: RenderSettings = RenderSettings()

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        ids = [frame.id for frame in self.frames]
        twice = sorted({i for i in ids if ids.count(i) > 1})
        if twice:
            raise ValueError(f"frames with the same id: {', '.join(twice)}")
        return self

    def frame(self, frame_id: str) -> Frame:
        """The frame with this id.

        Raises:
            KeyError: if there is none.
        """
        for frame in self.frames:
            if frame.id == frame_id:
                return frame
        raise KeyError(frame_id)

    def position(self, frame_id: str) -> int:
        """The place of the frame with this id, counted from 0.

        Raises:
            KeyError: if there is none.
        """
        for index, frame in enumerate(self.frames):
            if frame.id == frame_id:
                return index
        raise KeyError(frame_id)

    def with_frame(self, changed: Frame) -> Storyboard:
        """The same storyboard with the frame of that id replaced."""
        frames = tuple(changed if f.id == changed.id else f for f in self.frames)
        return self.model_copy(update={"frames": frames})

    def with_take(self, frame_id: str, take_id: str) -> Storyboard:
        """The same storyboard with this take chosen; unchanged where the frame is gone."""
        frames = tuple(
            f.model_copy(update={"take": take_id}) if f.id == frame_id else f for f in self.frames
        )
        return self.model_copy(update={"frames": frames})

    def reference_of(self, frame: Frame) -> str:
        """Name of the picture that a frame follows; empty where it follows none.

        A frame that says itself who is in it shows somebody else than the picture does.
        """
        return "" if frame.character.strip() else self.character.reference

    def background_source(self, frame_id: str) -> str | None:
        """The earlier frame whose place this frame shares, or None where it starts its own.

        A frame shares its background with the first frame at the same location that shares too.
        """
        frame = self.frame(frame_id)
        if not frame.share_background or not frame.place:
            return None
        for other in self.frames:
            if other.id == frame_id:
                return None
            if other.share_background and other.place == frame.place:
                return other.id
        return None
