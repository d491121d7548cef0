"""Rendering as jobs: what is asked for, what happens meanwhile, and how to stop it.

A front end starts a job through a `Runner` and follows its events; the job goes on when nobody
follows it, and can be followed again from its beginning. `storyboard.jobs.local` runs jobs in this
process, `storyboard.jobs.ray.runner` on several GPUs or machines. It knows nothing of pages or
torch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pipelines.errors import UserError
from pipelines.events import ModelLoading, Notice, Phase, PipelineEvent
from pipelines.exchange import NO_BANKS, BankExchange
from pipelines.request import RenderRequest
from storyboard.board import Storyboard, Take, new_id
from storyboard.errors import RenderCancelled
from storyboard.storage.reference_store import ReferenceStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

JobState = Literal["queued", "running", "finished", "failed", "cancelled"]


@dataclass(frozen=True)
class FrameBegun:
    """Work on a frame that will get a new take begins."""

    frame_id: str


@dataclass(frozen=True)
class JobProgress:
    """One more denoising step is done.

    Attributes:
        frame_id: the frame being worked on; it may be one that only lends, or a copy of one
            (`planning.COPY_MARK`) that is painted again beside it for others.
        phase: its probe pass or its render pass.
        step: steps done in this phase.
        steps: steps of this phase.
        fraction: how much of the whole job is done, in [0, 1].
        seconds_left: an estimate for the rest of the job; None before there is one.
    """

    frame_id: str
    phase: Phase
    step: int
    steps: int
    fraction: float
    seconds_left: float | None


@dataclass(frozen=True)
class FrameMask:
    """A frame's foreground mask as far as it is known: bool, shape (rows, columns) in tokens."""

    frame_id: str
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class FramePreview:
    """What a frame that is being painted will look like, roughly; the next one replaces it.

    Attributes:
        frame_id: the frame.
        image: a small picture, RGB.
    """

    frame_id: str
    image: Image.Image


@dataclass(frozen=True)
class TakeSaved:
    """A frame is painted, stored and chosen."""

    frame_id: str
    take: Take


@dataclass(frozen=True)
class JobFailed:
    """The job ended early; the takes that were saved are kept."""

    message: str


@dataclass(frozen=True)
class JobCancelled:
    """The job was stopped on purpose; the takes that were saved are kept."""


@dataclass(frozen=True)
class JobFinished:
    """All frames are painted."""


JobEvent = (
    ModelLoading
    | Notice
    | FrameBegun
    | JobProgress
    | FrameMask
    | FramePreview
    | TakeSaved
    | JobFailed
    | JobCancelled
    | JobFinished
)


class RenderEngine(Protocol):
    """What a job needs of an engine; `storyboard.engine.Engine` is the real one."""

    def check(self, request: RenderRequest) -> None:
        """Refuse at once what the model cannot paint; loads nothing.

        Raises:
            UserError: if the model cannot follow pictures and the request names some; a
                `ConsentNeeded` where a person has to agree to something first.
        """
        ...

    def render(
        self, request: RenderRequest, pictures: Path | None = None, banks: BankExchange = NO_BANKS
    ) -> Generator[PipelineEvent | ModelLoading, None, None]:
        """Paint a request, after `check`; closing the generator stops within one step and frees
        everything.

        Args:
            request: what to paint.
            pictures: the folder of the pictures that it names; None where it names none.
            banks: those that come from elsewhere and go there.
        """
        ...

    def describe(self) -> str:
        """The loaded model and where it runs; empty before one is loaded."""
        ...


class JobProject(Protocol):
    """What a job needs of what it paints for: a `store.Project`, or a folder of a `cli.batch`."""

    @property
    def id(self) -> str:
        """Its identifier, unlike all others of one runner."""
        ...

    @property
    def references(self) -> ReferenceStore:
        """The pictures that its frames follow."""
        ...

    def load(self) -> Storyboard:
        """The storyboard as it stands now, with the takes that are chosen.

        Raises:
            ProjectError: if it can no longer be read.
        """
        ...

    def request(self, take_id: str) -> RenderRequest:
        """What a take was painted from.

        Raises:
            ProjectError: if there is no such take or it is damaged.
        """
        ...

    def add_take(
        self, take: Take, image: Image.Image, mask: NDArray[np.bool_], request: RenderRequest
    ) -> None:
        """Store a take; see `store.Project.add_take`. From any thread, one at a time.

        Raises:
            UserError: if it cannot be stored.
        """
        ...


class Job:
    """One render of some frames of a project; safe to use from any thread.

    Args:
        project: what gets the takes.
        storyboard: what to paint, as it was when the job was asked for.
        targets: ids of the frames that get a new take, in their order.
        share_all: whether every frame keeps the first frame's place.
    """

    def __init__(
        self,
        project: JobProject,
        storyboard: Storyboard,
        targets: tuple[str, ...],
        share_all: bool = False,
    ) -> None:
        self.id = new_id()
        self.project = project
        self.storyboard = storyboard
        self.targets = targets
        self.share_all = share_all
        self._state: JobState = "queued"
        self._history: list[JobEvent] = []
        # The newest of every frame that is being painted, with its number among all of them.
        self._previews: dict[str, tuple[int, FramePreview]] = {}
        self._previewed = 0
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._tell_stop: Callable[[], None] | None = None

    @property
    def project_id(self) -> str:
        """The project's identifier."""
        return self.project.id

    @property
    def state(self) -> JobState:
        """Where the job stands."""
        return self._state

    @property
    def over(self) -> bool:
        """Whether nothing will happen any more."""
        return self._state in ("finished", "failed", "cancelled")

    @property
    def cancelling(self) -> bool:
        """Whether it has been told to stop."""
        return self._stop.is_set()

    def events(self, start: int = 0) -> Iterator[JobEvent]:
        """What happened from the `start`-th event on, then what happens, until the job is over.

        Every reader gets every event; but of the previews, which do not count, only those that
        are the newest of their frames when it comes to them.
        """
        index, previewed = start, 0
        while True:
            with self._changed:
                while (
                    index >= len(self._history) and previewed == self._previewed and not self.over
                ):
                    self._changed.wait()
                fresh = self._history[index:]
                shown = [event for number, event in self._previews.values() if number > previewed]
                previewed = self._previewed
                over = self.over
            yield from fresh
            yield from shown
            index += len(fresh)
            if over:
                return

    def cancel(self) -> None:
        """Stop: at once while queued, within one denoising step while running."""
        with self._changed:
            self._stop.set()
            tell = self._tell_stop
            if self._state == "queued":
                self._end("cancelled", JobCancelled())
        if tell is not None:
            tell()

    def when_cancelled(self, tell: Callable[[], None]) -> None:
        """Have this called when the job is told to stop; at once if it was. For its runner.

        A runner needs it that does not see every event of its engine at once.
        """
        with self._changed:
            self._tell_stop = tell
            told = self._stop.is_set()
        if told:
            tell()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job is over.

        Args:
            timeout: how long at most, in seconds; None for as long as it takes.

        Returns:
            Whether it is over.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self.over, timeout)

    def begin(self) -> bool:
        """Take the job out of the queue; False where it was cancelled there. For its runner."""
        with self._changed:
            if self._state != "queued":
                return False
            self._state = "running"
            return True

    def report(self, event: JobEvent) -> None:
        """Tell all readers. For its runner."""
        with self._changed:
            if isinstance(event, FramePreview):
                self._previewed += 1
                self._previews[event.frame_id] = (self._previewed, event)
            else:
                self._history.append(event)
            if isinstance(event, TakeSaved):
                self._previews.pop(event.frame_id, None)
            self._changed.notify_all()

    def end(self, fault: BaseException | None) -> None:
        """Close the job with how it went. For its runner.

        Args:
            fault: what was raised, or None where all went well.
        """
        with self._changed:
            if self.over:
                return
            if fault is None:
                self._end("finished", JobFinished())
            elif isinstance(fault, RenderCancelled):
                self._end("cancelled", JobCancelled())
            else:
                self._end("failed", JobFailed(_message(fault)))

    def _end(self, state: JobState, event: JobEvent) -> None:
        self._history.append(event)
        self._previews.clear()
        self._state = state
        self._changed.notify_all()


class Runner(Protocol):
    """Runs jobs, here or elsewhere."""

    def check(
        self, project: JobProject, targets: Sequence[str] | None, share_all: bool = False
    ) -> None:
        """Refuse what `start` would refuse, but for pictures that are missing; start nothing.

        Raises:
            UserError: as `start`.
        """
        ...

    def start(
        self, project: JobProject, targets: Sequence[str] | None, share_all: bool = False
    ) -> Job:
        """Ask for new takes of these frames (None for all), as the project stands now.

        Args:
            project: what to paint, and what gets the takes.
            targets: ids of the frames.
            share_all: let every frame keep the first frame's place, whatever the frames say.

        Raises:
            UserError: if there is nothing to paint, it cannot be painted, or the project cannot be
                read; a `ConsentNeeded` where a person has to agree to something first.
        """
        ...

    def job(self, job_id: str) -> Job | None:
        """The job of this identifier, also for a while after its end."""
        ...

    def active(self, project_id: str) -> Job | None:
        """The project's first job that is not over."""
        ...

    def pending(self, project_id: str) -> tuple[Job, ...]:
        """The project's jobs that are not over, in the order they were asked for."""
        ...

    def describe(self) -> str:
        """Where jobs run, and with what, as far as that is known; perhaps empty."""
        ...

    def close(self) -> None:
        """Cancel everything and wait for its end."""
        ...


def _message(fault: BaseException) -> str:
    if isinstance(fault, UserError):
        return str(fault)
    return (
        f"Something went wrong inside Throughline ({type(fault).__name__}). What was painted is "
        "kept; the server's log has the details."
    )
