"""Files of every kind: opened upright in RGB or RGBA, or refused with a message."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFilter

from pipelines.errors import PictureError
from pipelines.reference import opening
from pipelines.reference.opening import LEAST_SIDE, LONG_SIDE, MOST_PIXELS, open_picture

RED, BLUE = (200, 30, 40), (20, 60, 210)


def two_colors(width: int = 96, height: int = 64) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), BLUE)
    image.paste(RED, (0, 0, width // 2, height))
    return image


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def far(image: Image.Image, expected: Image.Image) -> int:
    """Largest difference of any value."""
    assert (image.mode, image.size) == (expected.mode, expected.size)
    return int(np.abs(np.asarray(image, int) - np.asarray(expected, int)).max())


def message(content: bytes) -> str:
    with pytest.raises(PictureError) as caught:
        open_picture(content)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "TGA", "PPM", "JPEG2000"])
def test_lossless_pictures_come_as_they_are(kind):
    assert far(open_picture(saved(two_colors(), kind)), two_colors()) == 0


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_lossy_pictures_come_nearly_as_they_are(kind):
    opened = open_picture(saved(two_colors(), kind, quality=95))
    assert opened.getpixel((10, 10)) == pytest.approx(RED, abs=6)
    assert opened.getpixel((86, 50)) == pytest.approx(BLUE, abs=6)


def test_paths_bytes_and_streams_are_equal(tmp_path):
    content = saved(two_colors(), "PNG")
    (tmp_path / "hero.png").write_bytes(content)
    for file in (tmp_path / "hero.png", content):
        assert far(open_picture(file), two_colors()) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation):
    upright = two_colors(120, 80)
    upright.paste((255, 255, 255), (0, 0, 30, 20))
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(inverse[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    opened = open_picture(saved(stored, "PNG", exif=exif))
    assert far(opened, upright) == 0
    assert not opened.info


def test_a_broken_exif_block_leaves_the_picture_as_it_is():
    content = saved(two_colors(), "PNG", exif=b"Exif\0\0not a TIFF header")
    assert far(open_picture(content), two_colors()) == 0


def test_cmyk_without_a_profile():
    opened = open_picture(saved(two_colors().convert("CMYK"), "TIFF"))
    assert far(opened, two_colors()) <= 1


def test_cmyk_from_an_adobe_jpeg_is_not_inverted():
    opened = open_picture(saved(two_colors().convert("CMYK"), "JPEG", quality=95))
    assert opened.getpixel((10, 10)) == pytest.approx(RED, abs=8)


def test_a_colour_profile_is_applied():
    """A profile whose red and blue are exchanged, by the names in its table of tags."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    other = srgb.replace("sRGB".encode("utf-16-be"), "ABCD".encode("utf-16-be"))
    other = other.replace(b"rXYZ", b"____").replace(b"bXYZ", b"rXYZ").replace(b"____", b"bXYZ")
    for mode in ("RGB", "RGBA"):
        opened = open_picture(saved(two_colors().convert(mode), "PNG", icc_profile=other))
        assert opened.mode == mode
        assert opened.getpixel((10, 10))[:3] == pytest.approx(RED[::-1], abs=2)


def test_srgb_and_broken_profiles_change_nothing():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile at all"):
        content = saved(two_colors(), "PNG", icc_profile=profile)
        assert far(open_picture(content), two_colors()) == 0


def test_palettes_keep_colours_and_transparency():
    image = two_colors().quantize(8)
    assert far(open_picture(saved(image, "PNG")), two_colors()) == 0
    clear = image.getpixel((0, 0))
    opened = open_picture(saved(image, "PNG", transparency=clear))
    assert opened.mode == "RGBA"
    assert opened.getpixel((10, 10))[3] == 0
    assert opened.getpixel((86, 10)) == (*BLUE, 255)


def test_alpha_is_kept():
    image = two_colors().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    assert far(open_picture(saved(image, "PNG")), image) == 0
    gray = Image.merge("LA", (image.getchannel("R"), image.getchannel("A")))
    assert far(open_picture(saved(gray, "PNG")), gray.convert("RGBA")) == 0


def test_gray_and_black_and_white():
    gray = two_colors().convert("L")
    assert far(open_picture(saved(gray, "PNG")), gray.convert("RGB")) == 0
    flat = Image.new("1", (80, 80), 1)
    assert open_picture(saved(flat, "PNG")).getpixel((5, 5)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)
    image = Image.fromarray(np.tile(ramp, (64, 1)))
    opened = np.asarray(open_picture(saved(image, kind)))[0, :, 0]
    assert np.abs(opened.astype(int) - np.arange(256)).max() <= 1


def test_a_dark_sixteen_bit_picture_stays_dark():
    image = Image.fromarray(np.full((64, 64), 2570, np.uint16))
    assert open_picture(saved(image, "PNG")).getpixel((0, 0)) == (10, 10, 10)


def test_sixteen_bit_colours_are_scaled():
    rows = np.zeros((64, 64, 3), ">u2")
    rows[...] = np.array(RED) * 257
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    assert open_picture(png(64, 64, 16, lines)).getpixel((3, 3)) == RED


def test_floating_point_pictures_fill_the_range():
    values = np.tile(np.linspace(0, 1, 128, dtype=np.float32), (64, 1))
    opened = np.asarray(open_picture(saved(Image.fromarray(values), "TIFF")))
    assert (opened[0, 0, 0], opened[0, -1, 0]) == (0, 255)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animations_give_their_first_frame(kind):
    frames = [Image.new("RGB", (70, 70), color) for color in (RED, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert open_picture(content).convert("RGB").getpixel((30, 30)) == pytest.approx(RED, abs=1)


def test_large_pictures_are_reduced_in_proportion():
    opened = open_picture(saved(two_colors(3000, 1500), "PNG"))
    assert opened.size == (LONG_SIDE, LONG_SIDE // 2)
    assert opened.getpixel((100, 100)) == RED


DEEP = np.linspace(0, 1, 700 * 500, dtype=np.float32).reshape(500, 700)


def of_mode(mode: str) -> Image.Image:
    """A large picture of a mode, whose pixels differ everywhere."""
    if mode == "F":
        return Image.fromarray(DEEP * 3 - 1)
    if mode in ("I;16", "I"):
        values = (DEEP * 60_000).astype(np.uint16 if mode == "I;16" else np.int32)
        return Image.fromarray(values)
    noise = np.random.default_rng(1).integers(0, 256, (500, 700, 4), np.uint8)
    return Image.fromarray(noise, "RGBA").convert("RGB").convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "LA", "RGBA", "CMYK", "I;16", "I", "F"])
def test_a_large_picture_of_any_mode_is_the_same_in_bands(mode, monkeypatch):
    monkeypatch.setattr(opening, "LONG_SIDE", 200)
    content = saved(of_mode(mode), "TIFF")
    opened = []
    for pixels in (10_000, 10**9):  # in twelve bands, or more, and as a whole
        monkeypatch.setattr(opening, "_BAND_PIXELS", pixels)
        opened.append(open_picture(content))
    assert far(*opened) == 0
    assert max(opened[0].size) == 200 and opened[0].mode in ("RGB", "RGBA")


def test_a_large_picture_looks_as_if_it_was_reduced_as_a_whole(monkeypatch):
    monkeypatch.setattr(opening, "LONG_SIDE", 200)
    picture = of_mode("RGB").filter(ImageFilter.GaussianBlur(4))
    whole = picture.resize((200, 143), Image.Resampling.LANCZOS)
    for kind in ("PNG", "JPEG", "WEBP"):
        content = saved(picture, kind, quality=98)
        assert far(open_picture(content), whole) <= 16, kind


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_large_pictures_are_turned_upright(kind, monkeypatch):
    monkeypatch.setattr(opening, "LONG_SIDE", 200)
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = open_picture(saved(two_colors(700, 500), kind, exif=exif))
    assert opened.size == (143, 200)
    assert opened.getpixel((70, 20)) == pytest.approx(RED, abs=6)
    assert opened.getpixel((70, 180)) == pytest.approx(BLUE, abs=6)


MEASURE = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from pipelines.reference.opening import open_picture

content = open(sys.argv[1], "rb").read()
open_picture(open(sys.argv[2], "rb").read())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(6) as pool:
    assert all(opened.size == (2048, 2048) for opened in pool.map(open_picture, [content] * 6))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="maximum memory is counted otherwise")
def test_several_large_pictures_take_hardly_more_than_one(tmp_path):
    large, small = tmp_path / "large.png", tmp_path / "small.png"
    large.write_bytes(saved(Image.new("RGBA", (5000, 5000)), "PNG", compress_level=1))
    small.write_bytes(saved(two_colors(), "PNG"))
    command = [sys.executable, "-c", MEASURE, str(large), str(small)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    decoded = 100  # MB of one, as Pillow holds it
    opened = 6 * 2048 * 2048 * 4 / 1e6  # of all, when they are ready
    assert float(done.stdout) < 2 * decoded + 2 * opened


def png(width: int, height: int, depth: int, lines: bytes) -> bytes:
    """A PNG of RGB pixels, written by hand."""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


@pytest.mark.parametrize("side", [8_100, 10_000, 30_000])
def test_too_many_pixels_are_refused_before_decoding(side):
    assert side * side > MOST_PIXELS
    refusal = message(png(side, side, 8, b"hardly any pixels"))
    assert "more than 64 million pixels" in refusal and "smaller copy" in refusal


def test_too_few_pixels_are_refused():
    small = message(saved(two_colors(200, LEAST_SIDE - 1), "PNG"))
    assert "too small" in small and "200 x 63" in small
    assert open_picture(saved(two_colors(LEAST_SIDE, LEAST_SIDE), "PNG")).size == (64, 64)
    assert "long and narrow" in message(saved(two_colors(4000, 70), "PNG"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_pictures_are_refused(kind, share):
    noise = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    content = saved(Image.fromarray(noise), kind)
    with pytest.raises(PictureError, match="damaged|not a picture"):
        open_picture(content[: int(len(content) * share)])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_damaged_pictures_open_or_are_refused_with_a_message(kind):
    rng = np.random.default_rng(1)
    whole = saved(two_colors(), kind, exif=bytes(Image.Exif()))
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(damaged), 8):
            damaged[place] = rng.integers(256)
        try:
            assert open_picture(bytes(damaged)).mode in ("RGB", "RGBA")
        except PictureError as refusal:
            assert str(refusal).startswith("The picture ")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(99), "film"),
        (b"%PDF-1.7\n", "PDF"),
        (b"8BPS\0\1" + bytes(40), "Photoshop"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "PostScript"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (b"PK\x03\x04" + bytes(40), "archive"),
        (b"a girl in a red hat\n", "not a picture"),
        (b"", "empty"),
    ],
)
def test_other_files_are_named(content, named):
    assert named in message(content)


def test_missing_files_and_folders_are_refused(tmp_path):
    for path in (tmp_path / "nobody.png", tmp_path):
        with pytest.raises(PictureError, match=f"{path.name} cannot be opened"):
            open_picture(path)


def test_the_message_has_the_files_name(tmp_path):
    path = tmp_path / "hero.png"
    path.write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"^hero\.png is not a picture"):
        open_picture(path)
