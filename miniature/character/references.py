"""Reference pictures from drawn scenes: the figure alone on white, with realistic defects.

A prepared reference is cut out by its mask, pasted on white, cropped to the mask's box and padded
to a square. Masks of real pictures are ragged, miss some of the figure and keep some of the ground;
real pictures are resampled, compressed and cropped. With a generator, so are these.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from miniature.judge.degrade import degrade
from miniature.world.vocabulary import Part

Picture = NDArray[np.uint8]

_WHITE = 255
_SMALLEST = 48  # pixels along the side of a reference
_LEAST_SHOWN = 0.35  # of the figure's pixels that a closer crop keeps
_REACH = 20  # pixels around a figure that defects can reach
_KNOT = 20  # pixels between two random numbers of a ragged outline


@dataclass(frozen=True)
class Defects:
    """Probabilities of defects of references, in [0, 1], and the deviation `turn`.

    Attributes:
        ragged: an outline that wavers by a pixel or two.
        resized: a mask that is too wide or too narrow throughout.
        ground: bits of the ground at the outline, or apart from it.
        missing: bits of the figure that are not there.
        soft: an outline that fades.
        degraded: a picture that was blurred, tinted, compressed.
        closer: a crop that does not show all of the figure.
        mirrored: left and right swapped.
        turn: standard deviation of the picture's rotation, in degrees.
    """

    ragged: float = 0.5
    resized: float = 0.3
    ground: float = 0.25
    missing: float = 0.2
    soft: float = 0.3
    degraded: float = 0.4
    closer: float = 0.15
    mirrored: float = 0.5
    turn: float = 3.0


USUAL = Defects()
STRONG = Defects(closer=0.4, turn=8.0)
"""Defects of a reference that is cut from its own target, so that it is not copied."""


@dataclass(frozen=True)
class DrawnReference:
    """Prepared reference with part labels.

    Attributes:
        picture: RGB on white, uint8 of shape (side, side, 3).
        parts: a `vocabulary.Part` for each pixel, BACKGROUND outside the mask, uint8 of shape
            (side, side). Of a mirrored picture left limbs are labelled as right ones.
    """

    picture: Picture
    parts: Picture


def cut_out(
    image: Picture,
    parts: Picture,
    rng: np.random.Generator | None = None,
    defects: Defects = USUAL,
) -> DrawnReference:
    """Make a reference of the figure in a picture.

    Args:
        image: RGB, uint8 of shape (h, w, 3).
        parts: part labels, uint8 of shape (h, w).
        rng: source of the defects; None cuts the figure out exactly.
        defects: probabilities of the defects.

    Raises:
        ValueError: if nobody is in the picture.
    """
    mask = np.asarray(parts > Part.BACKGROUND, np.uint8)
    if not mask.any():
        raise ValueError("nobody is in the picture; there is nothing to cut out")
    near = _box(mask, _REACH)
    image, parts, mask = image[near], parts[near], mask[near]
    if rng is None:
        return _squared(np.where(mask[..., None], image, np.uint8(_WHITE)), parts)
    alpha = _rough(mask, rng, defects)
    if rng.random() < defects.degraded:
        image = degrade(image, rng)
    pasted = image * alpha[..., None] + _WHITE * (1 - alpha[..., None])
    picture = np.asarray(np.round(pasted), np.uint8)
    labels = np.where(alpha > 0.5, parts, np.uint8(Part.BACKGROUND))
    turn, size = float(rng.normal(0, defects.turn)), float(rng.uniform(0.6, 1.3))
    frame = _frame_of(alpha > 0.5)
    if rng.random() < defects.closer:
        frame = _closer(frame, labels, rng)
    mirrored = bool(rng.random() < defects.mirrored)
    return _framed(picture, labels, frame, size, turn, mirrored=mirrored)


def _squared(picture: Picture, labels: Picture) -> DrawnReference:
    """Crop to the figure and pad to a square, as `prepare_reference` does; nothing is resampled."""
    box = _box(labels)
    figure, side = picture[box], max(picture[box].shape[:2])
    height, width = figure.shape[:2]
    top, left = (side - height) // 2, (side - width) // 2
    middle = (slice(top, top + height), slice(left, left + width))
    square = np.full((side, side, 3), _WHITE, np.uint8)
    parts = np.full((side, side), Part.BACKGROUND, np.uint8)
    square[middle], parts[middle] = figure, labels[box]
    return DrawnReference(square, parts)


def _box(mask: NDArray[np.generic], reach: int = 0) -> tuple[slice, slice]:
    """Return the rows and columns of a mask, and those within `reach` pixels."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (
        slice(max(0, int(rows[0]) - reach), int(rows[-1]) + reach + 1),
        slice(max(0, int(columns[0]) - reach), int(columns[-1]) + reach + 1),
    )


@dataclass(frozen=True)
class _Frame:
    """Square of a picture: its centre and its side, in pixels."""

    x: float
    y: float
    side: float


def _frame_of(mask: NDArray[np.bool_]) -> _Frame:
    """Return the smallest square around a mask, with the mask in its middle."""
    rows, columns = _box(mask)
    side = max(rows.stop - rows.start, columns.stop - columns.start)
    x, y = (columns.start + columns.stop - 1) / 2, (rows.start + rows.stop - 1) / 2
    return _Frame(x, y, float(side))


def _closer(frame: _Frame, labels: Picture, rng: np.random.Generator) -> _Frame:
    """Return a smaller square that still shows enough of the figure, or the same one."""
    side = frame.side * float(rng.uniform(0.55, 0.9))
    slack = (frame.side - side) / 2
    across, down = rng.uniform(-1, 1, 2)
    closer = _Frame(frame.x + slack * across, frame.y + slack * down, side)
    left, top = round(closer.x - side / 2), round(closer.y - side / 2)
    inside = labels[max(0, top) : top + round(side), max(0, left) : left + round(side)]
    enough = np.count_nonzero(inside) >= _LEAST_SHOWN * np.count_nonzero(labels)
    return closer if enough else frame


def _framed(
    picture: Picture,
    labels: Picture,
    frame: _Frame,
    size: float,
    turn: float,
    *,
    mirrored: bool,
) -> DrawnReference:
    """Resample the square of a frame once; it is white outside the picture."""
    side = max(_SMALLEST, round(frame.side * size))
    matrix = cv2.getRotationMatrix2D((frame.x, frame.y), turn, (side - 1) / (frame.side - 1))
    matrix[:, 2] = matrix[:, 2] + (side - 1) / 2 - np.array([frame.x, frame.y])
    if mirrored:
        matrix[0] = -matrix[0]
        matrix[0, 2] += side - 1
    smooth = cv2.INTER_AREA if side < frame.side else cv2.INTER_CUBIC
    white, nothing = (_WHITE,) * 3, (int(Part.BACKGROUND),)
    size_of, nearest = (side, side), cv2.INTER_NEAREST
    warped = cv2.warpAffine(picture, matrix, size_of, flags=smooth, borderValue=white)
    parts = cv2.warpAffine(labels, matrix, size_of, flags=nearest, borderValue=nothing)
    return DrawnReference(np.asarray(warped, np.uint8), np.asarray(parts, np.uint8))


def _rough(mask: Picture, rng: np.random.Generator, defects: Defects) -> NDArray[np.float32]:
    """Return a figure's mask with defects of matting, float32 from 0 to 1; never empty."""
    rough = mask
    if rng.random() < defects.ragged:
        rough = _wavering(rough, rng)
    if rng.random() < defects.resized:
        reach = int(rng.integers(1, 4))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        change = cv2.dilate if rng.random() < 0.6 else cv2.erode
        rough = np.asarray(change(rough, kernel), np.uint8)
    if rng.random() < defects.missing:
        rough = rough * (1 - _blots(mask, rng, apart=False))
    if rng.random() < defects.ground:
        rough = np.maximum(rough, _blots(mask, rng, apart=bool(rng.random() < 0.3)))
    if 2 * np.count_nonzero(rough & mask) < np.count_nonzero(mask):
        rough = mask
    alpha = rough.astype(np.float32)
    if rng.random() < defects.soft:
        alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), float(rng.uniform(0.4, 1.4))))
    return alpha


def _wavering(mask: Picture, rng: np.random.Generator) -> Picture:
    """Move the outline of a mask by smooth noise."""
    height, width = mask.shape
    knots = rng.normal(size=(height // _KNOT + 2, width // _KNOT + 2, 2)).astype(np.float32)
    shift = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
    shift = shift * np.float32(rng.uniform(0.5, 2.5))
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    moved = cv2.remap(mask, columns + shift[..., 0], rows + shift[..., 1], cv2.INTER_NEAREST)
    return np.asarray(moved, np.uint8)


def _blots(mask: Picture, rng: np.random.Generator, *, apart: bool) -> Picture:
    """Draw one to three filled ovals on a mask's outline, or a single one anywhere."""
    blots = np.zeros_like(mask)
    outline = np.argwhere(mask != cv2.erode(mask, np.ones((3, 3), np.uint8)))
    for _ in range(1 if apart else int(rng.integers(1, 4))):
        y, x = outline[int(rng.integers(len(outline)))]
        if apart:
            y, x = rng.integers(0, mask.shape)
        axes = tuple(int(axis) for axis in rng.integers(3, 14, 2))
        angle = float(rng.uniform(0, 180))
        cv2.ellipse(blots, (int(x), int(y)), axes, angle, 0, 360, 1, -1)
    return blots
