"""Progress of jobs as a page shows it: their events, folded into one value of plain data."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.events import FrameStarted, MaskFound, ModelLoading, Notice
from pipelines.pictures import mask_picture, png_bytes
from storyboard.board import Storyboard
from storyboard.jobs.events import JobEnded, JobEvent, JobFailed, JobProgress, TakeSaved
from storyboard.jobs.job import Job
from storyboard.jobs.runner import Runner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

_PREVIEW_QUALITY = 80
_KEPT = 200  # views of jobs that are over; one that is wanted again is made anew
_LAST_ENDS = 8  # ends without a failure that a page hears of; pages read failures alone


def idle() -> dict[str, Any]:
    """Return the progress of a project without jobs."""
    return {"state": "idle", "frames": {}}


@dataclass
class JobView:
    """Job as a page shows it, folded from its events.

    Attributes:
        job: the job.
        state: "queued", "loading", "running", "finished", "failed" or "cancelled".
        message: the model that is loaded.
        fraction: share of the job that is done, in [0, 1].
        seconds_left: estimate for the rest of the job; None before there is one.
        frames: by frame id, the "state" ("waiting", "rendering" or "rendered") of each frame that
            gets a take, and while it renders its "phase", "step", "steps" and "mask".
        notices: messages about the render, each with the id of its "frame" (None for all of them).
        failure: why the job ended early; None where it did not.
    """

    job: Job
    state: str = "queued"
    message: str = ""
    fraction: float = 0.0
    seconds_left: float | None = None
    frames: dict[str, dict[str, Any]] = field(default_factory=dict)
    notices: list[dict[str, Any]] = field(default_factory=list)
    failure: JobFailed | None = None
    _fresh: Callable[[], list[JobEvent]] | None = field(init=False)  # None once the job is over

    def __post_init__(self) -> None:
        self.frames = {frame_id: {"state": "waiting"} for frame_id in self.job.targets}
        self._fresh = self.job.follow()

    def catch_up(self) -> None:
        """Apply the events that are new since the last call."""
        for event in self._fresh() if self._fresh else ():
            self.apply(event)

    def apply(self, event: JobEvent) -> None:
        """Update the view by the job's next event."""
        match event:
            case ModelLoading(model):
                self.state, self.message = "loading", model
            case FrameStarted(frame_id):
                self.state = "running"
                self._frame(frame_id)["state"] = "rendering"
            case JobProgress(frame_id, phase, step, steps, fraction, seconds_left):
                self.state, self.fraction, self.seconds_left = "running", fraction, seconds_left
                if frame_id in self.frames and not event.source_only:
                    self.frames[frame_id] |= {
                        "state": "rendering",
                        "phase": phase,
                        "step": step,
                        "steps": steps,
                    }
            case MaskFound(frame_id, mask=mask):
                self._frame(frame_id)["mask"] = mask_url(mask)
            case Notice():
                self.notices.append(notice_fields(self.job.storyboard, event))
            case TakeSaved(frame_id):
                self.frames[frame_id] = {"state": "rendered"}
            case JobFailed():
                self.failure = event
                self._end("failed")
            case JobEnded(cancelled):
                self._end("cancelled" if cancelled else "finished")

    def shown(self, waiting: Sequence[str] = (), ahead: int = 0) -> dict[str, Any]:
        """Return the progress for the page.

        Args:
            waiting: frames of the jobs after this one.
            ahead: number of other people's jobs before this one.
        """
        frames = {frame_id: {"state": "waiting"} for frame_id in waiting}
        # Copies: an answer is sent while another page's question changes this view.
        frames |= {frame_id: dict(fields) for frame_id, fields in self.frames.items()}
        state = "cancelling" if self.job.cancelling and not self.over else self.state
        return {
            "state": state,
            "job": self.job.id,
            "message": self.message,
            "ahead": ahead,
            "fraction": self.fraction,
            "seconds_left": self.seconds_left,
            "rendered": self._rendered,
            "total": len(self.job.targets),
            "frames": frames,
            "notices": list(self.notices),
        }

    def outcome(self) -> dict[str, Any]:
        """Return how the job ended, for the page."""
        failure = self.failure or JobFailed("")
        return {
            "job": self.job.id,
            "state": self.state,
            "rendered": self._rendered,
            "problem": failure.problem,
            "remedy": failure.remedy,
        }

    @property
    def over(self) -> bool:
        """True once the job has ended."""
        return self.state in ("finished", "failed", "cancelled")

    @property
    def _rendered(self) -> int:
        return sum(frame["state"] == "rendered" for frame in self.frames.values())

    def _frame(self, frame_id: str) -> dict[str, Any]:
        return self.frames.setdefault(frame_id, {"state": "waiting"})

    def _end(self, state: str) -> None:
        self.state, self._fresh = state, None
        self.frames = {i: f for i, f in self.frames.items() if f["state"] == "rendered"}


class JobViews:
    """Views of a runner's jobs; for any thread."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._guard = threading.Lock()
        self._views: dict[str, JobView] = {}

    def news(self, project_id: str, previews: int = 0) -> dict[str, Any]:
        """Return the progress of a project's jobs, unread failures, and the last other ends.

        Args:
            previews: the number of previews that the page has heard of; none are sent again.
        """
        pending, ended = self._runner.pending(project_id), self._runner.ended(project_id)
        with self._guard:
            known = {job.id: self._view(job) for job in (*ended, *pending)}
            running = next((known[job.id] for job in pending if not known[job.id].over), None)
            last = running or (known[ended[-1].id] if ended else None)
            later = [job for job in pending if running is not None and job is not running.job]
            waiting = [frame_id for job in later for frame_id in job.targets]
            ahead = 0 if running is None else self._runner.ahead(running.job)
            progress = idle() if last is None else last.shown(waiting, ahead)
            over = [view for view in known.values() if view.over and not view.job.read]
            last_ends = [view for view in over if view.failure is None][-_LAST_ENDS:]
            told = [view.outcome() for view in over if view.failure or view in last_ends]
            answer = {"progress": progress, "outcomes": told}
        count, newest = (0, {}) if running is None else running.job.previews_now()
        if count != previews:
            shown = {frame_id: preview_url(event.image) for frame_id, event in newest.items()}
            answer |= {"previews": shown}
        return answer | {"preview_count": count}

    def _view(self, job: Job) -> JobView:
        view = self._views.get(job.id)
        if view is None:
            # Also those of pages that were closed before their jobs ended.
            over = [known for known in self._views.values() if known.job.over]
            for ended in over:
                ended.catch_up()
            for forgotten in over[:-_KEPT]:
                del self._views[forgotten.job.id]
            view = self._views[job.id] = JobView(job)
        view.catch_up()
        return view


def mask_url(mask: NDArray[np.bool_]) -> str:
    """Return a foreground mask as a PNG data URL of one pixel per token.

    Args:
        mask: bool, shape (rows, columns) in tokens.
    """
    rows, columns = mask.shape
    content = png_bytes(mask_picture(mask, (columns, rows)))
    return "data:image/png;base64," + base64.b64encode(content).decode()


def preview_url(image: Image.Image) -> str:
    """Return a preview as a JPEG data URL of a few kilobytes."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_PREVIEW_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def notice_fields(storyboard: Storyboard, notice: Notice) -> dict[str, Any]:
    """Return a notice for a person, with the id of the frame that it concerns, if it is one."""
    match notice:
        case Notice("prompt", frame_id, unread):
            return {
                "frame": frame_id,
                "problem": f"The prompt of frame {storyboard.position(frame_id) + 1} is too long: "
                f"the model does not read \u201c{unread}\u201d.",
                "remedy": "Shorten the character, the location or the action.",
            }
        case Notice("style", source, message):
            return {"frame": None, "problem": f"Style {source}: {message}", "remedy": ""}
        case _:
            return {"frame": None, "problem": notice.message, "remedy": ""}
