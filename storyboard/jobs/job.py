"""Jobs that render, and the protocols of their engine and their project.

A front end starts a job through a `Runner` (`storyboard.jobs.runner`) and reads its events. The job
goes on when nobody reads them, and they can be read again from the beginning. It knows nothing of
pages or torch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pipelines.errors import UserError
from pipelines.events import Events, MaskFound, ModelLoading, Notice, Preview
from pipelines.exchange import NO_BANKS, BankExchange
from pipelines.models.specs import ModelSpec
from pipelines.models.usability import Usability
from pipelines.request import RenderRequest
from storyboard.board import Storyboard, Take, new_id
from storyboard.errors import RenderCancelled
from storyboard.jobs.events import JobEnded, JobEvent, JobFailed, JobProgress, TakeSaved
from storyboard.storage.reference_store import ReferenceStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

JobState = Literal["queued", "running", "finished", "failed", "cancelled"]


class RenderEngine(Protocol):
    """Engine of a job; `storyboard.engine.Engine` is the real one."""

    def check(self, request: RenderRequest) -> None:
        """Refuse at once a request that the model cannot render; load nothing.

        Raises:
            UserError: if the request has reference pictures and the model cannot use any; a
                `ConsentNeeded` where a person has to agree to something first.
        """

    def fetch(self, style: str, stopped: Callable[[], bool]) -> None:
        """Download a style's file where it is not on this machine; `render` would do so, too.

        From any thread, also while a request is rendered.

        Args:
            style: the style's source.
            stopped: returns whether nobody waits for it any more; asked again and again.

        Raises:
            UserError: if there is no such style, or it cannot be fetched.
            RenderCancelled: if it was stopped.
        """

    def render(
        self, request: RenderRequest, pictures: Path | None = None, banks: BankExchange = NO_BANKS
    ) -> Events:
        """Render a request, after `check`, and yield events.

        Closing the generator stops within one step and frees everything.

        Args:
            request: the frames and their settings.
            pictures: folder of its reference pictures, as `ReferenceStore` keeps them; None where
                it has none.
            banks: key/value banks that come from other processes and go there.
        """

    def describe(self) -> str:
        """Return the loaded model and its device; empty before one is loaded."""

    def usability(self, spec: ModelSpec) -> Usability:
        """Find out whether a model can render here, without loading it; slow the first time.

        From any thread, also while a request is rendered.
        """


class JobProject(Protocol):
    """Project of a job: a stored project, or a folder of the command line."""

    @property
    def id(self) -> str:
        """Its identifier, unique within a runner."""

    @property
    def references(self) -> ReferenceStore:
        """The reference pictures of its frames."""

    def load(self) -> Storyboard:
        """Return the storyboard as it is now, with the takes that are chosen.

        Raises:
            ProjectError: if it can no longer be read.
        """

    def request(self, take_id: str) -> RenderRequest:
        """Return the request of a take.

        Raises:
            ProjectError: if there is no such take or it is damaged.
        """

    def add_take(
        self, take: Take, image: Image.Image, mask: NDArray[np.bool_], request: RenderRequest
    ) -> None:
        """Store a take. From any thread, one at a time.

        Raises:
            UserError: if it cannot be stored.
        """


class Job:
    """Render of some frames of a project; safe to use from any thread.

    Args:
        project: the project, which stores the takes.
        storyboard: its storyboard when the job was started.
        targets: ids of the frames that get a new take, in their order.
        share_all: whether every frame keeps the first frame's location.
        keep_seeds: ids of targets that keep the seed of their take: sources that nobody asked for.
        visitor: who asked for it, where strangers share the application; empty where not known.
    """

    def __init__(
        self,
        project: JobProject,
        storyboard: Storyboard,
        targets: tuple[str, ...],
        share_all: bool = False,
        keep_seeds: tuple[str, ...] = (),
        visitor: str = "",
    ) -> None:
        self.id = new_id()
        self.project = project
        self.storyboard = storyboard
        self.targets = targets
        self.share_all = share_all
        self.keep_seeds = keep_seeds
        self.visitor = visitor
        self._state: JobState = "queued"
        self._history: list[JobEvent] = []
        # The newest preview of every frame without its take, with its number among all previews.
        self._previews: dict[str, tuple[int, Preview]] = {}
        self._previewed = 0
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._on_cancel: Callable[[], None] | None = None
        self.read = False  # whether a person has read how it ended

    @property
    def state(self) -> JobState:
        """The job's state."""
        return self._state

    @property
    def over(self) -> bool:
        """True once no event will follow."""
        return self._state in ("finished", "failed", "cancelled")

    @property
    def cancelling(self) -> bool:
        """True once it was cancelled, perhaps before it stops."""
        return self._stop.is_set()

    def events(self, start: int = 0) -> Iterator[JobEvent]:
        """Yield the events from the `start`-th on, and wait for more until the job is over.

        Every reader gets every event. Previews are not counted, and of these a reader gets only
        each frame's newest.
        """
        index, previewed = start, 0
        history = self._history  # whole also once the job is shortened
        while True:
            with self._changed:
                while index >= len(history) and previewed == self._previewed and not self.over:
                    self._changed.wait()
                fresh = history[index:]
                shown = [event for number, event in self._previews.values() if number > previewed]
                previewed = self._previewed
                over = self.over
            yield from fresh
            yield from shown
            index += len(fresh)
            if over:
                return

    def follow(self) -> Callable[[], list[JobEvent]]:
        """Return a function that returns the events since its last call, without previews.

        It never waits. While it is kept, so are all of the job's events.
        """
        history, seen = self._history, 0

        def fresh() -> list[JobEvent]:
            nonlocal seen
            with self._changed:
                events = history[seen:]
            seen += len(events)
            return events

        return fresh

    def shorten(self) -> None:
        """Drop the events that matter while a job runs alone, its steps and masks, once it is over.

        Whoever reads its events already gets all of them.
        """
        with self._changed:
            if self.over:
                passing = (JobProgress, MaskFound)
                self._history = [e for e in self._history if not isinstance(e, passing)]

    def previews_now(self) -> tuple[int, dict[str, Preview]]:
        """Return the number of previews so far, and the newest of each frame that renders."""
        with self._changed:
            newest = {frame_id: event for frame_id, (_, event) in self._previews.items()}
            return self._previewed, newest

    def cancel(self) -> None:
        """Stop: at once before the first frame and while a model loads, else within one step.

        A model that loads is loaded to its end, for the next job.
        """
        with self._changed:
            self._stop.set()
            on_cancel = self._on_cancel
            before = all(isinstance(event, ModelLoading | Notice) for event in self._history)
            if not self.over and (before or isinstance(self._history[-1], ModelLoading)):
                self._end("cancelled", JobEnded(cancelled=True))
        if on_cancel is not None:
            on_cancel()

    def when_cancelled(self, call: Callable[[], None]) -> None:
        """Register a call for when the job is cancelled; call at once if it was. For its runner.

        It is for a runner that does not see every event of its engine at once.
        """
        with self._changed:
            self._on_cancel = call
            cancelled = self.cancelling
        if cancelled:
            call()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job is over, and return whether it is.

        Args:
            timeout: limit in seconds; None for no limit.
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
        """Add an event for all readers; nothing once the job is over. For its runner."""
        with self._changed:
            if self.over:
                return
            if isinstance(event, Preview):
                self._previewed += 1
                self._previews[event.frame_id] = (self._previewed, event)
            else:
                self._history.append(event)
            if isinstance(event, TakeSaved):
                self._previews.pop(event.frame_id, None)
            self._changed.notify_all()

    def end(self, fault: BaseException | None) -> None:
        """End the job. For its runner.

        Args:
            fault: the exception that ended it early; None where all frames are rendered.
        """
        with self._changed:
            if self.over:
                return
            if fault is None:
                self._end("finished", JobEnded())
            elif isinstance(fault, RenderCancelled):
                self._end("cancelled", JobEnded(cancelled=True))
            elif isinstance(fault, UserError):
                self._end("failed", JobFailed(fault.problem, fault.remedy))
            else:
                problem = f"Something went wrong inside Throughline ({type(fault).__name__})."
                remedy = "What was rendered is kept; the server's log has the details."
                self._end("failed", JobFailed(problem, remedy))

    def _end(self, state: JobState, event: JobEvent) -> None:
        self._history.append(event)
        self._previews.clear()
        self._state = state
        self._changed.notify_all()
