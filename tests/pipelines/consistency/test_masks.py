"""Masks: the statistic in closed form, and the clean-up against OpenCV."""

import cv2
import numpy as np
import pytest
import torch

from pipelines.consistency.masks import (
    AttentionMaps,
    TextLengths,
    clean_mask,
    mean_maps,
    raw_mask,
    token_attention,
)


@pytest.mark.parametrize(("erode", "dilate"), [(3, 5), (1, 3), (3, 3), (5, 7)])
def test_clean_up_equals_opencv_with_its_default_border(erode, dilate):
    generator = np.random.default_rng(0)
    for shape in [(16, 16), (12, 20), (5, 7), (64, 64)]:
        for share in (0.2, 0.5, 0.8, 0.95):
            mask = (generator.random(shape) < share).astype(np.uint8)
            eroded = cv2.erode(mask, np.ones((erode, erode), np.uint8), iterations=1)
            expected = cv2.dilate(eroded, np.ones((dilate, dilate), np.uint8), iterations=1)
            ours = clean_mask(torch.from_numpy(mask).bool(), erode, dilate)
            assert torch.equal(ours, torch.from_numpy(expected).bool())


def test_a_lone_square_of_three_becomes_five_and_thinner_things_vanish():
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[5:8, 5:8] = True
    mask[12:14, 2:14] = True
    expected = torch.zeros(16, 16, dtype=torch.bool)
    expected[4:9, 4:9] = True
    assert torch.equal(clean_mask(mask), expected)


def test_squares_of_one_token_leave_a_mask_as_it_is():
    mask = torch.rand(9, 7, generator=torch.Generator().manual_seed(0)) < 0.5
    assert torch.equal(clean_mask(mask, 1, 1), mask)


def test_token_attention_is_an_unscaled_softmax_over_the_real_words_alone():
    torch.manual_seed(0)
    query, key = torch.randn(6, 2, 8), torch.randn(10, 2, 8)
    text = TextLengths(background=3, real=7)
    expected = torch.zeros(6, 7, dtype=torch.float64)
    for head in range(2):
        logits = query[:, head].double() @ key[:7, head].double().T
        expected += logits.softmax(-1)
    maps = token_attention(query, key, text)
    assert maps.background.dtype == torch.float16
    torch.testing.assert_close(maps.background.double(), expected[:, :3].mean(1), atol=2e-3, rtol=0)
    torch.testing.assert_close(maps.foreground.double(), expected[:, 3:].mean(1), atol=2e-3, rtol=0)


def test_padding_does_not_count():
    torch.manual_seed(0)
    query, key = torch.randn(6, 2, 8), torch.randn(10, 2, 8)
    changed = key.clone()
    changed[7:] = 100.0
    text = TextLengths(3, 7)
    first, second = token_attention(query, key, text), token_attention(query, changed, text)
    assert torch.equal(first.foreground, second.foreground)


def test_a_tie_is_foreground():
    maps = AttentionMaps(torch.tensor([0.5, 0.4, 0.6]), torch.tensor([0.5, 0.5, 0.5]))
    assert raw_mask(maps).tolist() == [True, True, False]


def test_maps_are_averaged_over_blocks():
    ones = AttentionMaps(torch.ones(3).half(), torch.zeros(3).half())
    zeros = AttentionMaps(torch.zeros(3).half(), torch.ones(3).half())
    mean = mean_maps([ones, ones, ones, zeros])
    assert mean.background.tolist() == [0.75] * 3
    assert mean.foreground.tolist() == [0.25] * 3


@pytest.mark.parametrize(("background", "real"), [(-1, 3), (4, 3)])
def test_impossible_lengths_are_refused(background, real):
    with pytest.raises(ValueError, match="background"):
        TextLengths(background, real)
