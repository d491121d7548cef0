"""One figure, posed and placed: what every painter of its parts has to know."""

from dataclasses import dataclass

from miniature.world.figure.brush import Brush
from miniature.world.figure.poses import Body, Joint, Pose, Skeleton
from miniature.world.spec import Character, Figure
from miniature.world.vocabulary import (
    CLOTH_COLORS,
    FUR_COLORS,
    HAIR_COLORS,
    METAL_COLORS,
    SKIN_COLORS,
    Color,
    darker,
)

_BODY_COLORS = {**{kind: FUR_COLORS for kind in ("cat", "rabbit", "bear")}, "robot": METAL_COLORS}


@dataclass(frozen=True)
class PosedFigure:
    """A figure in its own coordinates, where it always looks to the right.

    Attributes:
        brush: paints in those coordinates.
        figure: who it is, and what it does.
        body, pose, bones: how it is built and bent.
    """

    brush: Brush
    figure: Figure
    body: Body
    pose: Pose
    bones: Skeleton

    @property
    def character(self) -> Character:
        """Who it is."""
        return self.figure.character

    @property
    def sideways(self) -> bool:
        """Whether it is seen in profile."""
        return self.figure.view == "side"

    @property
    def from_behind(self) -> bool:
        """Whether its face is turned away."""
        return self.figure.view == "back"

    @property
    def turned(self) -> bool:
        """Whether it is turned halfway to the side."""
        return self.figure.view == "three-quarter"

    @property
    def asleep(self) -> bool:
        """Whether its eyes are closed."""
        return self.figure.action == "lying"

    @property
    def skin(self) -> Color:
        """Colour of skin, fur or metal."""
        return _BODY_COLORS.get(self.character.kind, SKIN_COLORS)[self.character.skin]

    @property
    def hair(self) -> Color:
        """Colour of the hair; of the body for those who have none."""
        return HAIR_COLORS.get(self.character.hair_color, self.skin)

    @property
    def top(self) -> Color:
        """Colour of what is worn above."""
        return CLOTH_COLORS[self.character.top_color]

    @property
    def bottom(self) -> Color:
        """Colour of what is worn below."""
        return CLOTH_COLORS[self.character.bottom_color]

    @property
    def is_dark(self) -> bool:
        """Whether dark eyes would be lost in the face."""
        return sum(self.skin) < 260

    def half_width(self, height: float) -> float:
        """Half of the torso's width; height 0 is the waist, 1 the shoulders."""
        narrow_shoulder, narrow_waist = (
            (0.76, 0.86) if self.sideways else (0.92, 0.95) if self.turned else (1.0, 1.0)
        )
        shoulder, waist = self.body.shoulder * narrow_shoulder, self.body.waist * narrow_waist
        return waist + (shoulder - waist) * height

    def on_torso(self, across: float, height: float) -> Joint:
        """A point of the torso; across from -1 to 1, height from 0 (waist) to 1 (neck)."""
        x, y = self.bones.neck
        return (x * height + across * self.half_width(height), y * height)

    def on_chest(self, across: float, height: float) -> Joint:
        """A point measured from the middle of the chest, which turns with the body."""
        shift = 0.62 if self.sideways else 0.26 if self.turned else 0.0
        return self.on_torso(shift + across * (1 - shift), height)


def outline_of(color: Color) -> Color:
    """The colour of the line around something of this colour."""
    return (16, 16, 20) if sum(color) < 150 else darker(color, 0.6)
