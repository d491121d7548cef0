"""Heads of people, and the choice of a character's kind of head.

Everything is measured in head radii around the middle of the head.
"""

import math

import numpy as np

from miniature.world.figure.brush import Path
from miniature.world.figure.creatures import AnimalHead, RobotHead
from miniature.world.figure.drawing import FigurePart, PosedFigure
from miniature.world.figure.face import Face
from miniature.world.figure.hair import Hair
from miniature.world.figure.headwear import draw_headwear
from miniature.world.vocabulary import ANIMALS, Part, darker


class PersonHead(FigurePart):
    """Head of a girl, a boy, a woman or a man."""

    def draw(self) -> None:
        """Draw skin, face, hair and headwear."""
        posed, pen, skin = self.posed, self.pen, self.posed.skin
        edge, hair = darker(skin, 0.66), Hair(posed)
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
        draw_headwear(posed)

    def _face(self) -> None:
        face, worn = Face(self.posed), self.posed.character.accessory
        face.draw_eyes()
        face.draw_nose()
        if worn == "beard":
            face.draw_beard()
        face.draw_mouth()
        if worn == "glasses":
            face.draw_glasses()


def _outline(*, nose: bool) -> Path:
    """Return the edge of a face; in profile with a nose."""
    turn = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    bump = 1 + (0.11 * np.exp(-(((turn - 0.27) / 0.16) ** 2)) if nose else 0.0)
    across, down = 1.06 * np.cos(turn) * bump, 0.98 * np.sin(turn)
    return np.stack([across, down], 1)


def draw_behind_head(posed: PosedFigure) -> None:
    """Draw the parts of a head that are behind the body."""
    if posed.character.is_person:
        Hair(posed).draw_back()


def draw_head(posed: PosedFigure) -> None:
    """Draw the head of a person, an animal or a robot, with all that is on it."""
    if posed.character.kind in ANIMALS:
        AnimalHead(posed).draw()
    elif posed.character.kind == "robot":
        RobotHead(posed).draw()
    else:
        PersonHead(posed).draw()
