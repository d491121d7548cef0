"""From a storyboard to the request that paints it.

Decides what each frame takes from which other, composes the prompts, picks seeds and checks what
the imaging engine would refuse, so that a person reads a sentence and not a traceback. It knows
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

# Separates a frame's id from the number of a copy of it; cannot stand in an id.
COPY_MARK = "."
# Stand for a character that is shown in a picture and not described: CharaConsist finds the
# character in a frame by the attention to its words, so there must be some.
REFERENCE_WORDS = "a character"
_PUNCTUATION = (",", ".", ";", ":", "!", "?")


def frame_of(name: str) -> str:
    """The storyboard's frame that a frame of a request stands for.

    Args:
        name: `FrameRequest.frame_id`: a frame's id, or that of a copy made by `plan_render`.
    """
    return name.partition(COPY_MARK)[0]


def compose_prompt(storyboard: Storyboard, frame: Frame) -> Prompt:
    """The three parts of a frame's prompt: every part that another follows ends in a comma.

    The comma keeps the words of the place from running into those of the character. A character
    that is shown in a picture alone is `REFERENCE_WORDS`.
    """
    described = frame.character.strip() or storyboard.character.description.strip()
    if not described and storyboard.reference_of(frame):
        described = REFERENCE_WORDS
    background, character, action = (
        " ".join(part.split()) for part in (frame.location, described, frame.action)
    )
    if character or action:
        background = _closed(background)
    if action:
        character = _closed(character)
    return Prompt(background, character, action)


def reference_of(storyboard: Storyboard, frame: Frame, spec: ModelSpec) -> tuple[str | None, float]:
    """The picture that a frame follows, and how closely.

    Args:
        storyboard: the frame's storyboard.
        frame: the frame; its own strength goes before its character's, and that before the
            model's.
        spec: the model that paints it.

    Returns:
        The picture's name and the strength in [0, 2]; None and 1.0, as in a request that says
        nothing, where the frame follows no picture or follows it at strength 0.
    """
    strength = frame.reference_strength
    if strength is None:
        strength = storyboard.character.strength
    if strength is None:
        strength = spec.character_adapter.strength if spec.character_adapter is not None else 1.0
    name = storyboard.reference_of(frame)
    return (name, strength) if name and strength > 0 else (None, 1.0)


def styles_of(storyboard: Storyboard) -> tuple[StyleLora, ...]:
    """The LoRAs of a storyboard, as its requests name them."""
    styles = storyboard.settings.styles
    return tuple(StyleLora(style.source, style.weight, style.trigger) for style in styles)


def shortcuts_of(storyboard: Storyboard) -> Shortcuts:
    """What the frames of a storyboard are painted with less often than exactly."""
    return find_shortcut(storyboard.settings.shortcut).shortcuts


def takes_shortcuts(request: RenderRequest, name: str, wanted: Shortcuts) -> bool:
    """Whether a frame was painted with these shortcuts, as far as they change its picture.

    A frame that took nothing from frames with an identity frame had no probe pass, whose steps
    could have been left out.

    Args:
        request: what it was painted from.
        name: the frame's id in it.
        wanted: the shortcuts.
    """
    frames = {frame.frame_id: frame for frame in request.frames}

    def probed(frame: FrameRequest) -> bool:
        place = frame.background_from
        return frame.identity_from is not None or (place is not None and probed(frames[place]))

    taken = request.shortcuts
    return taken.every == wanted.every and (
        taken.probe_every == wanted.probe_every or not probed(frames[name])
    )


def plan_render(
    storyboard: Storyboard,
    targets: Sequence[str] | None,
    chosen: Mapping[str, RenderRequest],
    rng: random.Random,
    share_all: bool = False,
) -> RenderRequest:
    """Plan the frames that are wanted and those that they take character or place from.

    A frame that only lends is painted again, unseen, exactly as its chosen take was (from the
    reference picture that the take followed, too), so that a redone frame matches what is on the
    page. Steps, guidance and styles are the storyboard's for all frames of a render. A lending
    frame that has no take, or one from another model, of another size or painted with other
    shortcuts, becomes a target too; it keeps its take's seed.

    Args:
        storyboard: what to paint.
        targets: ids of the frames to paint, or None for all.
        chosen: for frames that have a chosen take, the request that it was painted from.
        rng: where the seeds of frames without one come from.
        share_all: let every frame keep the first frame's place, whatever the frames say.

    Raises:
        UserError: if there is nothing to paint, a frame has no words, the model is not known, or
            a frame follows a picture and the model cannot.
    """
    if not storyboard.frames:
        raise UserError("The storyboard has no frames.", "Add one and say what happens in it.")
    wanted = [f.id for f in storyboard.frames] if targets is None else list(targets)
    gone = [i for i in wanted if i not in {f.id for f in storyboard.frames}]
    if gone or not wanted:
        raise UserError("The frame is no longer in the storyboard.", "Reload the page.")

    plan = _Plan(storyboard, _spec(storyboard), rng, share_all)
    added = wanted
    while added:  # what becomes a target may need lenders of its own
        needed = plan.lenders(added) - set(wanted)
        added = [name for name in needed if not plan.can_lend(name, chosen.get(name))]
        wanted += added
        plan.keep_seeds(added, chosen)
    ordered = [f for f in storyboard.frames if f.id in wanted]
    for lender in sorted(plan.lenders(wanted) - set(wanted), key=storyboard.position):
        plan.lend(lender, chosen[lender])
    for frame in ordered:
        plan.paint(frame)
    return plan.request(tuple(f.id for f in ordered))


@dataclass
class _Plan:
    """The frames of a request while they are being gathered."""

    storyboard: Storyboard
    spec: ModelSpec
    rng: random.Random
    share_all: bool
    frames: dict[str, FrameRequest] = field(default_factory=dict)
    lent: dict[str, str] = field(default_factory=dict)
    seeds: dict[str, int] = field(default_factory=dict)

    def identity_source(self, frame: Frame) -> str | None:
        """The frame whose character this one shows: the storyboard's first.

        Where the character has a picture, it is the first that shows the character, and whoever a
        frame describes itself is in that frame alone.
        """
        picture = self.storyboard.reference_of(frame)
        if self.storyboard.character.reference and not picture:
            return None
        frames = self.storyboard.frames
        first = next(f for f in frames if self.storyboard.reference_of(f) == picture)
        shows_someone = compose_prompt(self.storyboard, frame).character
        alone = frame.id == first.id or not shows_someone
        return None if alone or not self.storyboard.settings.consistent else first.id

    def place_source(self, frame: Frame) -> str | None:
        """The frame whose place this one keeps."""
        first = self.storyboard.frames[0]
        if not self.storyboard.settings.consistent:
            return None
        if self.share_all:
            return None if frame.id == first.id else first.id
        return self.storyboard.background_source(frame.id)

    def lenders(self, names: Sequence[str]) -> set[str]:
        """All frames that these take something from. Lenders of places start their own place."""
        found: set[str] = set()
        for frame in (self.storyboard.frame(name) for name in names):
            found |= {s for s in (self.identity_source(frame), self.place_source(frame)) if s}
        return found

    def can_lend(self, name: str, request: RenderRequest | None) -> bool:
        """Whether there is a take, painted from this, that fits what the plan paints."""
        if request is None:
            return False
        settings = self.storyboard.settings
        sizes = {(f.width, f.height) for f in request.frames if f.frame_id == name}
        return (
            request.model == settings.model
            and sizes == {(settings.width, settings.height)}
            and takes_shortcuts(request, name, shortcuts_of(self.storyboard))
        )

    def keep_seeds(self, names: Sequence[str], chosen: Mapping[str, RenderRequest]) -> None:
        """Paint frames that nobody asked for with their takes' seeds, so that they change less."""
        for name in names:
            then = chosen[name].frames if name in chosen else ()
            self.seeds |= {f.frame_id: f.seed for f in then if f.frame_id == name}

    def lend(self, name: str, request: RenderRequest) -> None:
        """Add a frame as its take was painted, with all that it was painted from.

        What it took from may have changed since: then a copy of the old state goes in beside.
        """
        then = {f.frame_id: f for f in request.frames}
        self.lent[name] = self._copy(name, then)

    def _copy(self, name: str, then: Mapping[str, FrameRequest]) -> str:
        old = then[name]
        old = replace(
            old,
            identity_from=old.identity_from and self._copy(old.identity_from, then),
            background_from=old.background_from and self._copy(old.background_from, then),
        )
        for known in self.frames.values():
            if replace(old, frame_id=known.frame_id) == known:
                return known.frame_id
        copy = f"{frame_of(name)}{COPY_MARK}{len(self.frames)}"
        self.frames[copy] = replace(old, frame_id=copy)
        return copy

    def paint(self, frame: Frame) -> None:
        """Add a frame as the storyboard describes it now."""
        prompt = compose_prompt(self.storyboard, frame)
        reference, strength = reference_of(self.storyboard, frame, self.spec)
        if reference is not None and self.spec.character_adapter is None:
            raise cannot_follow(self.spec)
        if not prompt.parts:
            number = self.storyboard.position(frame.id) + 1
            raise UserError(
                f"Frame {number} has no words.",
                "Describe the character, or say where the frame is and what happens.",
            )
        settings = self.storyboard.settings
        identity, place = self.identity_source(frame), self.place_source(frame)
        seed = self.seeds.get(frame.id) if frame.seed is None else frame.seed
        self.frames[frame.id] = FrameRequest(
            frame_id=frame.id,
            prompt=prompt,
            seed=self.rng.randint(0, MAX_SEED) if seed is None else seed,
            width=settings.width,
            height=settings.height,
            identity_from=identity and self.lent.get(identity, identity),
            background_from=place and self.lent.get(place, place),
            reference=reference,
            reference_strength=strength,
        )

    def request(self, targets: tuple[str, ...]) -> RenderRequest:
        """The request of all that was added."""
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


def cannot_follow(spec: ModelSpec) -> ModelError:
    """What to tell a person whose character has a picture that the model cannot follow."""
    able = " or ".join(other.title for other in MODELS if other.character_adapter is not None)
    return ModelError(
        f"{spec.title} cannot follow a reference picture.",
        f"Choose {able}, or remove the picture from the character.",
    )


def _spec(storyboard: Storyboard) -> ModelSpec:
    try:
        return find_model(storyboard.settings.model)
    except UnknownModelError as error:
        raise ModelError(str(error)) from error


def _closed(part: str) -> str:
    return part if not part or part.endswith(_PUNCTUATION) else f"{part},"
