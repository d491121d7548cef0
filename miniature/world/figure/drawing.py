"""Figure with its pose, colours and coordinates."""

from dataclasses import dataclass, replace

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
    """Figure in its own coordinates, in which it always faces right.

    Attributes:
        brush: brush in these coordinates.
        figure: the figure.
        body, pose, bones: its proportions, pose and joints.
    """

    brush: Brush
    figure: Figure
    body: Body
    pose: Pose
    bones: Skeleton

    @property
    def pen(self) -> Brush:
        """Brush in head radii around the middle of the head."""
        return replace(self.brush, center=self.bones.head, radius=self.body.head)

    @property
    def character(self) -> Character:
        """Character of the figure."""
        return self.figure.character

    @property
    def sideways(self) -> bool:
        """Return whether the figure is seen in profile."""
        return self.figure.view == "side"

    @property
    def from_behind(self) -> bool:
        """Return whether its face is turned away."""
        return self.figure.view == "back"

    @property
    def turned(self) -> bool:
        """Return whether the figure is turned halfway to the side."""
        return self.figure.view == "three-quarter"

    @property
    def asleep(self) -> bool:
        """Return whether its eyes are closed."""
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
        """Return whether dark eyes would be lost in the face."""
        return sum(self.skin) < 260

    def half_width(self, height: float) -> float:
        """Return half of the torso's width; height 0 is the waist, 1 the shoulders."""
        narrow_shoulder, narrow_waist = (
            (0.76, 0.86) if self.sideways else (0.92, 0.95) if self.turned else (1.0, 1.0)
        )
        shoulder, waist = self.body.shoulder * narrow_shoulder, self.body.waist * narrow_waist
        return waist + (shoulder - waist) * height

    def on_torso(self, across: float, height: float) -> Joint:
        """Return a point of the torso; across from -1 to 1, height from 0 (waist) to 1 (neck)."""
        x, y = self.bones.neck
        return (x * height + across * self.half_width(height), y * height)

    def on_chest(self, across: float, height: float) -> Joint:
        """Return a point measured from the middle of the chest, which turns with the body."""
        shift = 0.62 if self.sideways else 0.26 if self.turned else 0.0
        return self.on_torso(shift + across * (1 - shift), height)


@dataclass(frozen=True)
class FigurePart:
    """Part of a figure that draws itself; those of a head are measured in head radii."""

    posed: PosedFigure

    @property
    def pen(self) -> Brush:
        """Brush of the figure's head."""
        return self.posed.pen


def outline_of(color: Color) -> Color:
    """Return the colour of the outline of a shape of this colour."""
    return (16, 16, 20) if sum(color) < 150 else darker(color, 0.6)
