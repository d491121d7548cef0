"""Recovery from running out of memory: a render goes on in a smaller memory preset, once.

Knows nothing of models and presets: the engine renders and steps down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pipelines.errors import OutOfMemoryError, UserError
from pipelines.events import Events, FrameDone, Notice, StepDone
from pipelines.request import RenderRequest


def render_stepping_down(
    request: RenderRequest, render: Callable[[RenderRequest], Events], step_down: Callable[[], str]
) -> Events:
    """Render a request; where memory runs out, render the frames that are left once more.

    Args:
        request: the frames and their settings.
        render: renders a request; raises `OutOfMemoryError` where memory runs out.
        step_down: makes `render` need less memory, and returns a message for a person; "" where
            nothing can be done.

    Yields:
        The events of `render`, with the steps of both attempts counted together, and a `Notice`
        between them.

    Raises:
        OutOfMemoryError: if memory runs out for the second time, or nothing can be done.
    """
    done: set[str] = set()
    steps = 0
    try:
        for event in render(request):
            if isinstance(event, FrameDone):
                done.add(event.frame_id)
            elif isinstance(event, StepDone):
                steps = event.done
            yield event
    except OutOfMemoryError as error:
        fault = OutOfMemoryError(error.problem, error.remedy)
    else:
        return
    # Not in the handler: there, the exception's traceback keeps the model in memory.
    message = step_down()
    if not message:
        raise fault
    yield Notice("memory", "", message)
    left = tuple(target for target in request.targets if target not in done)
    if left:
        for event in render(replace(request, targets=left)):
            if isinstance(event, StepDone):
                event = replace(event, done=steps + event.done, total=steps + event.total)
            yield event


def bank_folder_fault(error: RuntimeError) -> UserError:
    """Return the message for a folder of key/value banks that cannot be used."""
    return UserError(
        f"The keys and values that frames share cannot be kept in {error}.",
        "Name a folder on a disk that can be written in THROUGHLINE_BANK_FOLDER, or leave it out.",
    )


def bank_fault(error: RuntimeError) -> UserError:
    """Return the message for key/value banks that do not fit into their budget.

    A smaller preset does not help, since the budget is decided before.
    """
    return UserError(
        f"Not enough memory for the keys and values that frames share: {error}.",
        "Allow more with THROUGHLINE_BANK_MEMORY, name a folder in THROUGHLINE_BANK_FOLDER, or "
        "leave THROUGHLINE_ORDER out, so that frames are rendered side by side where needed.",
    )
