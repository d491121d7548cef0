"""Where the figure of a picture probably is, without a trained network.

The picture is cut into patches of one colour, and each patch is judged twice by a weighted sum of
what is known of it, as in "Salient Object Detection: A Discriminative Regional Feature
Integration Approach" (Jiang et al., CVPR 2013), with few, plain features: first from its own looks
and place, then also from what the first round says of its surroundings. The weights were fitted to
drawn scenes by `tests/pipelines/reference/fit_saliency.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.reference.regions import Map, Regions, flat_regions

Features = NDArray[np.float64]

LONG_SIDE = 256  # pixels at which pictures are judged
_LARGEST_STEP = 60.0  # of the gradient, in Lab units: one hard edge counts no more than this
_FAR_COLOR = 40.0  # distance in Lab beyond which colours are simply different
_SEEN_BORDER = 0.02  # share of the border that a patch must hold to be ground for certain
_REACH = 4.0  # standard deviations beyond which far is simply far


@dataclass(frozen=True)
class Weights:
    """What each feature adds to the log-odds of a patch.

    Attributes:
        looks: weights of `look_features`, in its order.
        surroundings: weights of `surrounding_features`, in its order.
    """

    looks: tuple[float, ...]
    surroundings: tuple[float, ...]


FITTED = Weights(
    looks=(-5.08, 5.67, 2.36, 1.19, -16.4, -2.42, -0.83, 1.91),
    surroundings=(
        *(-2.43, 2.3, -2.09, 2.75, 5.9, 1.59, -0.93, -0.11),
        *(3.37, 0.89, -10.03, -2.39, 3.22, -0.1),
    ),
)


@dataclass(frozen=True)
class Judged:
    """A picture at the size at which it is judged.

    Attributes:
        picture: RGB, uint8 of shape (height, width, 3).
    """

    picture: NDArray[np.uint8]

    @cached_property
    def lab(self) -> Map:
        return to_lab(self.picture)

    @cached_property
    def regions(self) -> Regions:
        return flat_regions(self.picture, self.lab)


def saliency(picture: NDArray[np.uint8], weights: Weights = FITTED) -> Map:
    """How probably each pixel belongs to the figure.

    Args:
        picture: RGB, of shape (height, width, 3).
        weights: of the features.

    Returns:
        Probabilities in [0, 1], of shape (height, width).
    """
    judged = reduce(picture)
    first = sigmoid(look_features(judged) @ np.array(weights.looks))
    second = sigmoid(surrounding_features(judged, first) @ np.array(weights.surroundings))
    height, width = picture.shape[:2]
    small = cv2.GaussianBlur(second[judged.regions.labels].astype(np.float32), (0, 0), 1)
    return np.asarray(cv2.resize(small, (width, height)), np.float32)


def reduce(picture: NDArray[np.uint8]) -> Judged:
    """Bring a picture to the size at which it is judged, and even out its grain."""
    small = resized(picture, LONG_SIDE)
    return Judged(np.asarray(cv2.bilateralFilter(small, 5, 15, 3), np.uint8))


def resized(picture: NDArray[np.uint8], long_side: int) -> NDArray[np.uint8]:
    """Resize a picture to a long side, in pixels."""
    height, width = picture.shape[:2]
    scale = long_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def to_lab(picture: NDArray[np.uint8]) -> Map:
    """An RGB picture in CIE Lab, float32 of the same shape."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def sigmoid(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities from log-odds."""
    return 1 / (1 + np.exp(-log_odds))


def look_features(judged: Judged) -> Features:
    """What a patch's own looks and place say of it.

    Returns:
        One row for each patch: 1; how much detail is around it; how different its surroundings and
        itself are from the colours on the border; its squared distances from the middle, across
        and down; whether it touches the border; its width.
    """
    regions = judged.regions
    height, width = regions.labels.shape
    detail = _share_of_most(_blur(_gradient(judged.lab), 0.05))
    strange = _strangeness(judged)
    down, across = np.mgrid[:height, :width].astype(np.float32)
    left = np.full(len(regions.areas), width, np.float64)
    np.minimum.at(left, regions.labels.ravel(), across.ravel())
    columns = [
        np.ones(len(regions.areas)),
        regions.mean(detail),
        regions.mean(_blur(strange[regions.labels].astype(np.float32), 0.03)),
        strange,
        regions.mean(((across + 0.5) / width - 0.5) ** 2),
        regions.mean(((down + 0.5) / height - 0.5) ** 2),
        (regions.on_border > 0).astype(np.float64),
        (regions.largest(across) - left + 1) / width,
    ]
    return np.stack(columns, -1)


def surrounding_features(judged: Judged, first: NDArray[np.float64]) -> Features:
    """What is known of a patch once the first round has judged all of them.

    Args:
        judged: the picture.
        first: probability of each patch, of shape (regions,).

    Returns:
        One row for each patch: its looks; the probability of those that it borders on, and of what
        is near; how far it is from the middle of the probable figure, across and down, first on
        average, then at its farthest.
    """
    regions = judged.regions
    height, width = regions.labels.shape
    likely = first[regions.labels].astype(np.float32)
    down, across = np.mgrid[:height, :width].astype(np.float32)
    from_middle = [_deviation(axis, likely) for axis in (across, down)]
    columns = [
        regions.around(first),
        regions.mean(_blur(likely, 0.04)),
        *(regions.mean(axis) for axis in from_middle),
        *(regions.largest(axis) for axis in from_middle),
    ]
    return np.concatenate([look_features(judged), np.stack(columns, -1)], -1)


def _strangeness(judged: Judged) -> NDArray[np.float64]:
    """Each patch's distance from the most similar colour on the border, in [0, 1]."""
    regions = judged.regions
    colors = np.stack([regions.mean(judged.lab[..., i]) for i in range(3)], -1)
    touching = colors[regions.on_border > _SEEN_BORDER * regions.on_border.sum()]
    if not len(touching):
        return np.zeros(len(colors))
    distance = np.linalg.norm(colors[:, None] - touching[None], axis=-1).min(1)
    return np.minimum(distance / _FAR_COLOR, 1)


def _deviation(axis: Map, likely: Map) -> Map:
    """Distances from the probable figure's middle, in its standard deviations, over _REACH."""
    weight = likely.sum() + 1e-6
    middle = (likely * axis).sum() / weight
    deviation = np.sqrt((likely * (axis - middle) ** 2).sum() / weight) + 1
    return np.minimum(np.abs(axis - middle) / deviation, _REACH) / _REACH


def _gradient(lab: Map) -> Map:
    squares = np.zeros(lab.shape[:2], np.float32)
    for dx, dy in ((1, 0), (0, 1)):
        squares += (cv2.Sobel(lab, cv2.CV_32F, dx, dy) ** 2).sum(-1)
    return np.minimum(np.sqrt(squares), _LARGEST_STEP)


def _blur(values: Map, share: float) -> Map:
    """Blur by a share of the long side."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), share * max(values.shape)), np.float32)


def _share_of_most(values: Map) -> Map:
    """Bring a map to [0, 1], where 1 is what one pixel in fifty surpasses."""
    return np.clip(values / max(float(np.percentile(values, 98)), 1e-6), 0, 1).astype(np.float32)
