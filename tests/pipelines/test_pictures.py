"""Pictures that the application and the engine exchange: masks, PNG files, references."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pipelines.pictures import (
    Reference,
    mask_picture,
    png_bytes,
    read_png,
    smooth_mask,
    without_large_texts,
)
from pipelines.reference.opening import open_picture
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


def png_with(*chunks: tuple[bytes, bytes], behind: bool = False) -> bytes:
    """A PNG picture with chunks before its pixels, or behind them."""
    content = png_bytes(Image.new("RGB", (64, 64), (1, 2, 3)))
    packed = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    at = len(content) - 12 if behind else 33
    return content[:at] + packed + content[at:]


LARGE = b"a workflow " * 200_000
LARGE_CHUNKS = {
    "compressed text": [(b"zTXt", b"workflow\0\0" + zlib.compress(LARGE))],
    "compressed international text": [
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(LARGE))
    ],
    "colour profile": [(b"iCCP", b"wide\0\0" + zlib.compress(LARGE))],
    "text": [(b"tEXt", b"workflow\0" + LARGE)],
    "many texts": [(b"tEXt", b"part\0" + LARGE[:900_000])] * 80,
    "a bomb": [(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(50_000_000)))],
    "text that is not packed": [(b"zTXt", b"workflow\0\0nonsense")],
    "a text without a name": [(b"iTXt", b"\1")],
}


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("chunks", LARGE_CHUNKS.values(), ids=LARGE_CHUNKS)
def test_a_picture_is_sound_whatever_its_texts_are(
    chunks: list[tuple[bytes, bytes]], behind: bool
) -> None:
    content = png_with(*chunks, behind=behind)
    assert read_png(content).getpixel((5, 5)) == (1, 2, 3)
    assert open_picture(content).getpixel((5, 5)) == (1, 2, 3)


def test_small_texts_stay_and_other_content_is_not_touched() -> None:
    small = png_with((b"tEXt", b"title\0waves"), (b"zTXt", b"more\0\0" + zlib.compress(b"words")))
    assert without_large_texts(small) == small
    cut = small[: len(small) // 2]
    assert without_large_texts(cut) == cut
    assert without_large_texts(b"GIF89a") == b"GIF89a"
    assert without_large_texts(b"") == b""
