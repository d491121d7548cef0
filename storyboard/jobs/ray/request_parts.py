"""Parts of a request that workers render side by side, and the costs by which it is cut.

Workers share no memory. A source frame of another part is either rendered again (up to the step
where sharing ends), or its bank is transferred. The cheaper of the two depends on the model, the
device and the network, and is chosen from measurements. The module knows nothing of workers;
pictures are the same however a request is cut.
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
    """Costs of rendering and of transfers.

    Attributes:
        step: seconds of one denoising step, per pixel of the picture.
        bank: bytes of a source frame's bank, per pixel; None before one was measured, and then
            none is transferred.
        speed: bytes of a bank that are transferred between two workers in a second.
    """

    step: float = _ASSUMED_STEP
    bank: float | None = None
    speed: float = _ASSUMED_SPEED


@dataclass(frozen=True)
class RequestPart:
    """Frames of a request that one worker renders.

    Attributes:
        number: its number within the request, from 0.
        targets: the frames that get their takes from it, in the request's order.
        work: its duration in seconds.
        receives: source frames whose banks it receives instead of rendering them again.
        sends: frames whose banks it sends to other parts, as soon as they are rendered.
    """

    number: int
    targets: tuple[str, ...]
    work: float
    receives: frozenset[str] = frozenset()
    sends: frozenset[str] = frozenset()

    def request(self, whole: RenderRequest) -> RenderRequest:
        """Return the worker's request: the targets and all their source frames."""
        return replace(whole, frames=_with_sources(whole, self.targets), targets=self.targets)


def cut_request(
    request: RenderRequest, *, workers: int, others: int, costs: Costs
) -> tuple[RequestPart, ...]:
    """Cut a request into the parts that keep all requests waiting least.

    The cost of a cut is the time until the request is rendered, plus, for each other request, the
    time that the workers spend on this one. So a single request is cut into as many parts as there
    are workers, and of many requests each stays whole, since a cut renders source frames twice.

    Args:
        workers: number of workers, at least 1.
        others: number of other requests that wait for workers.

    Returns:
        Parts that have all targets between them. Only the first sends banks.
    """
    if not request.targets:
        raise ValueError("a request without targets cannot be cut")
    cutter = _Cutter(request, costs)
    cuts = []
    most = min(math.ceil(workers / (1 + others)), len(request.targets))
    for count in {most, *(2**n for n in range(most.bit_length()))}:
        cuts.append(cutter.cut(count, transfer=False))
        if count > 1 and costs.bank is not None:
            cuts.append(cutter.cut(count, transfer=True))
    best = min(cuts, key=lambda cut: (cut.ends + others * cut.busy / workers, len(cut.parts)))
    return tuple(best.parts)


class Measures:
    """Measured costs: running means in which the last few measurements count most."""

    _NEWS = 0.2

    def __init__(self) -> None:
        self._steps: dict[str, float] = {}
        self._banks: dict[str, float] = {}
        self._speed: float | None = None

    def costs(self, model: str) -> Costs:
        """Return the costs of a model, assumed where nothing was measured."""
        return Costs(
            self._steps.get(model, _ASSUMED_STEP),
            self._banks.get(model),
            _ASSUMED_SPEED if self._speed is None else self._speed,
        )

    def add_step(self, model: str, pixels: int, seconds: float) -> None:
        """Add the duration of a denoising step of a picture with so many pixels."""
        self._steps[model] = self._mean(self._steps.get(model), seconds / pixels)

    def add_bank(self, model: str, pixels: int, nbytes: int) -> None:
        """Add the size of the bank of a picture with so many pixels."""
        self._banks[model] = self._mean(self._banks.get(model), nbytes / pixels)

    def add_transfer(self, nbytes: int, seconds: float) -> None:
        """Add the duration of a transfer of so many bytes between two workers."""
        if nbytes and seconds > 0:
            self._speed = self._mean(self._speed, nbytes / seconds)

    def _mean(self, old: float | None, new: float) -> float:
        return new if old is None else old + self._NEWS * (new - old)


@dataclass
class _Cut:
    """Parts, the end of the last of them, and the workers' total time for them, in seconds."""

    parts: list[RequestPart] = field(default_factory=list)
    ends: float = 0.0
    busy: float = 0.0


class _Cutter:
    """Cuts one request; frames with the same location stay together where they can."""

    def __init__(self, request: RenderRequest, costs: Costs) -> None:
        self._request = request
        self._costs = costs
        self._frames = {frame.frame_id: frame for frame in request.frames}
        locations: dict[str, int] = {}
        for frame in request.frames:
            locations.setdefault(frame.background_from or frame.frame_id, len(locations))
        self._targets = sorted(
            request.targets,
            key=lambda name: locations[self._frames[name].background_from or name],
        )

    def cut(self, count: int, *, transfer: bool) -> _Cut:
        """Return the cut into at most `count` parts that ends earliest (found by bisection)."""
        best = self._filled(math.inf, 1, transfer) or _Cut()
        low, high = 0.0, best.ends
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            cut = self._filled(middle, count, transfer)
            if cut is None:
                low = middle
            else:
                high = middle
                best = cut
        return best

    def _filled(self, limit: float, count: int, transfer: bool) -> _Cut | None:
        """Fill parts one after another up to a time limit; None if more than `count` are needed."""
        cut = _Cut()
        left = list(self._targets)
        while left and len(cut.parts) < count:
            # The most targets with which the next part ends in time.
            size = bisect_right(
                range(1, len(left) + 1),
                limit,
                key=lambda size: self._part(left[:size], cut.parts, transfer)[1],
            )
            if size == 0:
                return None
            part, ends = self._part(left[:size], cut.parts, transfer)
            cut.parts.append(part)
            cut.ends = max(cut.ends, ends)
            cut.busy += part.work
            left = left[size:]
        if left:
            return None
        # The first part sends the banks that others receive.
        if sends := frozenset[str]().union(*(part.receives for part in cut.parts)):
            cost = sum(map(self._transfer_seconds, sends))
            cut.parts[0] = replace(cut.parts[0], work=cut.parts[0].work + cost, sends=sends)
            cut.busy += cost
        return cut

    def _part(
        self, targets: Sequence[str], before: Sequence[RequestPart], transfer: bool
    ) -> tuple[RequestPart, float]:
        """Return a part with these targets, and the time when it ends."""
        receives: frozenset[str] = frozenset()
        starts = fetching = 0.0
        if transfer and before:
            receives = self._transferable(before[0].targets, targets)
            fetching = sum(self._transfer_seconds(name) for name in receives)
            # It waits for the last bank that it receives, then fetches all of them.
            starts = self._ready_after(before[0].targets, receives)
        needed = _with_sources(self._request, targets, receives)
        work = fetching + sum(self._seconds(frame.frame_id, targets) for frame in needed)
        ordered = tuple(t for t in self._request.targets if t in targets)
        return RequestPart(len(before), ordered, work, receives), starts + work

    def _transferable(self, senders: Sequence[str], readers: Sequence[str]) -> frozenset[str]:
        """Return the frames whose banks are worth a transfer between parts with these targets.

        A bank holds what its own part reads of it: the character, the location, or both.
        """
        held, needed = self._roles(senders), self._roles(readers)
        return frozenset(
            name
            for name in {name for name, _ in needed}
            if {role for role in needed if role[0] == name} <= held
            and name not in readers
            and 2 * self._transfer_seconds(name) < self._seconds(name, readers)
        )

    def _roles(self, targets: Sequence[str]) -> set[tuple[str, str]]:
        """Return the source frames of these targets, each with what is read of it."""
        frames = _with_sources(self._request, targets)
        identities = {(f.identity_from, "identity") for f in frames if f.identity_from}
        return identities | {(f.background_from, "location") for f in frames if f.background_from}

    def _ready_after(self, targets: Sequence[str], names: frozenset[str]) -> float:
        """Return the seconds after which a part with these targets has sent these banks."""
        passed = after = 0.0
        for frame in _with_sources(self._request, targets):
            passed += self._seconds(frame.frame_id, targets)
            if frame.frame_id in names:
                after = passed + sum(self._transfer_seconds(sent) for sent in names)
        return after

    def _seconds(self, name: str, targets: Sequence[str]) -> float:
        """Return the duration of a frame; one that is only a source stops where sharing ends."""
        frame, settings = self._frames[name], self._request.consistency
        probe = settings.mask_step * self._request.steps + 1
        steps: float = self._request.steps
        if name not in targets:
            steps = max(settings.share_end * steps, probe)
        if frame.identity_from is not None:
            steps += probe
        return steps * frame.width * frame.height * self._costs.step

    def _transfer_seconds(self, name: str) -> float:
        """Return the time that a bank's transfer takes each of the two workers."""
        frame = self._frames[name]
        return frame.width * frame.height * (self._costs.bank or 0.0) / self._costs.speed


def _with_sources(
    request: RenderRequest, targets: Iterable[str], received: frozenset[str] = frozenset()
) -> tuple[FrameRequest, ...]:
    """Return the frames to render for targets, in order; sources that are received are left out."""
    needed: set[str | None] = set(targets)
    for frame in reversed(request.frames):
        if frame.frame_id in needed:
            needed |= {frame.identity_from, frame.background_from} - received
    return tuple(frame for frame in request.frames if frame.frame_id in needed)
