"""How bodies are built and how each action bends them.

Lengths are in units of the figure's size; the pelvis is at (0, 0), y downwards. Limb angles are
in degrees from straight down, positive towards the right of the picture.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from pipelines.miniature.world.spec import Character

Joint = tuple[float, float]
Bend = tuple[float, float]


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


_CHILD = Body(0.186, 0.205, 0.12, 0.105, 0.115, 0.115, 0.1, 0.088, 0.082, 0.1)
_WOMAN = Body(0.164, 0.25, 0.14, 0.125, 0.15, 0.15, 0.106, 0.09, 0.08, 0.1)
_MAN = Body(0.164, 0.25, 0.14, 0.125, 0.15, 0.15, 0.126, 0.102, 0.088, 0.106)


def body_of(character: Character) -> Body:
    """The proportions of a kind of person: large heads, short thick limbs."""
    if character.is_child:
        return _CHILD
    return _MAN if character.is_male else _WOMAN


@dataclass(frozen=True)
class Pose:
    """What an action does to a body.

    Attributes:
        left_arm, right_arm: angles of upper arm and forearm.
        left_leg, right_leg: angles of thigh and shin.
        sideways: whether the body is seen from the side.
        lean: how far the torso tips forward, degrees.
        roll: how far the whole figure is turned, degrees.
        lift: height above the ground, in units of the figure's size.
        prop: what is held or used: box, book, umbrella, ball, guitar, or None.
    """

    left_arm: Bend = (-16, -9)
    right_arm: Bend = (16, 9)
    left_leg: Bend = (-6, -4)
    right_leg: Bend = (6, 4)
    sideways: bool = False
    lean: float = 0
    roll: float = 0
    lift: float = 0
    prop: str | None = None


_POSES = {
    "standing": Pose(),
    "waving": Pose(right_arm=(112, 166)),
    "walking": Pose((-32, -14), (30, 50), (32, 18), (-26, -40), sideways=True),
    "running": Pose((-54, 30), (44, 118), (68, 4), (-34, -96), True, lean=12, lift=0.02),
    "sitting": Pose((30, 64), (40, 74), (86, 4), (80, -4), sideways=True, prop="box"),
    "jumping": Pose((-122, -148), (122, 148), (-44, 20), (44, -20), lift=0.09),
    "reading": Pose((-34, 30), (34, -30), prop="book"),
    "umbrella": Pose(right_arm=(40, 152), prop="umbrella"),
    "cheering": Pose((-132, -158), (132, 158), (-12, -8), (12, 8)),
    "lying": Pose((-22, -12), (22, 12), roll=90),
    "dancing": Pose((-98, -150), (62, 104), (-8, -6), (52, 8)),
    "hips": Pose((-52, 36), (52, -36), (-12, -9), (12, 9)),
    "pointing": Pose(right_arm=(92, 91)),
    "kicking": Pose((-44, -30), (42, 62), (62, 50), (-6, -14), True, lean=-8, prop="ball"),
    "guitar": Pose((-36, 50), (48, -76), prop="guitar"),
}


def pose_for(action: str, rng: np.random.Generator) -> Pose:
    """The pose of an action, its joints a few degrees off as chance has it."""
    pose = _POSES[action]

    def near(bend: Bend, spread: float) -> Bend:
        return (bend[0] + rng.uniform(-spread, spread), bend[1] + rng.uniform(-spread, spread))

    steady = pose.prop is not None
    return replace(
        pose,
        left_arm=near(pose.left_arm, 2 if steady else 5),
        right_arm=near(pose.right_arm, 2 if steady else 5),
        left_leg=near(pose.left_leg, 3),
        right_leg=near(pose.right_leg, 3),
        roll=pose.roll * (1 if rng.random() < 0.5 else -1),
    )


@dataclass(frozen=True)
class Skeleton:
    """Where the joints of a posed body are, in units of the figure's size.

    Limbs are (shoulder, elbow, hand) and (hip, knee, ankle); `neck` is the top of the
    torso, `head` the middle of the head, `sole` how far the lowest foot reaches down.
    """

    neck: Joint
    head: Joint
    left_arm: tuple[Joint, Joint, Joint]
    right_arm: tuple[Joint, Joint, Joint]
    left_leg: tuple[Joint, Joint, Joint]
    right_leg: tuple[Joint, Joint, Joint]
    sole: float


def _reach(start: Joint, angle: float, length: float) -> Joint:
    turn = math.radians(angle)
    return (start[0] + length * math.sin(turn), start[1] + length * math.cos(turn))


def skeleton(body: Body, pose: Pose) -> Skeleton:
    """Put a body into a pose."""
    neck = _reach((0, 0), 180 - pose.lean, body.torso)
    shoulder = body.shoulder * (0.25 if pose.sideways else 0.92)
    hip = body.waist * (0.25 if pose.sideways else 0.56)

    def limb(start: Joint, bend: Bend, upper: float, lower: float) -> tuple[Joint, Joint, Joint]:
        middle = _reach(start, bend[0], upper)
        return start, middle, _reach(middle, bend[1], lower)

    arms = [
        limb((neck[0] + side * shoulder, neck[1] + 0.045), bend, body.upper_arm, body.forearm)
        for side, bend in ((-1, pose.left_arm), (1, pose.right_arm))
    ]
    legs = [
        limb((side * hip, 0.0), bend, body.thigh, body.shin)
        for side, bend in ((-1, pose.left_leg), (1, pose.right_leg))
    ]
    return Skeleton(
        neck=neck,
        head=_reach(neck, 180 - pose.lean * 1.2, body.head * 0.93),
        left_arm=arms[0],
        right_arm=arms[1],
        left_leg=legs[0],
        right_leg=legs[1],
        sole=max(leg[2][1] for leg in legs) + 0.05,
    )
