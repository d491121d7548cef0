"""Figures: scaled and positioned in the picture, then drawn from the farthest part on."""

import math
from dataclasses import dataclass

import numpy as np

from miniature.world.canvas import Canvas, ellipse
from miniature.world.figure.brush import Brush
from miniature.world.figure.clothes import Clothes
from miniature.world.figure.creatures import draw_tail
from miniature.world.figure.drawing import PosedFigure
from miniature.world.figure.head import draw_behind_head, draw_head
from miniature.world.figure.limbs import Limbs
from miniature.world.figure.poses import Body, Pose, Skeleton, body_of, pose_for, skeleton
from miniature.world.figure.props import Props, drop_of, reach_of
from miniature.world.spec import Figure, SceneSpec
from miniature.world.vocabulary import ANIMALS, Part

_CENTERS = {"left": 0.305, "center": 0.5, "right": 0.695}  # in widths of the picture
_PAIR_CENTERS = {"left": 0.27, "right": 0.73}
_SHOT_SCALES = {"wide": 0.7, "full": 1.0, "medium": 1.56, "close": 2.0}
_SHAPE_SCALES = {"square": 1.0, "landscape": 208 / 256, "portrait": 1.0}
_PAIR_SCALES = {"square": 0.82, "landscape": 0.96, "portrait": 0.7}
_HEAD_PLACES = {"medium": 0.42, "close": 0.47}  # height of the head's middle in the picture
_CHILD_SIZE, _ADULT_SIZE = 206.0, 212.0  # pixels for one unit of a figure in a full shot
_BRIMMED = ("hat", "cap")
_MARGIN = 4.0  # pixels between a figure and the picture's edge


def draw_figures(canvas: Canvas, spec: SceneSpec, rng: np.random.Generator) -> None:
    """Draw a scene's figures onto its place, and label their parts and pixels."""
    for number, figure in enumerate(spec.figures, start=1):
        body, pose = body_of(figure.character), pose_for(figure.action, rng)
        bones = skeleton(body, pose, figure.view)
        frame = _Frame(canvas, spec, figure, body, pose, bones)
        brush = frame.brush(rng)
        canvas.owner = number
        if spec.shot in ("wide", "full"):
            wide, middle = frame.shadow(brush)
            canvas.shade(ellipse(middle, canvas.ground + 5, wide, 0.16 * wide))
        _draw(PosedFigure(brush, figure, body, pose, bones))
    canvas.owner = 0


@dataclass(frozen=True)
class _Extent:
    """Reach of a figure from its pelvis, in units of its size."""

    left: float
    right: float
    up: float
    down: float


@dataclass(frozen=True)
class _Frame:
    """Position and size of a figure in its picture."""

    canvas: Canvas
    spec: SceneSpec
    figure: Figure
    body: Body
    pose: Pose
    bones: Skeleton

    @property
    def _is_pair(self) -> bool:
        return len(self.spec.figures) == 2

    def _extent(self) -> _Extent:
        """Return the figure's reach as the picture shows it, after it is turned and mirrored."""
        bones, body, person = self.bones, self.body, self.figure.character
        drop = drop_of(self.pose, body, bones)
        prop_left, prop_right, prop_up = reach_of(self.pose, body, bones)
        limbs = (bones.left_arm, bones.right_arm, bones.left_leg, bones.right_leg)
        across = [joint[0] for limb in limbs for joint in limb]
        crown = 1.25 if person.headwear == "none" else 1.8
        if person.kind == "rabbit":
            crown = 2.06
        elif person.kind == "robot" or person.hair_style in ("spiky", "bun", "curly"):
            crown = max(crown, 1.75 if person.hair_style == "bun" else 1.55)
        head, radius = bones.head, body.head * (1.78 if person.headwear in _BRIMMED else 1.36)
        back = body.head * 1.96 if person.hair_style == "ponytail" else radius
        limb = 0.12 if self.figure.view == "side" else 0.08
        left = max(-min(across) + limb, back - head[0], prop_left)
        right = max(max(across) + limb, radius + head[0], prop_right)
        up, down = max(-head[1] + crown * body.head, prop_up), bones.sole + drop
        if self.pose.roll:
            left, right, up, down = down + 0.03, up, left, right
        if self.figure.facing == "left":
            left, right = right, left
        return _Extent(left, right, up, down)

    def brush(self, rng: np.random.Generator) -> Brush:
        """Return the brush in the figure's coordinates."""
        canvas, figure, shot = self.canvas, self.figure, self.spec.shot
        scale = _CHILD_SIZE if figure.character.is_child else _ADULT_SIZE
        scale *= _SHOT_SCALES[shot] * _SHAPE_SCALES[self.spec.shape] * rng.uniform(0.98, 1.02)
        x = (_PAIR_CENTERS if self._is_pair else _CENTERS)[figure.position] * canvas.width
        x += rng.uniform(-5, 5) * canvas.width / 256
        roll, mirrored = math.radians(self.pose.roll), figure.facing == "left"
        if shot in _HEAD_PLACES:
            return self._around_head(x, scale, mirrored, roll)
        extent = self._extent()
        if self._is_pair:
            scale *= _PAIR_SCALES[self.spec.shape]
        low, high = self._room()
        floor = canvas.ground + (20 if self.pose.roll else 8)
        scale = min(scale, (high - low) / (extent.left + extent.right))
        scale = min(scale, (floor - _MARGIN) / (extent.up + extent.down + self.pose.lift))
        if self.pose.roll:
            x += 0.5 * (extent.left - extent.right) * scale
        x = min(max(x, low + extent.left * scale), high - extent.right * scale)
        y = floor - (extent.down + self.pose.lift) * scale
        if self.pose.roll:  # a brim may lie deeper than the head
            deepest = canvas.height - _MARGIN - extent.down * scale
            y = min(floor - 1.25 * self.body.head * scale, deepest)
        return Brush(canvas, x, y, scale, mirrored, roll)

    def _room(self) -> tuple[float, float]:
        """Return the left and right limit of the figure, pixels."""
        width = self.canvas.width
        if not self._is_pair:
            return _MARGIN, width - _MARGIN
        half = 0.5 * width
        return (_MARGIN, half) if self.figure.position == "left" else (half, width - _MARGIN)

    def _around_head(self, x: float, scale: float, mirrored: bool, roll: float) -> Brush:
        """Return the brush for a near shot, which fixes the position of the head."""
        canvas, head = self.canvas, self.bones.head
        scale *= min(1.0, canvas.width / 256 + 0.04)
        middle = 0.5 * canvas.width
        x = middle + (x - middle) * (0.42 if self.spec.shot == "medium" else 0.3)
        y = _HEAD_PLACES[self.spec.shot] * canvas.height
        if self.figure.character.kind == "rabbit" or self.figure.character.headwear != "none":
            y += 0.05 * canvas.height
        brush = Brush(canvas, 0.0, 0.0, scale, mirrored, roll)
        shift_x, shift_y = (float(value) for value in brush.to_canvas([head])[0])
        return Brush(canvas, x - shift_x, y - shift_y, scale, mirrored, roll)

    def shadow(self, brush: Brush) -> tuple[float, float]:
        """Return half the width and the middle of the figure's shadow, pixels."""
        extent = self._extent()
        if self.pose.roll or self.pose.prop in ("bicycle", "skateboard"):
            wide = 0.5 * (extent.left + extent.right) * brush.scale
            return 0.94 * wide, brush.x + 0.5 * (extent.right - extent.left) * brush.scale
        return (0.22 - 0.5 * self.pose.lift) * brush.scale, brush.x


def _draw(posed: PosedFigure) -> None:
    """Draw all parts, from the farthest to the nearest."""
    limbs, clothes, props = Limbs(posed), Clothes(posed), Props(posed)
    tailed, behind = posed.character.kind in ANIMALS, posed.from_behind
    far_arm = posed.sideways or (posed.turned and posed.pose.hands is None)
    props.draw_behind()
    if not behind:
        draw_behind_head(posed)
    clothes.draw_behind()
    if tailed and not (behind or posed.sideways):
        draw_tail(posed)
    if behind:
        limbs.arm("left")
        limbs.arm("right")
    elif far_arm:
        limbs.arm("left" if posed.sideways else "right")
    limbs.leg("left")
    props.draw_between()
    limbs.leg("right")
    if tailed and posed.sideways:
        draw_tail(posed)
    clothes.draw()
    if tailed and behind:
        draw_tail(posed)
    posed.brush.line([posed.bones.neck, posed.bones.head], 0.07, posed.skin, Part.NECK)
    if behind:
        clothes.draw_scarf()
        draw_behind_head(posed)
        draw_head(posed)
        return
    clothes.draw_scarf()
    if posed.pose.prop in ("guitar", "rod"):
        props.draw_under_hands()
    draw_head(posed)
    if not far_arm or posed.turned:
        limbs.arm("left")
    if not far_arm or posed.sideways:
        limbs.arm("right")
    if posed.pose.prop not in ("guitar", "rod"):
        props.draw_under_hands()
    if posed.pose.prop in ("book", "carton"):
        limbs.hand(posed.bones.left_arm[2])
        limbs.hand(posed.bones.right_arm[2])
