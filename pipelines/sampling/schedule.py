"""Order in which the passes of frames advance: one frame after another, or all side by side.

The keys and values that readers need of a source frame are either kept in a bank until the readers
are rendered, or computed again beside them. Knows nothing of tensors.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.consistency.plan import StepPlan
from pipelines.events import Phase
from pipelines.request import (
    ConsistencySettings,
    FrameRequest,
    RenderRequest,
    Shortcuts,
    with_trigger,
)

_NO_SHORTCUTS = Shortcuts()


@dataclass(frozen=True)
class Segment:
    """Some steps of one frame's pass.

    Attributes:
        frame_id: the frame.
        phase: its probe pass or its render pass.
        first: the first step.
        last: the step after the last one.
        resumes: whether it continues where an earlier segment of the same pass stopped. Otherwise
            a new pass begins: from noise, or from the state after step 0 of an earlier pass, where
            nothing is shared and all passes of a frame are the same.
    """

    frame_id: str
    phase: Phase
    first: int
    last: int
    resumes: bool = False


@dataclass(frozen=True)
class Schedule:
    """Segments of all frames.

    Attributes:
        stages: segments that advance together, source frames before their readers; one stage after
            another.
        lasting_steps: number of first steps whose keys and values banks keep until the end; None
            for all steps. Those of later steps are read while that step lasts.
    """

    stages: tuple[tuple[Segment, ...], ...]
    lasting_steps: int | None

    @property
    def evaluations(self) -> int:
        """Evaluations of the transformer per frame, summed, without the negative prompt's."""
        return sum(segment.last - segment.first for stage in self.stages for segment in stage)


def step_plan(
    steps: int, settings: ConsistencySettings, shortcuts: Shortcuts = _NO_SHORTCUTS
) -> StepPlan:
    """Make the plan for a schedule of any length, from fractions of its number of steps.

    Each fraction is rounded to the nearest step; sharing and merging never begin before step 1, and
    the mask step leaves at least one step after it where there are two.
    """

    def at(fraction: float) -> int:
        return math.floor(fraction * steps + 0.5)

    first_merge = max(1, at(settings.merge_start))
    return StepPlan(
        steps=steps,
        share_start=max(1, at(settings.share_start)),
        share_end=at(settings.share_end),
        merge_start=first_merge,
        merge_decay=at(settings.merge_decay),
        merge_end=max(first_merge, at(settings.merge_end)) if settings.merge else first_merge,
        merge_weight=settings.merge_weight,
        similarity_threshold=settings.similarity_threshold,
        mask_step=min(at(settings.mask_step), max(steps - 2, 0)),
        mask_erode=settings.mask_erode,
        mask_dilate=settings.mask_dilate,
        every=shortcuts.every,
        probe_every=shortcuts.probe_every,
    )


def one_after_another(
    frames: Sequence[FrameRequest], plan: StepPlan, steps: Mapping[str, int]
) -> Schedule:
    """Finish every frame before the next one begins, with whole banks; see `side_by_side`."""
    stages = []
    for frame in frames:
        first = 0
        if frame.identity_from is not None:
            stages.append((Segment(frame.frame_id, "probe", 0, plan.probe_steps),))
            first = _after_probe(plan)
        stages.append((Segment(frame.frame_id, "render", first, steps[frame.frame_id]),))
    return Schedule(tuple(stages), None)


def side_by_side(
    frames: Sequence[FrameRequest], plan: StepPlan, steps: Mapping[str, int], *, keep_early: bool
) -> Schedule:
    """Advance all frames together, after stages in which masks and matches are found.

    A frame's probe pass needs the masks of its source frames: the identity frame's at its end, that
    of the frame whose location it shares from the beginning. So source frames go ahead, in as many
    stages as they read from one another. While others find their masks, a source frame either
    repeats those first steps beside them, or has them in its bank.

    Args:
        frames: source frames before their readers. Source frames that are not among them are
            rendered already and have whole banks.
        plan: the steps.
        steps: steps of every frame's render pass, by its id.
        keep_early: whether banks keep the keys and values up to the mask step, which costs memory
            and saves evaluations; without it nothing at all is kept.
    """
    sources = {f.identity_from for f in frames} | {f.background_from for f in frames}
    found: dict[str | None, int] = {}  # the stage in which a source frame's mask is found
    probed: dict[str, int] = {}
    for frame in frames:
        ready = max(1, found.get(frame.identity_from, 0), found.get(frame.background_from, 0) + 1)
        if frame.identity_from is not None:
            probed[frame.frame_id] = ready
            ready += 1
        if frame.frame_id in sources:
            found[frame.frame_id] = ready

    final = max([*found.values(), *probed.values()], default=0) + 1
    by_id = {frame.frame_id: frame for frame in frames}
    again, early = _after_probe(plan), plan.probe_steps
    stages: list[list[Segment]] = []
    for stage in range(1, final):
        segments = {
            name: Segment(name, "probe", 0, early) for name, at in probed.items() if at == stage
        }
        for frame in frames:
            name = frame.frame_id
            if found.get(name) == stage:
                segments[name] = Segment(name, "render", again if name in probed else 0, early)
        if not keep_early:
            for name in _all_sources(list(segments), by_id):
                segments.setdefault(name, Segment(name, "render", again, early))
        stages.append([segments[frame.frame_id] for frame in frames if frame.frame_id in segments])

    last = []
    for frame in frames:
        name = frame.frame_id
        if name in found and keep_early:
            segment = Segment(name, "render", early, steps[name], resumes=True)
        else:
            begun = name in found or name in probed
            segment = Segment(name, "render", again if begun else 0, steps[name])
        last.append(segment)
    stages.append([segment for segment in last if segment.first < segment.last])
    return Schedule(tuple(map(tuple, stages)), early if keep_early else 0)


def needed_frames(
    request: RenderRequest, rendered: Collection[str] = frozenset()
) -> list[FrameRequest]:
    """Return the targets and all their source frames, in order.

    Their prompts begin with the trigger words of the request's styles.

    Args:
        request: the request.
        rendered: ids of frames whose banks are there already; they are needed only as targets.
    """
    needed: set[str] = set(request.targets)
    for frame in reversed(request.frames):
        if frame.frame_id in needed:
            sources = (frame.identity_from, frame.background_from)
            needed |= {s for s in sources if s is not None and s not in rendered}
    return [
        replace(frame, prompt=with_trigger(frame.prompt, request.styles))
        for frame in request.frames
        if frame.frame_id in needed
    ]


def render_steps(frame: FrameRequest, request: RenderRequest, plan: StepPlan) -> int:
    """Return the steps of a frame's render pass; a mere source frame stops where sharing ends."""
    if frame.frame_id in request.targets:
        return plan.steps
    return max(plan.share_end, plan.probe_steps)


def _after_probe(plan: StepPlan) -> int:
    """Return the step at which a second pass begins.

    Step 0 need not be done again, unless it is the mask step, whose matches a pass must find
    itself.
    """
    return 1 if plan.probe_steps > 1 else 0


def _all_sources(names: Sequence[str], frames: Mapping[str, FrameRequest]) -> list[str]:
    """Return the source frames of frames, also those of their source frames."""
    seen: list[str] = []
    waiting = list(names)
    while waiting:
        frame = frames[waiting.pop()]
        for source in (frame.identity_from, frame.background_from):
            if source is not None and source in frames and source not in seen:
                seen.append(source)
                waiting.append(source)
    return seen
