"""Readings of a judge, at toy size and with random weights."""

import numpy as np
import pytest
import torch

from miniature.judge.attributes import FIGURE_VALUES, SCENE_VALUES
from miniature.judge.network import JudgeNetwork, JudgeSizes
from miniature.judge.reading import NOBODY, Judge, chosen_figures, load_judge, save_judge
from miniature.world.vocabulary import SHAPES, Part

SIZES = JudgeSizes(finder=(8, 8, 8, 8), reader=(8, 8, 8, 8), mixed=8, crop=32, embedding=6)


def new_network(everything_is_figure=0.0):
    torch.manual_seed(3)
    network = JudgeNetwork(SIZES, len(Part) - 1, SCENE_VALUES, FIGURE_VALUES)
    with torch.no_grad():
        network.finder.label.bias[4 * network.parts :] += everything_is_figure
    return network


def pictures(count, size=(256, 256)):
    return np.random.default_rng(1).integers(0, 256, (count, *size, 3), np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_reading_has_the_shapes_that_it_states(shape):
    width, height = SHAPES[shape]
    reading = Judge(new_network(50.0)).read(pictures(3, (height, width)))
    assert reading.parts.shape == reading.foreground.shape == (3, height, width)
    assert reading.parts.dtype == torch.uint8
    assert reading.foreground.dtype == torch.bool
    assert torch.equal(reading.parts > 0, reading.foreground)
    assert int(reading.parts.max()) < len(Part)
    assert reading.embedding.shape == (3, SIZES.embedding)
    assert reading.features.shape == (3, SIZES.finder[-1])
    known = SCENE_VALUES | FIGURE_VALUES
    for values, chances in zip(reading.attributes, reading.confidence, strict=True):
        assert values.keys() == chances.keys() == known.keys()
        assert all(value in known[name] for name, value in values.items())
        assert all(1 / len(known[name]) <= chances[name] <= 1 for name in known)


def test_many_pictures_are_read_as_one_by_one():
    judge, images = Judge(new_network(50.0)), pictures(18, (64, 64))
    together = judge.read(images)
    for number in (0, 15, 16, 17):
        alone = judge.read(torch.from_numpy(images[number : number + 1]))
        assert alone.attributes[0] == together.attributes[number]
        torch.testing.assert_close(alone.embedding[0], together.embedding[number])


def test_nobody_has_no_attributes():
    reading = Judge(new_network(-50.0)).read(pictures(1))
    assert not reading.foreground.any()
    assert not reading.parts.any()
    for name in FIGURE_VALUES:
        assert reading.attributes[0][name] == NOBODY
        assert reading.confidence[0][name] == 0
    assert reading.attributes[0]["place"] in SCENE_VALUES["place"]


def test_masks_choose_the_figure_of_the_embedding():
    judge, images = Judge(new_network(50.0)), pictures(1)
    images[0, :, 128:] //= 4
    left = torch.zeros(1, 256, 256, dtype=torch.bool)
    left[:, 60:200, 20:100] = True
    both = judge.read(np.concatenate([images, images]), torch.cat([left, left.flip(2)]))
    assert not torch.allclose(both.embedding[0], both.embedding[1], atol=1e-3)
    assert torch.equal(both.parts[0], both.parts[1])
    torch.testing.assert_close(judge.read(images, left).embedding[0], both.embedding[0])


def test_a_mask_without_foreground_is_kept():
    found = torch.zeros(2, 64, 64, dtype=torch.bool)
    found[:, 10:30, 10:30] = True
    masks = torch.zeros_like(found)
    masks[0, 0:40, 0:20] = True
    masks[1, 40:60, 40:60] = True
    chosen = chosen_figures(found, masks)
    assert torch.equal(chosen[0], found[0] & masks[0])
    assert torch.equal(chosen[1], masks[1])


def test_a_saved_judge_reads_as_before(tmp_path):
    network = new_network(50.0).half().float()
    save_judge(network, tmp_path)
    before, after = Judge(network).read(pictures(2)), load_judge(tmp_path).read(pictures(2))
    assert before.attributes == after.attributes
    assert torch.equal(before.parts, after.parts)
    assert torch.equal(before.embedding, after.embedding)
    assert torch.equal(before.features, after.features)


def test_what_is_no_picture_is_refused():
    judge = Judge(new_network())
    with pytest.raises(ValueError, match="float32"):
        judge.read(torch.zeros(1, 64, 64, 3))
    with pytest.raises(ValueError, match="3, 64, 64"):
        judge.read(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    with pytest.raises(ValueError, match="32, 32"):
        judge.read(pictures(1, (64, 64)), torch.zeros(1, 32, 32, dtype=torch.bool))
