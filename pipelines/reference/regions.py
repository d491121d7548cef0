"""Patches of one colour in a picture, and their neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]

_FLAT = 6.0  # largest step between neighbouring pixels of a patch, in units of CIE Lab
_FEWEST_PIXELS = 6


@dataclass(frozen=True)
class Regions:
    """Patches of one colour that together cover a picture.

    Attributes:
        labels: the patch of each pixel, from 0 without gaps, int64 of shape (height, width).
    """

    labels: NDArray[np.int64]

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """Pixels of each patch, of shape (regions,)."""
        return np.bincount(self.labels.ravel()).astype(np.float64)

    def mean(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the mean of a map (height, width) over each patch."""
        return np.bincount(self.labels.ravel(), values.ravel()) / self.areas

    def largest(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the largest value of a map (height, width) in each patch."""
        found = np.full(len(self.areas), -np.inf)
        np.maximum.at(found, self.labels.ravel(), values.ravel())
        return found

    @cached_property
    def on_border(self) -> NDArray[np.float64]:
        """Pixels of each patch on the upper, left and right border, of shape (regions,).

        The lower one is left out: it cuts figures off as often as it bounds the ground.
        """
        a = self.labels
        border = np.concatenate([a[0], a[:, 0], a[:, -1]])
        return np.bincount(border, minlength=len(self.areas)).astype(np.float64)

    @cached_property
    def _contacts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        a = self.labels
        one = np.concatenate([a[:, :-1].ravel(), a[:-1].ravel()])
        other = np.concatenate([a[:, 1:].ravel(), a[1:].ravel()])
        differ = one != other
        one, other = one[differ], other[differ]
        return np.concatenate([one, other]), np.concatenate([other, one])

    def around(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the mean value of each patch's neighbours, weighted by the length of contact.

        The outside of the border (see `on_border`) counts as a neighbour with value 0. There is one
        value for each patch, shape (regions,).
        """
        one, other = self._contacts
        regions = len(self.areas)
        length = np.bincount(one, minlength=regions) + self.on_border
        return np.bincount(one, values[other], regions) / np.maximum(length, 1)


def flat_regions(picture: NDArray[np.uint8], lab: Map) -> Regions:
    """Divide a picture into patches of one colour, each up to the middle of its outline.

    Pixels that differ little from their neighbours are joined to patches; a watershed (Meyer,
    1992) gives each of the other pixels to a patch next to it. The picture comes in RGB and in CIE
    Lab, each of shape (height, width, 3).
    """
    height, width = lab.shape[:2]
    step = np.zeros((height, width), np.float32)
    across = np.abs(np.diff(lab, axis=1)).max(-1)
    down = np.abs(np.diff(lab, axis=0)).max(-1)
    for part in (step[:, :-1], step[:, 1:]):
        np.maximum(part, across, out=part)
    for part in (step[:-1], step[1:]):
        np.maximum(part, down, out=part)
    flat = (step < _FLAT).astype(np.uint8)
    _, found, statistics, _ = cv2.connectedComponentsWithStats(flat, connectivity=4)
    too_small = statistics[:, cv2.CC_STAT_AREA] < _FEWEST_PIXELS
    too_small[0] = True
    markers = np.where(too_small[found], 0, found).astype(np.int32)
    if not markers.any():
        return Regions(np.zeros((height, width), np.int64))
    cv2.watershed(np.ascontiguousarray(picture), markers)
    return Regions(_without_gaps(markers))


def _without_gaps(markers: NDArray[np.int32]) -> NDArray[np.int64]:
    """Assign the lines of a watershed (-1) to a patch beside them, and renumber the patches."""
    labels = np.maximum(markers, 0).astype(np.float32)  # exact: there are fewer than 2 ** 24
    while (labels == 0).any():
        labels = np.where(labels == 0, cv2.dilate(labels, np.ones((3, 3), np.uint8)), labels)
    _, numbers = np.unique(labels, return_inverse=True)
    return numbers.reshape(labels.shape).astype(np.int64)
