"""Cutting a figure out of a picture: by its alpha channel, or by GrabCut from a first guess."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.reference.saliency import FITTED, Weights, resized, saliency, to_lab

Mask = NDArray[np.uint8]

OPAQUE, CLEAR = 255, 0
_HALF = 128
_CUT_SIDE = 512  # pixels; GrabCut works at this size at most
_ROUNDS = 5
_PERHAPS, _LIKELY, _CERTAIN = 0.08, 0.4, 0.95  # probabilities that part GrabCut's four classes
_MARGIN = 0.012  # of the long side, around what is perhaps the figure
_HAIRLINE = 0.004  # of the long side; lines that are hardly wider than twice this are dropped
_GAP = 0.01  # of the long side; gaps that are narrower than twice this are closed
_SMALLEST_PART = 0.15  # of the largest part's area; smaller parts are dropped
_PLAIN_SHARE = 0.95  # of a side's pixels that must have the ground's colour
_PLAIN_SIDES = 3  # of four; a bust cuts into one of them
_PLAIN_SPREAD = 6.0  # distance in CIE Lab within which colours of the border count as one
_GROUND_SPREAD = 10.0  # the same for what is joined to it: compression leaves halos
_MOST_GRAIN = 12.0  # both distances for a coarse-grained ground
_SEED = 0
_UNUSED = (0, 0, 0, 0)  # the rectangle that a mask makes superfluous


class Matting(Protocol):
    """Something that can tell a figure from what is behind it."""

    def mask(self, image: Image.Image) -> Mask:
        """How much each pixel shows of the figure.

        Args:
            image: RGB or RGBA, as `open_picture` gives it.

        Returns:
            From 0 (background) to 255 (figure), uint8 of shape (height, width).
        """
        ...


class AlphaMatting:
    """Takes the picture's own alpha channel for the mask."""

    @staticmethod
    def suits(image: Image.Image) -> bool:
        """Whether the alpha channel tells a figure from a ground: some clear, some opaque."""
        if image.mode != "RGBA":
            return False
        alpha = np.asarray(image.getchannel("A"))
        return bool(alpha.min() < _HALF < alpha.max())

    def mask(self, image: Image.Image) -> Mask:
        """The alpha channel, as `Matting.mask` has it.

        Raises:
            ValueError: if the picture has none.
        """
        return np.asarray(image.getchannel("A"), np.uint8).copy()


class GrabCutMatting:
    """Cuts with colours learnt from the picture itself; needs nothing but OpenCV.

    A ground of one colour is simply taken away. Elsewhere `saliency` guesses where the figure is,
    and "GrabCut" (Rother, Kolmogorov and Blake, SIGGRAPH 2004) finds the line along which the
    colours of figure and ground part best. For drawings, and for photographs on a calm ground.

    Args:
        weights: of the guess.
    """

    def __init__(self, weights: Weights = FITTED) -> None:
        self._weights = weights

    def mask(self, image: Image.Image) -> Mask:
        """The figure with its holes filled and a soft edge, as `Matting.mask` has it."""
        picture = np.asarray(image.convert("RGB"), np.uint8)
        small = picture if max(picture.shape[:2]) <= _CUT_SIDE else resized(picture, _CUT_SIDE)
        ground = plain_ground(small)
        cut = _grab_cut(small, saliency(small, self._weights)) if ground is None else ~ground
        return _feathered(without_holes(large_parts(cut)), picture.shape[:2])


def built_in_matting(image: Image.Image) -> Matting:
    """The matting that fits a picture and needs no network: its alpha channel, or else GrabCut."""
    return AlphaMatting() if AlphaMatting.suits(image) else GrabCutMatting()


def plain_ground(picture: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """The ground of a picture whose border has one colour: what is joined to it in that colour.

    Args:
        picture: RGB, of shape (height, width, 3).

    Returns:
        A mask of shape (height, width), or None if the sides have several colours.
    """
    lab = to_lab(picture)
    border = np.ones(lab.shape[:2], bool)
    border[1:-1, 1:-1] = False
    distance = np.linalg.norm(lab - np.median(lab[border], axis=0), axis=-1)
    grain = 3 * float(np.median(distance[border]))
    even = distance < np.clip(grain, _PLAIN_SPREAD, _MOST_GRAIN)
    sides = (even[0], even[-1], even[:, 0], even[:, -1])
    if sum(side.mean() >= _PLAIN_SHARE for side in sides) < _PLAIN_SIDES:
        return None
    alike = distance < np.clip(grain, _GROUND_SPREAD, _MOST_GRAIN)
    _, labels = cv2.connectedComponents(alike.astype(np.uint8), connectivity=4)
    return np.isin(labels, np.unique(labels[border & alike]))


def _grab_cut(picture: NDArray[np.uint8], likely: NDArray[np.float32]) -> NDArray[np.bool_]:
    guess = without_holes(likely > _LIKELY)
    classes = np.where(guess, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    margin = _disc(_pixels(_MARGIN, picture))
    classes[cv2.dilate((likely > _PERHAPS).astype(np.uint8), margin) == 0] = cv2.GC_BGD
    classes[likely > _CERTAIN] = cv2.GC_FGD
    if guess.all() or not guess.any():
        return guess
    cv2.setRNGSeed(_SEED)  # GrabCut starts from k-means
    background, figure = np.zeros((1, 65)), np.zeros((1, 65))
    blue_first = np.ascontiguousarray(picture[..., ::-1])
    cv2.grabCut(blue_first, classes, _UNUSED, background, figure, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    found = ((classes == cv2.GC_FGD) | (classes == cv2.GC_PR_FGD)).astype(np.uint8)
    opened = cv2.morphologyEx(found, cv2.MORPH_OPEN, _disc(_pixels(_HAIRLINE, picture)))
    return _closed(np.asarray(opened, np.uint8))


def _closed(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Close narrow gaps, also those at the picture's border."""
    radius = _pixels(_GAP, mask)
    wide = np.pad(mask, radius)
    closed = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, _disc(radius))
    return np.asarray(closed[radius:-radius, radius:-radius] > 0)


def _pixels(share: float, picture: NDArray[np.uint8]) -> int:
    """A share of the long side in pixels, at least 1."""
    return max(1, round(share * max(picture.shape[:2])))


def large_parts(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Drop the parts of a mask that are small beside the largest one."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = statistics[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # the background
    return (areas >= max(1, _SMALLEST_PART * areas.max()))[labels]


def without_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill what a mask encloses on all sides."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    return (labels != labels[0, 0])[1:-1, 1:-1]


def _feathered(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> Mask:
    """Bring a mask to a picture's size, with an edge that is about as soft as the picture's."""
    height, width = shape[:2]
    hard = np.where(mask, OPAQUE, CLEAR).astype(np.uint8)
    grown = cv2.resize(hard, (width, height), interpolation=cv2.INTER_LINEAR)
    softness = 0.7 * max(1.0, width / mask.shape[1])
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), softness), np.uint8)


def _disc(radius: int) -> NDArray[np.uint8]:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
