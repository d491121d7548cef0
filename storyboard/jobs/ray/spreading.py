"""Cuts a request into parts that workers paint side by side.

Frames take character and place from other frames, and workers share no memory. What a part takes
from a frame of another part can reach it in two ways: it paints that frame again, unseen, from the
request (up to the step where sharing ends), or the frame's bank travels. Which is cheaper depends
on the model, the device and the network, so it is counted from what was measured. It knows
nothing of workers; pictures are the same however they are cut.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from pipelines.request import FrameRequest, RenderRequest

# Of an NVIDIA H100, before anything has been measured: FLUX.1 [dev] at 1024 x 1024.
_ASSUMED_STEP = 0.13 / 1024**2
_ASSUMED_SPEED = 1e9
_HALVINGS = 12


@dataclass(frozen=True)
class Costs:
    """What painting and travelling take.

    Attributes:
        step: seconds of one denoising step, per pixel of the picture.
        bank: bytes of a lending frame's bank, per pixel; None where none has been seen yet, and
            then none travels.
        speed: bytes of a bank that go from one worker into another in a second.
    """

    step: float = _ASSUMED_STEP
    bank: float | None = None
    speed: float = _ASSUMED_SPEED


@dataclass(frozen=True)
class Part:
    """Frames of a request that one worker paints.

    Attributes:
        number: which part of its request it is, from 0.
        targets: the frames that get their takes from it, in the request's order.
        work: how long it takes, in seconds.
        lent: frames whose banks it is given instead of painting them again.
        keeps: frames whose banks it hands on, as soon as they are painted.
    """

    number: int
    targets: tuple[str, ...]
    work: float
    lent: frozenset[str] = frozenset()
    keeps: frozenset[str] = frozenset()

    def request(self, whole: RenderRequest) -> RenderRequest:
        """What its worker paints: the frames that it needs, those that are lent included."""
        needed = set(self.targets)
        for frame in reversed(whole.frames):
            if frame.frame_id in needed:
                needed |= _sources(frame)
        frames = tuple(f for f in whole.frames if f.frame_id in needed)
        return replace(whole, frames=frames, targets=self.targets)


def spread(request: RenderRequest, *, workers: int, others: int, costs: Costs) -> tuple[Part, ...]:
    """The parts that make everybody wait least.

    What counts is the time until the request is painted and, for each of the others, the time
    that the workers spend on it instead of on them. So alone it is cut into as many parts as there
    are workers, and of many each stays whole, since every cut has frames painted twice.

    Args:
        request: what to paint.
        workers: how many there are, at least 1.
        others: how many other requests want them.
        costs: what painting and travelling take.

    Returns:
        Parts that have all targets between them. A part that is lent banks is told by those that
        keep them; only the first keeps any.
    """
    if not request.targets:
        raise ValueError("a request without targets cannot be cut")
    share = math.ceil(workers / (1 + others))
    cutter = _Cutter(request, costs)
    cuts = []
    most = min(share, len(request.targets))
    for count in {most, *(2**n for n in range(most.bit_length()))}:
        cuts.append(cutter.cut(count, travel=False))
        if count > 1 and costs.bank is not None:
            cuts.append(cutter.cut(count, travel=True))
    best = min(cuts, key=lambda cut: (cut.ends + others * cut.busy / workers, len(cut.parts)))
    return tuple(best.parts)


class Measures:
    """Gathers what painting and travelling take, from what workers report.

    Each kind of number is a running mean in which the last few reports count most.
    """

    _NEWS = 0.2

    def __init__(self) -> None:
        self._steps: dict[str, float] = {}
        self._banks: dict[str, float] = {}
        self._speed: float | None = None

    def costs(self, model: str) -> Costs:
        """What is known of a model."""
        return Costs(
            self._steps.get(model, _ASSUMED_STEP),
            self._banks.get(model),
            _ASSUMED_SPEED if self._speed is None else self._speed,
        )

    def saw_step(self, model: str, pixels: int, seconds: float) -> None:
        """One denoising step of a picture of so many pixels took so long."""
        self._steps[model] = self._mean(self._steps.get(model), seconds / pixels)

    def saw_bank(self, model: str, pixels: int, nbytes: int) -> None:
        """The bank of a frame of so many pixels held so many bytes."""
        self._banks[model] = self._mean(self._banks.get(model), nbytes / pixels)

    def saw_travel(self, nbytes: int, seconds: float) -> None:
        """A bank of so many bytes came from one worker into another in so long."""
        if nbytes and seconds > 0:
            self._speed = self._mean(self._speed, nbytes / seconds)

    def _mean(self, old: float | None, new: float) -> float:
        return new if old is None else old + self._NEWS * (new - old)


@dataclass
class _Cut:
    """Parts, when the last of them ends, and how long workers are busy with them, in seconds."""

    parts: list[Part] = field(default_factory=list)
    ends: float = 0.0
    busy: float = 0.0


class _Cutter:
    """Cuts one request; frames that share a place stay together where they can."""

    def __init__(self, request: RenderRequest, costs: Costs) -> None:
        self._request = request
        self._costs = costs
        self._frames = {frame.frame_id: frame for frame in request.frames}
        self._order = {name: number for number, name in enumerate(self._frames)}
        places: dict[str, int] = {}
        for frame in request.frames:
            places.setdefault(frame.background_from or frame.frame_id, len(places))
        self._targets = sorted(
            request.targets,
            key=lambda name: places[self._frames[name].background_from or name],
        )

    def cut(self, count: int, *, travel: bool) -> _Cut:
        """At most `count` parts whose last ends as early as can be (found by halving)."""
        best = self._filled(math.inf, 1, travel) or _Cut()
        low, high = 0.0, best.ends
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            tried = self._filled(middle, count, travel)
            if tried is None:
                low = middle
            else:
                high = middle
                best = tried
        return best

    def _filled(self, limit: float, count: int, travel: bool) -> _Cut | None:
        """Parts filled one after the other up to a time limit; None if they are too few."""
        cut = _Cut()
        left = list(self._targets)
        while left and len(cut.parts) < count:
            # The most targets with which the next part ends in time.
            size = bisect_right(
                range(1, len(left) + 1),
                limit,
                key=lambda size: self._part(left[:size], cut.parts, travel)[1],
            )
            if size == 0:
                return None
            part, ends = self._part(left[:size], cut.parts, travel)
            cut.parts.append(part)
            cut.ends = max(cut.ends, ends)
            cut.busy += part.work
            left = left[size:]
        if left:
            return None
        return self._with_keeps(cut)

    def _part(
        self, targets: Sequence[str], before: Sequence[Part], travel: bool
    ) -> tuple[Part, float]:
        """A part with these targets, and when it ends."""
        lent: frozenset[str] = frozenset()
        starts = journey = 0.0
        if travel and before:
            lent = self._lendable(before[0].targets, targets)
            journey = sum(self._journey(name) for name in lent)
            # It waits for the last bank that it is given, then takes all of them in.
            starts = self._painted_after(before[0].targets, lent)
        work = journey + sum(self._seconds(n, targets) for n in self._needed(targets, lent))
        ordered = tuple(t for t in self._request.targets if t in targets)
        return Part(len(before), ordered, work, lent), starts + work

    def _with_keeps(self, cut: _Cut) -> _Cut:
        """The same cut whose first part knows what to hand on, and pays for that, too."""
        keeps = frozenset[str]().union(*(part.lent for part in cut.parts))
        if keeps:
            first = cut.parts[0]
            cost = sum(self._journey(name) for name in keeps)
            cut.parts[0] = replace(first, work=first.work + cost, keeps=keeps)
            cut.busy += cost
        return cut

    def _lendable(self, givers: Sequence[str], takers: Sequence[str]) -> frozenset[str]:
        """Frames that a part with some targets can lend to one with others, where that pays.

        A bank holds what its own part reads of it: the character, the place, or both.
        """
        given, wanted = self._roles(givers), self._roles(takers)
        return frozenset(
            name
            for name in {name for name, _ in wanted}
            if {w for w in wanted if w[0] == name} <= given
            and name not in takers
            and 2 * self._journey(name) < self._seconds(name, takers)
        )

    def _roles(self, targets: Sequence[str]) -> set[tuple[str, str]]:
        """Which frame is read when these are painted, and for what."""
        frames = [self._frames[name] for name in self._needed(targets, frozenset())]
        identities = {(f.identity_from, "identity") for f in frames if f.identity_from}
        return identities | {(f.background_from, "place") for f in frames if f.background_from}

    def _needed(self, targets: Iterable[str], lent: frozenset[str]) -> list[str]:
        """Frames that have to be painted for these targets, in the request's order."""
        needed: set[str] = set()
        wanted = set(targets)
        while wanted:
            needed |= wanted
            sources = set[str]().union(*(_sources(self._frames[name]) for name in wanted))
            wanted = sources - needed - lent
        return sorted(needed, key=self._order.__getitem__)

    def _painted_after(self, targets: Sequence[str], names: frozenset[str]) -> float:
        """When a part with these targets has painted the last of some frames, in seconds."""
        passed = after = 0.0
        for name in self._needed(targets, frozenset()):
            passed += self._seconds(name, targets)
            if name in names:
                after = passed + sum(self._journey(lent) for lent in names)
        return after

    def _seconds(self, name: str, targets: Sequence[str]) -> float:
        """How long a frame takes; one that only lends stops where sharing ends."""
        frame, settings = self._frames[name], self._request.consistency
        probe = settings.mask_step * self._request.steps + 1
        steps: float = self._request.steps
        if name not in targets:
            steps = max(settings.share_end * steps, probe)
        if frame.identity_from is not None:
            steps += probe
        return steps * self._pixels(name) * self._costs.step

    def _journey(self, name: str) -> float:
        """How long a bank's worker and the one that reads it are each busy with its journey."""
        return self._pixels(name) * (self._costs.bank or 0.0) / self._costs.speed

    def _pixels(self, name: str) -> int:
        return self._frames[name].width * self._frames[name].height


def _sources(frame: FrameRequest) -> set[str]:
    return {s for s in (frame.identity_from, frame.background_from) if s is not None}
