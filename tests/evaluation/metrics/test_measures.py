"""Measures of pictures: the seams of a figure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evaluation.drawn.scenes import draw_frame
from evaluation.metrics.measures import seams
from evaluation.sighting import Sighting
from evaluation.suite import SUITE, read_suite

CASE = read_suite(SUITE).characters[0]
SIDE = 64


def sighting(image: NDArray[np.uint8], figure: NDArray[np.bool_] | None = None) -> Sighting:
    shown = np.ones(image.shape[:2], bool) if figure is None else figure
    nothing = torch.zeros(1)
    return Sighting(image, torch.from_numpy(shown), {}, frozenset(), nothing, nothing)


def seam(image: NDArray[np.uint8], figure: NDArray[np.bool_] | None = None) -> list[float]:
    return seams(CASE, 0, [sighting(image, figure)])


def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def shuffled(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Put the tokens of a picture in another order."""
    across = image.shape[1] // 16
    tokens = [
        image[y : y + 16, x : x + 16]
        for y in range(0, image.shape[0], 16)
        for x in range(0, image.shape[1], 16)
    ]
    order = np.random.default_rng(4).permutation(len(tokens))
    rows = [
        np.concatenate([tokens[i] for i in order[first : first + across]], axis=1)
        for first in range(0, len(order), across)
    ]
    return np.concatenate(rows)


def test_noise_has_as_much_contrast_across_tokens_as_inside() -> None:
    (found,) = seam(noise())
    assert found == pytest.approx(1, abs=0.05)


def test_tokens_of_another_place_do_not_join() -> None:
    picture = draw_frame(CASE, 0)
    (whole,), (broken,) = seam(picture), seam(shuffled(picture))
    assert whole == pytest.approx(1, abs=0.3)
    assert broken > 2 * whole


@pytest.mark.parametrize("axis", [0, 1])
def test_edges_are_where_a_token_ends(axis: int) -> None:
    # A step of 129 at one of three edges, in a ramp of 1 a pixel.
    ramp = np.arange(SIDE) + 128 * (np.arange(SIDE) >= 32)
    image = np.repeat(np.broadcast_to(ramp, (SIDE, SIDE))[..., None], 3, axis=2).astype(np.uint8)
    image = image if axis else np.ascontiguousarray(image.transpose(1, 0, 2))
    (found,) = seam(image)
    assert found == pytest.approx((129 + 1 + 1) / 3)


def test_only_the_figure_counts() -> None:
    left = np.zeros((SIDE, SIDE), bool)
    left[:, :32] = True
    calm = noise()
    calm[:, 32:] = 7
    assert seam(calm, left) == pytest.approx(seam(noise(), left))
    assert seam(calm, ~left) == []  # no contrast
    assert seam(noise(), np.zeros((SIDE, SIDE), bool)) == []
