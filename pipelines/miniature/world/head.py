"""Heads: hair behind and in front, the face, and what is worn on it.

Everything is measured in head radii around the middle of the head.
"""

import math
from dataclasses import dataclass

from pipelines.miniature.world.brush import Brush
from pipelines.miniature.world.canvas import arc
from pipelines.miniature.world.poses import Joint
from pipelines.miniature.world.spec import Character
from pipelines.miniature.world.vocabulary import (
    HAIR_COLORS,
    SKIN_COLORS,
    Color,
    Part,
    darker,
)

_EYE: Color = (34, 30, 36)
_FRAME: Color = (36, 36, 42)


@dataclass(frozen=True)
class HeadPainter:
    """Paints one character's head.

    Attributes:
        brush: paints in the figure's coordinates.
        character: whose head it is.
        center: middle of the head, in units of the figure.
        radius: the head's radius, in units of the figure.
        sideways: whether the face looks to the right of the figure.
        from_behind: whether only hair is seen.
        asleep: whether the eyes are closed.
    """

    brush: Brush
    character: Character
    center: Joint
    radius: float
    sideways: bool
    from_behind: bool
    asleep: bool

    @property
    def _hair(self) -> Color:
        return HAIR_COLORS[self.character.hair_color]

    @property
    def _skin(self) -> Color:
        return SKIN_COLORS[self.character.skin]

    def _at(self, x: float, y: float) -> Joint:
        return (self.center[0] + x * self.radius, self.center[1] + y * self.radius)

    def _path(self, *pairs: Joint) -> list[Joint]:
        return [self._at(x, y) for x, y in pairs]

    def _oval(
        self, x: float, y: float, rx: float, ry: float, color: Color, part: Part,
        edge: Color | None = None,
    ) -> None:  # fmt: skip
        r = self.radius
        self.brush.oval(self._at(x, y), rx * r, ry * r, color, part, edge)

    def paint_back_hair(self) -> None:
        """What hangs or stands behind the head and the shoulders."""
        style, color, edge = self.character.hair_style, self._hair, darker(self._hair, 0.7)
        if style == "long" and not self.from_behind:
            left, right = (-1.16, 0.2) if self.sideways else (-1.16, 1.16)
            strands = self._path(
                (left, -0.2), (right, -0.2), (right + 0.06, 1.75), (left - 0.06, 1.75)
            )
            self.brush.shape(strands, color, Part.HAIR, edge)
        elif style == "curly":
            for number in range(9):
                turn = math.pi * (-1.12 + 1.24 * number / 8)
                x, y = 1.0 * math.cos(turn), 0.92 * math.sin(turn) - 0.05
                self._oval(x, y, 0.44, 0.44, color, Part.HAIR, edge)
        elif style == "ponytail" and not self.from_behind:
            side = -1 if self.sideways else 1
            tail = self._path(
                (side * 0.7, -0.7), (side * 1.45, -0.75), (side * 1.75, 0.1),
                (side * 1.5, 1.15), (side * 1.15, 1.1), (side * 0.95, 0.1),
            )  # fmt: skip
            self.brush.shape(tail, color, Part.HAIR, edge)

    def paint(self) -> None:
        """The head itself, over everything painted so far."""
        edge = darker(self._skin, 0.7)
        self._oval(0, 0, 1.06, 0.98, self._skin, Part.FACE, edge)
        if self.from_behind:
            self._paint_nape()
        else:
            self._paint_face()
            self._paint_fringe()
        self._paint_crown()
        if self.character.accessory == "hat":
            self._paint_hat()

    def _eye_places(self) -> tuple[tuple[float, float], ...]:
        """Horizontal place and relative width of the two eyes."""
        return ((0.12, 0.85), (0.72, 0.75)) if self.sideways else ((-0.42, 1.0), (0.42, 1.0))

    def _paint_face(self) -> None:
        middle = 0.42 if self.sideways else 0.0
        blush = (
            (240, 140, 130) if self.character.skin in ("pale", "tan") else darker(self._skin, 0.82)
        )
        for x, wide in self._eye_places():
            self._oval(x + 0.24 * (x - middle), 0.44, 0.17 * wide, 0.11, blush, Part.FACE)
            if self.asleep:
                r = self.radius
                self.brush.curve(
                    self._at(x, 0.08), 0.17 * r, 0.12 * r, (0.02, 0.48), 0.07 * r, _EYE, Part.FACE
                )
                continue
            self._oval(x, 0.1, 0.155 * wide, 0.235, _EYE, Part.FACE)
            self._oval(x - 0.04, 0.0, 0.055, 0.075, (255, 255, 255), Part.FACE)
        if self.character.accessory == "beard":
            self._paint_beard()
        r = self.radius
        self.brush.curve(
            self._at(middle, 0.42), 0.2 * r, 0.17 * r, (0.06, 0.44), 0.075 * r,
            (150, 50, 50) if self.character.skin != "dark" else (60, 20, 20), Part.FACE,
        )  # fmt: skip
        if self.character.accessory == "glasses":
            self._paint_glasses()

    def _paint_beard(self) -> None:
        r = self.radius
        x, y = self._at(0, 0.08)
        chin = arc(x, y, 1.07 * r, 1.02 * r, -0.01, 0.51)
        top = self._path((-0.55, 0.36), (-0.2, 0.28), (0.2, 0.28), (0.55, 0.36))
        outline = [*map(tuple, chin.tolist()), *top]
        self.brush.shape(outline, self._hair, Part.BEARD, darker(self._hair, 0.7))

    def _paint_glasses(self) -> None:
        r = self.radius
        places = self._eye_places()
        for x, wide in places:
            self._oval(x, 0.1, 0.34 * wide, 0.33, (226, 240, 250), Part.GLASSES, _FRAME)
            self._oval(x, 0.1, 0.14 * wide, 0.2, _EYE, Part.GLASSES)
        bridge = [self._at(places[0][0] + 0.28, 0.06), self._at(places[1][0] - 0.28, 0.06)]
        self.brush.line(bridge, 0.08 * r, _FRAME, Part.GLASSES)

    def _paint_fringe(self) -> None:
        color, edge, r = self._hair, darker(self._hair, 0.7), self.radius
        dome = arc(*self.center, 1.15 * r, 1.12 * r, 0.5, 1.0)
        if self.sideways:
            front = self._path(
                (1.08, -0.42), (0.5, -0.36), (0.0, -0.34), (-0.45, -0.1), (-0.62, 0.5), (-1.1, 0.45)
            )
        else:
            front = self._path(
                (1.1, 0.12),
                (0.86, -0.22),
                (0.4, -0.4),
                (-0.1, -0.28),
                (-0.62, -0.36),
                (-0.9, -0.1),
                (-1.1, 0.12),
            )
        self.brush.shape([*map(tuple, dome.tolist()), *front], color, Part.HAIR, edge)
        if self.character.hair_style == "long":
            for side in (-1,) if self.sideways else (-1, 1):
                lock = self._path(
                    (side * 1.17, -0.2), (side * 0.84, -0.2), (side * 0.86, 1.3), (side * 1.24, 1.3)
                )
                self.brush.shape(lock, color, Part.HAIR, edge)

    def _paint_nape(self) -> None:
        color, edge = self._hair, darker(self._hair, 0.7)
        self._oval(0, -0.02, 1.12, 1.06, color, Part.HAIR, edge)
        if self.character.hair_style == "long":
            fall = self._path((-1.12, 0), (1.12, 0), (1.18, 1.8), (-1.18, 1.8))
            self.brush.shape(fall, color, Part.HAIR, edge)
        elif self.character.hair_style == "ponytail":
            tail = self._path((-0.3, -0.3), (0.3, -0.3), (0.36, 1.5), (0, 1.75), (-0.36, 1.5))
            self.brush.shape(tail, color, Part.HAIR, darker(color, 0.5))

    def _paint_crown(self) -> None:
        color, edge = self._hair, darker(self._hair, 0.7)
        if self.character.hair_style == "spiky":
            for number in range(5):
                turn = math.pi * (1.1 + 0.8 * number / 4)
                spike = self._path(
                    *(
                        (reach * math.cos(turn + shift), reach * math.sin(turn + shift))
                        for reach, shift in ((1.0, -0.32), (1.55, 0.0), (1.0, 0.32))
                    )
                )
                self.brush.shape(spike, color, Part.HAIR)
        elif self.character.hair_style == "bun":
            self._oval(-0.5 if self.sideways else 0, -1.2, 0.5, 0.42, color, Part.HAIR, edge)

    def _paint_hat(self) -> None:
        color: Color = (190, 60, 60) if self.character.hair_color == "blue" else (70, 84, 160)
        r, edge = self.radius, darker(color)
        x, y = self._at(0, -0.36)
        self.brush.shape(arc(x, y, 1.14 * r, 1.08 * r, 0.5, 1.0), color, Part.HAT, edge)
        brim = self._path((-1.42, -0.46), (1.42, -0.46), (1.42, -0.22), (-1.42, -0.22))
        self.brush.shape(brim, color, Part.HAT, edge)
