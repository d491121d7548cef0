"""Colours of the standard, and distances that can be computed by hand."""

from __future__ import annotations

import pytest
import torch

from evaluation.metrics.color import color_distance, lab

EVERYWHERE = torch.ones(32, 32, dtype=torch.bool)


def flat(red: int, green: int, blue: int) -> torch.Tensor:
    return torch.tensor([red, green, blue], dtype=torch.uint8).expand(32, 32, 3).clone()


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((5, 5, 5), (1.37, 0.0, 0.0)),
    ],
)
def test_known_colors(rgb: tuple[int, int, int], expected: tuple[float, float, float]) -> None:
    found = lab(torch.tensor(rgb, dtype=torch.uint8))
    assert found.tolist() == pytest.approx(expected, abs=0.02)


def test_flat_pictures_differ_by_the_distance_of_their_colors() -> None:
    black, white = flat(0, 0, 0), flat(255, 255, 255)
    assert color_distance(black, white, EVERYWHERE) == pytest.approx(100, abs=0.01)
    assert color_distance(white, white, EVERYWHERE) == 0


def test_masked_pixels_add_nothing_to_their_neighbours() -> None:
    first, second = flat(90, 90, 90), flat(90, 90, 90)
    outside = EVERYWHERE.clone()
    outside[8:20, 8:20] = False
    first[~outside] = 255
    second[~outside] = 0
    assert color_distance(first, second, outside) == pytest.approx(0, abs=1e-3)
    assert color_distance(first, second, EVERYWHERE) > 10
    assert color_distance(first, second, ~EVERYWHERE) is None


def test_a_shift_by_a_pixel_counts_less_than_another_color() -> None:
    stripes = torch.zeros(32, 32, 3, dtype=torch.uint8)
    stripes[:, ::4] = 255
    shifted = stripes.roll(1, dims=1)
    blurred = color_distance(stripes, shifted, EVERYWHERE)
    sharp = color_distance(stripes, shifted, EVERYWHERE, blur=0.1)
    assert blurred is not None and sharp is not None
    assert blurred < sharp / 4
