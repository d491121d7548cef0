"""Storyboards for tests, plans of their renders, and takes without pictures."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.models.catalog import FLUX1_DEV
from pipelines.request import RenderRequest
from storyboard.board import Character, Frame, RenderSettings, Storyboard
from storyboard.planning import plan_render


def board(*frames: Frame, **values: Any) -> Storyboard:
    character = values.pop("character", "a girl")
    settings = RenderSettings(**values)
    return Storyboard(character=Character(description=character), frames=frames, settings=settings)


FRAMES = (
    Frame(id="a", location="beach", action="waving", share_background=True),
    Frame(id="b", location="forest", action="running", share_background=True),
    Frame(id="c", location="beach", action="jumping", share_background=True),
    Frame(id="d", location="forest", action="sitting", share_background=True),
    Frame(id="e", location="forest", action="dancing"),
)


def plan(
    storyboard: Storyboard,
    targets: list[str] | None = None,
    chosen: dict[str, RenderRequest] | None = None,
    **values: Any,
) -> RenderRequest:
    return plan_render(storyboard, targets, chosen or {}, random.Random(5), **values)


def recipe(request: RenderRequest, name: str) -> Any:
    """All that a frame's picture depends on, without the frames' ids."""
    frame = next(f for f in request.frames if f.frame_id == name)
    return (
        frame.prompt,
        frame.seed,
        (frame.width, frame.height),
        (frame.reference, frame.reference_strength),
        frame.identity_from and recipe(request, frame.identity_from),
        frame.background_from and recipe(request, frame.background_from),
    )


def frame_of(request: RenderRequest, name: str | None) -> str:
    """The storyboard's frame that a frame of a request shows."""
    return next(f.original for f in request.frames if f.frame_id == name)


PICTURE, ANOTHER = "a" * 64 + ".png", "b" * 64 + ".png"


def pictured(
    *frames: Frame, picture: str = PICTURE, strength: float | None = None, **values: Any
) -> Storyboard:
    """A storyboard for FLUX.1 [dev] whose character has a picture."""
    storyboard = board(*frames, **{"model": FLUX1_DEV.name, **values})
    character = storyboard.character.model_copy(update={"reference": picture, "strength": strength})
    return storyboard.model_copy(update={"character": character})


@dataclass
class Shelf:
    """A storyboard whose renders leave requests alone, as if their pictures had been made.

    Attributes:
        board: the storyboard.
        requests: the request of each take, by its id.
    """

    board: Storyboard
    requests: dict[str, RenderRequest] = field(default_factory=dict)
    rng: random.Random = field(default_factory=lambda: random.Random(5))

    @property
    def chosen(self) -> dict[str, RenderRequest]:
        """The requests of the chosen takes, by frame."""
        return {f.id: self.requests[f.take] for f in self.board.frames if f.take}

    def render(
        self, targets: Sequence[str] | None = None, only: Sequence[str] | None = None
    ) -> RenderRequest:
        """Render frames; `only` names those that are done before the render is cancelled."""
        request = plan_render(self.board, targets, self.chosen, self.rng)
        for name in request.targets if only is None else only:
            take = f"take-{len(self.requests)}"
            self.requests[take] = request
            self.board = self.board.with_take(name, take)
        return request

    def edit(self, frame_id: str, **changes: Any) -> None:
        """Change fields of a frame."""
        frames = (
            f.model_copy(update=changes) if f.id == frame_id else f for f in self.board.frames
        )
        self.board = self.board.model_copy(update={"frames": tuple(frames)})

    def set(self, **changes: Any) -> None:
        """Change settings."""
        settings = self.board.settings.model_copy(update=changes)
        self.board = self.board.model_copy(update={"settings": settings})

    def order(self, *names: str) -> None:
        """Put frames into another order, without those that are not named."""
        frames = tuple(map(self.board.frame, names))
        self.board = self.board.model_copy(update={"frames": frames})
