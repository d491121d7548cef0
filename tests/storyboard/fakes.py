"""Fake engine without a model: real events and flat pictures, at the pace that a test sets."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.errors import UserError
from pipelines.events import (
    Events,
    FrameDone,
    FrameStarted,
    MaskFound,
    ModelLoading,
    Notice,
    Preview,
    StepDone,
)
from pipelines.exchange import NO_BANKS, BankExchange
from pipelines.models.specs import ModelSpec
from pipelines.models.usability import Usability
from pipelines.request import FrameRequest, RenderRequest
from storyboard.errors import RenderCancelled


@dataclass(frozen=True)
class FakeBank:
    """Bank of a frame: the frame's id and seed."""

    frame_id: str
    seed: int
    nbytes: int = 1000


@dataclass
class FakeEngine:
    """Renders each frame in one colour, from its seed; implements `RenderEngine`.

    Attributes:
        steps: steps that every frame takes.
        fault: raised in place of the frame with number `fault_at`.
        fault_at: counted from 0 over the frames of a request.
        reads: number of words of a prompt that it reads; None for all.
        refusal: raised by `check`.
        doubt: message of a notice about every picture and style of a request; none where empty.
        previews: whether a preview comes after every step but the last.
        permits: where given, one is taken before every event.
        requests: the request of each render.
        pictures: the folder of pictures of each render.
        banks: the bank exchange of each render.
        hub: where given, styles are fetched once it is set.
        fetched: the styles that were asked for.
        yielded: events so far.
        closed: number of renders that ended, in any way.
    """

    steps: int = 2
    fault: BaseException | None = None
    fault_at: int = 0
    reads: int | None = None
    refusal: UserError | None = None
    doubt: str = ""
    previews: bool = False
    permits: threading.Semaphore | None = None
    requests: list[RenderRequest] = field(default_factory=list)
    pictures: list[Path | None] = field(default_factory=list)
    banks: list[BankExchange] = field(default_factory=list)
    hub: threading.Event | None = None
    fetched: list[str] = field(default_factory=list)
    yielded: int = 0
    closed: int = 0

    def check(self, request: RenderRequest) -> None:
        if self.refusal is not None:
            raise self.refusal

    def fetch(self, style: str, stopped: Callable[[], bool]) -> None:
        self.fetched.append(style)
        while self.hub is not None and not self.hub.wait(0.01):
            if stopped():
                raise RenderCancelled

    def render(
        self, request: RenderRequest, pictures: Path | None = None, banks: BankExchange = NO_BANKS
    ) -> Events:
        self.requests.append(request)
        self.pictures.append(pictures)
        self.banks.append(banks)
        try:
            for event in self._events(request, banks):
                if self.permits is not None:
                    assert self.permits.acquire(timeout=20)
                self.yielded += 1
                yield event
        finally:
            self.closed += 1

    def describe(self) -> str:
        return "a fake on nothing"

    def usability(self, spec: ModelSpec) -> Usability:
        return Usability(not spec.gated, "Does not run here." if spec.gated else "Runs here.")

    def _events(self, request: RenderRequest, banks: BankExchange) -> Events:
        yield ModelLoading(request.model)
        for frame in request.frames:
            unread = [] if self.reads is None else frame.prompt.text.split()[self.reads :]
            if unread:
                yield Notice("prompt", frame.frame_id, " ".join(unread))
        for style in request.styles if self.doubt else ():
            yield Notice("style", style.source, self.doubt)
        for picture in sorted(request.references) if self.doubt else ():
            yield Notice("reference", picture, self.doubt)
        frames = [
            frame
            for frame in request.frames
            if frame.frame_id in request.targets or frame.frame_id not in banks.received
        ]
        total = self.steps * len(frames)
        for number, frame in enumerate(frames):
            yield FrameStarted(frame.frame_id)
            if self.fault is not None and number == self.fault_at:
                raise self.fault
            for step in range(1, self.steps + 1):
                done = number * self.steps + step
                yield StepDone(frame.frame_id, "render", step, self.steps, done, total)
                if self.previews and step < self.steps and frame.frame_id in request.targets:
                    yield Preview(frame.frame_id, picture_of(frame))
            mask = mask_of(frame)
            yield MaskFound(frame.frame_id, "render", mask, raw=mask, matches=None)
            if banks.keep is not None and is_source(frame, request):
                banks.keep(frame.frame_id, FakeBank(frame.frame_id, frame.seed))
            if frame.frame_id in request.targets:
                matches = None if frame.identity_from is None else 3
                yield FrameDone(frame.frame_id, picture_of(frame), mask, matches, 0.5)


def is_source(frame: FrameRequest, request: RenderRequest) -> bool:
    """Return whether a frame is the source of another frame."""
    return any(frame.frame_id in (f.identity_from, f.background_from) for f in request.frames)


def picture_of(frame: FrameRequest) -> Image.Image:
    """Return the picture that the fake engine renders for a frame."""
    colour = (frame.seed % 256, frame.seed // 256 % 256, 77)
    return Image.new("RGB", (frame.width, frame.height), colour)


def mask_of(frame: FrameRequest) -> np.ndarray:
    """Return the mask that it finds: the upper left token alone."""
    mask = np.zeros((frame.height // 16, frame.width // 16), dtype=bool)
    mask[0, 0] = True
    return mask
