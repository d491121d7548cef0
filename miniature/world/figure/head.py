"""Heads of people; and which head a character has.

Everything is measured in head radii around the middle of the head.
"""

import math
from dataclasses import dataclass

import numpy as np

from miniature.world.figure.brush import HeadBrush
from miniature.world.figure.creatures import AnimalHead, RobotHead
from miniature.world.figure.drawing import Subject
from miniature.world.figure.face import FacePainter
from miniature.world.figure.hair import HairPainter
from miniature.world.figure.headwear import paint_headwear
from miniature.world.figure.poses import Joint
from miniature.world.vocabulary import ANIMALS, Part, darker


@dataclass(frozen=True)
class PersonHead:
    """Paints the head of a girl, a boy, a woman or a man.

    Attributes:
        subject: whose head it is.
        pen: paints on the head.
    """

    subject: Subject
    pen: HeadBrush

    def paint(self) -> None:
        """Skin, face, hair and headwear."""
        subject, pen, skin = self.subject, self.pen, self.subject.skin
        edge, hair = darker(skin, 0.66), HairPainter(self.subject, self.pen)
        if not subject.sideways:
            for side in (-1, 1):
                pen.oval((side * 1.05, 0.2), 0.15, 0.2, skin, Part.EAR, edge)
        pen.shape(_outline(nose=subject.sideways), skin, Part.FACE, edge)
        if subject.from_behind:
            hair.paint_nape()
        else:
            self._face()
            hair.paint_front()
            if subject.sideways and subject.character.hair_style != "long":
                pen.oval((-0.2, 0.22), 0.15, 0.2, skin, Part.EAR, edge)
        paint_headwear(subject, pen)

    def _face(self) -> None:
        face, worn = FacePainter(self.subject, self.pen), self.subject.character.accessory
        face.paint_eyes()
        face.paint_nose()
        if worn == "beard":
            face.paint_beard()
        face.paint_mouth()
        if worn == "glasses":
            face.paint_glasses()


def _outline(*, nose: bool) -> list[Joint]:
    """The edge of a face; in profile with a nose."""
    turn = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    bump = 1 + (0.11 * np.exp(-(((turn - 0.27) / 0.16) ** 2)) if nose else 0.0)
    across, down = 1.06 * np.cos(turn) * bump, 0.98 * np.sin(turn)
    return [(float(a), float(b)) for a, b in zip(across, down, strict=True)]


def paint_behind_head(subject: Subject, pen: HeadBrush) -> None:
    """What of a head is behind the body: hair that hangs or stands off."""
    if subject.character.is_person:
        HairPainter(subject, pen).paint_back()


def paint_head(subject: Subject, pen: HeadBrush) -> None:
    """The head of a person, an animal or a robot, with all that is on it."""
    kind = subject.character.kind
    if kind in ANIMALS:
        AnimalHead(subject, pen).paint()
    elif kind == "robot":
        RobotHead(subject, pen).paint()
    else:
        PersonHead(subject, pen).paint()
