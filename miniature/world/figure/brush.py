"""Drawing in a figure's coordinates, which are shifted, scaled, turned and mirrored."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from miniature.world.canvas import Canvas, Points, arc, ellipse, points
from miniature.world.figure.poses import Joint
from miniature.world.vocabulary import Color, Part


@dataclass(frozen=True)
class Brush:
    """Brush in the coordinates of a figure whose pelvis is at (x, y) of the canvas.

    Attributes:
        canvas: the canvas.
        x, y: position of the figure's origin, pixels.
        scale: pixels for one unit of the figure.
        mirrored: left and right are swapped, after the figure is turned.
        roll: clockwise rotation of the figure, radians.
    """

    canvas: Canvas
    x: float
    y: float
    scale: float
    mirrored: bool
    roll: float

    @property
    def edge_width(self) -> float:
        """Width of outlines, pixels."""
        return max(1.2, 0.0088 * self.scale)

    def to_canvas(self, pairs: list[Joint] | Points) -> Points:
        """Turn figure coordinates into pixels of the canvas, shape (n, 2)."""
        local = points(pairs) * self.scale
        if self.roll:
            c, s = math.cos(self.roll), math.sin(self.roll)
            local = local @ np.array([[c, s], [-s, c]], np.float32)
        if self.mirrored:
            local = local * np.array([-1, 1], np.float32)
        return local + np.array([self.x, self.y], np.float32)

    def shape(
        self, pairs: list[Joint] | Points, color: Color, part: Part, edge: Color | None = None
    ) -> None:
        """Fill a polygon."""
        self.canvas.polygon(self.to_canvas(pairs), color, part, edge, self.edge_width)

    def line(
        self,
        pairs: list[Joint] | Points,
        width: float,
        color: Color,
        part: Part,
        edge: Color | None = None,
    ) -> None:
        """Draw a thick line; its width in units of the figure."""
        self.canvas.stroke(
            self.to_canvas(pairs), width * self.scale, color, part, edge, self.edge_width
        )

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
        self.shape(ellipse(center[0], center[1], rx, ry), color, part, edge)

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
        self.line(arc(center[0], center[1], rx, ry, *turns), width, color, part)


@dataclass(frozen=True)
class HeadBrush:
    """Brush in head radii around the middle of a head.

    Attributes:
        brush: brush in the figure's coordinates.
        center: middle of the head, in units of the figure.
        radius: the head's radius, in units of the figure.
    """

    brush: Brush
    center: Joint
    radius: float

    def path(self, *pairs: Joint) -> list[Joint]:
        """Turn head coordinates into units of the figure."""
        (x, y), r = self.center, self.radius
        return [(x + across * r, y + down * r) for across, down in pairs]

    def shape(
        self, pairs: Sequence[Joint], color: Color, part: Part, edge: Color | None = None
    ) -> None:
        """Fill a polygon."""
        self.brush.shape(self.path(*pairs), color, part, edge)

    def line(
        self,
        pairs: Sequence[Joint],
        width: float,
        color: Color,
        part: Part,
        edge: Color | None = None,
    ) -> None:
        """Draw a thick line."""
        self.brush.line(self.path(*pairs), width * self.radius, color, part, edge)

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
        r = self.radius
        self.brush.oval(self.path(center)[0], rx * r, ry * r, color, part, edge)

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
        """Draw a piece of an ellipse between two angles, in turns."""
        r = self.radius
        self.brush.curve(self.path(center)[0], rx * r, ry * r, turns, width * r, color, part)


def pairs_of(line: Points) -> list[Joint]:
    """Return an array of coordinates as pairs."""
    return [(float(x), float(y)) for x, y in line]
