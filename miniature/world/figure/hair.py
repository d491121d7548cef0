"""Hair of people, behind the head and around the face.

Everything is measured in head radii around the middle of the head.
"""

import math

from miniature.world.canvas import arc
from miniature.world.figure.drawing import FigurePart
from miniature.world.figure.poses import Joint
from miniature.world.vocabulary import Color, Part, blend, darker

_BAND: Color = (232, 84, 120)
_COVERING = ("hat", "cap", "beanie")

_FRONT_FRINGE: tuple[Joint, ...] = (
    (1.12, 0.16), (0.92, -0.14), (0.62, -0.42), (0.2, -0.3), (-0.16, -0.46), (-0.6, -0.3),
    (-0.9, -0.12), (-1.12, 0.16),
)  # fmt: skip
_TURNED_FRINGE: tuple[Joint, ...] = (
    (1.1, -0.02), (0.92, -0.36), (0.56, -0.46), (0.2, -0.32), (-0.2, -0.44), (-0.56, -0.16),
    (-0.66, 0.34), (-0.96, 0.5), (-1.14, 0.16),
)  # fmt: skip
_SIDE_FRINGE: tuple[Joint, ...] = (
    (1.06, -0.34), (0.7, -0.46), (0.34, -0.34), (0.02, -0.36), (-0.14, -0.1), (-0.36, 0.14),
    (-0.5, 0.56), (-0.98, 0.6), (-1.14, 0.16),
)  # fmt: skip


class Hair(FigurePart):
    """Hair of a person."""

    @property
    def _style(self) -> str:
        return self.posed.character.hair_style

    @property
    def _color(self) -> Color:
        return self.posed.hair

    @property
    def _edge(self) -> Color:
        return darker(self._color, 0.62)

    @property
    def _covered(self) -> bool:
        return self.posed.character.headwear in _COVERING

    def draw_back(self) -> None:
        """Draw the hair behind the head and the shoulders."""
        if self._style == "curly":
            self._curls()
        elif self._style == "spiky":
            self._spikes()
        elif self._style == "bun":
            self._bun()
        elif self._style == "ponytail" and not self.posed.from_behind:
            self._ponytail()
        elif self._style == "long" and not self.posed.from_behind:
            left, right = (-1.2, 0.1) if self.posed.sideways else (-1.2, 1.2)
            fall = [(left, -0.2), (right, -0.2), (right + 0.08, 0.8), (right - 0.1, 1.7)]
            ends = [(0.5 * (left + right), 1.84), (left + 0.1, 1.7), (left - 0.08, 0.8)]
            self.pen.shape([*fall, *ends], self._color, Part.HAIR, self._edge)

    def _curls(self) -> None:
        count = 10
        for number in range(count):
            turn = math.pi * (-1.2 + 1.4 * number / (count - 1))
            x, y = math.cos(turn), 0.94 * math.sin(turn) - 0.06
            if self.posed.sideways and x > 0.75 and y > -0.3:
                continue
            self.pen.oval((x, y), 0.4, 0.4, self._color, Part.HAIR, self._edge)

    def _spikes(self) -> None:
        low, high = (1.0, 1.76) if self.posed.sideways else (0.98, 2.02)
        count = 7
        star: list[Joint] = []
        for number in range(2 * count + 1):
            turn = math.pi * (low + (high - low) * number / (2 * count))
            reach = 1.02 if number % 2 == 0 else 1.42
            if self._covered and number % 2 and math.sin(turn) < -0.5:
                reach = 1.0
            star.append((reach * math.cos(turn), reach * math.sin(turn)))
        self.pen.shape(star, self._color, Part.HAIR, self._edge)

    def _bun(self) -> None:
        x, y = (-0.62, -1.16) if self.posed.sideways else (0.0, -1.26)
        if self.posed.turned:
            x = -0.3
        if self._covered or self.posed.character.headwear == "crown":
            x, y = -1.16, 0.1
        self.pen.oval((x, y), 0.48, 0.44, self._color, Part.HAIR, self._edge)

    def _ponytail(self) -> None:
        tail: list[Joint] = [
            (-0.72, -0.66), (-1.3, -0.8), (-1.72, -0.4), (-1.82, 0.3), (-1.6, 1.25),
            (-1.28, 0.9), (-1.14, 0.2), (-0.9, -0.1),
        ]  # fmt: skip
        self.pen.shape(tail, self._color, Part.HAIR, self._edge)
        self.pen.line([(-1.0, -0.72), (-1.08, -0.2)], 0.2, _BAND, Part.HAIR, darker(_BAND))

    def draw_front(self) -> None:
        """Draw the hair around the face."""
        fringe = _FRONT_FRINGE
        if self.posed.sideways:
            fringe = _SIDE_FRINGE
        elif self.posed.turned:
            fringe = _TURNED_FRINGE
        top = 1.1 if self._style in ("short", "spiky") else 1.14
        dome = arc(0, 0, 1.14, top, 0.48, 0.98 if self.posed.sideways else 1.0)
        self.pen.shape([*dome, *fringe], self._color, Part.HAIR, self._edge)
        light = blend(self._color, (255, 255, 255), 0.16)
        self.pen.curve((-0.1, -0.02), 0.86, 0.82, (0.62, 0.7), 0.1, light, Part.HAIR)
        if self._style == "long":
            self._locks()
        elif self._style == "curly" and not self.posed.sideways:
            for x, y in ((-0.72, -0.52), (-0.26, -0.66), (0.26, -0.66), (0.72, -0.52)):
                self.pen.oval((x, y), 0.3, 0.28, self._color, Part.HAIR)

    def _locks(self) -> None:
        if self.posed.sideways:
            lock: list[Joint] = [(-1.17, -0.1), (-0.4, 0.1), (-0.44, 0.9), (-0.66, 1.56)]
            fall = [*lock, (-0.96, 1.74), (-1.24, 1.56), (-1.3, 0.8)]
            self.pen.shape(fall, self._color, Part.HAIR, self._edge)
            return
        for side in (-1, 1):
            inner = 0.66 if self.posed.turned and side < 0 else 0.88
            fall = [(side * 1.18, -0.2), (side * inner, -0.16), (side * 0.84, 0.5)]
            tips = [(side * 0.86, 1.3), (side * 1.06, 1.44), (side * 1.26, 1.3)]
            self.pen.shape([*fall, *tips], self._color, Part.HAIR, self._edge)

    def draw_nape(self) -> None:
        """Draw the head from behind."""
        color, edge = self._color, self._edge
        self.pen.oval((0, -0.02), 1.13, 1.08, color, Part.HAIR, edge)
        if self._style == "long":
            fall: list[Joint] = [
                (1.13, 0), (1.2, 0.9), (1.08, 1.6), (0.5, 1.8), (0, 1.84), (-0.5, 1.8),
                (-1.08, 1.6), (-1.2, 0.9), (-1.13, 0),
            ]  # fmt: skip
            self.pen.shape(fall, color, Part.HAIR)
            self.pen.line(fall, 0.05, edge, Part.HAIR)
            for x in (-0.5, 0.0, 0.5):
                self.pen.line([(x, 1.2), (x * 1.06, 1.7)], 0.06, edge, Part.HAIR)
        elif self._style == "ponytail":
            tail: list[Joint] = [
                (-0.26, -0.3), (0.26, -0.3), (0.44, 0.7), (0.3, 1.5), (0, 1.75), (-0.3, 1.5),
                (-0.44, 0.7),
            ]  # fmt: skip
            self.pen.shape(tail, color, Part.HAIR, darker(color, 0.5))
            self.pen.line([(-0.24, -0.3), (0.24, -0.3)], 0.2, _BAND, Part.HAIR, darker(_BAND))
        elif self._style == "curly":
            for x, y in ((-0.6, -0.4), (0.5, -0.5), (0, 0), (-0.6, 0.4), (0.6, 0.35), (0, 0.75)):
                self.pen.curve((x, y), 0.3, 0.28, (0.0, 0.5), 0.08, edge, Part.HAIR)
        else:
            for x in (-0.5, 0.0, 0.5):
                self.pen.line([(x, 0.7), (x * 1.1, 0.98)], 0.07, edge, Part.HAIR)
