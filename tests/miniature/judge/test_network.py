"""The judge's networks at toy size: shapes, and what a crop of a figure holds."""

import pytest
import torch
import torch.nn.functional as F

from miniature.judge.network import (
    GEOMETRY,
    LAYERS,
    AttentionPooling,
    Finder,
    FinderOutput,
    JudgeSizes,
    Reader,
    crop_figures,
    part_labels,
    widened,
)
from miniature.world.vocabulary import Part

SIZES = JudgeSizes(finder=(8, 8, 8, 8), reader=(8, 8, 8, 8), mixed=8, crop=32, embedding=5)
VALUES = {"place": ("beach", "city"), "time": ("day", "evening", "night")}


@pytest.mark.parametrize("size", [(64, 64), (52, 80), (80, 52)])
def test_the_finder_labels_pictures_of_any_shape(size):
    found = Finder(SIZES.finder, 3, VALUES).eval()(torch.zeros(2, 3, *size))
    assert found.foreground.shape == (2, *size)
    assert found.parts.shape == (2, 3, size[0] // 2, size[1] // 2)
    assert {name: logits.shape for name, logits in found.scene.items()} == {
        "place": (2, 2),
        "time": (2, 3),
    }
    assert found.features.shape == (2, SIZES.finder[-1])


def test_the_reader_gives_logits_and_a_unit_embedding():
    described = Reader(SIZES, VALUES).eval()(
        torch.randn(3, LAYERS, 32, 32), torch.zeros(3, GEOMETRY)
    )
    assert described.figure["time"].shape == (3, 3)
    torch.testing.assert_close(described.embedding.norm(dim=1), torch.ones(3))


def test_attention_with_equal_weights_is_the_mean():
    pooling = AttentionPooling(4, 2)
    torch.nn.init.zeros_(pooling.weights.weight)
    features = torch.randn(3, 4, 5, 6)
    expected = features.mean((2, 3))[:, None].expand(3, 2, 4)
    torch.testing.assert_close(pooling(features), expected)


def test_widened_masks_are_those_of_a_maximum_filter():
    masks = torch.rand(2, 20, 31) > 0.97
    expected = F.max_pool2d(masks[:, None].float(), 7, 1, 3).squeeze(1) > 0
    assert torch.equal(widened(masks, 3), expected)


def test_a_crop_shows_nothing_but_its_figure():
    masks = torch.zeros(1, 64, 80, dtype=torch.bool)
    masks[0, 10:40, 20:30] = True
    images, parts = torch.randn(1, 3, 64, 80), torch.full((1, 64, 80), int(Part.HAIR)).byte()
    elsewhere = torch.where(widened(masks, 2)[:, None], images, torch.randn_like(images))
    elsewhere_parts = torch.where(masks, parts, int(Part.FACE))
    crop, place = crop_figures(images, masks, parts, 32)
    other_crop, other_place = crop_figures(elsewhere, masks, elsewhere_parts, 32)
    assert torch.equal(crop, other_crop)
    assert torch.equal(place, other_place)
    assert not torch.equal(crop, crop_figures(images + 1, masks, parts, 32)[0])


def test_a_crop_shows_where_each_region_is():
    masks = torch.zeros(1, 64, 64, dtype=torch.bool)
    masks[0, 8:56, 20:44] = True
    parts = torch.full((1, 64, 64), int(Part.FACE), dtype=torch.uint8)
    parts[:, 32:] = int(Part.SHOE)
    crop, _ = crop_figures(torch.zeros(1, 3, 64, 64), masks, parts, 32)
    regions = crop[0, 4:]
    head, feet = regions[0], regions[-1]
    assert not regions[1:-1].any()
    assert head[:15].sum() == pytest.approx(float(feet[17:].sum()), rel=0.1)
    assert not head[17:].any() and not feet[:15].any()
    assert ((head + feet) <= crop[0, 3] + 1e-5).all()


def test_labels_are_the_likeliest_part_of_the_foreground():
    logits = torch.zeros(1, 3, 2, 2)
    logits[0, 2, 0, 0] = logits[0, 1, 1, 1] = 1.0
    foreground = torch.full((1, 4, 4), 5.0)
    foreground[0, 0, 0] = -5.0
    labels = part_labels(FinderOutput(logits, foreground, {}, torch.zeros(1, 1)))
    assert labels[0].tolist() == [[0, 3, 1, 1], [3, 3, 1, 1], [1, 1, 2, 2], [1, 1, 2, 2]]


def test_a_crop_has_its_figure_in_the_middle_and_at_one_size():
    masks = torch.zeros(2, 256, 256, dtype=torch.bool)
    masks[0, 100:140, 20:40] = True
    masks[1, 50:250, 150:250] = True
    parts = masks.byte()
    crops, _ = crop_figures(torch.zeros(2, 3, 256, 256), masks, parts, 64)
    near, far = (layer.nonzero().float() for layer in crops[:, 3] > 0.5)
    for place in (near, far):
        torch.testing.assert_close(place.mean(0), torch.tensor([31.5, 31.5]), atol=1.5, rtol=0)
    heights = [float(place[:, 0].max() - place[:, 0].min()) for place in (near, far)]
    assert heights[0] == pytest.approx(heights[1], abs=7)


def test_a_figure_that_is_cut_off_by_the_picture_keeps_its_shape():
    masks = torch.zeros(1, 64, 64, dtype=torch.bool)
    masks[0, 0:64, 0:20] = True
    crops, place = crop_figures(torch.ones(1, 3, 64, 64), masks, masks.byte(), 32)
    shown = crops[0, 3] > 0.5
    rows, columns = shown.any(1).sum(), shown.any(0).sum()
    assert rows / columns == pytest.approx(64 / 22, rel=0.15)
    assert place[0, -4:].tolist() == [1.0, 1.0, 0.0, 1.0]


def test_without_a_figure_the_crop_is_blank():
    nobody = torch.zeros(1, 64, 64, dtype=torch.bool)
    crops, place = crop_figures(torch.ones(1, 3, 64, 64), nobody, nobody.byte(), 32)
    assert not crops.any()
    assert place.isfinite().all()


def test_a_crop_that_does_not_halve_four_times_is_refused():
    with pytest.raises(ValueError, match="40"):
        JudgeSizes(crop=40)
