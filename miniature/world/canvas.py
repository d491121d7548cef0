"""Canvas that draws a picture and its labels with the same strokes.

Coordinates are in pixels of the finished picture, y downwards. Pictures are drawn at twice their
size and averaged down; labels are drawn at their size, unsmoothed.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from miniature.world.vocabulary import Color, Part

Points = NDArray[np.float32]
_SUPERSAMPLING = 2
_BAND = 4  # rows of the large picture that a veil covers evenly
_BELOW_GROUND = 30  # pixels under the line on which people stand
_FRACTION_BITS = 4  # OpenCV takes sub-pixel coordinates as fixed-point integers
_ANGLES = np.linspace(0, 2 * math.pi, 28, endpoint=False)
_UNIT_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1)


def points(pairs: Sequence[tuple[float, float]] | NDArray[np.floating]) -> Points:
    """Return coordinate pairs as an array of shape (n, 2)."""
    return np.asarray(pairs, np.float32)


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> Points:
    """Return a closed polygon around (x, y); radii in pixels, angle in radians."""
    along = _UNIT_CIRCLE * (rx, ry)
    c, s = math.cos(angle), math.sin(angle)
    rotated = along @ np.array([[c, s], [-s, c]])
    return (rotated + (x, y)).astype(np.float32)


def arc(x: float, y: float, rx: float, ry: float, start: float, stop: float) -> Points:
    """Return a piece of an ellipse from angle start to stop, in turns (0 right, 0.25 down)."""
    angles = np.linspace(start, stop, 14) * 2 * math.pi
    return points(np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], 1))


class Canvas:
    """Picture in progress, with two labels for each pixel.

    Attributes:
        width, height: of the finished picture, pixels.
        ground: y of the line on which people stand, pixels.
        owner: figure of the next strokes: 0 none, 1 the first, 2 the second.
        parts: a `vocabulary.Part` for each pixel drawn so far, uint8 of shape (height, width).
        owners: figure of each pixel, uint8 of shape (height, width).
    """

    def __init__(self, width: int = 256, height: int = 256) -> None:
        self.width = width
        self.height = height
        self.ground = float(height - _BELOW_GROUND)
        self.owner = 0
        self._picture: NDArray[np.uint8] = np.zeros(
            (height * _SUPERSAMPLING, width * _SUPERSAMPLING, 3), np.uint8
        )
        self.parts: NDArray[np.uint8] = np.zeros((height, width), np.uint8)
        self.owners: NDArray[np.uint8] = np.zeros((height, width), np.uint8)

    def picture(self) -> NDArray[np.uint8]:
        """Return the finished picture, uint8 RGB of shape (height, width, 3)."""
        small = cv2.resize(self._picture, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8)

    def polygon(
        self,
        outline: Points,
        fill: Color,
        part: Part | None = None,
        edge: Color | None = None,
        edge_width: float = 1.5,
    ) -> None:
        """Fill a polygon, and draw its edge if it has one; `part` labels its inside."""
        scaled = _fixed(outline, _SUPERSAMPLING)
        cv2.fillPoly(self._picture, [scaled], fill, cv2.LINE_AA, _FRACTION_BITS)
        if edge is not None:
            width = max(1, round(edge_width * _SUPERSAMPLING))
            cv2.polylines(self._picture, [scaled], True, edge, width, cv2.LINE_AA, _FRACTION_BITS)
        if part is not None:
            plain = _fixed(outline, 1)
            for labels, label in ((self.parts, int(part)), (self.owners, self.owner)):
                cv2.fillPoly(labels, [plain], label, cv2.LINE_8, _FRACTION_BITS)

    def stroke(
        self,
        line: Points,
        width: float,
        color: Color,
        part: Part | None = None,
        edge: Color | None = None,
        edge_width: float = 1.5,
    ) -> None:
        """Draw a round-ended line of the given width in pixels, with an edge around it."""
        scaled = _fixed(line, _SUPERSAMPLING)
        if edge is not None:
            wide = max(1, round((width + 2 * edge_width) * _SUPERSAMPLING))
            cv2.polylines(self._picture, [scaled], False, edge, wide, cv2.LINE_AA, _FRACTION_BITS)
        thick = max(1, round(width * _SUPERSAMPLING))
        cv2.polylines(self._picture, [scaled], False, color, thick, cv2.LINE_AA, _FRACTION_BITS)
        if part is not None:
            plain, broad = _fixed(line, 1), max(1, round(width + 1))
            for labels, label in ((self.parts, int(part)), (self.owners, self.owner)):
                cv2.polylines(labels, [plain], False, label, broad, cv2.LINE_8, _FRACTION_BITS)

    def gradient(self, above: Color, below: Color, y0: float, y1: float) -> None:
        """Fill rows y0 to y1 with a vertical blend of two colours."""
        first, last = int(y0 * _SUPERSAMPLING), int(y1 * _SUPERSAMPLING)
        t = np.linspace(0, 1, last - first, dtype=np.float32)[:, None]
        rows = np.array(above, np.float32) * (1 - t) + np.array(below, np.float32) * t
        column = rows.astype(np.uint8)[:, None]
        size = (self._picture.shape[1], last - first)
        self._picture[first:last] = cv2.resize(column, size, interpolation=cv2.INTER_NEAREST)

    def veil(self, color: Color, weights: NDArray[np.float32]) -> None:
        """Blend everything drawn so far with one colour, as fog does.

        The weights are the colour's shares in evenly spaced rows, from top to bottom, shape (n,).
        """
        height, width = self._picture.shape[:2]
        centers = (np.arange(0, height, _BAND) + _BAND / 2) / height * (len(weights) - 1)
        shares = np.interp(centers, np.arange(len(weights)), weights)
        plain = np.full((_BAND, width, 3), color, np.uint8)
        for number, share in enumerate(shares):
            band = self._picture[number * _BAND : (number + 1) * _BAND]
            cv2.addWeighted(band, 1 - share, plain[: len(band)], share, 0, band)

    def mirror(self) -> None:
        """Swap left and right of everything drawn so far."""
        self._picture = np.asarray(cv2.flip(self._picture, 1), np.uint8)
        self.parts = np.asarray(cv2.flip(self.parts, 1), np.uint8)
        self.owners = np.asarray(cv2.flip(self.owners, 1), np.uint8)

    def shade(self, outline: Points, factor: float = 0.75) -> None:
        """Darken what is inside a polygon, as a shadow on the ground does."""
        inside = np.zeros(self._picture.shape[:2], np.uint8)
        cv2.fillPoly(inside, [_fixed(outline, _SUPERSAMPLING)], 255, cv2.LINE_8, _FRACTION_BITS)
        rows = np.flatnonzero(inside.any(1))
        if len(rows):
            band = slice(rows[0], rows[-1] + 1)
            chosen = inside[band] > 0
            self._picture[band][chosen] = (self._picture[band][chosen] * factor).astype(np.uint8)


def _fixed(line: Points, scale: float) -> NDArray[np.int32]:
    """Return coordinates in OpenCV's fixed-point form."""
    return np.round(line * (scale * 2**_FRACTION_BITS)).astype(np.int32)
