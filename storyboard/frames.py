"""Questions about the frames of a storyboard: prompt, reference picture, source frames.

The answers are what a render of the storyboard as it is now would use. It knows nothing of takes,
requests, files, jobs or torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.models.shortcuts import find_shortcut
from pipelines.models.specs import ModelSpec
from pipelines.request import ConsistencySettings, Prompt, Shortcuts, StyleLora
from storyboard.board import Frame, Storyboard

# For a character with a picture and no description: CharaConsist finds a character by the attention
# to its words, so there must be some.
REFERENCE_WORDS = "a character"
_PUNCTUATION = (",", ".", ";", ":", "!", "?")


@dataclass(frozen=True)
class KeptLocation:
    """Location that a frame keeps, as a render would share it now.

    Attributes:
        source: id of the frame that it comes from; None for the frame that has it first.
        readers: ids of the frames that keep it from this frame.
        others: ids of the frames at the same location that do not keep it.
    """

    source: str | None
    readers: tuple[str, ...]
    others: tuple[str, ...]


def compose_prompt(storyboard: Storyboard, frame: Frame) -> Prompt:
    """Return the three parts of a frame's prompt; a part before another one ends in a comma.

    The comma keeps the words of the location apart from those of the character. A character that
    has a picture and no description is `REFERENCE_WORDS`.
    """
    described = frame.character.strip() or storyboard.character.description.strip()
    if not described and reference_picture(storyboard, frame):
        described = REFERENCE_WORDS
    background, character, action = (
        " ".join(part.split()) for part in (frame.location, described, frame.action)
    )
    if character or action:
        background = _closed(background)
    if action:
        character = _closed(character)
    return Prompt(background, character, action)


def reference_picture(storyboard: Storyboard, frame: Frame) -> str:
    """Return the name of a frame's reference picture; empty for none.

    A frame that describes its own character has none: the picture shows somebody else.
    """
    return "" if frame.character.strip() else storyboard.character.reference


def reference_of(storyboard: Storyboard, frame: Frame, spec: ModelSpec) -> tuple[str | None, float]:
    """Return the reference picture of a frame and its strength, as its request has them.

    The frame's own strength goes before the character's, and that before the model's.

    Returns:
        The picture's name and the strength in [0, 2]; None and 1.0, a request's defaults, without
        a picture or at strength 0.
    """
    own = spec.character_adapter.strength if spec.character_adapter is not None else 1.0
    given = (frame.reference_strength, storyboard.character.strength, own)
    strength = next(strength for strength in given if strength is not None)
    name = reference_picture(storyboard, frame)
    return (name, strength) if name and strength > 0 else (None, 1.0)


def identity_frame(storyboard: Storyboard) -> Frame | None:
    """Return the frame whose character the others share; None where no frames share any.

    It is the frame that the settings name, else the first one with words of its own, else the
    first. Only frames that show the storyboard's character count; where it has none, those
    that describe one of their own.
    """
    frames, character = storyboard.frames, storyboard.character
    described = bool(character.description.strip() or character.reference)
    able = [f for f in frames if bool(f.character.strip()) != described]
    if not able and not character.reference:
        able = list(frames)
    if not storyboard.settings.consistent or not able:
        return None
    named = (f for f in able if f.id == storyboard.settings.identity)
    return next(named, None) or next((f for f in able if f.has_words), able[0])


def identity_source(storyboard: Storyboard, frame: Frame) -> str | None:
    """Return the id of a frame's identity frame; None without one.

    A frame that describes another character than the identity frame does has none.
    """
    identity = identity_frame(storyboard)
    if identity is None or identity.id == frame.id:
        return None
    shown, shared = (_shown_character(storyboard, one) for one in (frame, identity))
    return identity.id if shown == shared and any(shown) else None


def _shown_character(storyboard: Storyboard, frame: Frame) -> tuple[str, str]:
    """Return the reference picture of a frame's character, and its words in one form."""
    own = frame.character.strip() or storyboard.character.description
    return reference_picture(storyboard, frame), " ".join(own.split()).casefold()


def background_source(storyboard: Storyboard, frame: Frame, share_all: bool = False) -> str | None:
    """Return the id of the frame whose location a frame keeps; None without one.

    It is the first frame with the same location that shares its background too. An identity frame
    that the settings name goes before all others: it is rendered before them.

    Args:
        share_all: whether every frame keeps the first frame's location, whatever the frames say.
    """
    if not storyboard.settings.consistent:
        return None
    frames = storyboard.frames
    identity = identity_frame(storyboard)
    named = identity is not None and identity.id == storyboard.settings.identity
    if identity is not None and named:
        frames = (identity, *(f for f in frames if f.id != identity.id))
    if share_all:
        first = frames[0] if named else next((f for f in frames if f.has_words), frames[0])
    elif frame.share_background and (location := _location(frame)):
        sharing = (f for f in frames if f.share_background)
        first = next(f for f in sharing if _location(f) == location)
    else:
        return None
    return None if first.id == frame.id else first.id


def kept_locations(storyboard: Storyboard) -> dict[str, KeptLocation] | None:
    """Return the locations that frames keep, by frame id, of those that name one.

    Returns:
        None where the settings let no frame share anything.
    """
    if not storyboard.settings.consistent:
        return None
    sharing = [f for f in storyboard.frames if f.share_background and _location(f)]
    sources = {f.id: background_source(storyboard, f) for f in sharing}
    apart = [f for f in storyboard.frames if not f.share_background]
    return {
        frame.id: KeptLocation(
            source=sources[frame.id],
            readers=tuple(other for other, source in sources.items() if source == frame.id),
            others=tuple(f.id for f in apart if _location(f) == _location(frame)),
        )
        for frame in sharing
    }


def sources_of(
    storyboard: Storyboard, frame: Frame, share_all: bool = False
) -> tuple[str | None, str | None]:
    """Return the ids of a frame's identity frame and of the frame whose location it keeps."""
    identity = identity_source(storyboard, frame)
    return identity, background_source(storyboard, frame, share_all)


def sources_first(
    storyboard: Storyboard, names: Sequence[str], share_all: bool = False
) -> list[str]:
    """Return these frames in the storyboard's order, but each after those that are its sources."""
    ordered: list[str] = []

    def place(name: str) -> None:
        for source in sources_of(storyboard, storyboard.frame(name), share_all):
            if source is not None and source in names and source not in ordered:
                place(source)
        if name not in ordered:
            ordered.append(name)

    for name in sorted(names, key=storyboard.position):
        place(name)
    return ordered


def styles_of(storyboard: Storyboard) -> tuple[StyleLora, ...]:
    """Return the LoRAs of a storyboard as its requests name them."""
    styles = storyboard.settings.styles
    return tuple(StyleLora(style.source, style.weight, style.trigger) for style in styles)


def shortcuts_of(storyboard: Storyboard) -> Shortcuts:
    """Return the shortcuts of a storyboard as its requests name them."""
    return find_shortcut(storyboard.settings.shortcut).shortcuts


def guidance_of(storyboard: Storyboard, spec: ModelSpec) -> float:
    """Return the guidance scale of a storyboard's renders."""
    guidance = storyboard.settings.guidance
    return spec.guidance_scale if guidance is None or not spec.learnt_guidance else guidance


def merge_of(storyboard: Storyboard, spec: ModelSpec) -> bool:
    """Return whether a storyboard's renders merge matched tokens."""
    return storyboard.settings.merge and consistency_of(storyboard, spec).merge


def steps_of(storyboard: Storyboard, spec: ModelSpec) -> int:
    """Return the number of denoising steps of a storyboard's renders."""
    return storyboard.settings.steps or spec.steps


def consistency_of(storyboard: Storyboard, spec: ModelSpec) -> ConsistencySettings:
    """Return the model's settings of consistency for a storyboard's number of steps."""
    return spec.consistency_for(steps_of(storyboard, spec))


def _location(frame: Frame) -> str:
    """Return a frame's location without case, spaces and end commas, so that it can be compared."""
    return " ".join(frame.location.casefold().split()).rstrip(",. ")


def _closed(part: str) -> str:
    return part if not part or part.endswith(_PUNCTUATION) else f"{part},"
