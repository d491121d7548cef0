"""Patches of one colour, and their features."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.reference.regions import Regions
from pipelines.reference.saliency import (
    FITTED,
    own_features,
    reduce,
    saliency,
    surrounding_features,
)
from tests.pipelines.reference.drawn import single_figures


@pytest.fixture(scope="module")
def flags():
    """A red square on a ground that is green on the left and blue on the right."""
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[:, :128], picture[:, 128:] = (40, 160, 60), (40, 60, 200)
    picture[96:160, 96:160] = (210, 40, 40)
    return picture


def test_patches_are_the_areas_of_one_colour(flags):
    regions = reduce(flags).regions
    places = {"green": (10, 10), "blue": (10, 250), "red": (128, 128)}
    labels = {name: regions.labels[place] for name, place in places.items()}
    assert len(set(labels.values())) == 3
    assert regions.areas.sum() == 256 * 256
    assert regions.areas[labels["red"]] == pytest.approx(64 * 64, rel=0.1)
    assert regions.on_border[labels["red"]] == 0
    assert regions.on_border[labels["green"]] == pytest.approx(256 + 128, rel=0.05)


def test_means_and_neighbours_by_hand():
    regions = Regions(np.array([[0, 0, 1], [0, 0, 1], [2, 2, 2]]))
    values = np.array([[1.0, 3.0, 5.0], [1.0, 3.0, 7.0], [0.0, 0.0, 9.0]])
    assert regions.mean(values).tolist() == [2.0, 6.0, 3.0]
    assert regions.largest(values).tolist() == [3.0, 7.0, 9.0]
    # Patch 0 touches 1 twice, 2 twice, and the border with 2 + 2 pixels.
    assert regions.around(np.array([0.0, 1.0, 0.5]))[0] == pytest.approx((2 + 2 * 0.5) / 8)


def test_the_features_have_a_weight_each(flags):
    reduced = reduce(flags)
    own = own_features(reduced)
    around = surrounding_features(reduced, np.full(len(own), 0.5))
    assert own.shape == (len(reduced.regions.areas), len(FITTED.own))
    assert around.shape == (len(reduced.regions.areas), len(FITTED.surroundings))


def test_a_patch_in_the_middle_stands_out(flags):
    found = saliency(flags)
    assert found.shape == (256, 256) and found.dtype == np.float32
    assert found[128, 128] > 0.4  # what the matting takes for the figure
    assert found[10, 10] < 0.02 and found[10, 250] < 0.02


def test_pictures_without_any_flat_patch_are_scored_too():
    noise = np.random.default_rng(0).integers(0, 255, (120, 90, 3), np.uint8)
    found = saliency(noise)
    assert found.shape == (120, 90) and np.isfinite(found).all()


def test_figures_are_more_salient_than_their_surroundings():
    for scene in single_figures(6, 610_000):
        found = saliency(scene.image)
        assert found[scene.foreground].mean() > 2 * found[~scene.foreground].mean()
