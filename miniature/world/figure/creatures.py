"""Heads and tails of animals, heads of robots.

Everything on the head is measured in head radii around its middle.
"""

import math

import numpy as np

from miniature.world.canvas import ellipse
from miniature.world.figure.brush import Path
from miniature.world.figure.drawing import FigurePart, PosedFigure
from miniature.world.figure.face import INK, Face
from miniature.world.figure.headwear import draw_headwear
from miniature.world.figure.poses import Joint
from miniature.world.vocabulary import Color, Part, blend, darker

_PINK: Color = (244, 160, 170)
_WHITE: Color = (252, 252, 250)
_SCREEN: Color = (30, 40, 58)
_GLOW: Color = (110, 240, 250)
_LAMP: Color = (240, 70, 70)


class AnimalHead(FigurePart):
    """Head of a cat, a rabbit or a bear."""

    @property
    def _fur(self) -> Color:
        return self.posed.skin

    @property
    def _edge(self) -> Color:
        return darker(self._fur, 0.55)

    def draw(self) -> None:
        """Draw the whole head."""
        posed, pen = self.posed, self.pen
        behind = posed.from_behind
        if posed.character.headwear in ("none", "crown"):
            self._ears()
        pen.oval((0, 0), 1.12, 0.98, self._fur, Part.HAIR if behind else Part.FACE, self._edge)
        if not behind:
            self._face()
        draw_headwear(posed)
        if posed.character.headwear not in ("none", "crown"):
            self._ears()

    def _ears(self) -> None:
        kind = self.posed.character.kind
        inner = darker(self._fur, 0.8) if self.posed.from_behind else _PINK
        shift = -0.12 if self.posed.turned else -0.22 if self.posed.sideways else 0.0
        near = 0.66 if self.posed.sideways else 1.0
        for side in (-1, 1):
            x = side * near
            if kind == "cat":
                ear: list[Joint] = [
                    (x * 0.98 + shift, -0.36), (x * 0.92 + shift, -1.32), (x * 0.26 + shift, -0.9),
                ]  # fmt: skip
                lining: list[Joint] = [
                    (x * 0.86 + shift, -0.6), (x * 0.84 + shift, -1.1), (x * 0.48 + shift, -0.86),
                ]  # fmt: skip
                self.pen.shape(ear, self._fur, Part.EAR, self._edge)
                self.pen.shape(lining, inner, Part.EAR)
            elif kind == "bear":
                self.pen.oval((x * 0.8 + shift, -0.8), 0.36, 0.36, self._fur, Part.EAR, self._edge)
                self.pen.oval((x * 0.8 + shift, -0.8), 0.19, 0.19, inner, Part.EAR)
            else:
                self._long_ear((x * 0.44 + shift, -1.32), side * 0.14, inner)

    def _long_ear(self, center: Joint, tilt: float, inner: Color) -> None:
        ear = ellipse(*center, 0.27, 0.7, tilt)
        lining = ellipse(center[0], center[1] + 0.02, 0.13, 0.5, tilt)
        self.pen.shape(ear, self._fur, Part.EAR, self._edge)
        self.pen.shape(lining, inner, Part.EAR)

    def _face(self) -> None:
        posed, pen = self.posed, self.pen
        face = Face(posed)
        kind, x = posed.character.kind, face.middle
        pale = blend(self._fur, _WHITE, 0.7)
        face.draw_eyes()
        if posed.character.accessory == "glasses":
            face.draw_glasses()
        if posed.sideways:
            x = 0.9
            pen.oval((x, 0.46), 0.36, 0.28, pale, Part.FACE, self._edge)
            pen.oval((0.74, 0.46), 0.34, 0.26, pale, Part.FACE)
            nose: Joint = (1.2, 0.34)
        else:
            pen.oval((x, 0.54), 0.4, 0.29, pale, Part.FACE)
            nose = (x * 1.1, 0.38)
        if kind == "rabbit" and not posed.sideways:
            pen.shape(_box(x, 0.68, 0.12, 0.17), _WHITE, Part.FACE, darker(_WHITE, 0.6))
        wide, high = (0.19, 0.14) if kind == "bear" else (0.14, 0.1)
        color: Color = INK if kind == "bear" else (222, 100, 120)
        for side in (-1, 1) if not posed.sideways else (-1,):
            center = (x + side * 0.13, 0.53)
            pen.curve(center, 0.13, 0.13, (0.04, 0.46), 0.065, INK, Part.FACE)
        pen.oval(nose, wide, high, color, Part.FACE, darker(color, 0.6))
        if kind == "cat":
            self._whiskers(x)

    def _whiskers(self, middle: float) -> None:
        ink = darker(self._fur, 0.45) if not self.posed.is_dark else (200, 200, 206)
        if self.posed.sideways:
            for y in (0.38, 0.54):
                self.pen.line([(0.6, y), (0.16, y - 0.04)], 0.045, ink, Part.FACE)
            return
        for side in (-1, 1):
            for y, rise in ((0.38, -0.06), (0.54, 0.04)):
                start = (middle + side * 0.48, y)
                self.pen.line([start, (middle + side * 0.92, y + rise)], 0.045, ink, Part.FACE)


def draw_tail(posed: PosedFigure) -> None:
    """Draw the tail of an animal: behind it, or above its clothes where it is seen from behind."""
    kind, brush, fur = posed.character.kind, posed.brush, posed.skin
    edge, sideways = darker(fur, 0.55), posed.sideways
    base = 0.0 if posed.from_behind else -0.86 * posed.body.waist
    if kind == "cat":
        turn = np.linspace(0, 1, 9)
        x = base - 0.17 * np.sin(turn * 1.9)
        y = -0.01 + 0.03 * np.sin(turn * math.pi) - 0.19 * turn**2
        brush.line(np.stack([x, y], 1), 0.042, fur, Part.TAIL, edge)
    else:
        size = 0.058 if kind == "rabbit" else 0.04
        color = blend(fur, _WHITE, 0.6) if kind == "rabbit" else fur
        center = (base - (0.03 if sideways else 0.0), 0.0)
        brush.oval(center, size, size, color, Part.TAIL, edge)


class RobotHead(FigurePart):
    """Head of a robot: a box with a screen for a face."""

    def draw(self) -> None:
        """Draw the whole head."""
        posed, pen, metal = self.posed, self.pen, self.posed.skin
        edge, behind = darker(metal, 0.5), posed.from_behind
        if posed.character.headwear == "none":
            pen.line([(0, -0.8), (0, -1.3)], 0.1, darker(metal, 0.7), Part.EAR, edge)
            pen.oval((0, -1.36), 0.18, 0.18, _LAMP, Part.EAR, darker(_LAMP))
        bolts = () if posed.sideways else (-1.12,) if posed.turned else (-1.12, 1.12)
        for x in bolts:
            pen.oval((x, 0.02), 0.17, 0.28, darker(metal, 0.75), Part.EAR, edge)
        part = Part.HAIR if behind else Part.FACE
        pen.shape(_box(0, 0.02, 1.06, 0.92), metal, part, edge)
        shine = blend(metal, _WHITE, 0.55)
        pen.line([(-0.74, -0.72), (0.2, -0.72)], 0.09, shine, part)
        if behind:
            for y in (-0.3, 0.0, 0.3):
                pen.line([(-0.5, y), (0.5, y)], 0.1, darker(metal, 0.7), part)
        else:
            self._screen()
        if posed.sideways:
            pen.oval((-0.36, 0.04), 0.24, 0.3, darker(metal, 0.75), Part.EAR, edge)
        draw_headwear(posed)

    def _screen(self) -> None:
        posed, pen = self.posed, self.pen
        face = Face(posed)
        x = 0.54 if posed.sideways else 0.3 if posed.turned else 0.0
        wide = 0.46 if posed.sideways else 0.68 if posed.turned else 0.82
        pen.shape(_box(x, 0.1, wide, 0.6), _SCREEN, Part.FACE, darker(posed.skin, 0.5))
        if posed.character.accessory == "glasses":
            face.draw_glasses(lens=(60, 84, 112), frame=_WHITE)
        part = Part.GLASSES if posed.character.accessory == "glasses" else Part.FACE
        for x, width in face.eyes:
            if posed.asleep:
                pen.curve((x, 0.02), 0.18, 0.14, (0.02, 0.48), 0.1, _GLOW, part)
            else:
                pen.oval((x, 0.04), 0.16 * width, 0.22, _GLOW, part)
                pen.oval((x - 0.04, -0.04), 0.06, 0.08, _WHITE, part)
        wide = 0.16 if posed.sideways else 0.24
        middle = face.middle - (0.06 if posed.sideways else 0)
        pen.curve((middle, 0.36), wide, 0.17, (0.06, 0.44), 0.09, _GLOW, Part.FACE)


def _box(x: float, y: float, half_width: float, half_height: float) -> Path:
    """Return a box with round corners."""
    turn = np.linspace(0, 2 * math.pi, 32, endpoint=False)
    c, s = np.cos(turn), np.sin(turn)
    across = x + half_width * np.sign(c) * np.abs(c) ** 0.4
    down = y + half_height * np.sign(s) * np.abs(s) ** 0.4
    return np.stack([across, down], 1)
