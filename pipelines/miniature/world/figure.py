"""A character, painted from back to front: limbs, clothes, head, and what the hands hold."""

import math
from dataclasses import dataclass

import numpy as np

from pipelines.miniature.world.brush import Brush
from pipelines.miniature.world.canvas import Canvas, ellipse
from pipelines.miniature.world.clothes import ClothesPainter
from pipelines.miniature.world.head import HeadPainter
from pipelines.miniature.world.places import GROUND
from pipelines.miniature.world.poses import (
    Body,
    Joint,
    Pose,
    Skeleton,
    body_of,
    pose_for,
    skeleton,
)
from pipelines.miniature.world.props import PropPainter
from pipelines.miniature.world.spec import Character, SceneSpec
from pipelines.miniature.world.vocabulary import (
    CLOTH_COLORS,
    LONG_SLEEVES,
    SHOE_COLORS,
    SKIN_COLORS,
    Color,
    Part,
    darker,
)

_CENTERS = {"left": 78.0, "center": 128.0, "right": 178.0}
_SHOT_SCALES = {"full": 1.0, "wide": 0.7, "close": 1.5}
_CHILD_SIZE, _ADULT_SIZE = 204.0, 214.0  # pixels for one unit of a figure in a full shot


def draw_figure(canvas: Canvas, spec: SceneSpec, rng: np.random.Generator) -> None:
    """Paint a scene's character and label its parts.

    Args:
        canvas: a canvas with the place on it.
        spec: the scene; it has a character.
        rng: chooses the small shifts, and which way the figure faces.

    Raises:
        ValueError: if nobody is in the scene.
    """
    if spec.character is None:
        raise ValueError(f"the scene in {spec.place!r} has no character to draw")
    body = body_of(spec.character)
    pose = pose_for(spec.action, rng)
    bones = skeleton(body, pose)
    brush = _placed(canvas, spec, body, pose, bones, rng)
    if spec.shot != "close" and spec.action != "lying":
        wide = 0.2 * brush.scale
        canvas.shade(ellipse(brush.x, GROUND + 5, wide, 0.17 * wide))
    _FigurePainter(brush, spec.character, spec, body, pose, bones).paint()


def _placed(
    canvas: Canvas,
    spec: SceneSpec,
    body: Body,
    pose: Pose,
    bones: Skeleton,
    rng: np.random.Generator,
) -> Brush:
    """Where on the canvas, how large and which way round the figure is."""
    child = spec.character is not None and spec.character.is_child
    scale = (_CHILD_SIZE if child else _ADULT_SIZE) * rng.uniform(0.98, 1.02)
    scale *= _SHOT_SCALES[spec.shot]
    if pose.prop == "umbrella":
        scale *= 0.92
    x = _CENTERS[spec.position] + rng.uniform(-6, 6)
    y = GROUND + 8 - (bones.sole + pose.lift) * scale
    if spec.action == "lying":
        x, y = 128 + (x - 128) * 0.2, GROUND - 0.13 * scale
        x -= math.copysign(0.14, pose.roll) * scale
    elif spec.shot == "close":
        x, y = 128 + (x - 128) * 0.7, 36 + (body.torso + 2 * body.head) * scale
    mirrored = bool(rng.random() < 0.5)
    if spec.action == "lying":
        mirrored = False
    return Brush(canvas, x, y, scale, mirrored, math.radians(pose.roll))


@dataclass(frozen=True)
class _FigurePainter:
    brush: Brush
    character: Character
    spec: SceneSpec
    body: Body
    pose: Pose
    bones: Skeleton

    @property
    def _skin(self) -> Color:
        return SKIN_COLORS[self.character.skin]

    def paint(self) -> None:
        """Everything, from the farthest to the nearest."""
        bones, pose = self.bones, self.pose
        clothes = ClothesPainter(self.brush, self.character, self.body, bones, self.spec)
        props = PropPainter(self.brush, self.body, bones)
        head = HeadPainter(
            brush=self.brush,
            character=self.character,
            center=bones.head,
            radius=self.body.head,
            sideways=pose.sideways,
            from_behind=self.spec.from_behind,
            asleep=self.spec.action == "lying",
        )
        props.paint_behind(pose.prop)
        head.paint_back_hair()
        clothes.paint_behind()
        if pose.prop not in ("book", "guitar"):
            self._arm("left")
        self._leg("left")
        self._leg("right")
        clothes.paint()
        self.brush.line([bones.neck, bones.head], 0.07, self._skin, Part.NECK)
        head.paint()
        clothes.paint_scarf()
        if pose.prop == "guitar":
            props.paint_in_front(pose.prop)
            self._arm("left")
        elif pose.prop == "book":
            self._arm("left")
        self._arm("right")
        if pose.prop != "guitar":
            props.paint_in_front(pose.prop)
        if pose.prop == "book":
            for side in (-1, 1):
                self._hand((side * 0.165, bones.left_arm[2][1] + 0.01))

    def _hand(self, place: Joint) -> None:
        self.brush.oval(place, 0.046, 0.046, self._skin, Part.HAND, darker(self._skin, 0.7))

    def _arm(self, side: str) -> None:
        left = side == "left"
        shoulder, elbow, hand = self.bones.left_arm if left else self.bones.right_arm
        upper = Part.LEFT_UPPER_ARM if left else Part.RIGHT_UPPER_ARM
        lower = Part.LEFT_FOREARM if left else Part.RIGHT_FOREARM
        width, skin = self.body.arm_width, self._skin
        cloth = CLOTH_COLORS[self.character.top_color]
        sleeve = cloth if self.character.top in LONG_SLEEVES else skin
        edge = darker(sleeve, 0.62)
        self._hand(hand)
        near_hand = _between(elbow, hand, 0.78)
        self.brush.line([shoulder, elbow, near_hand], width, sleeve, lower, edge)
        self.brush.line([shoulder, elbow], width, sleeve, upper)
        if sleeve is skin:
            middle = _between(shoulder, elbow, 0.55)
            self.brush.line([shoulder, middle], width * 1.14, cloth, upper, darker(cloth))

    def _leg(self, side: str) -> None:
        left = side == "left"
        hip, knee, ankle = self.bones.left_leg if left else self.bones.right_leg
        thigh = Part.LEFT_THIGH if left else Part.RIGHT_THIGH
        shin = Part.LEFT_SHIN if left else Part.RIGHT_SHIN
        person, width, skin = self.character, self.body.leg_width, self._skin
        cloth = CLOTH_COLORS[person.bottom_color]
        bare = person.top == "dress" or person.bottom == "skirt"
        lower = cloth if person.bottom == "trousers" and not bare else skin
        self._shoe(knee, ankle)
        self.brush.line([hip, knee, ankle], width * 0.92, lower, shin, darker(lower))
        if bare:
            self.brush.line([hip, knee], width * 0.92, skin, thigh)
        else:
            hem = knee if person.bottom == "trousers" else _between(hip, knee, 0.85)
            self.brush.line([hip, hem], width * 1.08, cloth, thigh, darker(cloth))
            if person.bottom == "trousers":
                self.brush.line([knee, ankle], width * 0.92, cloth, shin)

    def _shoe(self, knee: Joint, ankle: Joint) -> None:
        color = SHOE_COLORS[self.character.shoes]
        edge = darker(color, 0.5)
        if self.pose.sideways:
            turn = math.atan2(knee[0] - ankle[0], ankle[1] - knee[1]) * 0.7
            foot = ellipse(0.03, 0.022, 0.072, 0.042, 0.0)
            c, s = math.cos(turn), math.sin(turn)
            turned = foot @ np.array([[c, s], [-s, c]], np.float32)
            self.brush.shape(turned + np.array(ankle, np.float32), color, Part.SHOE, edge)
        else:
            outward = 0.018 if ankle[0] > 0 else -0.018
            place = (ankle[0] + outward, ankle[1] + 0.018)
            self.brush.oval(place, 0.066, 0.042, color, Part.SHOE, edge)


def _between(start: Joint, stop: Joint, share: float) -> Joint:
    return (start[0] + (stop[0] - start[0]) * share, start[1] + (stop[1] - start[1]) * share)
