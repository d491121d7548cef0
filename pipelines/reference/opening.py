"""Open any file as a picture, upright and in RGB or RGBA, or refuse it with a message.

The header is checked before anything is decoded.
"""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from pipelines.errors import PictureError
from pipelines.pictures import without_large_texts

MOST_PIXELS = 64_000_000
MOST_BYTES = 128_000_000
LEAST_SIDE = 64  # pixels
LONG_SIDE = 2048  # pixels; larger pictures are reduced to it
# No EPS (Pillow runs an interpreter for it), and no rare formats.
FORMATS = "JPEG MPO PNG WEBP GIF AVIF BMP TIFF JPEG2000 TGA PPM ICO".split()

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
            image.load()
            return _reduced(_in_rgb(_upright(image)))
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


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except _DAMAGE:  # the EXIF block is broken
        return image


def _in_rgb(image: Image.Image) -> Image.Image:
    """Convert a picture of any mode to RGB or RGBA, with its colour profile."""
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bit_gray(image).convert("RGB")
    if image.has_transparency_data:
        return _in_srgb(image.convert("RGBA"))
    if image.mode in ("P", "1"):
        image = image.convert("RGB")
    return _in_srgb(image).convert("RGB")


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


def _eight_bit_gray(image: Image.Image) -> Image.Image:
    """Scale gray to 8 bits: from 16 bits, or else from the picture's own range."""
    values = np.asarray(image).astype(np.float32)
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    least, most = float(values.min()), float(values.max())
    if image.mode.startswith("I") and least >= 0 and most <= _FULL_16_BIT:
        least, most = 0.0, float(_FULL_16_BIT)
    elif least >= 0 and most <= 1:
        least, most = 0.0, 1.0
    scaled = (values - least) * (255 / max(most - least, 1e-12))
    return Image.fromarray(np.round(scaled).astype(np.uint8))


def _reduced(image: Image.Image) -> Image.Image:
    plain = image.copy()
    plain.info = {}
    plain.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
    return plain
