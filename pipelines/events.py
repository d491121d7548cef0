"""Events of a render; every front end draws from this one stream.

No torch. Pictures are PIL images and masks are NumPy arrays, so that events
can be pickled across processes.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

Phase = Literal["probe", "render"]
NoticeKind = Literal["prompt", "style", "reference", "memory"]


@dataclass(frozen=True)
class ModelLoading:
    """Loading of a model begins, which may take minutes the first time."""

    model: str


@dataclass(frozen=True)
class Notice:
    """A message for a person about a render that goes on.

    Attributes:
        kind: what it is about: "prompt" where a target's prompt is longer than the model reads,
            "style" where part of a LoRA file is not used, "reference" where a picture is unlike
            those that the model was trained on, "memory" where less memory changes the placement.
        about: the frame's id, the style's source, or the picture's name; empty for memory.
        message: a sentence; for "prompt", the end of the prompt that is not read.
    """

    kind: NoticeKind
    about: str
    message: str


@dataclass(frozen=True)
class FrameStarted:
    """Work on a frame begins."""

    frame_id: str


@dataclass(frozen=True)
class StepDone:
    """A denoising step is done.

    Attributes:
        frame_id: the frame.
        phase: the frame's probe pass or its render pass.
        step: steps done in this phase.
        steps: steps of this phase.
        done: steps done in the whole request, all frames and phases.
        total: steps of the whole request.
    """

    frame_id: str
    phase: Phase
    step: int
    steps: int
    done: int
    total: int


@dataclass(frozen=True)
class TokenMatches:
    """Most similar token of the identity frame for every token of a frame.

    Consistency uses the tokens whose both ends are foreground and whose similarity exceeds the
    request's threshold.

    Attributes:
        identity_index: the most similar token of the identity frame, counted row by row from
            its upper left one, int64, shape (rows, columns).
        similarity: their cosine similarity, float32, shape (rows, columns), in [-1, 1].
    """

    identity_index: NDArray[np.int64]
    similarity: NDArray[np.float32]


@dataclass(frozen=True)
class MaskFound:
    """A frame's foreground mask is known, and with it its matches.

    Attributes:
        frame_id: the frame.
        phase: the pass that found it.
        mask: True where the character is, bool, shape (rows, columns) in tokens of 16 pixels.
        raw: the mask before its cleanup, likewise.
        matches: None for a frame that has no identity frame.
    """

    frame_id: str
    phase: Phase
    mask: NDArray[np.bool_]
    raw: NDArray[np.bool_]
    matches: TokenMatches | None


@dataclass(frozen=True)
class Preview:
    """Rough picture of a frame that is being rendered.

    Attributes:
        frame_id: the frame.
        image: a small picture in the frame's proportions, RGB.
    """

    frame_id: str
    image: Image.Image


@dataclass(frozen=True)
class FrameDone:
    """A frame is rendered.

    Attributes:
        frame_id: the frame.
        image: the picture, RGB.
        mask: its foreground mask, bool, shape (rows, columns) in tokens of 16 pixels.
        matches: number of tokens with a match in the identity frame; None for a frame that has no
            identity frame.
        seconds: time of the frame, probe pass included.
    """

    frame_id: str
    image: Image.Image
    mask: NDArray[np.bool_]
    matches: int | None
    seconds: float


PipelineEvent = ModelLoading | Notice | FrameStarted | StepDone | MaskFound | Preview | FrameDone

Events = Generator[PipelineEvent, None, None]
