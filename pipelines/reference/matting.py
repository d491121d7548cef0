"""Cut a figure out of a picture: by its alpha channel, or by GrabCut from a first guess."""

from __future__ import annotations

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
_PERHAPS, _LIKELY, _CERTAIN = 0.08, 0.4, 0.95  # probabilities between GrabCut's four classes
_MARGIN = 0.012  # of the long side, around the possible figure
_HAIRLINE = 0.004  # of the long side; lines of less than about twice this width are dropped
_GAP = 0.01  # of the long side; gaps of less than twice this width are closed
_SMALLEST_PART = 0.15  # of the largest part's area; smaller parts are dropped
_PLAIN_SHARE = 0.95  # of a side's pixels that must have the ground's colour
_PLAIN_SIDES = 3  # of four; a bust cuts into one of them
_PLAIN_SPREAD = 6.0  # distance in CIE Lab within which colours of the border count as equal
_GROUND_SPREAD = 10.0  # the same for pixels that are joined to it: compression leaves halos
_MOST_GRAIN = 12.0  # both distances for a coarse-grained ground
_SEED = 0
_UNUSED = (0, 0, 0, 0)  # a rectangle; the mask replaces it


def built_in_mask(image: Image.Image) -> Mask:
    """Cut out the figure without a network: by the alpha channel, or else by GrabCut.

    Args:
        image: RGB or RGBA, as `open_picture` returns it.

    Returns:
        From 0 (background) to 255 (figure), uint8 of shape (height, width).
    """
    if image.mode == "RGBA":
        alpha = np.asarray(image.getchannel("A"), np.uint8)
        if alpha.min() < _HALF < alpha.max():
            return alpha.copy()
    return grab_cut_mask(image)


def grab_cut_mask(image: Image.Image, weights: Weights = FITTED) -> Mask:
    """Cut out the figure by the colours of the picture; needs only OpenCV.

    A ground of one colour is removed. Elsewhere `saliency` guesses where the figure is, and
    "GrabCut" (Rother, Kolmogorov and Blake, SIGGRAPH 2004) finds the boundary that separates the
    colours of figure and ground best. For drawings, and for photographs with a calm background.

    Args:
        image: RGB or RGBA, whose alpha channel is ignored.
        weights: weights of `saliency`.

    Returns:
        The figure without holes and with a soft edge; see `built_in_mask`.
    """
    picture = np.asarray(image.convert("RGB"), np.uint8)
    small = picture if max(picture.shape[:2]) <= _CUT_SIDE else resized(picture, _CUT_SIDE)
    ground = plain_ground(small)
    cut = _grab_cut(small, saliency(small, weights)) if ground is None else ~ground
    return _feathered(without_holes(large_parts(cut)), picture.shape[:2])


def plain_ground(picture: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Find the ground of an RGB picture whose border has one colour: all pixels joined to it.

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
    """Close narrow gaps, at the picture's border too."""
    radius = _pixels(_GAP, mask)
    wide = np.pad(mask, radius)
    closed = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, _disc(radius))
    return np.asarray(closed[radius:-radius, radius:-radius] > 0)


def _pixels(share: float, picture: NDArray[np.uint8]) -> int:
    """Return a share of the long side in pixels, at least 1."""
    return max(1, round(share * max(picture.shape[:2])))


def large_parts(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Drop the parts of a mask that are small beside the largest one."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = statistics[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0  # the background
    return (areas >= max(1, _SMALLEST_PART * areas.max()))[labels]


def without_holes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Fill the areas that a mask encloses on all sides."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(outside, connectivity=4)
    return (labels != labels[0, 0])[1:-1, 1:-1]


def _feathered(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> Mask:
    """Resize a mask to a picture's size, with an edge about as soft as the picture's."""
    height, width = shape[:2]
    hard = np.where(mask, OPAQUE, CLEAR).astype(np.uint8)
    grown = cv2.resize(hard, (width, height), interpolation=cv2.INTER_LINEAR)
    softness = 0.7 * max(1.0, width / mask.shape[1])
    return np.asarray(cv2.GaussianBlur(grown, (0, 0), softness), np.uint8)


def _disc(radius: int) -> NDArray[np.uint8]:
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
