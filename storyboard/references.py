"""A project's reference pictures, each beside what it was made from.

    <folder>/<sha256>.png          the prepared picture; its name is the SHA-256 of its bytes
    <folder>/<sha256>.source.png   the picture that the figure was cut out of
    <folder>/<sha256>.mask.png     what was cut out: white is the figure
    <folder>/<sha256>.json         when it was made, and what is doubtful about it

Requests name the first; the others are there so that the mask can be mended later. Nothing is
overwritten or deleted, since old takes go on naming old pictures. It knows nothing of how a figure
is found: `storyboard.engine.prepare_reference` does.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import TypeAdapter, ValidationError

from storyboard.board import PictureName
from storyboard.errors import ProjectError
from storyboard.files import DocumentKind, png_bytes, unwritable, write_atomically

if TYPE_CHECKING:
    from PIL import Image

REFERENCE_FILE = DocumentKind("throughline reference")
LARGEST_SIDE = 1024  # pixels of a prepared picture
LARGEST_SOURCE = 2048  # pixels of a side of what it was cut out of

_NAME = TypeAdapter(PictureName)
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What Pillow raises on PNG files that are damaged.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)


@dataclass(frozen=True)
class Reference:
    """A figure on white, ready to be followed, and what it was made from.

    Attributes:
        image: the figure on white, RGB, square, at most 1024 pixels a side.
        source: the picture that it was cut out of, RGB or RGBA, at most 2048 pixels a side.
        mask: what was cut out, mode "L" and of the source's size: 255 is the figure.
        doubt: what makes the mask look wrong, for a person; empty where nothing does.
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
        """The prepared picture as a PNG file."""
        return png_bytes(self.image)

    @cached_property
    def name(self) -> str:
        """What requests call it: the SHA-256 of its bytes, and ".png"."""
        return f"{hashlib.sha256(self.content).hexdigest()}.png"


# Looks for the figure in an opened picture: a mask, mode "L" and of the picture's size.
FindFigure = Callable[["Image.Image"], "Image.Image"]


class PrepareReference(Protocol):
    """Makes a reference of a picture; `storyboard.engine.prepare_reference` is the real one."""

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
            picture: a file, its content, or a picture that was opened this way before.
            mask: the figure where it is known already, mode "L" and of the opened picture's size;
                None to look for it.
            added: strokes of a brush over what belongs to the figure, likewise.
            removed: strokes over what does not; where both were painted, removing wins.
            find: looks for the figure where no mask is given; None for the built-in way, which
                needs no network.

        Raises:
            PictureError: if the picture cannot be opened.
            NoFigureFound: if no figure is found in it, or hardly any is left in the mask.
        """
        ...


class References:
    """The reference pictures in a folder.

    Args:
        folder: where they are; made when the first is added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, reference: Reference) -> str:
        """Keep a reference; one that is there already stays as it is.

        Returns:
            Its name.

        Raises:
            ProjectError: if the disk does not take it.
        """
        path = self.folder / reference.name
        if path.is_file():
            return reference.name
        made = datetime.now(UTC).isoformat(timespec="seconds")
        # The picture comes last: where it is, all that it was made from is there, too.
        files = {
            path.with_suffix(".source.png"): png_bytes(reference.source),
            path.with_suffix(".mask.png"): png_bytes(reference.mask),
            path.with_suffix(".json"): REFERENCE_FILE.dump(
                {"made": made, "doubt": reference.doubt}
            ),
            path: reference.content,
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for target, content in files.items():
                write_atomically(target, content)
        except OSError as error:
            raise unwritable(path, error) from error
        return reference.name

    def path(self, name: str) -> Path:
        """The file of a prepared picture, whose name may come from a browser.

        Raises:
            ProjectError: if there is none.
        """
        path = self._named(name)
        if not path.is_file():
            raise ProjectError(
                f"The reference picture {path} is missing.",
                "Put it back from a copy, or give the character its picture again.",
            )
        return path

    def image(self, name: str) -> Image.Image:
        """A prepared picture, RGB.

        Raises:
            ProjectError: if there is none, or it is not what it was when it was named.
        """
        path = self.path(name)
        content = _read(path)
        if hashlib.sha256(content).hexdigest() != path.stem:
            raise _damaged(path, "its content has changed")
        return _picture(path, content)

    def load(self, name: str) -> Reference:
        """A reference and what it was made from, to mend its mask.

        Raises:
            ProjectError: if one of its files is missing or damaged.
        """
        path = self.path(name)
        source, mask = path.with_suffix(".source.png"), path.with_suffix(".mask.png")
        record = REFERENCE_FILE.read(path.with_suffix(".json"))
        try:
            return Reference(
                self.image(name),
                _picture(source, _read(source)),
                _picture(mask, _read(mask)),
                str(record.get("doubt", "")),
            )
        except ValueError as error:
            raise _damaged(path, str(error)) from error

    def _named(self, name: str) -> Path:
        try:
            return self.folder / (_NAME.validate_python(name) or "none")
        except ValidationError as error:
            raise ProjectError(f"{name!r} is not the name of a reference picture.") from error


def read_png(content: bytes) -> Image.Image:
    """Read a PNG picture that need not be one; nothing is decoded before its size is known.

    Raises:
        ValueError: if it is none, is damaged, or has a side of more than 2048 pixels.
    """
    import io

    from PIL import Image

    if not content.startswith(_PNG_SIGNATURE) or len(content) < 24:
        raise ValueError("it is not a PNG picture")
    width, height = struct.unpack(">II", content[16:24])
    if not 0 < max(width, height) <= LARGEST_SOURCE:
        raise ValueError(f"it is {width} x {height} pixels, more than {LARGEST_SOURCE} a side")
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            plain = picture.copy()
    except _DAMAGE as error:
        raise ValueError(f"it is damaged: {' '.join(str(error).split())}") from error
    plain.info = {}
    return plain


def _picture(path: Path, content: bytes) -> Image.Image:
    try:
        return read_png(content)
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProjectError(
            f"{path} cannot be read ({error.strerror or error}).",
            "Put it back from a copy, or give the character its picture again.",
        ) from error


def _damaged(path: Path, fault: str) -> ProjectError:
    return ProjectError(
        f"The reference picture {path} is damaged: {fault}.",
        "It was left as it is; put a copy back, or give the character its picture again.",
    )
