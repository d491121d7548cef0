"""Make a reference image from a picture and a mask: the figure alone, square, on white."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.errors import PictureError
from pipelines.reference.matting import CLEAR, OPAQUE, Mask

Box = tuple[int, int, int, int]

LEAST_FIGURE = 32  # pixels of the figure's longer side
_HALF = 128
_WHITE = (255, 255, 255)


@dataclass(frozen=True)
class PreparedReference:
    """A figure cut out of its picture.

    Attributes:
        image: the figure on white, RGB and square.
        mask: the figure in the whole picture, 0 or 255, uint8 of shape (height, width).
        box: the figure in the whole picture: left, top, right, bottom in pixels; right and bottom
            are outside.
        coverage: share of the whole picture that the mask covers, above 0 and at most 1.
    """

    image: Image.Image
    mask: Mask
    box: Box
    coverage: float

    @property
    def doubt(self) -> str:
        """Reason to doubt the mask, for a person; empty where there is none."""
        height, width = self.mask.shape
        if self.box != (0, 0, width, height):
            return ""
        return (
            f"The mask reaches all four borders and covers {self.coverage:.0%} of the picture: "
            "probably the background was taken for a part of the figure. Remove it with the brush."
        )


def put_on_white(image: Image.Image, mask: Mask) -> PreparedReference:
    """Put a figure on white, crop to it, and pad to a square.

    These are the steps of InstantCharacter's demo: the mask is made hard at half opacity, so that
    no background shines through; the picture is pasted on white through it, cropped to the mask's
    box, and padded with white on both sides of the shorter direction.

    Args:
        image: RGB or RGBA, as `open_picture` returns it; transparency shows white.
        mask: from 0 (background) to 255 (figure), uint8 of shape (height, width).

    Raises:
        ValueError: if the mask is not of the picture's size.
        PictureError: if the mask is empty or nearly empty.
    """
    _check_shape(mask, (image.height, image.width), "mask")
    hard = np.where(mask > _HALF, OPAQUE, CLEAR).astype(np.uint8)
    box = _box(hard)
    figure = _on_white(image, Image.fromarray(hard)).crop(box)
    return PreparedReference(_square(figure), hard, box, float((hard == OPAQUE).mean()))


def apply_strokes(
    mask: Mask,
    strokes_add: NDArray[np.uint8] | NDArray[np.bool_],
    strokes_remove: NDArray[np.uint8] | NDArray[np.bool_],
) -> Mask:
    """Apply brush strokes to a copy of a mask; removing wins over adding.

    All are of shape (height, width), strokes as opacity from 0 to 255 or as booleans.

    Raises:
        ValueError: if the arrays differ in shape.
    """
    _check_shape(strokes_add, mask.shape, "added strokes")
    _check_shape(strokes_remove, mask.shape, "removed strokes")
    more = np.maximum(mask, _opacity(strokes_add))
    return np.minimum(more, OPAQUE - _opacity(strokes_remove))


def _opacity(strokes: NDArray[np.uint8] | NDArray[np.bool_]) -> Mask:
    if strokes.dtype == np.bool_:
        return np.where(strokes, OPAQUE, CLEAR).astype(np.uint8)
    return strokes.astype(np.uint8)


def _check_shape(array: NDArray[np.generic], shape: tuple[int, ...], name: str) -> None:
    if array.shape != shape:
        raise ValueError(f"the {name} have shape {array.shape}, the picture has {shape}")
    if array.dtype not in (np.uint8, np.bool_):
        raise ValueError(f"the {name} are of type {array.dtype}, not uint8")


def _box(hard: Mask) -> Box:
    rows, columns = np.flatnonzero(hard.any(1)), np.flatnonzero(hard.any(0))
    if not len(rows):
        raise PictureError(
            "No figure was found in the picture. Paint over the character with the brush, or use "
            "a picture in which it stands out from a plain background."
        )
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    width, height = box[2] - box[0], box[3] - box[1]
    if max(width, height) < LEAST_FIGURE:
        raise PictureError(
            f"The figure in the mask is only {width} x {height} pixels. Paint over the whole "
            f"character with the brush; it must be {LEAST_FIGURE} pixels high or wide at least."
        )
    return box


def _on_white(image: Image.Image, mask: Image.Image) -> Image.Image:
    ground = Image.new("RGB", image.size, _WHITE)
    if image.mode == "RGBA":
        flat = ground.copy()
        flat.paste(image, mask=image.getchannel("A"))
        image = flat
    ground.paste(image, mask=mask)
    return ground


def _square(figure: Image.Image) -> Image.Image:
    side = max(figure.size)
    square = Image.new("RGB", (side, side), _WHITE)
    square.paste(figure, ((side - figure.width) // 2, (side - figure.height) // 2))
    return square
