"""What characters hold, kick or sit on."""

from dataclasses import dataclass

from pipelines.miniature.world.brush import Brush
from pipelines.miniature.world.canvas import arc
from pipelines.miniature.world.poses import Body, Joint, Skeleton
from pipelines.miniature.world.vocabulary import Color, Part, darker

_WOOD: Color = (180, 128, 78)
_RED: Color = (200, 58, 66)
_GUITAR: Color = (206, 136, 62)
_INK: Color = (52, 42, 40)


@dataclass(frozen=True)
class PropPainter:
    """Paints a pose's prop, behind or in front of the body."""

    brush: Brush
    body: Body
    bones: Skeleton

    def paint_behind(self, prop: str | None) -> None:
        """The props that the body covers: the box that is sat on, the umbrella."""
        if prop == "box":
            base = self.bones.sole
            box: list[Joint] = [(-0.15, 0.045), (0.1, 0.045), (0.1, base), (-0.15, base)]
            self.brush.shape(box, _WOOD, Part.PROP, darker(_WOOD))
        elif prop == "umbrella":
            self._umbrella()

    def paint_in_front(self, prop: str | None) -> None:
        """The props that cover the body."""
        if prop == "book":
            self._book()
        elif prop == "guitar":
            self._guitar()
        elif prop == "ball":
            ankle = self.bones.left_leg[2]
            place = (ankle[0] + 0.15, self.bones.sole - 0.075)
            self.brush.oval(place, 0.075, 0.075, (248, 248, 248), Part.PROP, _INK)
            self.brush.oval(place, 0.028, 0.028, _INK, Part.PROP)

    def _umbrella(self) -> None:
        hand = self.bones.right_arm[2]
        top = self.bones.head[1] - self.body.head * 1.0
        middle = hand[0] - 0.1
        self.brush.line([hand, (hand[0] - 0.02, top)], 0.022, (92, 72, 60), Part.PROP)
        canopy = arc(middle, top, 0.36, 0.2, 0.5, 1.0)
        self.brush.shape(canopy, _RED, Part.PROP, darker(_RED))
        for x in (-0.12, 0.12):
            rib: list[Joint] = [(middle, top - 0.2), (middle + x, top)]
            self.brush.line(rib, 0.01, darker(_RED), Part.PROP)

    def _book(self) -> None:
        y = self.bones.left_arm[2][1] - 0.02
        cover: list[Joint] = [
            (-0.175, y - 0.1), (0, y - 0.065), (0.175, y - 0.1),
            (0.175, y + 0.065), (0, y + 0.1), (-0.175, y + 0.065),
        ]  # fmt: skip
        pages: list[Joint] = [
            (-0.16, y - 0.12), (0, y - 0.085), (0.16, y - 0.12),
            (0.16, y - 0.08), (0, y - 0.045), (-0.16, y - 0.08),
        ]  # fmt: skip
        self.brush.shape(cover, _RED, Part.PROP, darker(_RED))
        self.brush.line([(0, y - 0.065), (0, y + 0.1)], 0.012, darker(_RED), Part.PROP)
        self.brush.shape(pages, (250, 248, 240), Part.PROP)

    def _guitar(self) -> None:
        edge = darker(_GUITAR)
        self.brush.line([(-0.02, -0.06), (0.34, -0.2)], 0.036, (94, 62, 42), Part.PROP)
        self.brush.oval((-0.07, -0.04), 0.11, 0.095, _GUITAR, Part.PROP, edge)
        self.brush.oval((0.035, -0.085), 0.078, 0.07, _GUITAR, Part.PROP, edge)
        self.brush.oval((0.0, -0.07), 0.032, 0.032, _INK, Part.PROP)
