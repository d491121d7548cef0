"""Arms and legs with sleeves, trousers, hands and shoes."""

import math

import numpy as np

from miniature.world.canvas import ellipse
from miniature.world.figure.drawing import FigurePart, outline_of
from miniature.world.figure.poses import Joint
from miniature.world.vocabulary import LONG_SLEEVES, SHOE_COLORS, Part, darker

_FAR = 0.88  # how dark the far limbs of a figure seen from the side are


class Limbs(FigurePart):
    """Arms and legs of a figure."""

    @property
    def _is_robot(self) -> bool:
        return self.posed.character.kind == "robot"

    def hand(self, center: Joint, shade: float = 1.0) -> None:
        """Draw a hand, or a paw."""
        color = darker(self.posed.skin, shade * (0.82 if self._is_robot else 1.0))
        self.posed.brush.oval(center, 0.05, 0.05, color, Part.HAND, darker(color, 0.62))

    def _shade(self, side: str) -> float:
        return _FAR if self.posed.sideways and side == "left" else 1.0

    def arm(self, side: str) -> None:
        """Draw an arm with its sleeve and its hand; "left" is on the left of the picture."""
        posed, left, shade = self.posed, side == "left", self._shade(side)
        shoulder, elbow, hand = posed.bones.left_arm if left else posed.bones.right_arm
        upper = Part.LEFT_UPPER_ARM if left else Part.RIGHT_UPPER_ARM
        lower = Part.LEFT_FOREARM if left else Part.RIGHT_FOREARM
        brush, width = posed.brush, posed.body.arm_width
        skin, cloth = darker(posed.skin, shade), darker(posed.top, shade)
        long = posed.character.top in LONG_SLEEVES
        sleeve = cloth if long else skin
        edge = outline_of(sleeve)
        self.hand(hand, shade)
        if posed.pose.prop == "finger" and not left:
            tip = (hand[0] + 0.075, hand[1])
            brush.line([hand, tip], 0.03, skin, Part.HAND, darker(skin, 0.62))
            brush.line([hand, (hand[0] + 0.03, hand[1])], 0.06, skin, Part.HAND)
        near_hand = _between(elbow, hand, 0.76)
        brush.line([shoulder, elbow, near_hand], width, sleeve, lower, edge)
        brush.line([shoulder, elbow], width, sleeve, upper)
        if self._is_robot and not long:
            self._rings(elbow, near_hand, width, lower)
        if not long:
            middle = _between(shoulder, elbow, 0.62)
            brush.line([shoulder, middle], width * 1.16, cloth, upper, outline_of(cloth))

    def leg(self, side: str) -> None:
        """Draw a leg with its clothes and its shoe."""
        posed, left, shade = self.posed, side == "left", self._shade(side)
        hip, knee, ankle = posed.bones.left_leg if left else posed.bones.right_leg
        thigh = Part.LEFT_THIGH if left else Part.RIGHT_THIGH
        shin = Part.LEFT_SHIN if left else Part.RIGHT_SHIN
        person, brush, width = posed.character, posed.brush, posed.body.leg_width
        skin, cloth = darker(posed.skin, shade), darker(posed.bottom, shade)
        bare = person.top == "dress" or person.bottom == "skirt"
        lower = cloth if person.bottom == "trousers" and not bare else skin
        self._shoe(knee, ankle, shade)
        brush.line([hip, knee, ankle], width * 0.92, lower, shin, outline_of(lower))
        if lower is skin and self._is_robot:
            self._rings(knee, ankle, width, shin)
        if bare:
            brush.line([hip, knee], width * 0.92, skin, thigh)
            return
        hem = knee if person.bottom == "trousers" else _between(hip, knee, 0.9)
        brush.line([hip, hem], width * 1.06, cloth, thigh, outline_of(cloth))
        if person.bottom == "trousers":
            brush.line([knee, ankle], width * 0.92, cloth, shin)

    def _rings(self, start: Joint, stop: Joint, width: float, part: Part) -> None:
        """Draw the joints of a robot's bare limb."""
        brush, ink = self.posed.brush, darker(self.posed.skin, 0.62)
        length = max(1e-3, math.hypot(stop[0] - start[0], stop[1] - start[1]))
        x = -(stop[1] - start[1]) / length * 0.4 * width
        y = (stop[0] - start[0]) / length * 0.4 * width
        for share in (0.3, 0.7):
            a, b = _between(start, stop, share)
            brush.line([(a - x, b - y), (a + x, b + y)], 0.016, ink, part)

    def _shoe(self, knee: Joint, ankle: Joint, shade: float) -> None:
        brush, color = self.posed.brush, darker(SHOE_COLORS[self.posed.character.shoes], shade)
        edge = darker(color, 0.5)
        if self.posed.sideways:
            turn = math.atan2(knee[0] - ankle[0], ankle[1] - knee[1]) * 0.7
            foot = ellipse(0.03, 0.02, 0.078, 0.045, 0.0)
            c, s = math.cos(turn), math.sin(turn)
            turned = foot @ np.array([[c, s], [-s, c]], np.float32)
            brush.shape(turned + np.array(ankle, np.float32), color, Part.SHOE, edge)
        else:
            outward = 0.018 if ankle[0] > 0 else -0.018
            center = (ankle[0] + outward, ankle[1] + 0.016)
            brush.oval(center, 0.07, 0.046, color, Part.SHOE, edge)


def _between(start: Joint, stop: Joint, share: float) -> Joint:
    return (start[0] + (stop[0] - start[0]) * share, start[1] + (stop[1] - start[1]) * share)
