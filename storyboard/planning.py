"""Plans of renders: from a storyboard to the request that renders it.

Refuses in plain words what the imaging engine would refuse; `storyboard.targets` says before which
frames a render makes takes of. It knows nothing of files, jobs or torch.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipelines.errors import ModelError, UserError
from pipelines.models.catalog import MODELS, find_model
from pipelines.models.specs import ModelSpec
from pipelines.request import FrameRequest, RenderRequest
from storyboard.board import MAX_SEED, Frame, Storyboard
from storyboard.frames import (
    compose_prompt,
    consistency_of,
    guidance_of,
    merge_of,
    reference_of,
    shortcuts_of,
    sources_first,
    sources_of,
    steps_of,
    styles_of,
)
from storyboard.targets import added_sources, check_there, check_unlocked


def plan_render(
    storyboard: Storyboard,
    targets: Sequence[str] | None,
    chosen: Mapping[str, RenderRequest],
    rng: random.Random,
    share_all: bool = False,
    keep_seeds: Sequence[str] = (),
) -> RenderRequest:
    """Plan the request that renders some frames together with their source frames.

    A frame that is only a source is rendered again, unseen, exactly as its chosen take was (with
    the take's reference picture, too), so that a redone frame matches what is on the page. Steps,
    guidance and styles are the storyboard's for all frames of a render. A source frame without a
    take, or whose take has another model, size or shortcuts, becomes a target too, unless it is
    locked; it keeps its take's seed.

    Args:
        targets: ids of the frames to render, or None for all that are not locked.
        chosen: for frames that have a chosen take, the request of that take.
        rng: source of seeds for frames that have none.
        share_all: whether every frame keeps the first frame's location, whatever the frames say.
        keep_seeds: ids of targets that keep their take's seed too.

    Raises:
        UserError: if there is nothing to render, a frame has no words, a locked frame would have to
            be rendered, the model is not known, or a frame has a reference picture and the model
            cannot use one.
    """
    if not storyboard.frames:
        raise UserError("The storyboard has no frames.", "Add one and say what happens in it.")
    unlocked = [f.id for f in storyboard.frames if not f.kept]
    asked = unlocked if targets is None else list(targets)
    check_there(storyboard, asked)
    check_unlocked(storyboard, asked)
    if not asked:
        raise UserError("There is no frame to generate.", "Choose one, or unlock one.")

    plan = _Plan(storyboard, find_model(storyboard.settings.model), rng, share_all)
    added = [source.frame_id for source in added_sources(storyboard, asked, chosen, share_all)]
    plan.keep_seeds((*added, *keep_seeds), chosen)
    wanted = sources_first(storyboard, [*asked, *added], share_all)
    for source in sorted(plan.sources_of(wanted) - set(wanted), key=storyboard.position):
        plan.add_source(source, chosen[source])
    for name in wanted:
        plan.add_target(storyboard.frame(name))
    return plan.request(tuple(wanted))


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
        return sources_of(self.storyboard, frame, self.share_all)

    def sources_of(self, names: Sequence[str]) -> set[str]:
        """Return all source frames of these frames."""
        frames = map(self.storyboard.frame, names)
        return {source for frame in frames for source in self.sources(frame) if source}

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
        return RenderRequest(
            model=settings.model,
            frames=tuple(self.frames.values()),
            targets=targets,
            steps=steps_of(self.storyboard, spec),
            guidance_scale=guidance_of(self.storyboard, spec),
            true_cfg_scale=spec.true_cfg_scale,
            consistency=replace(
                consistency_of(self.storyboard, spec), merge=merge_of(self.storyboard, spec)
            ),
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
