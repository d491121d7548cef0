"""Pictures that the application and the engine exchange: references, masks, PNG files; no torch."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

LARGEST_SIDE = 1024  # pixels of a prepared picture
LARGEST_SOURCE = 2048  # pixels of a side of the picture that it was cut out of

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_MOST_TEXT = 1_000_000  # bytes of all texts and the profile; Pillow refuses more in one of them

# Exceptions of Pillow at damaged PNG files.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)

# Finds the figure in an opened picture: a mask, mode "L" and of the picture's size.
FindFigure = Callable[["Image.Image"], "Image.Image"]


def mask_picture(mask: NDArray[np.bool_], size: tuple[int, int]) -> Image.Image:
    """Draw a foreground mask (rows, columns) as a picture: white where the character is."""
    from PIL import Image

    small = Image.fromarray(mask.astype("uint8") * 255)
    return small.resize(size, Image.Resampling.NEAREST)


def smooth_mask(mask: Image.Image) -> Image.Image:
    """Draw a mask picture of `mask_picture` with smooth edges, for show.

    Args:
        mask: mode "L", of squares of 16 pixels.
    """
    from PIL import Image

    tokens = mask.resize((mask.width // 16, mask.height // 16), Image.Resampling.BOX)
    soft = tokens.resize(mask.size, Image.Resampling.BICUBIC)
    # Four times as steep around the middle: an edge a quarter as wide as bicubic makes it.
    return soft.point([min(max(round(4 * (value - 128) + 128), 0), 255) for value in range(256)])


def png_bytes(image: Image.Image, **texts: str) -> bytes:
    """Encode a picture as a PNG file, with texts as international text chunks of these names."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


@dataclass(frozen=True)
class Reference:
    """A reference image, with the picture and the mask that it was made from.

    Attributes:
        image: the figure on white, RGB, square, at most 1024 pixels a side.
        source: the picture that it was cut out of, RGB or RGBA, at most 2048 pixels a side.
        mask: the figure in the source, mode "L" and of its size: 255 is the figure.
        doubt: a reason to doubt the mask, for a person; empty where there is none.
    """

    image: Image.Image
    source: Image.Image
    mask: Image.Image
    doubt: str = ""

    def __post_init__(self) -> None:
        width, height = self.image.size
        if self.image.mode != "RGB" or width != height or width > LARGEST_SIDE:
            raise ValueError(
                f"a reference is a square of at most {LARGEST_SIDE} pixels in RGB, not "
                f"{width} x {height} in {self.image.mode}"
            )
        if self.source.mode not in ("RGB", "RGBA") or max(self.source.size) > LARGEST_SOURCE:
            raise ValueError(
                f"its picture is in RGB or RGBA and at most {LARGEST_SOURCE} pixels a side, not "
                f"{self.source.width} x {self.source.height} in {self.source.mode}"
            )
        if self.mask.mode != "L" or self.mask.size != self.source.size:
            raise ValueError(
                f"its mask is {self.mask.width} x {self.mask.height} in {self.mask.mode}, the "
                f"picture {self.source.width} x {self.source.height}"
            )

    @cached_property
    def content(self) -> bytes:
        """The reference image as a PNG file."""
        return png_bytes(self.image)

    @cached_property
    def name(self) -> str:
        """Its name in requests: the SHA-256 of its PNG file, and ".png"."""
        return f"{hashlib.sha256(self.content).hexdigest()}.png"


class PrepareReference(Protocol):
    """Function that makes a reference of a picture, as `reference.from_upload` does."""

    def __call__(
        self,
        picture: bytes | Path | Image.Image,
        mask: Image.Image | None = None,
        added: Image.Image | None = None,
        removed: Image.Image | None = None,
        find: FindFigure | None = None,
    ) -> Reference:
        """Cut the figure out of a picture and put it on white.

        Args:
            picture: a file, its content, or the source of an earlier reference.
            mask: the figure where it is known, mode "L" and of the opened picture's size; None to
                find it.
            added: brush strokes over parts of the figure, likewise.
            removed: brush strokes over other parts; they win over added ones.
            find: finds the figure where no mask is given; None for the built-in matting, which
                needs no network.

        Raises:
            PictureError: if the picture cannot be opened.
            NoFigureFound: if there is no figure in it, or hardly any in the mask.
        """
        ...


def without_large_texts(content: bytes) -> bytes:
    """Return a PNG file without texts and colour profiles that are larger than Pillow reads.

    Some programs keep whole documents there, and Pillow refuses the picture for them. Other content
    comes back as it is, whether it is a PNG file or not.
    """
    if not content.startswith(_PNG_SIGNATURE):
        return content
    kept, start, left = [_PNG_SIGNATURE], len(_PNG_SIGNATURE), _MOST_TEXT
    while start + 12 <= len(content):
        length, kind = struct.unpack(">I4s", content[start : start + 8])
        stop = start + 12 + length
        if kind in _PNG_TEXTS:
            size = _unpacked(kind, content[start + 8 : stop - 4])
            if size > left:
                start = stop
                continue
            left -= size
        kept.append(content[start:stop])
        start = stop
    return b"".join([*kept, content[start:]])


def _unpacked(kind: bytes, text: bytes) -> int:
    """Return the bytes of a text or profile once it is unpacked, or more than are allowed."""
    if len(text) > _MOST_TEXT:
        return len(text)
    name, _, rest = text.partition(b"\0")
    packed = {b"zTXt": rest[1:], b"iCCP": rest[1:]}.get(kind)
    if kind == b"iTXt" and rest[:1] == b"\1":
        packed = rest[2:].split(b"\0", 2)[-1]
    if packed is None:
        return len(text)
    try:
        return len(name) + len(zlib.decompressobj().decompress(packed, _MOST_TEXT + 1))
    except zlib.error:
        return len(text)


def read_png(content: bytes) -> Image.Image:
    """Decode a PNG picture of an untrusted source, after a check of its size.

    Raises:
        ValueError: if it is no PNG, is damaged, or has a side of more than 2048 pixels.
    """
    from PIL import Image

    if not content.startswith(_PNG_SIGNATURE) or len(content) < 24:
        raise ValueError("it is not a PNG picture")
    width, height = struct.unpack(">II", content[16:24])
    if not 0 < max(width, height) <= LARGEST_SOURCE:
        raise ValueError(f"it is {width} x {height} pixels, more than {LARGEST_SOURCE} a side")
    try:
        plainer = without_large_texts(content)
        with Image.open(io.BytesIO(plainer), formats=["PNG"]) as picture:
            plain = picture.copy()
    except _DAMAGE as error:
        raise ValueError(f"it is damaged: {' '.join(str(error).split())}") from error
    plain.info = {}
    return plain
