"""Engines for workers' processes, controlled by the actions of the frames."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from pipelines.errors import OutOfMemoryError
from pipelines.events import Events, FrameStarted, StepDone
from pipelines.exchange import NO_BANKS, BankExchange
from pipelines.request import RenderRequest
from storyboard.engine import Engine
from storyboard.settings import Settings
from tests.storyboard.fakes import FakeEngine

STEP_SECONDS = 0.05
STEPS = 4
MEETING_SECONDS = 120.0


class ObedientEngine(FakeEngine):
    """Slow fake that obeys the action of every target when it begins.

    "meets PATH" waits until two processes are in the folder PATH; "dies PATH" kills its process
    once (the file PATH marks that it did), "dies" always; "fails" raises an error for people,
    "breaks" another one.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(steps=STEPS)

    def render(
        self, request: RenderRequest, pictures: Path | None = None, banks: BankExchange = NO_BANKS
    ) -> Events:
        actions = {f.frame_id: f.prompt.action for f in request.frames}
        for event in super().render(request, pictures, banks):
            yield event
            if isinstance(event, FrameStarted) and event.frame_id in request.targets:
                obey(actions[event.frame_id])
            if isinstance(event, StepDone):
                time.sleep(STEP_SECONDS)


class MortalEngine(Engine):
    """Real engine whose process is killed once in the middle of a frame.

    Args:
        settings: its settings.
        mark: file that marks that it was killed.
    """

    def __init__(self, settings: Settings, mark: Path) -> None:
        super().__init__(settings)
        self._mark = mark

    def render(
        self, request: RenderRequest, pictures: Path | None = None, banks: BankExchange = NO_BANKS
    ) -> Events:
        for event in super().render(request, pictures, banks):
            yield event
            of_last = isinstance(event, StepDone) and event.frame_id == request.targets[-1]
            if of_last and event.phase == "render" and event.step == 2:
                die_once(self._mark)


def obey(action: str) -> None:
    word, _, path = action.partition(" ")
    if word == "meets":
        meet(Path(path))
    if word == "dies":
        die_once(Path(path) if path else None)
    if word == "fails":
        raise OutOfMemoryError("It does not fit.", "Make it smaller.")
    if word == "breaks":
        raise ValueError("shapes 3 and 4")


def meet(folder: Path) -> None:
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + MEETING_SECONDS
    while len(list(folder.iterdir())) < 2:
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody else came to {folder}")
        time.sleep(STEP_SECONDS)


def die_once(mark: Path | None) -> None:
    """Kill this process, as the kernel does when memory runs out."""
    if mark is not None:
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)
