"""What happens when memory runs out in the middle of a render: it goes on in less, once.

It knows nothing of models and presets: an engine says how to paint and how to make do with less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pipelines.errors import OutOfMemoryError, UserError
from pipelines.events import Events, FrameDone, Notice, StepDone
from pipelines.request import RenderRequest


def render_stepping_down(
    request: RenderRequest,
    paint: Callable[[RenderRequest], Events],
    step_down: Callable[[], str],
) -> Events:
    """Paint a request; where memory runs out, what is left of it once more.

    Args:
        request: what to paint.
        paint: paints a request; raises `OutOfMemoryError` where memory runs out.
        step_down: makes `paint` need less, and says so in words for a person; returns "" where
            nothing can be done.

    Yields:
        What `paint` yields, with the steps of both attempts counted together, and a `Notice`
        between them.

    Raises:
        OutOfMemoryError: if memory runs out for the second time, or nothing can be done.
    """
    done: set[str] = set()
    steps = 0
    try:
        for event in paint(request):
            if isinstance(event, FrameDone):
                done.add(event.frame_id)
            elif isinstance(event, StepDone):
                steps = event.done
            yield event
    except OutOfMemoryError as error:
        fault = OutOfMemoryError(error.problem, error.remedy)
    else:
        return
    # Not above: an exception that is being handled keeps what it came from in memory.
    words = step_down()
    if not words:
        raise fault
    yield Notice("memory", "", words)
    left = tuple(target for target in request.targets if target not in done)
    if left:
        for event in paint(replace(request, targets=left)):
            if isinstance(event, StepDone):
                event = replace(event, done=steps + event.done, total=steps + event.total)
            yield event


def bank_fault(error: RuntimeError) -> UserError:
    """What a person is told where there is no room for what frames lend each other.

    No smaller preset helps: how much room there is has been decided.
    """
    return UserError(
        f"What frames lend each other does not fit: {error}.",
        "Allow it more with THROUGHLINE_BANK_MEMORY, name a folder in THROUGHLINE_BANK_FOLDER, or "
        "leave THROUGHLINE_ORDER out, so that frames are painted side by side where they must be.",
    )
