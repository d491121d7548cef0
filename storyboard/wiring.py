"""Construction of runners, engines and the matting network from the settings."""

from __future__ import annotations

from functools import partial
from typing import TextIO

from pipelines.pictures import FindFigure
from storyboard.jobs.runner import Runner
from storyboard.settings import Settings


def make_runner(settings: Settings, log: TextIO, previews: bool = False) -> Runner:
    """Make the runner of jobs: in this process, or on the workers that the settings name.

    Args:
        log: stream for the message that workers are being started.
        previews: whether frames are previewed while they are rendered.

    Raises:
        UserError: if the workers cannot be started.
    """
    from storyboard.engine import Engine

    if settings.workers is None:
        from storyboard.jobs.local import LocalRunner

        return LocalRunner(Engine(settings, previews))
    from storyboard.jobs.ray.runner import RayRunner

    print("throughline: starting the workers ...", file=log, flush=True)
    return RayRunner(settings, partial(Engine, previews=previews))


def make_matting(settings: Settings) -> FindFigure | None:
    """Make the network that finds figures in uploaded pictures; None on a Space.

    On a Space, a stranger's consent must not let a repository's code run.
    """
    from storyboard.engine import NetworkMatting

    return None if settings.space else NetworkMatting(settings).mask
