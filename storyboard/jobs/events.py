"""Events of a job: the imaging engine's own, passed on unchanged, and four of jobs."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.events import FrameStarted, MaskFound, ModelLoading, Notice, Phase, Preview
from storyboard.board import Take


@dataclass(frozen=True)
class JobProgress:
    """Progress of a job after a denoising step.

    Attributes:
        frame_id: the storyboard's frame that is being rendered.
        phase: its probe pass or its render pass.
        step: steps done in this phase.
        steps: steps of this phase.
        fraction: share of the whole job that is done, in [0, 1].
        seconds_left: estimated time for the rest of the job; None before there is an estimate.
        source_only: whether this render of the frame is only a source for others. A take of it, if
            the job makes one, comes from another render.
    """

    frame_id: str
    phase: Phase
    step: int
    steps: int
    fraction: float
    seconds_left: float | None
    source_only: bool = False


@dataclass(frozen=True)
class TakeSaved:
    """A frame is rendered and its take stored; it is the chosen one, unless the frame is locked."""

    frame_id: str
    take: Take


@dataclass(frozen=True)
class JobFailed:
    """The job ended early; the takes that were saved are kept.

    Attributes:
        problem: what was wrong, with what.
        remedy: what to do about it; empty where nothing can be said.
    """

    problem: str
    remedy: str = ""

    @property
    def message(self) -> str:
        """Problem and remedy, in one text."""
        return f"{self.problem} {self.remedy}".strip()


@dataclass(frozen=True)
class JobEnded:
    """All frames are rendered, or the job was cancelled and the takes that were saved are kept."""

    cancelled: bool = False


JobEvent = (
    ModelLoading
    | Notice
    | FrameStarted
    | MaskFound
    | Preview
    | JobProgress
    | TakeSaved
    | JobFailed
    | JobEnded
)
