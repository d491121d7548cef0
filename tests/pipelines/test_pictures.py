"""Pictures that the application and the engine exchange: masks, PNG files, references."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pipelines.pictures import Reference, mask_picture, png_bytes, read_png, smooth_mask
from tests.pipelines.pictures import drawing, mask_of_drawing, reference


def test_a_mask_becomes_hard_edged_black_and_white() -> None:
    mask = np.zeros((2, 3), dtype=bool)
    mask[1, 2] = True
    pixels = np.asarray(mask_picture(mask, (48, 32)))
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, np.kron(mask, np.ones((16, 16))) * 255)


def test_a_png_carries_its_texts() -> None:
    content = png_bytes(Image.new("RGB", (4, 4), (1, 2, 3)), recipe="中 ü")
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert image.info["recipe"] == "中 ü"
        assert image.getpixel((0, 0)) == (1, 2, 3)


@pytest.mark.parametrize(
    ("part", "picture"),
    [
        ("image", Image.new("RGB", (64, 65))),
        ("image", Image.new("RGB", (1025, 1025))),
        ("image", Image.new("L", (64, 64))),
        ("source", Image.new("CMYK", (120, 128))),
        ("source", Image.new("RGB", (2049, 128))),
        ("mask", Image.new("L", (128, 120))),
        ("mask", Image.new("1", (120, 128))),
    ],
)
def test_a_bad_reference_is_refused(part: str, picture: Image.Image) -> None:
    parts = {"image": reference().image, "source": drawing(), "mask": mask_of_drawing()}
    with pytest.raises(ValueError, match=str(picture.width)):
        Reference(**{**parts, part: picture})


def test_the_size_of_a_picture_is_checked_before_it_is_decoded() -> None:
    content = bytearray(reference().content)
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    with pytest.raises(ValueError, match="60000 x 60000"):
        read_png(bytes(content))
    for wrong in (b"", b"GIF89a", reference().content[:-30], reference().content[:20]):
        with pytest.raises(ValueError, match=r"not a PNG|damaged"):
            read_png(wrong)


def test_a_smooth_mask_keeps_its_place_and_has_no_steps() -> None:
    tokens = np.zeros((8, 8), bool)
    tokens[2:6, 3:7] = True
    raw = mask_picture(tokens, (128, 128))
    smooth = smooth_mask(raw)
    hard, soft = (np.asarray(mask, float) for mask in (raw, smooth))
    assert smooth.size == raw.size and smooth.mode == "L"
    assert soft[64, 80] == 255 and soft[4, 4] == 0
    assert abs(soft.mean() - hard.mean()) < 0.03 * 255
    steps = [np.abs(np.diff(mask, axis=0)).max() for mask in (hard, soft)]
    assert steps[0] == 255 and steps[1] < 100
