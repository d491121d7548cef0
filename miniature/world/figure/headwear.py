"""Hats, caps, beanies and crowns, over hair, fur and metal alike.

Everything is measured in head radii around the middle of the head.
"""

from dataclasses import replace

from miniature.world.canvas import arc, ellipse
from miniature.world.figure.brush import Brush
from miniature.world.figure.drawing import PosedFigure
from miniature.world.figure.poses import Joint
from miniature.world.vocabulary import ANIMALS, Color, Part, darker

_COLORS: dict[str, tuple[Color, Color]] = {  # the usual colour, and one for hair that is like it
    "hat": ((70, 84, 160), (150, 60, 50)),
    "cap": ((214, 48, 49), (52, 104, 205)),
    "beanie": ((44, 150, 140), (236, 140, 50)),
    "crown": ((250, 205, 70), (222, 228, 238)),
}
_LIKE = {
    "hat": ("blue", "black"),
    "cap": ("red", "pink", "orange"),
    "beanie": ("green", "blue"),
    "crown": ("blonde", "orange", "gold"),
}
_WHITE: Color = (248, 248, 246)
_GEM: Color = (214, 40, 80)


def draw_headwear(posed: PosedFigure) -> None:
    """Draw a character's headwear, if any."""
    kind = posed.character.headwear
    if kind == "none":
        return
    person = posed.character
    under = person.hair_color if person.is_person else person.skin
    color = _COLORS[kind][under in _LIKE[kind]]
    pen = posed.pen
    if person.kind in ANIMALS:  # their eyes are high
        pen = replace(pen, center=pen.at((0, -0.14)))
    {"hat": _hat, "cap": _cap, "beanie": _beanie, "crown": _crown}[kind](posed, pen, color)


def _dome(pen: Brush, color: Color, height: float, base: float) -> None:
    dome = arc(0, base, 1.19, height, 0.5, 1.0)
    brow: list[Joint] = [(0.7, base + 0.1), (0, base + 0.14), (-0.7, base + 0.1)]
    pen.shape([*dome, *brow], color, Part.HAT, darker(color))


def _hat(posed: PosedFigure, pen: Brush, color: Color) -> None:
    edge = darker(color)
    crown: list[Joint] = [
        (-0.98, -0.4), (-0.84, -1.12), (-0.5, -1.4), (0, -1.44), (0.5, -1.4), (0.84, -1.12),
        (0.98, -0.4),
    ]  # fmt: skip
    pen.shape(crown, color, Part.HAT, edge)
    band: list[Joint] = [(-0.96, -0.5), (-0.92, -0.82), (0.92, -0.82), (0.96, -0.5)]
    pen.shape(band, _WHITE, Part.HAT)
    pen.oval((0.08 if posed.sideways else 0, -0.46), 1.62, 0.22, color, Part.HAT, edge)


def _cap(posed: PosedFigure, pen: Brush, color: Color) -> None:
    edge = darker(color)
    _dome(pen, color, 0.98, -0.3)
    pen.oval((0, -1.28), 0.13, 0.1, color, Part.HAT, edge)
    if posed.from_behind:
        pen.oval((0, -0.28), 0.3, 0.2, edge, Part.HAT)
    elif posed.sideways:
        visor: list[Joint] = [(0.5, -0.44), (1.1, -0.48), (1.7, -0.3), (1.68, -0.16), (0.5, -0.14)]
        pen.shape(visor, darker(color, 0.85), Part.HAT, edge)
    else:
        x = 0.36 if posed.turned else 0.0
        pen.shape(ellipse(x, -0.36, 0.96, 0.22), darker(color, 0.85), Part.HAT, edge)
        pen.oval((x, -0.74), 0.24, 0.22, _WHITE, Part.HAT)


def _beanie(posed: PosedFigure, pen: Brush, color: Color) -> None:
    pen.oval((0, -1.42), 0.34, 0.32, _WHITE, Part.HAT, darker(_WHITE, 0.7))
    _dome(pen, color, 1.0, -0.3)
    band = darker(color, 0.8)
    low = -0.42
    rim: list[Joint] = [
        (-1.2, low - 0.28), (-0.6, low - 0.2), (0, low - 0.17), (0.6, low - 0.2),
        (1.2, low - 0.28), (1.22, low + 0.08), (0.6, low + 0.17), (0, low + 0.2),
        (-0.6, low + 0.17), (-1.22, low + 0.08),
    ]  # fmt: skip
    pen.shape(rim, band, Part.HAT, darker(color, 0.55))
    for x in (-0.8, -0.4, 0.0, 0.4, 0.8):
        pen.line([(x, low - 0.12), (x, low + 0.1)], 0.06, darker(color, 0.62), Part.HAT)


def _crown(posed: PosedFigure, pen: Brush, color: Color) -> None:
    points: list[Joint] = [
        (-0.82, -0.62), (-0.94, -1.5), (-0.46, -1.14), (0, -1.66), (0.46, -1.14),
        (0.94, -1.5), (0.82, -0.62), (0, -0.54),
    ]  # fmt: skip
    pen.shape(points, color, Part.HAT, darker(color))
    for x, y in ((-0.94, -1.5), (0, -1.66), (0.94, -1.5)):
        pen.oval((x, y), 0.12, 0.12, _GEM, Part.HAT, darker(_GEM))
    for x, y in ((-0.46, -0.84), (0, -0.8), (0.46, -0.84)):
        pen.oval((x, y), 0.12, 0.12, _GEM, Part.HAT)
