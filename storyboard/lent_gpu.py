"""Painting on a ZeroGPU Space, where a process is lent a GPU for a time that it asks for."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING

from pipelines.events import PipelineEvent
from pipelines.request import RenderRequest
from storyboard.errors import UserError
from storyboard.jobs import BankExchange

if TYPE_CHECKING:
    from PIL import Image

# For one step of FLUX.1 at 1024 x 1024 with room to spare, and for the start.
_SECONDS_PER_STEP = 0.6
_SECONDS_TO_START = 30.0
_SECONDS_PER_PICTURE = 10.0
_NATIVE_PIXELS = 1024 * 1024

Painting = Generator[PipelineEvent | UserError, None, None]
Pictures = Mapping[str, "Image.Image"]


Paint = Callable[[RenderRequest, Pictures, BankExchange], Painting]


def on_lent_gpu(paint: Paint) -> Paint:
    """The same on a ZeroGPU Space's GPU; where the `spaces` package is not there, as it is."""
    if importlib.util.find_spec("spaces") is None:
        return paint
    import spaces

    def duration(request: RenderRequest, _pictures: Pictures, _banks: BankExchange) -> int:
        return lent_seconds(request)

    wrapped: Paint = spaces.GPU(duration=duration)(paint)
    return wrapped


def lent_seconds(request: RenderRequest) -> int:
    """For how long to ask for a ZeroGPU: an upper bound of the time that a request takes."""
    pixels = sum(frame.width * frame.height for frame in request.frames)
    # A frame's probe pass adds at most its whole schedule once more.
    steps = 2 * request.steps * (2 if request.true_cfg_scale > 1 else 1)
    start = _SECONDS_TO_START + _SECONDS_PER_PICTURE * len(request.references)
    return round(start + _SECONDS_PER_STEP * steps * pixels / _NATIVE_PIXELS)
