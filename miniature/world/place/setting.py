"""Drawing of a place: coordinates for any shape of picture, and the light of time and weather.

Places are drawn in coordinates of a square of 256 x 256 whose ground line is at y = 226. They are
spread over the canvas: across to its width, down to its ground line. Things that must keep their
form (a wheel, a cup) are given as offsets, which are scaled alike in both directions.
"""

import math
from dataclasses import dataclass

import numpy as np

from miniature.world.canvas import Canvas, Points, ellipse, points
from miniature.world.vocabulary import Color, blend

Pair = tuple[float, float]

SIDE = 256.0
GROUND = 226.0
WHITE: Color = (250, 252, 255)
_SNOW: Color = (246, 249, 254)
_TINTS: dict[str, tuple[float, float, float]] = {
    "day": (1.0, 1.0, 1.0),
    "evening": (1.0, 0.76, 0.72),
    "night": (0.36, 0.43, 0.68),
}
_HAZES: dict[str, tuple[Color, float]] = {
    "clear": ((0, 0, 0), 0.0),
    "rain": ((104, 116, 132), 0.34),
    "snow": ((224, 230, 240), 0.14),
    "fog": ((206, 212, 216), 0.22),
}


def ring(rx: float, ry: float, corners: int, x: float = 0.0, y: float = 0.0) -> list[Pair]:
    """Return an ellipse around (x, y) as a polygon."""
    turns = [2 * math.pi * corner / corners for corner in range(corners)]
    return [(x + rx * math.cos(turn), y + ry * math.sin(turn)) for turn in turns]


@dataclass(frozen=True)
class Setting:
    """Canvas with the light of a time of day and a weather; `rng` gives colours and shifts."""

    canvas: Canvas
    rng: np.random.Generator
    time: str = "day"
    weather: str = "clear"

    @property
    def size(self) -> float:
        """Pixels for one unit of things that keep their form."""
        return (min(self.canvas.width, self.canvas.height) / SIDE) ** 0.5

    @property
    def dark(self) -> bool:
        """Return whether lamps are lit."""
        return self.time != "day"

    def pick(self, *colors: Color) -> Color:
        """Return one of the colours."""
        return colors[int(self.rng.integers(len(colors)))]

    def shift(self, reach: float) -> float:
        """Return a small random shift, in [-reach, reach]."""
        return float(self.rng.uniform(-reach, reach))

    def count_across(self, step: float) -> int:
        """Return the number of things of `step` pixels that fill a row of the picture."""
        return max(1, round(self.canvas.width / step))

    def count_down(self, step: float, span: float) -> int:
        """Return the number of things of `step` pixels that fill `span` units above the ground."""
        return max(1, round(span * self.canvas.ground / GROUND / step))

    def x(self, across: float) -> float:
        """Return the canvas's column for a column of the square."""
        return across * self.canvas.width / SIDE

    def y(self, down: float) -> float:
        """Return the canvas's row for a row of the square; not scaled below the ground line."""
        if down > GROUND:
            return self.canvas.ground + down - GROUND
        return down * self.canvas.ground / GROUND

    def toned(self, color: Color) -> Color:
        """Return a colour in the light of this time and weather."""
        if self.time == "day" and self.weather == "clear":
            return color
        hazy = blend(color, *_HAZES[self.weather])
        r, g, b = (int(c * tint) for c, tint in zip(hazy, _TINTS[self.time], strict=True))
        return (r, g, b)

    def snowy(self, color: Color, share: float = 0.85) -> Color:
        """Return the colour of a surface that snow covers, before it is toned."""
        return blend(color, _SNOW, share) if self.weather == "snow" else color

    def _color(self, color: Color, lit: bool) -> Color:
        return color if lit else self.toned(color)

    def spread(self, pairs: list[Pair]) -> Points:
        """Turn coordinates of the square into pixels of the canvas, shape (n, 2)."""
        return points([(self.x(x), self.y(y)) for x, y in pairs])

    def _around(self, x: float, y: float, offsets: list[Pair]) -> Points:
        """Turn offsets from a point of the square into pixels of the canvas, shape (n, 2)."""
        return points(offsets) * self.size + np.array([self.x(x), self.y(y)], np.float32)

    def _fill(self, outline: Points, color: Color, edge: Color | None, lit: bool) -> None:
        rim = None if edge is None else self._color(edge, lit)
        self.canvas.polygon(outline, self._color(color, lit), None, rim)

    def shape(
        self, pairs: list[Pair], color: Color, edge: Color | None = None, *, lit: bool = False
    ) -> None:
        """Fill a polygon; a `lit` one shines by itself and is not toned."""
        self._fill(self.spread(pairs), color, edge, lit)

    def box(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        color: Color,
        edge: Color | None = None,
        *,
        lit: bool = False,
    ) -> None:
        """Fill a rectangle that is spread with the picture."""
        self.shape([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color, edge, lit=lit)

    def line(self, pairs: list[Pair], width: float, color: Color, *, lit: bool = False) -> None:
        """Draw a line that is spread with the picture."""
        self.canvas.stroke(self.spread(pairs), width * self.size, self._color(color, lit))

    def solid(
        self,
        x: float,
        y: float,
        offsets: list[Pair],
        color: Color,
        edge: Color | None = None,
        *,
        lit: bool = False,
    ) -> None:
        """Fill a polygon that keeps its form, given as offsets from a point of the square."""
        self._fill(self._around(x, y, offsets), color, edge, lit)

    def tile(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        color: Color,
        edge: Color | None = None,
        *,
        lit: bool = False,
    ) -> None:
        """Fill a rectangle that keeps its form, with its upper left corner at (x, y)."""
        corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
        self.solid(x, y, corners, color, edge, lit=lit)

    def wire(
        self,
        x: float,
        y: float,
        offsets: list[Pair],
        width: float,
        color: Color,
        *,
        lit: bool = False,
    ) -> None:
        """Draw a line that keeps its form, given as offsets from a point of the square."""
        along = self._around(x, y, offsets)
        self.canvas.stroke(along, width * self.size, self._color(color, lit))

    def oval(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        color: Color,
        angle: float = 0.0,
        *,
        lit: bool = False,
    ) -> None:
        """Fill an ellipse that keeps its form; the angle in radians."""
        outline = ellipse(self.x(x), self.y(y), rx * self.size, ry * self.size, angle)
        self._fill(outline, color, None, lit)

    def disc(self, x: float, y: float, radius: float, color: Color, *, lit: bool = False) -> None:
        """Fill a circle."""
        self.oval(x, y, radius, radius, color, lit=lit)

    def fade(self, above: Color, below: Color, y0: float, y1: float, *, lit: bool = False) -> None:
        """Fill rows y0 to y1 of the square with a vertical blend of two colours."""
        first, last = (self._color(color, lit) for color in (above, below))
        self.canvas.gradient(first, last, self.y(y0), self.y(y1))

    def ground(self, above: Color, below: Color, top: float) -> None:
        """Fill everything below row `top` with ground, white when it snows."""
        self.fade(self.snowy(above), self.snowy(below, 0.75), top, SIDE)
