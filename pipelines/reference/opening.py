"""Open any file as a picture, upright and in RGB or RGBA, or refuse it with a message.

The header is checked before anything is decoded. A small file can hold many pixels, so large
pictures are reduced in bands before they are converted, and few are decoded at once: at most 2 GB
are in use, however many come.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from pipelines.errors import PictureError
from pipelines.pictures import without_large_texts

MOST_PIXELS = 64_000_000
MOST_BYTES = 128_000_000
LEAST_SIDE = 64  # pixels
LONG_SIDE = 2048  # pixels; larger pictures are reduced to it
# No EPS (Pillow runs an interpreter for it), and no rare formats.
FORMATS = "JPEG MPO PNG WEBP GIF AVIF BMP TIFF JPEG2000 TGA PPM ICO".split()

_ORIENTATION = 0x0112  # tag of EXIF
_BAND_PIXELS = 2_000_000
# Large pictures are decoded one at a time, and in one thread: the C library keeps what a thread has
# freed for that thread alone.
_LARGE_PIXELS = 4_000_000
_large = ThreadPoolExecutor(1, "decoding")
_small = threading.BoundedSemaphore(8)

_USE = "Use a PNG, JPEG or WebP picture."
_FULL_16_BIT = 65535
# Exceptions of Pillow and its parsers at damaged files.
_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, RuntimeError),
    struct.error,
)
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_KNOWN_STARTS = (
    (b"%PDF", "a PDF document. Export the page as a PNG picture."),
    (b"8BPS", "a Photoshop file. Export it as a PNG picture."),
    (b"%!PS", "a PostScript file. Export it as a PNG picture."),
    (b"\xff\x0a", "a JPEG XL picture, which cannot be read here. Save it as PNG or JPEG."),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture, which cannot be read here. Save it as PNG or JPEG."),
    (b"PK\x03\x04", "an archive or a document. Take the picture out of it."),
    (b"\x1aE\xdf\xa3", "a film. Save one frame of it as a picture."),
)


def open_picture(file: Path | bytes) -> Image.Image:
    """Open a picture of a character.

    Of animations, the first frame is taken. Rotation by EXIF is applied, colour profiles are
    converted to sRGB, 16 bits are scaled to 8, and pictures with a long side above LONG_SIDE are
    reduced.

    Args:
        file: a path, or the content of a file.

    Returns:
        RGBA where the file has transparency, else RGB; without metadata.

    Raises:
        PictureError: if it is no picture, is damaged, or has too many or too few pixels.
    """
    name = file.name if isinstance(file, Path) else "The picture"
    content = _content(file, name)
    try:
        with _identified(content, name) as image:
            _check_size(image, name)
            pixels = image.width * image.height
        if pixels > _LARGE_PIXELS:
            decoded = _large.submit(_decoded, content, name).result()
        else:
            with _small:
                decoded = _decoded(content, name)
        return _reduced(_in_rgb(decoded))
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(name) from None
    except _DAMAGE as error:
        raise PictureError(
            f"{name} is damaged or cut off ({' '.join(str(error).split())}). "
            "Download or export it again."
        ) from error


def _content(file: Path | bytes, name: str) -> bytes:
    content = file
    if isinstance(content, Path):
        try:
            with content.open("rb") as stream:
                content = stream.read(MOST_BYTES + 1)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise PictureError(
                f"{name} cannot be opened ({reason}). Check that the file is there and may be read."
            ) from error
    if not content:
        raise PictureError(f"{name} is empty (0 bytes). Download or export it again.")
    if len(content) > MOST_BYTES:
        raise PictureError(
            f"{name} is larger than {MOST_BYTES // 1_000_000} MB. Save a smaller copy of it."
        )
    return content


def _identified(content: bytes, name: str) -> Image.Image:
    Image.init()
    readable = [known for known in FORMATS if known in Image.OPEN]
    try:
        return Image.open(BytesIO(without_large_texts(content)), formats=readable)
    except UnidentifiedImageError:
        raise PictureError(f"{name} is {_kind_of_file(content)}") from None


def _kind_of_file(content: bytes) -> str:
    """Name the kind of a file that is no readable picture, with a remedy."""
    start = content[:2048].lower()
    if content[4:8] == b"ftyp":
        if content[8:12] in _HEIC_BRANDS:
            return "a HEIC picture, which cannot be read here. Save it as JPEG or PNG."
        if content[8:12] in (b"avif", b"avis"):
            return "a damaged AVIF picture. Download or export it again."
        return "a film. Save one frame of it as a picture."
    if b"<svg" in start:
        return "an SVG drawing, which has no pixels. Export it as PNG, 1024 pixels high or so."
    if b"<html" in start or b"<!doctype html" in start:
        return "a web page. Save the picture on it instead of the page."
    for known, words in _KNOWN_STARTS:
        if content.startswith(known):
            return words
    return f"not a picture that can be read here. {_USE}"


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    size = f"{width} x {height} pixels"
    if width * height > MOST_PIXELS:
        raise _too_many_pixels(name, f" ({width} x {height})")
    if min(width, height) < LEAST_SIDE:
        raise PictureError(
            f"{name} is too small to show a character: {size}. "
            f"Use one with at least {LEAST_SIDE} pixels a side."
        )
    if min(width, height) * LONG_SIDE < LEAST_SIDE * max(width, height):
        raise PictureError(
            f"{name} is too long and narrow: {size}. Cut out the part with the character."
        )


def _too_many_pixels(name: str, size: str = "") -> PictureError:
    return PictureError(
        f"{name} has more than {MOST_PIXELS // 1_000_000} million pixels{size}. "
        f"Save a smaller copy, {LONG_SIDE} pixels wide or so."
    )


def _decoded(content: bytes, name: str) -> Image.Image:
    """Return a picture upright and in 8 bits; the memory of the whole one is free again."""
    with _identified(content, name) as image:
        # JPEG is decoded in a smaller size; nothing else can be.
        image.draft(image.mode, _size_within(image.size, LONG_SIDE))
        image.load()
        small = _shrunk(image)
        _turn_upright(small, image)
        return small


def _size_within(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """Return a size of the same shape whose longer side is as given."""
    width, height = size
    longer = max(size)
    return max(1, width * long_side // longer), max(1, height * long_side // longer)


def _shrunk(image: Image.Image) -> Image.Image:
    """Return a decoded picture in 8 bits, with sides of less than twice LONG_SIDE."""
    factor = max(1, max(image.size) // LONG_SIDE)
    lowest, highest = _gray_range(image) if _is_deep_gray(image) else (0.0, 0.0)
    shrunk: Image.Image | None = None
    for top, band in _bands(image, factor):
        if _is_deep_gray(image):
            band = _eight_bit_gray(band, lowest, highest)
        elif band.has_transparency_data:
            band = band.convert("RGBA")
        elif band.mode in ("P", "1"):
            band = band.convert("RGB")
        band = band.reduce(factor) if factor > 1 else band
        if shrunk is None:
            width, height = (-(-side // factor) for side in image.size)
            shrunk = Image.new(band.mode, (width, height))
        shrunk.paste(band, (0, top // factor))
    assert shrunk is not None  # a picture has rows
    shrunk.info = {name: image.info[name] for name in ("icc_profile",) if name in image.info}
    return shrunk


def _bands(image: Image.Image, factor: int) -> Iterator[tuple[int, Image.Image]]:
    """Yield a picture in bands of whole rows, each with its top; heights are `factor` times n."""
    rows = factor * max(1, _BAND_PIXELS // (image.width * factor))
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _turn_upright(shrunk: Image.Image, image: Image.Image) -> None:
    """Rotate a shrunk picture as the EXIF block of its picture says."""
    try:
        shrunk.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
        ImageOps.exif_transpose(shrunk, in_place=True)
    except _DAMAGE:  # the EXIF block is broken
        pass


def _in_rgb(image: Image.Image) -> Image.Image:
    """Convert a picture of 8 bits to RGB or RGBA, with its colour profile."""
    converted = _in_srgb(image)
    return converted if converted.mode == "RGBA" else converted.convert("RGB")


def _in_srgb(image: Image.Image) -> Image.Image:
    """Apply the picture's colour profile, if it has one that fits its mode."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK", "L"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).casefold():
            return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode=mode)
    except (ImageCms.PyCMSError, OSError):  # a broken profile: its colours stay as they are
        return image
    return image if converted is None else converted


def _is_deep_gray(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def _gray_range(image: Image.Image) -> tuple[float, float]:
    """Return which values of a deep gray picture are black and white: 16 bits, or its own range."""
    least, most = np.inf, -np.inf
    for _, band in _bands(image, 1):
        values = _gray_values(band)
        least, most = min(least, float(values.min())), max(most, float(values.max()))
    if image.mode.startswith("I") and least >= 0 and most <= _FULL_16_BIT:
        return 0.0, float(_FULL_16_BIT)
    if least >= 0 and most <= 1:
        return 0.0, 1.0
    return least, most


def _gray_values(image: Image.Image) -> NDArray[np.float32]:
    return np.nan_to_num(np.asarray(image).astype(np.float32), posinf=0.0, neginf=0.0)


def _eight_bit_gray(image: Image.Image, least: float, most: float) -> Image.Image:
    """Scale gray to 8 bits: `least` becomes black, `most` white."""
    scaled = (_gray_values(image) - least) * (255 / max(most - least, 1e-12))
    return Image.fromarray(np.round(scaled).astype(np.uint8))


def _reduced(image: Image.Image) -> Image.Image:
    image.info = {}
    image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    return image
