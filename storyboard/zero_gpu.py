"""Renders on a ZeroGPU Space, where a process requests a GPU for a limited time."""

from __future__ import annotations

import importlib.util

from pipelines.exchange import BankExchange, Pictures, Render
from pipelines.request import RenderRequest

# For one step of FLUX.1 at 1024 x 1024 with room to spare, and for the start.
_SECONDS_PER_STEP = 0.6
_SECONDS_TO_START = 30.0
_SECONDS_PER_PICTURE = 10.0
_NATIVE_PIXELS = 1024 * 1024


def has_zero_gpu() -> bool:
    """Return whether this is a ZeroGPU Space, which has the package `spaces`."""
    return importlib.util.find_spec("spaces") is not None


def on_zero_gpu(render: Render) -> Render:
    """Return a render that runs on a ZeroGPU Space's GPU; anywhere else, itself."""
    if not has_zero_gpu():
        return render
    import spaces

    def duration(request: RenderRequest, _pictures: Pictures, _banks: BankExchange) -> int:
        return requested_seconds(request)

    wrapped: Render = spaces.GPU(duration=duration)(render)
    return wrapped


def requested_seconds(request: RenderRequest) -> int:
    """Return the seconds of ZeroGPU time to request: an upper bound for a render."""
    pixels = sum(frame.width * frame.height for frame in request.frames)
    # A frame's probe pass adds at most its whole schedule once more.
    steps = 2 * request.steps * (2 if request.true_cfg_scale > 1 else 1)
    start = _SECONDS_TO_START + _SECONDS_PER_PICTURE * len(request.references)
    return round(start + _SECONDS_PER_STEP * steps * pixels / _NATIVE_PIXELS)
