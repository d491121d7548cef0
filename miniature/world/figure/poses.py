"""Proportions of bodies, and the poses of actions.

Lengths are in units of the figure's size; the pelvis is at (0, 0), y downwards, and every figure
faces right (`Brush` mirrors it). Limb angles are in degrees from straight down, positive
towards the right of the picture.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from miniature.world.spec import Character

Joint = tuple[float, float]
Bend = tuple[float, float]
Limb = tuple[Joint, Joint, Joint]


@dataclass(frozen=True)
class Body:
    """Lengths of a body, in units of the figure's size."""

    head: float
    torso: float
    upper_arm: float
    forearm: float
    thigh: float
    shin: float
    shoulder: float
    waist: float
    arm_width: float
    leg_width: float

    @property
    def leg(self) -> float:
        """Length of a stretched leg without its foot."""
        return self.thigh + self.shin


_CHILD = Body(0.2, 0.19, 0.122, 0.112, 0.114, 0.114, 0.112, 0.104, 0.084, 0.106)
_WOMAN = Body(0.178, 0.236, 0.145, 0.13, 0.14, 0.14, 0.112, 0.094, 0.082, 0.102)
_MAN = Body(0.178, 0.24, 0.145, 0.13, 0.14, 0.14, 0.134, 0.11, 0.09, 0.11)


def body_of(character: Character) -> Body:
    """Return the proportions of a kind of character: large heads, short thick limbs."""
    if character.is_child:
        return _CHILD
    return _MAN if character.is_male else _WOMAN


@dataclass(frozen=True)
class Pose:
    """Pose of an action.

    Attributes:
        left_arm, right_arm: angles of upper arm and forearm.
        left_leg, right_leg: angles of thigh and shin.
        hands: positions of both hands instead of angles, in lengths of the torso, or None.
        feet: positions of both ankles instead of angles, in lengths of a leg, or None.
        lean: tilt of the torso to the right, degrees.
        roll: clockwise rotation of the whole figure, degrees.
        lift: height above the ground, in units of the figure's size.
        prop: object that is held or used, a name of `props`, or None.
    """

    left_arm: Bend = (-15, -7)
    right_arm: Bend = (15, 7)
    left_leg: Bend = (-5, -3)
    right_leg: Bend = (5, 3)
    hands: tuple[Joint, Joint] | None = None
    feet: tuple[Joint, Joint] | None = None
    lean: float = 0
    roll: float = 0
    lift: float = 0
    prop: str | None = None


_POSES = {
    "standing": Pose(),
    "waving": Pose(right_arm=(124, 166)),
    "walking": Pose((-36, -16), (32, 56), (34, 18), (-28, -46)),
    "running": Pose((-74, -36), (50, 128), (76, 10), (-40, -104), lean=17, lift=0.05),
    "sitting": Pose((28, 58), (36, 66), (86, 4), (80, -4), prop="crate"),
    "jumping": Pose((-112, -138), (112, 138), (-50, 34), (50, -34), lift=0.12),
    "reading": Pose(hands=((-0.84, -0.34), (0.84, -0.34)), prop="book"),
    "umbrella": Pose(hands=((-0.76, 0.1), (1.15, -0.78)), prop="umbrella"),
    "cheering": Pose((-128, -150), (128, 150), (-13, -9), (13, 9)),
    "lying": Pose((-24, -12), (24, 12), roll=90),
    "dancing": Pose((-112, -156), (66, 108), (-2, -8), (56, -14), lean=9),
    "hips": Pose((-56, 42), (56, -42), (-12, -9), (12, 9)),
    "pointing": Pose(right_arm=(92, 91), prop="finger"),
    "kicking": Pose((-48, -34), (46, 68), (66, 52), (-6, -14), lean=-9, prop="ball"),
    "guitar": Pose(hands=((-0.08, -0.24), (1.42, -0.9)), prop="guitar"),
    "carrying": Pose(
        left_leg=(-13, -9), right_leg=(13, 9), hands=((-1.28, 0.1), (1.28, 0.1)), prop="carton"
    ),
    "skateboarding": Pose((-84, -96), (84, 96), (-42, 4), (46, -4), lean=7, prop="skateboard"),
    "cycling": Pose(
        hands=((1.22, -0.32), (1.22, -0.36)),
        feet=((0.62, 0.52), (0.2, 0.9)),
        lean=18,
        prop="bicycle",
    ),
    "kneeling": Pose((-24, -8), (46, 82), (90, 4), (-8, -100), lean=2),
    "fishing": Pose(hands=((0.42, -0.3), (0.86, -0.5)), prop="rod"),
}


def pose_for(action: str, rng: np.random.Generator) -> Pose:
    """Return the pose of an action, with joints a few degrees off at random."""
    pose = _POSES[action]

    def near(bend: Bend, spread: float) -> Bend:
        return (bend[0] + rng.uniform(-spread, spread), bend[1] + rng.uniform(-spread, spread))

    return replace(
        pose,
        left_arm=near(pose.left_arm, 4),
        right_arm=near(pose.right_arm, 4),
        left_leg=near(pose.left_leg, 3),
        right_leg=near(pose.right_leg, 3),
    )


@dataclass(frozen=True)
class Skeleton:
    """Positions of the joints of a posed body, in units of the figure's size.

    Limbs are (shoulder, elbow, hand) and (hip, knee, ankle); `neck` is the top of the
    torso, `head` the middle of the head, `sole` the depth of the lowest foot or knee.
    """

    neck: Joint
    head: Joint
    left_arm: Limb
    right_arm: Limb
    left_leg: Limb
    right_leg: Limb
    sole: float


def _reach(start: Joint, angle: float, length: float) -> Joint:
    turn = math.radians(angle)
    return (start[0] + length * math.sin(turn), start[1] + length * math.cos(turn))


def _swing(start: Joint, bend: Bend, upper: float, lower: float) -> Limb:
    middle = _reach(start, bend[0], upper)
    return start, middle, _reach(middle, bend[1], lower)


def _stretch(start: Joint, end: Joint, upper: float, lower: float, outward: float) -> Limb:
    """Return a limb that reaches for `end` and bends to `outward`'s side."""
    x, y = end[0] - start[0], end[1] - start[1]
    distance = math.hypot(x, y)
    far = min(max(distance, abs(upper - lower) + 1e-3), 0.999 * (upper + lower))
    along = math.atan2(x, y)
    corner = math.acos((upper**2 + far**2 - lower**2) / (2 * upper * far))
    middle = _reach(start, math.degrees(along + outward * corner), upper)
    reached = (start[0] + x * far / distance, start[1] + y * far / distance)
    return start, middle, reached


def skeleton(body: Body, pose: Pose, view: str) -> Skeleton:
    """Put a body into a pose, in a view of `vocabulary.VIEWS`."""
    sideways = view == "side"
    neck = _reach((0, 0), 180 - pose.lean, body.torso)
    shoulder = body.shoulder * (0.22 if sideways else 0.9 if view == "three-quarter" else 1.02)
    hip = body.waist * (0.25 if sideways else 0.54)
    arms, legs = [], []
    for number, side in enumerate((-1, 1)):
        start = (neck[0] + side * shoulder, neck[1] + 0.046)
        if pose.hands is None:
            bend = pose.right_arm if number else pose.left_arm
            arms.append(_swing(start, bend, body.upper_arm, body.forearm))
        else:
            x, y = pose.hands[number]
            target = (x * body.torso, y * body.torso)
            far_out = side * (target[0] - start[0]) > 0.06  # then the elbow hangs down
            outward = -1.0 if sideways or far_out else 1.0
            outward *= 1 if sideways else side
            arms.append(_stretch(start, target, body.upper_arm, body.forearm, outward))
        start = (side * hip, 0.0)
        if pose.feet is None:
            bend = pose.right_leg if number else pose.left_leg
            legs.append(_swing(start, bend, body.thigh, body.shin))
        else:
            x, y = pose.feet[number]
            target = (x * body.leg, y * body.leg)
            legs.append(_stretch(start, target, body.thigh, body.shin, 1.0))
    soles = [max(leg[2][1] + 0.05, leg[1][1] + 0.52 * body.leg_width) for leg in legs]
    return Skeleton(
        neck=neck,
        head=_reach(neck, 180 - pose.lean * 1.2, body.head * 0.92),
        left_arm=arms[0],
        right_arm=arms[1],
        left_leg=legs[0],
        right_leg=legs[1],
        sole=max(soles),
    )
