"""In which order the passes of frames advance: one frame after another, or all side by side.

What a frame lends is either kept in a bank until the others are painted, or made anew while they
are. Knows nothing of tensors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.consistency.plan import StepPlan
from pipelines.events import Phase
from pipelines.request import FrameRequest, RenderRequest, with_trigger


@dataclass(frozen=True)
class Segment:
    """Some steps of one frame's pass.

    Attributes:
        frame_id: the frame.
        phase: which of its passes.
        first: the first step.
        last: the step after the last one.
        resumes: whether it goes on where an earlier leg of the same pass stopped. Otherwise a new
            pass begins: from noise, or with what an earlier pass left after step 0, where
            nothing is shared and all passes of a frame are the same.
    """

    frame_id: str
    phase: Phase
    first: int
    last: int
    resumes: bool = False


@dataclass(frozen=True)
class Schedule:
    """The legs of all frames.

    Attributes:
        stages: legs that advance together, lenders before borrowers; one stage after another.
        lasting_steps: of how many first steps banks must keep what they lend until the end; None
            for all steps. What is lent at later steps is read while that step lasts.
    """

    stages: tuple[tuple[Segment, ...], ...]
    lasting_steps: int | None

    @property
    def evaluations(self) -> int:
        """How many times a frame goes through the transformer, without guidance by a negative."""
        return sum(leg.last - leg.first for stage in self.stages for leg in stage)


def one_after_another(
    frames: Sequence[FrameRequest], plan: StepPlan, steps: Mapping[str, int]
) -> Schedule:
    """Every frame is finished before the next one begins; banks keep what is lent.

    Args:
        frames: in an order in which lenders come first.
        plan: the steps.
        steps: of every frame's render pass, by its id.
    """
    stages = []
    for frame in frames:
        first = 0
        if frame.identity_from is not None:
            stages.append((Segment(frame.frame_id, "probe", 0, plan.probe_steps),))
            first = _after_probe(plan)
        stages.append((Segment(frame.frame_id, "render", first, steps[frame.frame_id]),))
    return Schedule(tuple(stages), None)


def side_by_side(
    frames: Sequence[FrameRequest],
    plan: StepPlan,
    steps: Mapping[str, int],
    *,
    keep_early: bool,
) -> Schedule:
    """All frames advance together, after stages in which masks and matches are found.

    A frame's probe pass needs the masks of the frames that it borrows from: of its identity frame
    at its end, of the frame whose place it shares from the beginning. So lenders go ahead, as many
    stages as they borrow from one another. While others look for their masks, a lender either goes
    through those first steps again beside them, or has them in its bank.

    Args:
        frames: in an order in which lenders come first. Frames that they borrow from and that are
            not among them are painted already and have whole banks.
        plan: the steps.
        steps: of every frame's render pass, by its id.
        keep_early: whether banks keep what is lent up to the mask step, which costs memory and
            saves evaluations; without it nothing at all is kept.
    """
    lenders = {f.identity_from for f in frames} | {f.background_from for f in frames}
    found: dict[str | None, int] = {}  # the stage in which a lender's mask is found
    probed: dict[str, int] = {}
    for frame in frames:
        ready = max(1, found.get(frame.identity_from, 0), found.get(frame.background_from, 0) + 1)
        if frame.identity_from is not None:
            probed[frame.frame_id] = ready
            ready += 1
        if frame.frame_id in lenders:
            found[frame.frame_id] = ready

    final = max([*found.values(), *probed.values()], default=0) + 1
    by_id = {frame.frame_id: frame for frame in frames}
    again, early = _after_probe(plan), plan.probe_steps
    stages: list[list[Segment]] = []
    for stage in range(1, final):
        legs = {
            name: Segment(name, "probe", 0, early) for name, at in probed.items() if at == stage
        }
        for frame in frames:
            name = frame.frame_id
            if found.get(name) == stage:
                legs[name] = Segment(name, "render", again if name in probed else 0, early)
        if not keep_early:
            for name in _lending(list(legs), by_id):
                legs.setdefault(name, Segment(name, "render", again, early))
        stages.append([legs[frame.frame_id] for frame in frames if frame.frame_id in legs])

    last = []
    for frame in frames:
        name = frame.frame_id
        if name in found and keep_early:
            leg = Segment(name, "render", early, steps[name], resumes=True)
        else:
            seen = name in found or name in probed
            leg = Segment(name, "render", again if seen else 0, steps[name])
        last.append(leg)
    stages.append([leg for leg in last if leg.first < leg.last])
    return Schedule(tuple(map(tuple, stages)), early if keep_early else 0)


def _after_probe(plan: StepPlan) -> int:
    """The step at which a second pass begins: step 0 need not be done again, unless it is the mask
    step, whose matches a pass must find itself."""
    return 1 if plan.probe_steps > 1 else 0


def _lending(names: Sequence[str], frames: Mapping[str, FrameRequest]) -> list[str]:
    """Everybody that frames borrow from, also through others."""
    seen: list[str] = []
    waiting = list(names)
    while waiting:
        frame = frames[waiting.pop()]
        for lender in (frame.identity_from, frame.background_from):
            if lender is not None and lender in frames and lender not in seen:
                seen.append(lender)
                waiting.append(lender)
    return seen


def needed_frames(
    request: RenderRequest, lent: Collection[str] = frozenset()
) -> list[FrameRequest]:
    """The targets and every frame that lends them something, in order, as they are painted.

    Their prompts begin with the trigger words of the request's styles.

    Args:
        request: the request.
        lent: frames whose banks are there already, by their id; they are painted if they are
            targets, and not otherwise.
    """
    painted: set[str] = set(request.targets)
    for frame in reversed(request.frames):
        if frame.frame_id in painted:
            lenders = (frame.identity_from, frame.background_from)
            painted |= {s for s in lenders if s is not None and s not in lent}
    return [
        replace(frame, prompt=with_trigger(frame.prompt, request.styles))
        for frame in request.frames
        if frame.frame_id in painted
    ]


def render_steps(frame: FrameRequest, request: RenderRequest, plan: StepPlan) -> int:
    """Steps of a frame's render pass: a frame that only lends stops where sharing ends."""
    if frame.frame_id in request.targets:
        return plan.steps
    return max(plan.share_end, plan.probe_steps)
