"""What a page shows of running jobs: their events folded into one small value.

It knows nothing of Gradio; a value here is plain data for the page.
"""

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
    """The value for a page whose project has no job."""
    return {"project": project_id, "state": "idle", "frames": {}}


@dataclass
class JobView:
    """One job as a page shows it; feed it the job's events in order.

    Attributes:
        job: the job.
        state: "queued", "loading", "running", or how it ended.
        frames: for each frame that gets a take: its "state" and, while it is being painted, its
            "phase", "step", "steps" and "mask".
        previews: for each frame that is being painted and has been shown, the picture.
    """

    job: Job
    state: str = "queued"
    message: str = ""
    fraction: float = 0.0
    seconds_left: float | None = None
    frames: dict[str, dict[str, Any]] = field(default_factory=dict)
    previews: dict[str, str] = field(default_factory=dict)
    _told_previews: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.frames = {frame_id: {"state": "waiting"} for frame_id in self.job.targets}

    def apply(self, event: JobEvent) -> None:
        """Take one more event into account."""
        match event:
            case ModelLoading(model):
                self.state, self.message = "loading", model
            case FrameStarted(frame_id):
                self.state = "running"
                self._frame(frame_id)["state"] = "painting"
            case JobProgress(frame_id, phase, step, steps, fraction, seconds_left):
                self.state, self.fraction, self.seconds_left = "running", fraction, seconds_left
                if frame_id in self.frames and not event.source_only:
                    self.frames[frame_id] |= {
                        "state": "painting",
                        "phase": phase,
                        "step": step,
                        "steps": steps,
                    }
            case MaskFound(frame_id, mask=mask):
                self._frame(frame_id)["mask"] = mask_address(mask)
            case Preview(frame_id, image):
                self.previews[frame_id] = preview_address(image)
            case TakeSaved(frame_id):
                self.frames[frame_id] = {"state": "painted"}
                self.previews.pop(frame_id, None)
            case JobFailed(message):
                self._ended("failed", message)
            case JobEnded(cancelled):
                self._ended("cancelled" if cancelled else "finished")

    def shown(self, waiting: Sequence[str] = ()) -> dict[str, Any]:
        """The value for the page.

        Args:
            waiting: frames of jobs that come after this one.
        """
        frames = {frame_id: {"state": "waiting"} for frame_id in waiting}
        painted = sum(frame["state"] == "painted" for frame in self.frames.values())
        state = "cancelling" if self.job.cancelling and not self.over else self.state
        return {
            "project": self.job.project_id,
            "state": state,
            "job": self.job.id,
            "message": self.message,
            "fraction": self.fraction,
            "seconds_left": self.seconds_left,
            "painted": painted,
            "wanted": len(self.frames),
            "frames": frames | self.frames,
        }

    def news_of_previews(self) -> dict[str, Any]:
        """The property `previews` for the page; empty where it was told of all of them.

        They weigh more than everything else, and change seldom.
        """
        if self.previews == self._told_previews:
            return {}
        self._told_previews = dict(self.previews)
        return {"previews": {"project": self.job.project_id, "frames": self._told_previews}}

    @property
    def over(self) -> bool:
        """Whether the last event has been seen."""
        return self.state in ("finished", "failed", "cancelled")

    def _frame(self, frame_id: str) -> dict[str, Any]:
        return self.frames.setdefault(frame_id, {"state": "waiting"})

    def _ended(self, state: str, message: str = "") -> None:
        self.state, self.message = state, message
        self.frames = {i: f for i, f in self.frames.items() if f["state"] == "painted"}
        self.previews.clear()


def mask_address(mask: NDArray[np.bool_]) -> str:
    """A foreground mask as a tiny picture in a data address, one pixel a token.

    Args:
        mask: bool, shape (rows, columns) in tokens.
    """
    rows, columns = mask.shape
    content = png_bytes(mask_picture(mask, (columns, rows)))
    return "data:image/png;base64," + base64.b64encode(content).decode()


def preview_address(image: Image.Image) -> str:
    """A preview as a picture in a data address, some kilobytes."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_PREVIEW_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def warning_of(storyboard: Storyboard, event: JobEvent) -> UserError | None:
    """What a person should know of a render that goes on."""
    match event:
        case Notice(kind="prompt"):
            return _too_long(storyboard, event)
        case Notice(kind="style", about=style, message=message):
            return UserError(f"Style {style}: {message}")
        case Notice(message=message):
            return UserError(message)
        case _:
            return None


def _too_long(storyboard: Storyboard, notice: Notice) -> UserError:
    number = storyboard.position(notice.about) + 1
    return UserError(
        f"The words of frame {number} are too many for the model, which does not read "
        f"\u201c{notice.message}\u201d.",
        "Shorten the character, the location or the action.",
    )
