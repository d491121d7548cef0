"""The reference image, square and on white; and the brush."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import PictureError
from pipelines.reference.preparing import apply_strokes, put_on_white

COLOR = (30, 90, 160)


def picture_and_mask() -> tuple[Image.Image, np.ndarray]:
    """A picture of 100 x 80 pixels in one colour, and a mask of 40 x 60 with soft edges."""
    mask = np.zeros((80, 100), np.uint8)
    mask[9:71, 29:71] = 100
    mask[10:70, 30:70] = 200
    return Image.new("RGB", (100, 80), COLOR), mask


def test_the_figure_is_cropped_and_padded_to_a_square_on_white():
    picture, mask = picture_and_mask()
    prepared = put_on_white(picture, mask)
    expected = Image.new("RGB", (60, 60), (255, 255, 255))
    expected.paste(COLOR, (10, 0, 50, 60))
    assert prepared.image.mode == "RGB"
    assert np.array_equal(np.asarray(prepared.image), np.asarray(expected))
    assert prepared.box == (30, 10, 70, 70)
    assert prepared.coverage == pytest.approx(40 * 60 / (80 * 100))
    assert prepared.doubt == ""


def test_the_mask_is_made_hard_in_the_middle():
    picture, mask = picture_and_mask()
    mask[20, 40], mask[20, 41] = 127, 129
    prepared = put_on_white(picture, mask)
    assert set(np.unique(prepared.mask)) == {0, 255}
    assert prepared.image.getpixel((20, 10)) == (255, 255, 255)
    assert prepared.image.getpixel((21, 10)) == COLOR


def test_nothing_given_is_changed():
    picture, mask = picture_and_mask()
    pixels, before = picture.tobytes(), mask.copy()
    put_on_white(picture, mask)
    assert picture.tobytes() == pixels
    assert np.array_equal(mask, before)


def test_a_wide_figure_is_padded_above_and_below():
    picture, mask = picture_and_mask()
    mask[:] = 0
    mask[40:51, 0:100] = 255
    image = np.asarray(put_on_white(picture, mask).image)
    assert image.shape == (100, 100, 3)
    rows = np.flatnonzero((image != 255).any((1, 2)))
    assert (rows[0], rows[-1]) == (44, 54)


def test_transparency_shows_white():
    picture, mask = picture_and_mask()
    picture.putalpha(255)
    picture.paste((0, 0, 0, 0), (40, 20, 60, 40))
    image = put_on_white(picture, mask).image
    assert image.getpixel((25, 15)) == (255, 255, 255)
    assert image.getpixel((15, 5)) == COLOR


def test_an_empty_mask_is_refused():
    picture, mask = picture_and_mask()
    for weak in (np.zeros_like(mask), np.full_like(mask, 128)):
        with pytest.raises(PictureError, match="No figure was found.*brush"):
            put_on_white(picture, weak)


def test_a_crumb_of_a_mask_is_refused():
    picture, mask = picture_and_mask()
    mask[:] = 0
    mask[5:20, 5:30] = 255
    with pytest.raises(PictureError, match="25 x 15 pixels"):
        put_on_white(picture, mask)


def test_a_mask_of_the_whole_picture_is_doubted():
    picture, mask = picture_and_mask()
    prepared = put_on_white(picture, np.full_like(mask, 255))
    assert prepared.box == (0, 0, 100, 80)
    assert "all four borders" in prepared.doubt and "100%" in prepared.doubt


def test_masks_of_another_size_or_type_are_refused():
    picture, mask = picture_and_mask()
    with pytest.raises(ValueError, match=r"\(100, 80\).*\(80, 100\)"):
        put_on_white(picture, mask.T)
    with pytest.raises(ValueError, match="float64"):
        put_on_white(picture, mask / 255)


def test_strokes_add_and_remove():
    _, mask = picture_and_mask()
    before = mask.copy()
    added, removed = np.zeros(mask.shape, bool), np.zeros(mask.shape, bool)
    added[0:12, 30:40] = True
    removed[60:80, :] = True
    mended = apply_strokes(mask, added, removed)
    assert (mended[0:12, 30:40] == 255).all()
    assert not mended[60:].any()
    untouched = ~added & ~removed
    assert np.array_equal(mended[untouched], mask[untouched])
    assert np.array_equal(mask, before)


def test_removing_wins_and_soft_strokes_are_soft():
    mask = np.full((4, 4), 100, np.uint8)
    strokes = np.zeros((4, 4), np.uint8)
    strokes[0] = 180
    none = np.zeros((4, 4), np.uint8)
    assert apply_strokes(mask, strokes, none)[0].tolist() == [180] * 4
    assert apply_strokes(mask, strokes, strokes)[0].tolist() == [75] * 4
    assert np.array_equal(apply_strokes(mask, none, none), mask)
    assert apply_strokes(mask, strokes > 0, strokes > 0)[0].tolist() == [0] * 4


def test_strokes_of_another_size_are_refused():
    mask = np.zeros((4, 6), np.uint8)
    with pytest.raises(ValueError, match="removed strokes"):
        apply_strokes(mask, mask, mask.T)
