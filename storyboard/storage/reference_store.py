"""Reference pictures of a project, each beside the picture and the mask that it was made from.

    <folder>/<sha256>.png          the prepared picture; its name is the SHA-256 of its bytes
    <folder>/<sha256>.source.png   the picture that the figure was cut out of
    <folder>/<sha256>.mask.png     the mask: white is the figure
    <folder>/<sha256>.json         when it was made, and the doubts about it

Requests name the first; the others are there so that the mask can be mended later. Nothing is
overwritten or deleted, since old takes go on naming old pictures. Figures are found elsewhere
(`storyboard.engine.prepare_reference`).
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from pipelines.pictures import Reference, png_bytes, read_png
from storyboard.board import PictureName
from storyboard.errors import ProjectError
from storyboard.storage.files import DocumentKind, read_file, write_result

if TYPE_CHECKING:
    from PIL import Image

REFERENCE_FILE = DocumentKind("throughline reference")

_NAME = TypeAdapter(PictureName)
_REMEDY = "Put it back from a copy, or give the character its picture again."


class ReferenceStore:
    """The reference pictures in a folder, which is made with the first one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, reference: Reference) -> str:
        """Store a reference and return its name; one that is there already stays as it is.

        Raises:
            ProjectError: if it cannot be written.
        """
        path = self.folder / reference.name
        if path.is_file():
            return reference.name
        made = datetime.now(UTC).isoformat(timespec="seconds")
        record = {"made": made, "doubt": reference.doubt}
        # The picture comes last: where it is, all that it was made from is there, too.
        files = {
            path.with_suffix(".source.png"): png_bytes(reference.source),
            path.with_suffix(".mask.png"): png_bytes(reference.mask),
            path.with_suffix(".json"): REFERENCE_FILE.dump(record),
            path: reference.content,
        }
        for target, content in files.items():
            write_result(target, content)
        return reference.name

    def path(self, name: str) -> Path:
        """Return the file of a prepared picture, whose name may come from a browser.

        Raises:
            ProjectError: if there is none.
        """
        try:
            path = self.folder / (_NAME.validate_python(name) or "none")
        except ValidationError as error:
            raise ProjectError(f"{name!r} is not the name of a reference picture.") from error
        if not path.is_file():
            raise ProjectError(
                f"The reference picture {path} is missing.",
                _REMEDY,
            )
        return path

    def image(self, name: str) -> Image.Image:
        """Load a prepared picture, RGB.

        Raises:
            ProjectError: if there is none, or its content does not match its name.
        """
        self.check(name)
        return _picture(self.path(name))

    def check(self, name: str) -> Path:
        """Return the file of a prepared picture whose content matches its name.

        Raises:
            ProjectError: if there is none, or it is damaged.
        """
        path = self.path(name)
        if hashlib.sha256(read_file(path, _REMEDY)).hexdigest() != path.stem:
            raise _damaged(path, "its content has changed")
        return path

    def load(self, name: str) -> Reference:
        """Load a reference with the picture and the mask that it was made from.

        Raises:
            ProjectError: if one of its files is missing or damaged.
        """
        path = self.path(name)
        source, mask = path.with_suffix(".source.png"), path.with_suffix(".mask.png")
        record = REFERENCE_FILE.read(path.with_suffix(".json"))
        try:
            return Reference(
                self.image(name),
                _picture(source),
                _picture(mask),
                str(record.get("doubt", "")),
            )
        except ValueError as error:
            raise _damaged(path, str(error)) from error


def _picture(path: Path) -> Image.Image:
    try:
        return read_png(read_file(path, _REMEDY))
    except ValueError as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, fault: str) -> ProjectError:
    return ProjectError(
        f"The reference picture {path} is damaged: {fault}.",
        "It was left as it is; put a copy back, or give the character its picture again.",
    )
