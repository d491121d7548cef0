"""Data of a storyboard: its character, frames, takes and settings.

It knows nothing of files, models, jobs or pages; `storyboard.frames` answers questions about
frames.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from pipelines.models.shortcuts import ShortcutName
from pipelines.request import MAX_REFERENCE_STRENGTH as MAX_REFERENCE_STRENGTH
from pipelines.request import MAX_STYLE_WEIGHT as MAX_STYLE_WEIGHT

MAX_FRAMES = 48
MAX_SEED = 2**32 - 1
MAX_STEPS = 200
MIN_GUIDANCE, MAX_GUIDANCE = 1, 10
MAX_STYLES = 4
SHORT_TEXT = 500
LONG_TEXT = 2000
SIZE_STEP = 16

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
ShortText = Annotated[str, StringConstraints(max_length=SHORT_TEXT)]
LongText = Annotated[str, StringConstraints(max_length=LONG_TEXT)]
PictureSide = Annotated[int, Field(ge=64, le=2048, multiple_of=SIZE_STEP)]
# A frame of the storyboard, which may have been removed since; empty for none.
FrameName = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9_-]{1,32})?\z")]
# A file of the project's references: the SHA-256 of its bytes; empty for none.
PictureName = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64}\.png)?\z")]
ReferenceStrength = Annotated[float | None, Field(ge=0, le=MAX_REFERENCE_STRENGTH)]

# A time without a zone, as other programs write it, is UTC.
Moment = Annotated[
    datetime, AfterValidator(lambda time: time if time.tzinfo else time.replace(tzinfo=UTC))
]


def new_id() -> str:
    """Return a random identifier of 128 bits: whoever knows a board's can open it."""
    return secrets.token_hex(16)


class Value(BaseModel):
    """Base of the data classes: immutable, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Character(Value):
    """Character of the story: a description, a reference picture, or both.

    Attributes:
        name: the character's name; not part of prompts.
        description: the character's look, in words.
        reference: name of the prepared reference picture; empty for none.
        strength: strength of the reference, in [0, 2]; 0 is off, None the model's own.
    """

    name: ShortText = ""
    description: LongText = ""
    reference: PictureName = ""
    strength: ReferenceStrength = None


class Style(Value):
    """LoRA of all frames.

    Attributes:
        source: a `.safetensors` file, or a LoRA on the Hugging Face hub as "owner/name" or
            "owner/name/file.safetensors".
        weight: its weight, in [-2, 2]; 1 is as trained.
        trigger: its trigger words; empty where it needs none.
    """

    source: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=SHORT_TEXT)
    ]
    weight: float = Field(default=1.0, ge=-MAX_STYLE_WEIGHT, le=MAX_STYLE_WEIGHT)
    trigger: ShortText = ""


class Take(Value):
    """Rendered result of a frame; never overwritten.

    Attributes:
        id: its folder in the project.
        frame_id: the frame it belongs to.
        created: time of the render, UTC.
        seconds: duration of the render.
        seed: its seed.
        matches: tokens matched with the identity frame; None without an identity frame.
        foreground: share of the picture that the foreground mask covers, in [0, 1].
        prompt: its whole prompt.
        model: its model.
    """

    id: Identifier = Field(default_factory=new_id)
    frame_id: Identifier
    created: Moment = Field(default_factory=lambda: datetime.now(UTC))
    seconds: float = Field(ge=0)
    seed: int = Field(ge=0, le=MAX_SEED)
    matches: int | None = Field(default=None, ge=0)
    foreground: float = Field(ge=0, le=1)
    prompt: str
    model: str


class Frame(Value):
    """Frame of the story.

    Attributes:
        id: its identifier, stable across edits and moves.
        action: the character's action.
        location: its location; frames with the same words have the same one.
        share_background: whether the location looks the same as in the other frames there that
            share it.
        character: description of who is in this frame; empty for the storyboard's character. With
            one, the frame has no reference picture.
        reference_strength: strength of the reference picture in this frame, in [0, 2]; None for
            the character's own strength.
        seed: its seed, or None for a new one at each render.
        locked: whether its take is kept once it has one: no render makes another.
        take: id of the chosen take, or None before the first.
    """

    id: Identifier = Field(default_factory=new_id)
    action: ShortText = ""
    location: ShortText = ""
    share_background: bool = False
    character: LongText = ""
    reference_strength: ReferenceStrength = None
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED)
    locked: bool = False
    take: Identifier | None = None

    @property
    def has_words(self) -> bool:
        """True where it has words of its own, besides those of the storyboard's character."""
        return any(words.strip() for words in (self.action, self.location, self.character))

    @property
    def kept(self) -> bool:
        """True where it has a take that must stay the chosen one."""
        return self.locked and self.take is not None


class RenderSettings(Value):
    """Settings of a storyboard's renders.

    Attributes:
        model: name in the catalog, a Hugging Face repository, or a local folder.
        width: width of the frames in pixels.
        height: height of the frames in pixels.
        steps: denoising steps; None for the model's own number.
        guidance: guidance scale, for models with a guidance embedding; None for the model's own.
        shortcut: name of the shortcuts, which render faster and not exactly.
        consistent: whether frames share the character of the identity frame.
        identity: id of the identity frame; empty, or of a frame that is gone, for the first one.
        merge: whether matched tokens are also merged (CharaConsist's adaptive token merge).
        styles: LoRAs of the frames; they add up.
    """

    model: Annotated[str, StringConstraints(min_length=1, max_length=300)] = "miniature"
    width: PictureSide = 256
    height: PictureSide = 256
    steps: int | None = Field(default=None, ge=1, le=MAX_STEPS)
    guidance: float | None = Field(default=None, ge=MIN_GUIDANCE, le=MAX_GUIDANCE)
    shortcut: ShortcutName = "exact"
    consistent: bool = True
    identity: FrameName = ""
    merge: bool = True
    styles: tuple[Style, ...] = Field(default=(), max_length=MAX_STYLES)


class Storyboard(Value):
    """Frames in order, the character of all that describe no other, and settings of renders."""

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
        """Return the frame with this id.

        Raises:
            KeyError: if there is none.
        """
        return self.frames[self.position(frame_id)]

    def position(self, frame_id: str) -> int:
        """Return the index of the frame with this id, from 0.

        Raises:
            KeyError: if there is none.
        """
        for index, frame in enumerate(self.frames):
            if frame.id == frame_id:
                return index
        raise KeyError(frame_id)

    def with_take(self, frame_id: str, take_id: str | None) -> Storyboard:
        """Return the storyboard with this take chosen, or none; the same without the frame."""
        frames = tuple(
            f.model_copy(update={"take": take_id}) if f.id == frame_id else f for f in self.frames
        )
        return self.model_copy(update={"frames": frames})
