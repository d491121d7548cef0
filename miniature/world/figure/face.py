"""Faces: eyes, cheeks, mouth, beard and glasses.

Everything is measured in head radii around the middle of the head.
"""

from miniature.world.canvas import arc
from miniature.world.figure.drawing import FigurePart
from miniature.world.figure.poses import Joint
from miniature.world.vocabulary import ANIMALS, Color, Part, darker

INK: Color = (34, 30, 36)
_WHITE: Color = (255, 255, 255)
_LENS: Color = (226, 240, 250)
_MOUTH: Color = (150, 50, 50)
_LIPS: Color = (232, 112, 104)
_TONGUE: Color = (236, 120, 120)
_LAUGHING = ("cheering", "jumping", "dancing", "waving", "skateboarding", "cycling", "running")


class Face(FigurePart):
    """Face of a person or an animal, drawn onto its head."""

    @property
    def eyes(self) -> tuple[tuple[float, float], ...]:
        """Horizontal position and relative width of each visible eye."""
        if self.posed.sideways:
            return ((0.5, 0.95),)
        if self.posed.turned:
            return ((-0.06, 1.0), (0.64, 0.84))
        return ((-0.42, 1.0), (0.42, 1.0))

    @property
    def middle(self) -> float:
        """Horizontal position of the mouth."""
        return 0.72 if self.posed.sideways else 0.32 if self.posed.turned else 0.0

    @property
    def level(self) -> float:
        """Height of the eyes; an animal's are above its muzzle."""
        return 0.02 if self.posed.character.kind in ANIMALS else 0.1

    def draw_eyes(self) -> None:
        """Draw eyes, open or asleep, with blushing cheeks below."""
        pen, skin, y = self.pen, self.posed.skin, self.level
        blush: Color = (242, 142, 132) if sum(skin) > 480 else darker(skin, 0.8)
        lashes = self.posed.character.kind in ("girl", "woman")
        for x, wide in self.eyes:
            away = 1.22 if self.posed.turned else 1.32
            cheek = self.middle + away * (x - self.middle)
            if self.posed.sideways:
                cheek = 0.32
            pen.oval((cheek, 0.46), 0.18 * wide, 0.115, blush, Part.FACE)
            if self.posed.asleep:
                pen.curve((x, y - 0.04), 0.19, 0.14, (0.02, 0.48), 0.08, INK, Part.FACE)
                continue
            if lashes:
                side = 1 if x > self.middle or self.posed.sideways else -1
                pen.curve((x, y), 0.19 * wide, 0.27, (0.55, 0.95), 0.07, INK, Part.FACE)
                for rise in (0.0, 0.13):
                    flick = [(x + side * 0.14 * wide, rise), (x + side * 0.29 * wide, rise - 0.05)]
                    pen.line(flick, 0.055, INK, Part.FACE)
            self._eye(x, wide)

    def _eye(self, x: float, wide: float) -> None:
        pen, y = self.pen, self.level
        if self.posed.is_dark:
            pen.oval((x, y), 0.215 * wide, 0.295, _WHITE, Part.FACE)
        pen.oval((x, y), 0.165 * wide, 0.25, INK, Part.FACE)
        pen.oval((x - 0.05 * wide, y - 0.1), 0.065 * wide, 0.085, _WHITE, Part.FACE)
        pen.oval((x + 0.06 * wide, y + 0.09), 0.035 * wide, 0.045, _WHITE, Part.FACE)

    def draw_nose(self) -> None:
        """Draw a small shade for the nose; in profile the head's outline shows it."""
        shade = darker(self.posed.skin, 0.78)
        if self.posed.turned:
            self.pen.oval((0.4, 0.28), 0.07, 0.045, shade, Part.FACE)
        elif not self.posed.sideways:
            self.pen.oval((0.0, 0.29), 0.06, 0.045, shade, Part.FACE)

    def draw_mouth(self) -> None:
        """Draw a smile, or a laugh for lively actions."""
        pen, sideways = self.pen, self.posed.sideways
        color: Color = (52, 16, 20) if self.posed.is_dark else _MOUTH
        if self.posed.character.accessory == "beard":
            color = _LIPS
        wide = 0.16 if sideways else 0.21
        if self.posed.figure.action in _LAUGHING:
            pen.shape(arc(self.middle, 0.46, wide, 0.24, 0.0, 0.5), color, Part.FACE, INK)
            pen.oval((self.middle, 0.62), wide * 0.5, 0.06, _TONGUE, Part.FACE)
            return
        turns = (0.12, 0.46) if sideways else (0.05, 0.45)
        pen.curve((self.middle, 0.44), wide, 0.18, turns, 0.08, color, Part.FACE)

    def draw_beard(self) -> None:
        """Draw a full beard along the jaw, open around the mouth."""
        pen, color = self.pen, self.posed.hair
        chin = arc(0, 0.08, 1.08, 1.04, -0.01, 0.51)
        m = self.middle * 0.8
        top: list[Joint] = [(-0.8 + 0.6 * m, 0.5), (m - 0.3, 0.37), (m + 0.3, 0.37), (0.85, 0.5)]
        if self.posed.sideways:
            chin = arc(0.02, 0.08, 1.06, 1.04, 0.05, 0.36)
            top = [(-0.2, 0.2), (0.1, 0.52), (0.5, 0.4), (0.9, 0.38)]
        pen.shape([*chin, *top], color, Part.BEARD, darker(color, 0.7))

    def draw_glasses(self, lens: Color = _LENS, frame: Color = INK) -> None:
        """Draw round glasses, the eyes clear behind them."""
        pen, eyes, y = self.pen, self.eyes, self.level
        asleep = self.posed.asleep
        for x, wide in eyes:
            pen.oval((x, y), 0.37 * wide, 0.37, frame, Part.GLASSES)
            pen.oval((x, y), 0.3 * wide, 0.3, lens, Part.GLASSES)
            if asleep:
                pen.curve((x, y - 0.02), 0.17, 0.12, (0.02, 0.48), 0.08, INK, Part.GLASSES)
            else:
                pen.oval((x, y + 0.01), 0.145 * wide, 0.2, INK, Part.GLASSES)
                pen.oval((x - 0.05, y - 0.08), 0.055, 0.07, _WHITE, Part.GLASSES)
        if len(eyes) == 2:
            bridge = [
                (eyes[0][0] + 0.34, y - 0.04),
                (eyes[1][0] - 0.34 * eyes[1][1], y - 0.04),
            ]
            pen.line(bridge, 0.09, frame, Part.GLASSES)
        if len(eyes) == 1 or self.posed.turned:
            pen.line([(eyes[0][0] - 0.34, y - 0.04), (-0.62, y - 0.1)], 0.08, frame, Part.GLASSES)
