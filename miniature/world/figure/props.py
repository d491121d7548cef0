"""Objects that characters hold, kick, sit on or ride."""

import math

from miniature.world.canvas import arc
from miniature.world.figure.drawing import FigurePart
from miniature.world.figure.poses import Body, Joint, Pose, Skeleton
from miniature.world.vocabulary import Color, Part, darker

_WOOD: Color = (180, 128, 78)
_CARTON: Color = (214, 168, 108)
_TAPE: Color = (244, 222, 176)
_RED: Color = (200, 58, 66)
_GUITAR: Color = (206, 136, 62)
_INK: Color = (52, 42, 40)
_TYRE: Color = (44, 44, 52)
_FRAME: Color = (226, 76, 60)
_STEEL: Color = (176, 182, 192)
_DECK: Color = (60, 150, 170)
_FISH: Color = (84, 150, 230)
_WHITE: Color = (250, 248, 240)

_WHEEL, _AXLE = 0.62, 0.75  # of a bicycle, in lengths of its rider's leg
_REAR, _FRONT = -0.62, 1.62
_BOARD = 0.09  # from a skateboard's deck to the ground
_CANOPY = (0.37, 0.21)
_ROD = 5.2  # length of a fishing rod, in distances between the hands


def drop_of(pose: Pose, body: Body, bones: Skeleton) -> float:
    """Return the reach of a prop below the figure's soles."""
    if pose.prop == "skateboard":
        return _BOARD
    return (_AXLE + _WHEEL) * body.leg - bones.sole if pose.prop == "bicycle" else 0.0


def reach_of(pose: Pose, body: Body, bones: Skeleton) -> tuple[float, float, float]:
    """Return the reach of a prop to the left and right of the pelvis, and up; at least 0 each."""
    hand = bones.right_arm[2]
    if pose.prop == "umbrella":
        middle, top = _canopy_of(body, bones)
        return _CANOPY[0] - middle, middle + _CANOPY[0], _CANOPY[1] + 0.05 - top
    if pose.prop == "ball":
        return 0.0, bones.left_leg[2][0] + 0.24, 0.0
    if pose.prop == "guitar":
        return 0.24, hand[0] + 0.16, 0.0
    if pose.prop == "carton":
        return hand[0] + 0.06, hand[0] + 0.06, 0.0
    if pose.prop == "skateboard":
        return 0.35, 0.35, 0.0
    if pose.prop == "bicycle":
        return (_WHEEL - _REAR) * body.leg + 0.02, (_FRONT + _WHEEL) * body.leg + 0.02, 0.0
    if pose.prop == "rod":
        tip = _tip_of(bones)
        return 0.0, tip[0] + 0.06, -tip[1]
    return 0.0, (hand[0] + 0.1 if pose.prop == "finger" else 0.0), 0.0


def _canopy_of(body: Body, bones: Skeleton) -> Joint:
    """Return the middle of an umbrella's rim."""
    return bones.right_arm[2][0] - 0.1, bones.head[1] - body.head * 1.02


def _tip_of(bones: Skeleton) -> Joint:
    """Return the end of a fishing rod."""
    (x, y), (near_x, near_y) = bones.left_arm[2], bones.right_arm[2]
    return x + _ROD * (near_x - x), y + _ROD * (near_y - y)


class Props(FigurePart):
    """Prop of a pose, behind the body, between its limbs, or in front of it."""

    @property
    def _prop(self) -> str | None:
        return self.posed.pose.prop

    def draw_behind(self) -> None:
        """Draw the props that the body covers."""
        if self._prop == "crate":
            self._crate()
        elif self._prop == "umbrella":
            self._umbrella()
        elif self._prop == "skateboard":
            self._skateboard()

    def draw_between(self) -> None:
        """Draw the bicycle between the rider's legs."""
        if self._prop == "bicycle":
            self._bicycle()

    def draw_under_hands(self) -> None:
        """Draw the props that cover the body, but not the hands."""
        draw = {
            "book": self._book,
            "guitar": self._guitar,
            "carton": self._carton,
            "rod": self._rod,
            "ball": self._ball,
        }.get(self._prop or "")
        if draw is not None:
            draw()

    def _crate(self) -> None:
        brush, edge, base = self.posed.brush, darker(_WOOD), self.posed.bones.sole
        box: list[Joint] = [(-0.17, 0.045), (0.1, 0.045), (0.1, base), (-0.17, base)]
        brush.shape(box, _WOOD, Part.PROP, edge)
        for share in (0.36, 0.68):
            y = 0.045 + share * (base - 0.045)
            brush.line([(-0.16, y), (0.09, y)], 0.012, edge, Part.PROP)

    def _umbrella(self) -> None:
        brush, (middle, top) = self.posed.brush, _canopy_of(self.posed.body, self.posed.bones)
        x, y = self.posed.bones.right_arm[2]
        brush.line([(x + 0.01, y + 0.08), (x - 0.01, top)], 0.024, (92, 72, 60), Part.PROP)
        wide, high = _CANOPY
        scallops: list[Joint] = []
        for number in range(4):
            start = middle + wide - number * wide / 2
            scallops.extend(arc(start - wide / 4, top, wide / 4, 0.035, 1.0, 0.5))
        canopy = arc(middle, top, wide, high, 0.5, 1.0)
        brush.shape([*canopy, *scallops], _RED, Part.PROP, darker(_RED))
        for x in (-0.5, 0.0, 0.5):
            rib = [(middle + 0.3 * x * wide, top - 0.92 * high), (middle + x * wide, top)]
            brush.line(rib, 0.011, darker(_RED), Part.PROP)
        brush.oval((middle, top - high - 0.01), 0.016, 0.02, _INK, Part.PROP)

    def _skateboard(self) -> None:
        brush, y = self.posed.brush, self.posed.bones.sole
        for x in (-0.19, 0.19):
            brush.oval((x, y + 0.052), 0.038, 0.038, _TYRE, Part.PROP, _INK)
            brush.oval((x, y + 0.052), 0.014, 0.014, _STEEL, Part.PROP)
        deck = [(-0.31, y - 0.025), (-0.25, y + 0.008), (0.25, y + 0.008), (0.31, y - 0.025)]
        brush.line(deck, 0.034, _DECK, Part.PROP, darker(_DECK))

    def _bicycle(self) -> None:
        brush, leg = self.posed.brush, self.posed.body.leg
        axle = _AXLE * leg
        rear, front = (_REAR * leg, axle), (_FRONT * leg, axle)
        hand = self.posed.bones.right_arm[2]
        crank, saddle, fork = (0.42 * leg, 0.74 * leg), (-0.02, 0.06), (hand[0] + 0.02, 0.03)
        for x, y in (rear, front):
            radius = _WHEEL * leg - 0.016
            for turn in (0.12, 0.62, 1.14):
                c, s = radius * math.cos(turn * 2), radius * math.sin(turn * 2)
                brush.line([(x - c, y - s), (x + c, y + s)], 0.007, _STEEL, Part.PROP)
            brush.curve((x, y), radius, radius, (0.0, 0.5), 0.034, _TYRE, Part.PROP)
            brush.curve((x, y), radius, radius, (0.5, 1.0), 0.034, _TYRE, Part.PROP)
            brush.oval((x, y), 0.022, 0.022, _STEEL, Part.PROP, _INK)
        edge = darker(_FRAME)
        for bar in ([rear, saddle], [rear, crank], [saddle, crank], [saddle, fork], [crank, fork]):
            brush.line(bar, 0.022, _FRAME, Part.PROP, edge)
        brush.line([front, fork, (hand[0] - 0.01, hand[1])], 0.022, _STEEL, Part.PROP, _INK)
        brush.oval(crank, 0.035, 0.035, _STEEL, Part.PROP, _INK)
        brush.oval((-0.03, 0.045), 0.075, 0.026, _INK, Part.PROP)

    def _book(self) -> None:
        brush = self.posed.brush
        left, right = self.posed.bones.left_arm[2], self.posed.bones.right_arm[2]
        wide, x, y = 0.5 * (right[0] - left[0]) + 0.01, 0.5 * (left[0] + right[0]), left[1] - 0.02
        cover: list[Joint] = [
            (x - wide, y - 0.095), (x, y - 0.06), (x + wide, y - 0.095),
            (x + wide, y + 0.07), (x, y + 0.105), (x - wide, y + 0.07),
        ]  # fmt: skip
        pages: list[Joint] = [
            (x - wide * 0.92, y - 0.12), (x, y - 0.08), (x + wide * 0.92, y - 0.12),
            (x + wide * 0.92, y - 0.075), (x, y - 0.04), (x - wide * 0.92, y - 0.075),
        ]  # fmt: skip
        brush.shape(cover, _RED, Part.PROP, darker(_RED))
        brush.line([(x, y - 0.06), (x, y + 0.1)], 0.014, darker(_RED), Part.PROP)
        brush.shape(pages, _WHITE, Part.PROP, darker(_WHITE, 0.6))

    def _guitar(self) -> None:
        brush, edge = self.posed.brush, darker(_GUITAR)
        x, y = self.posed.bones.left_arm[2]
        near_x, near_y = self.posed.bones.right_arm[2]
        length = math.hypot(near_x - x, near_y - y)
        c, s = (near_x - x) / length, (near_y - y) / length

        def along(distance: float) -> Joint:
            return (x + c * distance, y + s * distance)

        brush.line([along(0), along(length + 0.07)], 0.04, (94, 62, 42), Part.PROP, _INK)
        brush.line([along(length + 0.07), along(length + 0.11)], 0.06, _INK, Part.PROP)
        brush.oval(along(-0.07), 0.14, 0.126, _GUITAR, Part.PROP, edge)
        brush.oval(along(0.08), 0.105, 0.095, _GUITAR, Part.PROP, edge)
        brush.oval(along(-0.06), 0.128, 0.114, _GUITAR, Part.PROP)
        brush.oval(along(0.06), 0.042, 0.042, _INK, Part.PROP)
        brush.line([along(-0.13), along(length)], 0.009, _WHITE, Part.PROP)

    def _carton(self) -> None:
        brush, edge = self.posed.brush, darker(_CARTON)
        left, right = self.posed.bones.left_arm[2], self.posed.bones.right_arm[2]
        x0, x1 = left[0] - 0.005, right[0] + 0.005
        top, base = left[1] - 0.085, left[1] + 0.105
        front: list[Joint] = [(x0, top), (x1, top), (x1, base), (x0, base)]
        lid: list[Joint] = [
            (x0 + 0.03, top - 0.035),
            (x1 - 0.03, top - 0.035),
            (x1, top),
            (x0, top),
        ]
        brush.shape(lid, darker(_CARTON, 0.85), Part.PROP, edge)
        brush.shape(front, _CARTON, Part.PROP, edge)
        middle = 0.5 * (x0 + x1)
        brush.line([(middle, top + 0.015), (middle, top + 0.075)], 0.034, _TAPE, Part.PROP)

    def _rod(self) -> None:
        brush, tip = self.posed.brush, _tip_of(self.posed.bones)
        hook = self.posed.bones.sole - 0.24
        brush.line([tip, (tip[0], hook)], 0.009, _WHITE, Part.PROP, _INK)
        brush.line([self.posed.bones.left_arm[2], tip], 0.022, (120, 78, 44), Part.PROP, _INK)
        x, edge = tip[0], darker(_FISH, 0.5)
        fin: list[Joint] = [(x, hook + 0.11), (x - 0.055, hook + 0.2), (x + 0.055, hook + 0.2)]
        brush.shape(fin, _FISH, Part.PROP, edge)
        brush.oval((x, hook + 0.065), 0.05, 0.078, _FISH, Part.PROP, edge)
        brush.oval((x + 0.018, hook + 0.035), 0.012, 0.014, _INK, Part.PROP)

    def _ball(self) -> None:
        brush, bones = self.posed.brush, self.posed.bones
        x, y = bones.left_leg[2][0] + 0.155, bones.sole - 0.078
        brush.oval((x, y), 0.078, 0.078, _WHITE, Part.PROP, _INK)
        brush.oval((x, y), 0.028, 0.028, _INK, Part.PROP)
        for turn in (0.1, 0.43, 0.77):
            c, s = math.cos(turn * 2 * math.pi), math.sin(turn * 2 * math.pi)
            brush.line([(x + 0.06 * c, y + 0.06 * s), (x + 0.07 * c, y + 0.07 * s)], 0.03, _INK,
                       Part.PROP)  # fmt: skip
