"""Drawing in a figure's coordinates, which are shifted, scaled, turned and mirrored."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miniature.world.canvas import Canvas, Points, arc, ellipse, points
from miniature.world.figure.poses import Joint
from miniature.world.vocabulary import Color, Part

Path = Sequence[Joint] | NDArray[np.floating]


@dataclass(frozen=True)
class Brush:
    """Brush in the coordinates of a figure whose pelvis is at (x, y) of the canvas, or of its head.

    Attributes:
        canvas: the canvas.
        x, y: position of the figure's origin, pixels.
        scale: pixels for one unit of the figure.
        mirrored: left and right are swapped, after the figure is turned.
        roll: clockwise rotation of the figure, radians.
        center, radius: origin and unit of the brush's coordinates, in units of the figure.
    """

    canvas: Canvas
    x: float
    y: float
    scale: float
    mirrored: bool
    roll: float
    center: Joint = (0.0, 0.0)
    radius: float = 1.0

    @property
    def _edge_width(self) -> float:
        """Width of outlines, pixels."""
        return max(1.2, 0.0088 * self.scale)

    def at(self, point: Joint) -> Joint:
        """Turn a point of the brush's coordinates into units of the figure."""
        (x, y), r = self.center, self.radius
        return (x + float(point[0]) * r, y + float(point[1]) * r)

    def to_canvas(self, pairs: Path) -> Points:
        """Turn units of the figure into pixels of the canvas, shape (n, 2)."""
        local = points(pairs) * self.scale
        if self.roll:
            c, s = math.cos(self.roll), math.sin(self.roll)
            local = local @ np.array([[c, s], [-s, c]], np.float32)
        if self.mirrored:
            local = local * np.array([-1, 1], np.float32)
        return local + np.array([self.x, self.y], np.float32)

    def shape(self, pairs: Path, color: Color, part: Part, edge: Color | None = None) -> None:
        """Fill a polygon."""
        outline = self.to_canvas([self.at(pair) for pair in pairs])
        self.canvas.polygon(outline, color, part, edge, self._edge_width)

    def line(
        self, pairs: Path, width: float, color: Color, part: Part, edge: Color | None = None
    ) -> None:
        """Draw a thick line."""
        along = self.to_canvas([self.at(pair) for pair in pairs])
        wide = width * self.radius * self.scale
        self.canvas.stroke(along, wide, color, part, edge, self._edge_width)

    def oval(
        self,
        center: Joint,
        rx: float,
        ry: float,
        color: Color,
        part: Part,
        edge: Color | None = None,
    ) -> None:
        """Fill an ellipse."""
        outline = self.to_canvas(ellipse(*self.at(center), rx * self.radius, ry * self.radius))
        self.canvas.polygon(outline, color, part, edge, self._edge_width)

    def curve(
        self,
        center: Joint,
        rx: float,
        ry: float,
        turns: tuple[float, float],
        width: float,
        color: Color,
        part: Part,
    ) -> None:
        """Draw a piece of an ellipse between two angles, in turns (0 right, 0.25 down)."""
        along = arc(*self.at(center), rx * self.radius, ry * self.radius, *turns)
        wide = width * self.radius * self.scale
        self.canvas.stroke(self.to_canvas(along), wide, color, part)
