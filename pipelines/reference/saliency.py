"""Estimate where the figure of a picture is, without a trained network.

The picture is divided into patches of one colour, and each patch is scored twice by a weighted sum
of few, plain features, as in "Salient Object Detection: A Discriminative Regional Feature
Integration Approach" (Jiang et al., CVPR 2013): first by its own colours and position, then also by
the first scores of its surroundings. The weights were fitted to drawn scenes by
`tests/pipelines/reference/fit_saliency.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.reference.regions import Map, Regions, flat_regions

Features = NDArray[np.float64]

LONG_SIDE = 256  # pixels of the reduced pictures
_LARGEST_STEP = 60.0  # of the gradient, in Lab units: a hard edge counts no more than this
_FAR_COLOR = 40.0  # distance in Lab beyond which colours count as equally different
_SEEN_BORDER = 0.02  # share of the border of a patch that is certainly ground
_REACH = 4.0  # standard deviations beyond which patches count as equally far


@dataclass(frozen=True)
class Weights:
    """Weights of the features in the log-odds of a patch.

    Attributes:
        own: weights of `own_features`, in its order.
        surroundings: weights of `surrounding_features`, in its order.
    """

    own: tuple[float, ...]
    surroundings: tuple[float, ...]


FITTED = Weights(
    own=(-5.08, 5.67, 2.36, 1.19, -16.4, -2.42, -0.83, 1.91),
    surroundings=(
        *(-2.43, 2.3, -2.09, 2.75, 5.9, 1.59, -0.93, -0.11),
        *(3.37, 0.89, -10.03, -2.39, 3.22, -0.1),
    ),
)


@dataclass(frozen=True)
class Reduced:
    """An RGB picture (height, width, 3) at the size at which its patches are scored."""

    picture: NDArray[np.uint8]

    @cached_property
    def lab(self) -> Map:
        return to_lab(self.picture)

    @cached_property
    def regions(self) -> Regions:
        return flat_regions(self.picture, self.lab)


def saliency(picture: NDArray[np.uint8], weights: Weights = FITTED) -> Map:
    """Return the probability of each pixel of an RGB picture to belong to the figure.

    The picture has shape (height, width, 3), the probabilities have shape (height, width).
    """
    reduced = reduce(picture)
    first = sigmoid(own_features(reduced) @ np.array(weights.own))
    second = sigmoid(surrounding_features(reduced, first) @ np.array(weights.surroundings))
    height, width = picture.shape[:2]
    small = cv2.GaussianBlur(second[reduced.regions.labels].astype(np.float32), (0, 0), 1)
    return np.asarray(cv2.resize(small, (width, height)), np.float32)


def reduce(picture: NDArray[np.uint8]) -> Reduced:
    """Reduce a picture to the size at which its patches are scored, and smooth its grain."""
    small = resized(picture, LONG_SIDE)
    return Reduced(np.asarray(cv2.bilateralFilter(small, 5, 15, 3), np.uint8))


def resized(picture: NDArray[np.uint8], long_side: int) -> NDArray[np.uint8]:
    """Resize a picture to a long side, in pixels."""
    height, width = picture.shape[:2]
    scale = long_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, size, interpolation=method), np.uint8)


def to_lab(picture: NDArray[np.uint8]) -> Map:
    """Convert an RGB picture to CIE Lab, float32 of the same shape."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def sigmoid(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities from log-odds."""
    return 1 / (1 + np.exp(-log_odds))


def own_features(reduced: Reduced) -> Features:
    """Compute the features of patches from their own colours and positions.

    Returns:
        One row for each patch: 1; the detail around it; the difference of its surroundings and of
        itself from the colours on the border; its squared distances from the middle, across and
        down; 1 where it touches the border; its width.
    """
    regions = reduced.regions
    height, width = regions.labels.shape
    detail = _share_of_most(_blur(_gradient(reduced.lab), 0.05))
    strange = _strangeness(reduced)
    down, across = np.mgrid[:height, :width].astype(np.float32)
    columns = [
        np.ones(len(regions.areas)),
        regions.mean(detail),
        regions.mean(_blur(strange[regions.labels].astype(np.float32), 0.03)),
        strange,
        regions.mean(((across + 0.5) / width - 0.5) ** 2),
        regions.mean(((down + 0.5) / height - 0.5) ** 2),
        (regions.on_border > 0).astype(np.float64),
        (regions.largest(across) + regions.largest(-across) + 1) / width,
    ]
    return np.stack(columns, -1)


def surrounding_features(reduced: Reduced, first: NDArray[np.float64]) -> Features:
    """Compute the features of patches from their probabilities of the first round, (regions,).

    Returns:
        One row for each patch: its `own_features`; the probability of its neighbours and of its
        surroundings; its mean, then its largest distance from the middle of the probable figure,
        each across and down.
    """
    regions = reduced.regions
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
    return np.concatenate([own_features(reduced), np.stack(columns, -1)], -1)


def _strangeness(reduced: Reduced) -> NDArray[np.float64]:
    """Return each patch's distance from the most similar colour on the border, in [0, 1]."""
    regions = reduced.regions
    colors = np.stack([regions.mean(reduced.lab[..., i]) for i in range(3)], -1)
    touching = colors[regions.on_border > _SEEN_BORDER * regions.on_border.sum()]
    if not len(touching):
        return np.zeros(len(colors))
    distance = np.linalg.norm(colors[:, None] - touching[None], axis=-1).min(1)
    return np.minimum(distance / _FAR_COLOR, 1)


def _deviation(axis: Map, likely: Map) -> Map:
    """Return distances from the probable figure's middle, in standard deviations over _REACH."""
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
    """Scale a map to [0, 1], where 1 is the value that one pixel in fifty exceeds."""
    return np.clip(values / max(float(np.percentile(values, 98)), 1e-6), 0, 1).astype(np.float32)
