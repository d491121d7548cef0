"""Heads of people, and the choice of a character's kind of head.

Everything is measured in head radii around the middle of the head.
"""

import math
from dataclasses import dataclass

import numpy as np

from miniature.world.figure.brush import HeadBrush
from miniature.world.figure.creatures import AnimalHead, RobotHead
from miniature.world.figure.drawing import PosedFigure
from miniature.world.figure.face import Face
from miniature.world.figure.hair import Hair
from miniature.world.figure.headwear import draw_headwear
from miniature.world.figure.poses import Joint
from miniature.world.vocabulary import ANIMALS, Part, darker


@dataclass(frozen=True)
class PersonHead:
    """Head of a girl, a boy, a woman or a man.

    Attributes:
        posed: the figure.
        pen: brush in head radii.
    """

    posed: PosedFigure
    pen: HeadBrush

    def draw(self) -> None:
        """Draw skin, face, hair and headwear."""
        posed, pen, skin = self.posed, self.pen, self.posed.skin
        edge, hair = darker(skin, 0.66), Hair(self.posed, self.pen)
        if not posed.sideways:
            for side in (-1, 1):
                pen.oval((side * 1.05, 0.2), 0.15, 0.2, skin, Part.EAR, edge)
        pen.shape(_outline(nose=posed.sideways), skin, Part.FACE, edge)
        if posed.from_behind:
            hair.draw_nape()
        else:
            self._face()
            hair.draw_front()
            if posed.sideways and posed.character.hair_style != "long":
                pen.oval((-0.2, 0.22), 0.15, 0.2, skin, Part.EAR, edge)
        draw_headwear(posed, pen)

    def _face(self) -> None:
        face, worn = Face(self.posed, self.pen), self.posed.character.accessory
        face.draw_eyes()
        face.draw_nose()
        if worn == "beard":
            face.draw_beard()
        face.draw_mouth()
        if worn == "glasses":
            face.draw_glasses()


def _outline(*, nose: bool) -> list[Joint]:
    """Return the edge of a face; in profile with a nose."""
    turn = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    bump = 1 + (0.11 * np.exp(-(((turn - 0.27) / 0.16) ** 2)) if nose else 0.0)
    across, down = 1.06 * np.cos(turn) * bump, 0.98 * np.sin(turn)
    return [(float(a), float(b)) for a, b in zip(across, down, strict=True)]


def draw_behind_head(posed: PosedFigure, pen: HeadBrush) -> None:
    """Draw the parts of a head that are behind the body."""
    if posed.character.is_person:
        Hair(posed, pen).draw_back()


def draw_head(posed: PosedFigure, pen: HeadBrush) -> None:
    """Draw the head of a person, an animal or a robot, with all that is on it."""
    kind = posed.character.kind
    if kind in ANIMALS:
        AnimalHead(posed, pen).draw()
    elif kind == "robot":
        RobotHead(posed, pen).draw()
    else:
        PersonHead(posed, pen).draw()
