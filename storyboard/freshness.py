"""Freshness of takes: what has changed since a frame's chosen take was rendered.

A take's request holds its frame and, as copies, the source frames as they were rendered, so that it
says from which picture of which frame the character and the location came. It is compared with the
storyboard as it is now and with the chosen takes of those frames. Knows no files and no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipelines.errors import UnknownModelError
from pipelines.models.catalog import find_model
from pipelines.models.shortcuts import find_shortcut
from pipelines.models.specs import ModelSpec
from pipelines.request import FrameRequest, Prompt, RenderRequest, Shortcuts
from storyboard.board import Frame, Storyboard
from storyboard.frames import (
    compose_prompt,
    guidance_of,
    identity_frame,
    merge_of,
    reference_of,
    shortcuts_of,
    sources_of,
    steps_of,
    styles_of,
)

_PARTS = {"background": "location", "character": "description of the character", "action": "action"}


@dataclass(frozen=True)
class Origin:
    """Frame from which a take has its character or its location.

    Attributes:
        frame_id: the frame; it may have been removed since.
        current: whether that frame's chosen take is still the picture that it came from.
    """

    frame_id: str
    current: bool


@dataclass(frozen=True)
class Freshness:
    """Comparison of a storyboard's chosen takes with what it describes now.

    Attributes:
        fresh: ids of the frames whose takes are as a render would make them now.
        outdated: for each frame whose take is out of date, what has changed, as sentences.
        kept: the same for frames that are left as they are: locked, or without words of their own.
        identity: the frames from which the takes have their characters.
        location: the frames from which they have their locations.
    """

    fresh: frozenset[str]
    outdated: Mapping[str, tuple[str, ...]]
    kept: Mapping[str, tuple[str, ...]]
    identity: Mapping[str, Origin]
    location: Mapping[str, Origin]


def compare_takes(storyboard: Storyboard, chosen: Mapping[str, RenderRequest]) -> Freshness:
    """Compare the chosen takes of a storyboard with what it describes now.

    Args:
        chosen: for frames that have a chosen take, the request of that take. A take without one
            cannot be compared, and is not called out of date.
    """
    comparison = _Comparison(storyboard, chosen)
    found = {frame.id: comparison.changes(frame) for frame in storyboard.frames}
    changed = [(frame, found[frame.id]) for frame in storyboard.frames if found[frame.id]]
    return Freshness(
        fresh=frozenset(i for i, changes in found.items() if i in chosen and not changes),
        outdated={frame.id: changes for frame, changes in changed if not _is_left(frame)},
        kept={frame.id: changes for frame, changes in changed if _is_left(frame)},
        identity=comparison.origins("identity_from"),
        location=comparison.origins("background_from"),
    )


def rendered_with(request: RenderRequest, frame_id: str, shortcuts: Shortcuts) -> bool:
    """Return whether a request rendered a frame as these shortcuts would.

    The stride of the probe pass does not matter for a frame that had no identity frame, nor had
    the frames whose location it keeps.
    """
    return request.shortcuts.every == shortcuts.every and (
        request.shortcuts.probe_every == shortcuts.probe_every
        or not _probed(_frames_of(request), frame_id)
    )


@dataclass
class _Comparison:
    """Storyboard and the requests of its chosen takes."""

    storyboard: Storyboard
    chosen: Mapping[str, RenderRequest]
    _found: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def changes(self, frame: Frame) -> tuple[str, ...]:
        """Return what has changed since a frame's take was rendered, as sentences."""
        if frame.id not in self._found:
            self._found[frame.id] = self._changes(frame)
        return self._found[frame.id]

    def origins(self, role: str) -> dict[str, Origin]:
        """Return the source frames of this role, "identity_from" or "background_from"."""
        found = {}
        for frame in self.storyboard.frames:
            request = self.chosen.get(frame.id)
            then = {} if request is None else _frames_of(request)
            source = getattr(then.get(frame.id), role, None)
            if request is not None and source is not None:
                original = then[source].original
                current = _same_picture(request, source, self.chosen.get(original), original)
                found[frame.id] = Origin(original, current)
        return found

    @cached_property
    def _spec(self) -> ModelSpec | None:
        try:
            return find_model(self.storyboard.settings.model)
        except UnknownModelError:
            return None

    def _changes(self, frame: Frame) -> tuple[str, ...]:
        request = self.chosen.get(frame.id)
        if request is None:
            return ()
        then = _frames_of(request)
        if frame.id not in then:
            return ("Its take does not say how it was rendered.",)
        return (
            *self._own_changes(frame, then[frame.id]),
            *self._setting_changes(frame, request),
            *self._source_changes(frame, then),
        )

    def _own_changes(self, frame: Frame, taken: FrameRequest) -> list[str]:
        found = []
        words = _changed_words(taken.prompt, compose_prompt(self.storyboard, frame))
        if words:
            listed = f"{', the '.join(words[:-1])} and the {words[-1]}" if words[1:] else words[0]
            found.append(f"The {listed} {'have' if words[1:] else 'has'} changed.")
        if frame.seed not in (None, taken.seed):
            found.append("The seed has changed.")
        if self._spec is not None:
            name, strength = reference_of(self.storyboard, frame, self._spec)
            old = taken.active_reference
            if name != old:
                how = "removed" if name is None else "added" if old is None else "replaced"
                found.append(f"The character's reference picture was {how}.")
            elif name is not None and strength != taken.reference_strength:
                found.append(
                    "The strength of the reference picture has changed "
                    f"from {taken.reference_strength:g} to {strength:g}."
                )
        return found

    def _setting_changes(self, frame: Frame, request: RenderRequest) -> list[str]:
        settings, spec = self.storyboard.settings, self._spec
        then = _frames_of(request)
        found = []

        def compare(name: str, old: object, new: object) -> None:
            if old != new:
                found.append(f"The {name} changed from {old} to {new}.")

        if spec is None:
            found.append(f"The model {settings.model} is not there any more.")
        elif request.model != settings.model:
            # Steps, guidance and merging are then another model's.
            found.append(f"The model changed from {_title(request.model)} to {spec.title}.")
        else:
            compare("number of steps", request.steps, steps_of(self.storyboard, spec))
            guidance = guidance_of(self.storyboard, spec)
            compare("guidance", f"{request.guidance_scale:g}", f"{guidance:g}")
            merge = merge_of(self.storyboard, spec)
            if request.consistency.merge != merge and _probed(then, frame.id):
                found.append(f"Merging was turned {'on' if merge else 'off'}.")
        taken = then[frame.id]
        old_size = f"{taken.width} \u00d7 {taken.height}"
        compare("size", old_size, f"{settings.width} \u00d7 {settings.height}")
        if request.styles != styles_of(self.storyboard):
            found.append("The styles have changed.")
        if not rendered_with(request, frame.id, shortcuts_of(self.storyboard)):
            title = find_shortcut(settings.shortcut).title
            found.append(f"The shortcut is another one now: {title}.")
        return found

    def _source_changes(self, frame: Frame, then: Mapping[str, FrameRequest]) -> list[str]:
        """Return what has changed about the frames whose character and location a frame keeps."""
        taken = then[frame.id]
        if not self.storyboard.settings.consistent:
            alone = taken.identity_from is None and taken.background_from is None
            return [] if alone else ["Frames no longer share characters and locations."]
        sources = (taken.identity_from, taken.background_from)
        roles: dict[str, list[str]] = {}
        for role, source, now in zip(
            ("character", "location"), sources, sources_of(self.storyboard, frame), strict=True
        ):
            sentence = self._source_change(frame, source, now, then)
            if sentence:
                roles.setdefault(sentence, []).append(role)
        return [
            sentence.format(role=" and ".join(kept), that="those" if kept[1:] else "that")
            for sentence, kept in roles.items()
        ]

    def _source_change(
        self,
        frame: Frame,
        source: str | None,
        now: str | None,
        then: Mapping[str, FrameRequest],
    ) -> str:
        """Return what has changed about one source, with "{role}" for what is kept of it."""
        old = source and then[source].original
        if old != now:
            if old is None:
                return f"It keeps the {{role}} of {self._called(now)} now, and did not before."
            if now is None and frame == identity_frame(self.storyboard):
                return (
                    "It is the identity frame now, and was generated with the {role} of "
                    f"{self._called(old)}."
                )
            if now is None:
                return f"It no longer keeps the {{role}} of {self._called(old)}."
            return (
                f"It keeps the {{role}} of {self._called(now)} now, and was generated with "
                f"{{that}} of {self._called(old)}."
            )
        if source is None or now is None:
            return ""
        source_frame = self.storyboard.frame(now)
        subject = f"{self._called(now).capitalize()}, whose {{role}} this frame keeps,"
        request = self.chosen.get(now)
        if request is None:  # a take that cannot be read says nothing
            return "" if source_frame.take else f"{subject} has not been generated."
        if now not in _frames_of(request):
            return ""
        if _recipe(_frames_of(request), now) != _recipe(then, source):
            return f"{subject} has another take now."
        if self.changes(source_frame) and not _is_left(source_frame):
            return f"{subject} is out of date itself."
        return ""

    def _called(self, frame_id: str | None) -> str:
        ids = [frame.id for frame in self.storyboard.frames]
        return f"frame {ids.index(frame_id) + 1}" if frame_id in ids else "a frame that is gone"


def _is_left(frame: Frame) -> bool:
    """Return whether a render of all frames leaves out a frame that has a take."""
    return frame.kept or not frame.has_words


def _frames_of(request: RenderRequest) -> dict[str, FrameRequest]:
    return {frame.frame_id: frame for frame in request.frames}


def _probed(frames: Mapping[str, FrameRequest], name: str) -> bool:
    """Return whether a frame, or one whose location it keeps, had an identity frame."""
    frame = frames[name]
    source = frame.background_from
    return frame.identity_from is not None or (source is not None and _probed(frames, source))


def _recipe(frames: Mapping[str, FrameRequest], name: str) -> tuple[Any, ...]:
    """Return all that a frame's picture depends on in a request, besides the request's settings."""
    frame = frames[name]
    reference = frame.active_reference
    return (
        frame.prompt,
        frame.seed,
        (frame.width, frame.height),
        (reference, reference and frame.reference_strength),
        frame.identity_from and _recipe(frames, frame.identity_from),
        frame.background_from and _recipe(frames, frame.background_from),
    )


def _same_picture(
    request: RenderRequest, name: str, other: RenderRequest | None, other_name: str
) -> bool:
    """Return whether two requests render the same picture of a frame of each."""
    if request is other and name == other_name:
        return True
    if other is None or other_name not in _frames_of(other):
        return False
    frames, others = _frames_of(request), _frames_of(other)
    settings = (
        [r.model, r.steps, r.guidance_scale, r.true_cfg_scale, r.negative_prompt, r.styles]
        for r in (request, other)
    )
    probed = _probed(frames, name)
    return (
        next(settings) == next(settings)
        and _recipe(frames, name) == _recipe(others, other_name)
        and rendered_with(other, other_name, request.shortcuts)
        and (request.consistency == other.consistency or not probed)
    )


def _changed_words(old: Prompt, new: Prompt) -> list[str]:
    """Return the names of a prompt's parts that have changed."""
    if old == new:
        return []
    pairs = {part: (getattr(old, part), getattr(new, part)) for part in _PARTS}
    # A part gets a comma where another one follows it.
    words = [p for p, (was, now) in pairs.items() if was.rstrip(",") != now.rstrip(",")]
    changed = words or [part for part, (was, now) in pairs.items() if was != now]
    return [_PARTS[part] for part in changed]


def _title(model: str) -> str:
    try:
        return find_model(model).title
    except UnknownModelError:
        return model
