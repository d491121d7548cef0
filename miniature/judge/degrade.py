"""Degradation of drawn pictures, so that they look like those of the small model.

Lines wobble, edges blur, patches smudge, colours drift. Labels wobble with the lines.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
_WOBBLE_CELL, _DRIFT_CELL = 24, 48  # pixels between two random numbers of a smooth field


def wobble(
    image: Picture, labels: Picture, rng: np.random.Generator, strength: float
) -> tuple[Picture, Picture]:
    """Bend the lines of a picture (h, w, 3) and of its labels (h, w) alike.

    `strength` is the standard deviation of the shift, in pixels.
    """
    height, width = labels.shape
    shift = _smooth_field(rng, (height, width), 2, _WOBBLE_CELL) * strength
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    across, down = columns + shift[..., 0], rows + shift[..., 1]
    edge = cv2.BORDER_REPLICATE
    return (
        _as_picture(cv2.remap(image, across, down, cv2.INTER_LINEAR, borderMode=edge)),
        _as_picture(cv2.remap(labels, across, down, cv2.INTER_NEAREST, borderMode=edge)),
    )


def degrade(image: Picture, rng: np.random.Generator) -> Picture:
    """Blur, smudge, tint and spot a picture at random."""
    steps: tuple[tuple[float, Callable[[Picture, np.random.Generator], Picture]], ...] = (
        (0.4, _shrink),
        (0.4, _blur),
        (0.35, _smudge),
        (0.8, _tint),
        (0.4, _spot),
        (0.2, _compress),
    )
    for chance, step in steps:
        if rng.random() < chance:
            image = step(image, rng)
    return image


def _smooth_field(
    rng: np.random.Generator, size: tuple[int, int], channels: int, cell: int
) -> NDArray[np.float32]:
    """Draw smooth noise of about unit deviation, shape (h, w, channels)."""
    height, width = size
    knots = rng.normal(size=(height // cell + 2, width // cell + 2, channels)).astype(np.float32)
    field = cv2.resize(knots, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field, np.float32)


def _as_picture(values: NDArray[np.floating] | NDArray[np.uint8] | cv2.typing.MatLike) -> Picture:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def _shrink(image: Picture, rng: np.random.Generator) -> Picture:
    height, width = image.shape[:2]
    factor = rng.uniform(1.2, 2.0)
    small = cv2.resize(
        image, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA
    )
    return _as_picture(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def _blur(image: Picture, rng: np.random.Generator) -> Picture:
    return _as_picture(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.2)))


def _smudge(image: Picture, rng: np.random.Generator) -> Picture:
    """Blur some regions strongly."""
    size = int(rng.integers(2, 6)) * 2 + 1
    weight = np.clip(_smooth_field(rng, image.shape[:2], 1, 32) * 0.8 - 0.3, 0, 1)
    blurred = cv2.blur(image, (size, size))
    mixed = image + (blurred.astype(np.float32) - image) * weight.reshape(*image.shape[:2], 1)
    return _as_picture(mixed)


def _tint(image: Picture, rng: np.random.Generator) -> Picture:
    """Change each colour channel by a few levels that vary over the picture."""
    gain = rng.uniform(0.95, 1.05, 3).astype(np.float32)
    offset = rng.uniform(-6, 6, 3).astype(np.float32)
    drift = _smooth_field(rng, image.shape[:2], 3, _DRIFT_CELL) * float(rng.uniform(0, 6))
    return _as_picture(image * gain + offset + drift)


def _spot(image: Picture, rng: np.random.Generator) -> Picture:
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(1, 9))
    return _as_picture(image + noise)


def _compress(image: Picture, rng: np.random.Generator) -> Picture:
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))]
    _, packed = cv2.imencode(".jpg", image, quality)
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
