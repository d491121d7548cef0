"""Targets of a render: which frames a wish means, and which others come with them.

It answers before a render what the render would do, and is cheap enough to be asked after every
change. Knows no requests of renders to come, no files and no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.errors import UserError
from pipelines.request import RenderRequest
from storyboard.board import Storyboard
from storyboard.frames import shortcuts_of, sources_first, sources_of
from storyboard.freshness import Freshness, compare_takes, rendered_with

# Frames that were never generated or are out of date, all frames, or the frames with these ids.
Wish = Literal["new", "all"] | Sequence[str]


@dataclass(frozen=True)
class AddedSource:
    """Source frame that is rendered although nobody asked for it, and why, in one sentence."""

    frame_id: str
    why: str


@dataclass(frozen=True)
class Targets:
    """Frames that a render would make takes of.

    Attributes:
        targets: ids of the frames that a wish means, sources before their readers.
        added: source frames that become targets besides.
        empty: ids of frames that are left out because they have no words of their own.
        locked: ids of frames that are left out because they are locked.
        unchanged: ids of targets whose pictures would come out as they are.
    """

    targets: tuple[str, ...]
    added: tuple[AddedSource, ...]
    empty: tuple[str, ...]
    locked: tuple[str, ...]
    unchanged: tuple[str, ...]


def choose_targets(
    storyboard: Storyboard, wish: Wish, chosen: Mapping[str, RenderRequest]
) -> Targets:
    """Return what a render of these frames would do.

    A frame that is asked for by its id is a target also without words of its own: it shows the
    character alone.

    Args:
        wish: the frames that are asked for.
        chosen: for frames that have a chosen take, the request of that take.

    Raises:
        UserError: if a frame is gone, or a locked frame would have to be rendered again.
    """
    freshness = compare_takes(storyboard, chosen)
    if isinstance(wish, str):
        outdated = {*freshness.outdated, *freshness.kept}
        asked = [f for f in storyboard.frames if wish == "all" or not f.take or f.id in outdated]
        empty = [f.id for f in asked if not f.has_words and not f.kept]
    else:
        check_there(storyboard, wish)
        asked, empty = [storyboard.frame(name) for name in wish], []
    locked = [f.id for f in asked if f.kept]
    wanted = [f.id for f in asked if f.id not in (*locked, *empty)]
    targets = sources_first(storyboard, wanted)
    added = added_sources(storyboard, targets, chosen)
    return Targets(
        targets=tuple(targets),
        added=added,
        empty=tuple(empty),
        locked=tuple(locked),
        unchanged=_unchanged(storyboard, targets, added, freshness),
    )


def added_sources(
    storyboard: Storyboard,
    wanted: Sequence[str],
    chosen: Mapping[str, RenderRequest],
    share_all: bool = False,
) -> tuple[AddedSource, ...]:
    """Return the source frames that have to be rendered anew for these frames.

    Those are source frames without a take, or whose take has another model, size or shortcuts.

    Args:
        wanted: ids of the frames that are rendered in any case.
        chosen: for frames that have a chosen take, the request of that take.
        share_all: whether every frame keeps the first frame's location, whatever the frames say.

    Raises:
        UserError: if one of them is locked.
    """
    names = list(wanted)
    added = []
    for name in names:  # an added frame may need source frames of its own
        sources = sources_of(storyboard, storyboard.frame(name), share_all)
        for source in dict.fromkeys(filter(None, sources)):
            fault = "" if source in names else _fault_as_source(storyboard, source, chosen)
            if fault:
                why = _why(storyboard, name, source, sources, fault)
                if storyboard.frame(source).kept:
                    raise _locked_source(storyboard, source, why)
                names.append(source)
                added.append(AddedSource(source, why))
    return tuple(added)


def check_there(storyboard: Storyboard, names: Sequence[str]) -> None:
    """Refuse frames that are not in a storyboard.

    Raises:
        UserError: if there is such a frame.
    """
    if not {*names} <= {frame.id for frame in storyboard.frames}:
        raise UserError("The frame is no longer in the storyboard.", "Reload the page.")


def check_unlocked(storyboard: Storyboard, names: Sequence[str]) -> None:
    """Refuse to render frames that are locked.

    Raises:
        UserError: if one of them has a take and is locked.
    """
    for name in names:
        if storyboard.frame(name).kept:
            number = storyboard.position(name) + 1
            raise UserError(
                f"Frame {number} is locked, so that its take is kept.",
                "Unlock it to generate it again.",
            )


def _fault_as_source(storyboard: Storyboard, name: str, chosen: Mapping[str, RenderRequest]) -> str:
    """Return why a frame's take cannot be a source as it was rendered; empty where it can."""
    settings, request = storyboard.settings, chosen.get(name)
    if storyboard.frame(name).take is None and request is None:
        return "which has not been generated yet"
    frames = () if request is None else request.frames
    taken = next((f for f in frames if f.frame_id == name), None)
    if request is None or taken is None:
        return "whose take cannot be read or lacks its reference picture"
    if request.model != settings.model:
        return "whose take is of another model"
    if (taken.width, taken.height) != (settings.width, settings.height):
        return "whose take has another size"
    if not rendered_with(request, name, shortcuts_of(storyboard)):
        return "whose take was generated with another shortcut"
    return ""


def _why(
    storyboard: Storyboard, reader: str, source: str, sources: Sequence[str | None], fault: str
) -> str:
    roles = zip(("character", "location"), sources, strict=True)
    kept = " and ".join(role for role, frame_id in roles if frame_id == source)
    numbers = [storyboard.position(name) + 1 for name in (reader, source)]
    return f"Frame {numbers[0]} keeps the {kept} of frame {numbers[1]}, {fault}."


def _locked_source(storyboard: Storyboard, source: str, why: str) -> UserError:
    number = storyboard.position(source) + 1
    return UserError(
        f"{why} Frame {number} is locked, and is not generated again.",
        f"Unlock frame {number}, or set the board as it was when that take was made.",
    )


def _unchanged(
    storyboard: Storyboard,
    targets: Sequence[str],
    added: Sequence[AddedSource],
    freshness: Freshness,
) -> tuple[str, ...]:
    """Return the targets that have their take's seed and all else, and sources that stay."""
    rendered = {*targets, *(source.frame_id for source in added)}
    found: list[str] = []
    for name in targets:  # sources come before their readers
        frame = storyboard.frame(name)
        settled = frame.take is not None and frame.seed is not None and frame.id in freshness.fresh
        sources = [s for s in sources_of(storyboard, frame) if s in rendered]
        if settled and all(source in found for source in sources):
            found.append(name)
    return tuple(found)
