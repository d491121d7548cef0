"""The built-in matting, against drawn masks and on plain grounds."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipelines.reference.matting import (
    built_in_mask,
    grab_cut_mask,
    large_parts,
    plain_ground,
    without_holes,
)
from tests.pipelines.reference.drawn import overlap, single_figures

UNSEEN = 600_000


def bust(ground: tuple[int, int, int], grain: float = 0) -> tuple[Image.Image, np.ndarray]:
    """Head and shoulders that run into the lower border, and their mask."""
    mask = Image.new("L", (240, 300))
    pen = ImageDraw.Draw(mask)
    pen.ellipse((75, 50, 165, 160), fill=255)
    pen.rounded_rectangle((50, 150, 190, 340), 40, fill=255)
    truth = np.asarray(mask) > 0
    picture = np.where(truth[..., None], np.array((150, 60, 50)), np.array(ground))
    picture[80:100, 95:145] = (40, 40, 60)
    noise = np.random.default_rng(3).normal(0, grain, picture.shape)
    return Image.fromarray(np.clip(picture + noise, 0, 255).astype(np.uint8)), truth


def test_drawn_figures_are_found():
    """In all kinds of places, in scenes that the weights were not fitted to."""
    scenes = single_figures(9, UNSEEN)
    masks = [grab_cut_mask(Image.fromarray(scene.image)) for scene in scenes]
    found = [
        overlap(mask > 128, scene.foreground) for mask, scene in zip(masks, scenes, strict=True)
    ]
    assert np.median(found) > 0.8
    assert min(found) > 0.2
    for mask, scene in zip(masks, scenes, strict=True):
        assert mask.dtype == np.uint8 and mask.shape == scene.foreground.shape


@pytest.mark.parametrize(
    ("ground", "grain"), [((255, 255, 255), 0), ((90, 140, 190), 0), ((235, 230, 220), 4)]
)
def test_a_plain_ground_is_taken_away(ground, grain):
    picture, truth = bust(ground, grain)
    assert overlap(grab_cut_mask(picture) > 128, truth) > 0.97


def test_a_plain_ground_is_one_colour_on_three_sides():
    picture, truth = bust((255, 255, 255))
    ground = plain_ground(np.asarray(picture))
    assert ground is not None and np.array_equal(ground, ~truth)
    for scene in single_figures(6, UNSEEN):
        assert plain_ground(scene.image) is None


def test_a_shaded_ground_is_no_hindrance():
    scene = single_figures(1, UNSEEN + 7)[0]
    height = scene.image.shape[0]
    shade = np.linspace(60, 220, height)[:, None, None]
    shaded = np.where(scene.foreground[..., None], scene.image, shade).astype(np.uint8)
    assert plain_ground(shaded) is None
    assert overlap(grab_cut_mask(Image.fromarray(shaded)) > 128, scene.foreground) > 0.85


def test_nothing_is_found_where_nothing_is():
    empty = Image.new("RGB", (200, 150), (120, 180, 90))
    assert not grab_cut_mask(empty).any()


def test_large_pictures_get_masks_of_their_own_size():
    picture, truth = bust((255, 255, 255))
    large = picture.resize((960, 1200), Image.Resampling.BICUBIC)
    mask = grab_cut_mask(large)
    assert mask.shape == (1200, 960)
    assert overlap(mask > 128, np.kron(truth, np.ones((4, 4), bool))) > 0.95


def test_masks_have_soft_edges():
    mask = grab_cut_mask(bust((255, 255, 255))[0])
    assert mask.min() == 0 and mask.max() == 255
    assert 0 < ((mask > 0) & (mask < 255)).mean() < 0.05


def test_equal_pictures_give_equal_masks():
    picture = Image.fromarray(single_figures(1, UNSEEN)[0].image)
    first, second = (grab_cut_mask(picture) for _ in range(2))
    assert np.array_equal(first, second)


def test_an_alpha_channel_with_clear_and_opaque_pixels_is_used():
    picture, truth = bust((255, 255, 255))
    picture.putalpha(Image.fromarray((truth * 255).astype(np.uint8)))
    assert np.array_equal(built_in_mask(picture), truth * np.uint8(255))


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_an_alpha_channel_of_one_value_is_not_used(alpha):
    picture, _ = bust((255, 255, 255))
    picture.putalpha(alpha)
    cut = grab_cut_mask(picture)
    assert np.array_equal(built_in_mask(picture), cut)
    assert np.array_equal(built_in_mask(picture.convert("RGB")), cut)


def test_holes_and_crumbs():
    mask = np.zeros((40, 40), bool)
    mask[5:25, 5:25] = True
    mask[10:15, 10:15] = False
    mask[35:37, 35:37] = True
    mask[12, :5] = True  # joins the border, and still encloses the hole
    assert without_holes(mask)[12, 12] and not without_holes(mask)[30, 30]
    kept = large_parts(mask)
    assert kept[6, 6] and not kept[36, 36] and not kept[30, 30]
    assert not large_parts(np.zeros((8, 8), bool)).any()
