"""Plans of renders: from a storyboard to the request that renders it.

Answers every question about a frame (its prompt, its source frames, its reference picture, whether
its take is up to date) and refuses in plain words what the imaging engine would refuse. It knows
nothing of files, jobs or torch.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipelines.errors import ModelError, UnknownModelError, UserError
from pipelines.models.catalog import MODELS, find_model
from pipelines.models.shortcuts import find_shortcut
from pipelines.models.specs import ModelSpec
from pipelines.request import FrameRequest, Prompt, RenderRequest, Shortcuts, StyleLora
from storyboard.board import MAX_SEED, Frame, Storyboard

# For a character with a picture and no description: CharaConsist finds a character by the attention
# to its words, so there must be some.
REFERENCE_WORDS = "a character"
_PUNCTUATION = (",", ".", ";", ":", "!", "?")


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


def identity_source(storyboard: Storyboard, frame: Frame) -> str | None:
    """Return the id of a frame's identity frame, the storyboard's first; None without one.

    Where the character has a picture, it is the first frame that shows the character, and a frame
    that describes its own character has none.
    """
    picture = reference_picture(storyboard, frame)
    if not storyboard.settings.consistent or (storyboard.character.reference and not picture):
        return None
    first = next(f for f in storyboard.frames if reference_picture(storyboard, f) == picture)
    shows_someone = compose_prompt(storyboard, frame).character
    return first.id if shows_someone and frame.id != first.id else None


def background_source(storyboard: Storyboard, frame: Frame, share_all: bool = False) -> str | None:
    """Return the id of the frame whose location a frame keeps; None without one.

    It is the first frame with the same location that shares its background too.

    Args:
        share_all: whether every frame keeps the first frame's location, whatever the frames say.
    """
    if not storyboard.settings.consistent:
        return None
    if share_all:
        first = storyboard.frames[0]
    elif frame.share_background and (location := _location(frame)):
        sharing = (f for f in storyboard.frames if f.share_background)
        first = next(f for f in sharing if _location(f) == location)
    else:
        return None
    return None if first.id == frame.id else first.id


def styles_of(storyboard: Storyboard) -> tuple[StyleLora, ...]:
    """Return the LoRAs of a storyboard as its requests name them."""
    styles = storyboard.settings.styles
    return tuple(StyleLora(style.source, style.weight, style.trigger) for style in styles)


def shortcuts_of(storyboard: Storyboard) -> Shortcuts:
    """Return the shortcuts of a storyboard as its requests name them."""
    return find_shortcut(storyboard.settings.shortcut).shortcuts


def rendered_with(request: RenderRequest, frame_id: str, shortcuts: Shortcuts) -> bool:
    """Return whether a request rendered a frame as these shortcuts would.

    The stride of the probe pass does not matter for a frame that had no identity frame, nor had
    the frames whose location it keeps.
    """
    frames = {frame.frame_id: frame for frame in request.frames}

    def probed(frame: FrameRequest) -> bool:
        source = frame.background_from
        return frame.identity_from is not None or (source is not None and probed(frames[source]))

    return request.shortcuts.every == shortcuts.every and (
        request.shortcuts.probe_every == shortcuts.probe_every or not probed(frames[frame_id])
    )


def is_current(storyboard: Storyboard, frame: Frame, request: RenderRequest) -> bool:
    """Return whether a take that this request rendered still shows what its frame describes."""
    settings = storyboard.settings
    then = {f.frame_id: f for f in request.frames}
    taken = then.get(frame.id)
    if taken is None or request.model != settings.model:
        return False
    try:
        spec = find_model(request.model)
    except UnknownModelError:  # a folder that is gone: nothing can be rendered again as it was
        return False
    source = taken.background_from and then[taken.background_from].original
    return (
        taken.prompt == compose_prompt(storyboard, frame)
        and (taken.width, taken.height) == (settings.width, settings.height)
        and (taken.reference, taken.reference_strength) == reference_of(storyboard, frame, spec)
        and request.styles == styles_of(storyboard)
        and rendered_with(request, frame.id, shortcuts_of(storyboard))
        and frame.seed in (None, taken.seed)
        and source == background_source(storyboard, frame)
    )


def plan_render(
    storyboard: Storyboard,
    targets: Sequence[str] | None,
    chosen: Mapping[str, RenderRequest],
    rng: random.Random,
    share_all: bool = False,
) -> RenderRequest:
    """Plan the request that renders some frames together with their source frames.

    A frame that is only a source is rendered again, unseen, exactly as its chosen take was (with
    the take's reference picture, too), so that a redone frame matches what is on the page. Steps,
    guidance and styles are the storyboard's for all frames of a render. A source frame without a
    take, or whose take has another model, size or shortcuts, becomes a target too; it keeps its
    take's seed.

    Args:
        targets: ids of the frames to render, or None for all.
        chosen: for frames that have a chosen take, the request of that take.
        rng: source of seeds for frames that have none.
        share_all: whether every frame keeps the first frame's location, whatever the frames say.

    Raises:
        UserError: if there is nothing to render, a frame has no words, the model is not known, or
            a frame has a reference picture and the model cannot use one.
    """
    if not storyboard.frames:
        raise UserError("The storyboard has no frames.", "Add one and say what happens in it.")
    wanted = [f.id for f in storyboard.frames] if targets is None else list(targets)
    gone = [i for i in wanted if i not in {f.id for f in storyboard.frames}]
    if gone or not wanted:
        raise UserError("The frame is no longer in the storyboard.", "Reload the page.")

    plan = _Plan(storyboard, find_model(storyboard.settings.model), rng, share_all)
    added = wanted
    while added:  # a new target may need source frames of its own
        needed = plan.sources_of(added) - set(wanted)
        added = [name for name in needed if not plan.can_be_source(name, chosen.get(name))]
        wanted += added
        plan.keep_seeds(added, chosen)
    ordered = [f for f in storyboard.frames if f.id in wanted]
    for source in sorted(plan.sources_of(wanted) - set(wanted), key=storyboard.position):
        plan.add_source(source, chosen[source])
    for frame in ordered:
        plan.add_target(frame)
    return plan.request(tuple(f.id for f in ordered))


@dataclass
class _Plan:
    """Frames of a request while they are collected."""

    storyboard: Storyboard
    spec: ModelSpec
    rng: random.Random
    share_all: bool
    frames: dict[str, FrameRequest] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)

    def sources(self, frame: Frame) -> tuple[str | None, str | None]:
        """Return the ids of a frame's identity frame and of the frame whose location it keeps."""
        identity = identity_source(self.storyboard, frame)
        return identity, background_source(self.storyboard, frame, self.share_all)

    def sources_of(self, names: Sequence[str]) -> set[str]:
        """Return all source frames of these frames; a source of a location has none itself."""
        frames = map(self.storyboard.frame, names)
        return {source for frame in frames for source in self.sources(frame) if source}

    def can_be_source(self, name: str, request: RenderRequest | None) -> bool:
        """Return whether a frame has a take, rendered from this request, that fits the plan."""
        if request is None:
            return False
        settings = self.storyboard.settings
        sizes = {(f.width, f.height) for f in request.frames if f.frame_id == name}
        return (
            request.model == settings.model
            and sizes == {(settings.width, settings.height)}
            and rendered_with(request, name, shortcuts_of(self.storyboard))
        )

    def keep_seeds(self, names: Sequence[str], chosen: Mapping[str, RenderRequest]) -> None:
        """Keep the takes' seeds of frames that become targets unasked, so that they change less."""
        for name in names:
            then = chosen[name].frames if name in chosen else ()
            self.seeds |= {f.frame_id: f.seed for f in then if f.frame_id == name}

    def add_source(self, name: str, request: RenderRequest) -> None:
        """Add copies of a frame as its take was rendered, and of that take's source frames."""
        self.copies[name] = self._copy(name, {f.frame_id: f for f in request.frames})

    def _copy(self, name: str, then: Mapping[str, FrameRequest]) -> str:
        old = then[name]
        copy = replace(
            old,
            identity_from=old.identity_from and self._copy(old.identity_from, then),
            background_from=old.background_from and self._copy(old.background_from, then),
            copy_of=old.original,
        )
        for known in self.frames.values():
            if replace(copy, frame_id=known.frame_id, copy_of=known.copy_of) == known:
                return known.frame_id
        copy_id = f"{old.original}.{len(self.frames)}"  # no id of a storyboard contains "."
        self.frames[copy_id] = replace(copy, frame_id=copy_id)
        return copy_id

    def add_target(self, frame: Frame) -> None:
        """Add a frame as the storyboard describes it now."""
        prompt = compose_prompt(self.storyboard, frame)
        reference, strength = reference_of(self.storyboard, frame, self.spec)
        if reference is not None and self.spec.character_adapter is None:
            raise references_unsupported(self.spec)
        if not prompt.parts:
            number = self.storyboard.position(frame.id) + 1
            raise UserError(
                f"Frame {number} has no words.",
                "Describe the character, or say where the frame is and what happens.",
            )
        settings = self.storyboard.settings
        identity, background = self.sources(frame)
        seed = self.seeds.get(frame.id) if frame.seed is None else frame.seed
        self.frames[frame.id] = FrameRequest(
            frame_id=frame.id,
            prompt=prompt,
            seed=self.rng.randint(0, MAX_SEED) if seed is None else seed,
            width=settings.width,
            height=settings.height,
            identity_from=identity and self.copies.get(identity, identity),
            background_from=background and self.copies.get(background, background),
            reference=reference,
            reference_strength=strength,
        )

    def request(self, targets: tuple[str, ...]) -> RenderRequest:
        """Return the request of all frames that were added."""
        settings = self.storyboard.settings
        spec = self.spec
        merge = settings.merge and spec.consistency.merge
        guidance = spec.guidance_scale
        if spec.learnt_guidance and settings.guidance is not None:
            guidance = settings.guidance
        return RenderRequest(
            model=settings.model,
            frames=tuple(self.frames.values()),
            targets=targets,
            steps=settings.steps or spec.steps,
            guidance_scale=guidance,
            true_cfg_scale=spec.true_cfg_scale,
            consistency=replace(spec.consistency, merge=merge),
            styles=styles_of(self.storyboard),
            shortcuts=shortcuts_of(self.storyboard),
        )


def references_unsupported(spec: ModelSpec) -> ModelError:
    """Return the error for a character with a reference picture and a model that cannot use it."""
    able = " or ".join(other.title for other in MODELS if other.character_adapter is not None)
    return ModelError(
        f"{spec.title} cannot use a reference picture.",
        f"Choose {able}, or remove the picture from the character.",
    )


def _location(frame: Frame) -> str:
    """Return a frame's location without case, spaces and end commas, so that it can be compared."""
    return " ".join(frame.location.casefold().split()).rstrip(",. ")


def _closed(part: str) -> str:
    return part if not part or part.endswith(_PUNCTUATION) else f"{part},"
