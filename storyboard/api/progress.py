"""Progress of jobs as a page shows it: their events, folded into one value of plain data."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.errors import UserError
from pipelines.events import FrameStarted, MaskFound, ModelLoading, Notice, Preview
from pipelines.pictures import mask_picture, png_bytes
from storyboard.board import Storyboard
from storyboard.jobs.events import JobEnded, JobEvent, JobFailed, JobProgress, TakeSaved
from storyboard.jobs.job import Job

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

_PREVIEW_QUALITY = 80


def idle(project_id: str) -> dict[str, Any]:
    """Return the progress of a project without jobs."""
    return {"project": project_id, "state": "idle", "frames": {}}


@dataclass
class JobView:
    """Job as a page shows it, from the events that `apply` gets in order.

    Attributes:
        job: the job.
        state: "queued", "loading", "running", "finished", "failed" or "cancelled".
        message: the model that is loaded, or the reason of a failure.
        fraction: share of the job that is done, in [0, 1].
        seconds_left: estimate for the rest of the job; None before there is one.
        frames: by frame id, the "state" ("waiting", "rendering" or "rendered") of each frame that
            gets a take, and while it renders its "phase", "step", "steps" and "mask".
        previews: by frame id, the last preview of each frame that renders, as a data URL.
    """

    job: Job
    state: str = "queued"
    message: str = ""
    fraction: float = 0.0
    seconds_left: float | None = None
    frames: dict[str, dict[str, Any]] = field(default_factory=dict)
    previews: dict[str, str] = field(default_factory=dict)
    _sent_previews: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.frames = {frame_id: {"state": "waiting"} for frame_id in self.job.targets}

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
            case Preview(frame_id, image):
                self.previews[frame_id] = preview_url(image)
            case TakeSaved(frame_id):
                self.frames[frame_id] = {"state": "rendered"}
                self.previews.pop(frame_id, None)
            case JobFailed(message):
                self._end("failed", message)
            case JobEnded(cancelled):
                self._end("cancelled" if cancelled else "finished")

    def shown(self, waiting: Sequence[str] = ()) -> dict[str, Any]:
        """Return the progress for the page.

        Args:
            waiting: frames of the jobs after this one.
        """
        frames = {frame_id: {"state": "waiting"} for frame_id in waiting}
        rendered = sum(frame["state"] == "rendered" for frame in self.frames.values())
        state = "cancelling" if self.job.cancelling and not self.over else self.state
        return {
            "project": self.job.project.id,
            "state": state,
            "job": self.job.id,
            "message": self.message,
            "fraction": self.fraction,
            "seconds_left": self.seconds_left,
            "rendered": rendered,
            "total": len(self.frames),
            "frames": frames | self.frames,
        }

    def changed_previews(self) -> dict[str, Any]:
        """Return the page's property `previews`; empty where nothing changed since the last call.

        Previews are larger than all other progress, and change less often.
        """
        if self.previews == self._sent_previews:
            return {}
        self._sent_previews = dict(self.previews)
        return {"previews": {"project": self.job.project.id, "frames": self._sent_previews}}

    @property
    def over(self) -> bool:
        """True once the job has ended."""
        return self.state in ("finished", "failed", "cancelled")

    def _frame(self, frame_id: str) -> dict[str, Any]:
        return self.frames.setdefault(frame_id, {"state": "waiting"})

    def _end(self, state: str, message: str = "") -> None:
        self.state, self.message = state, message
        self.frames = {i: f for i, f in self.frames.items() if f["state"] == "rendered"}
        self.previews.clear()


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


def notice_of(storyboard: Storyboard, event: JobEvent) -> UserError | None:
    """Return the message of a `Notice` for a person; None for other events."""
    match event:
        case Notice("prompt", frame_id, unread):
            return UserError(
                f"The prompt of frame {storyboard.position(frame_id) + 1} is too long: the model "
                f"does not read \u201c{unread}\u201d.",
                "Shorten the character, the location or the action.",
            )
        case Notice("style", source, message):
            return UserError(f"Style {source}: {message}")
        case Notice(message=message):
            return UserError(message)
        case _:
            return None
