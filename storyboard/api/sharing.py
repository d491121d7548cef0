"""Rules where strangers share the application: what one of them may ask of everybody's machine.

Nobody logs in: a visitor is a public address, as the proxy before the application saw it, or else
the board. Jobs of visitors take turns (`storyboard.jobs.turns`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from statistics import median

from pipelines.errors import UserError
from pipelines.models.specs import ModelSpec
from storyboard.api.document import check_style, picture_sizes
from storyboard.board import RenderSettings, Storyboard
from storyboard.jobs.events import TakeSaved
from storyboard.jobs.runner import Runner

MOST_OF_A_BOARD = 3  # jobs that are not over
MOST_OF_A_VISITOR = 12  # likewise; several people may share an address
MOST_SECONDS = 600.0  # of a job, by the speed of the last takes
MOST_FRAMES = 24  # of a job in the model's own size and steps, while no speed is known

_MEASURED = 8  # of the last jobs


class Sharing:
    """Checks what visitors ask for; for any thread.

    Args:
        runner: runs their jobs.
        spec: the model that may be chosen.
        styles: the LoRAs of the hub that may be chosen: repositories, or files of them.
    """

    def __init__(self, runner: Runner, spec: ModelSpec, styles: Collection[str]) -> None:
        self._runner = runner
        self._spec = spec
        self.styles = styles
        self._sizes = {(size["width"], size["height"]) for size in picture_sizes(spec)}

    def check(self, project: str, board: Storyboard, frames: int, visitor: str) -> None:
        """Refuse a job that asks too much, or for what may not be chosen here.

        Args:
            project: the board's id.
            frames: number of frames that it renders.
            visitor: who asks; empty where nobody knows.

        Raises:
            UserError: if it does.
        """
        waiting = self._runner.waiting()
        if sum(job.project.id == project for job in waiting) >= MOST_OF_A_BOARD:
            raise UserError(
                f"{MOST_OF_A_BOARD} renders of this storyboard are waiting or running already.",
                "Wait until one has ended, or cancel them.",
            )
        if visitor and sum(job.visitor == visitor for job in waiting) >= MOST_OF_A_VISITOR:
            raise UserError(
                f"{MOST_OF_A_VISITOR} renders from your network are waiting or running already.",
                "Wait until one has ended.",
            )
        settings = board.settings
        if settings.model != self._spec.name:
            raise UserError(
                "The model of this storyboard cannot be chosen here.", "Choose another one."
            )
        if (settings.width, settings.height) not in self._sizes:
            sizes = ", ".join(f"{width} x {height}" for width, height in sorted(self._sizes))
            raise UserError(
                f"Pictures of {settings.width} x {settings.height} pixels cannot be made here.",
                f"Choose one of these sizes: {sizes}.",
            )
        for style in settings.styles:
            check_style(style.source, self.styles)
        self._check_work(settings, frames)

    def _check_work(self, settings: RenderSettings, frames: int) -> None:
        own, pace = self._spec, self._pace()
        one = (settings.steps or own.steps) * settings.width * settings.height
        if pace is None:
            most = MOST_FRAMES * own.steps * own.width * own.height // one
        else:
            most = int(MOST_SECONDS / (one * pace))
        if frames > most:
            raise UserError(
                f"{frames} frames with these settings take too long where others wait, too.",
                f"Generate at most {most} at a time, or choose fewer steps."
                if most
                else "Choose fewer steps or a smaller size.",
            )

    def _pace(self) -> float | None:
        """Return the seconds of a step and pixel, of the last jobs; None before there are any."""
        found = []
        for job in self._runner.recent()[-_MEASURED:]:
            settings = job.storyboard.settings
            work = (settings.steps or self._spec.steps) * settings.width * settings.height
            takes = [event.take for event in job.follow()() if isinstance(event, TakeSaved)]
            found += [take.seconds / work for take in takes if take.model == self._spec.name]
        return median(found) if found else None


def visitor_of(headers: Mapping[str, str], client: str) -> str:
    """Return the public address from which somebody asks; empty where none is known.

    Proxies add to `X-Forwarded-For` the address that asked them; what comes before the last public
    one can be anything that a visitor wrote.

    Args:
        headers: the headers of the request.
        client: the address of the connection.
    """
    forwarded = headers.get("x-forwarded-for", "").split(",")
    for address in (client, *reversed(forwarded)):
        try:
            found = ipaddress.ip_address(address.strip())
        except ValueError:
            continue
        if found.is_global:
            return str(found)
    return ""
