"""Portable characters: one file with a character's words, picture and settings.

A `.character` file is a ZIP archive:

    character.json   name, description and strength
    reference.png    the prepared picture; this and the next two where the character has one
    source.png       the picture that it was cut out of
    mask.png         what was cut out

What is in such a file comes from anywhere: it is measured before it is read, and only pictures
that a project could have made are taken. It knows nothing of pages.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pipelines.errors import UserError
from pipelines.pictures import Reference, png_bytes, read_png
from storyboard.board import Character
from storyboard.storage.files import DocumentKind, write_result
from storyboard.storage.pictures import References
from storyboard.storage.projects import Project

SUFFIX = ".character"
CHARACTER_FILE = DocumentKind("throughline character")

_RECORD, _REFERENCE, _SOURCE, _MASK = "character.json", "reference.png", "source.png", "mask.png"
_MOST_BYTES = 64_000_000  # of one file in the archive: a picture of 2048 x 2048 is smaller
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises at archives that are damaged, or encrypted (RuntimeError).
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError)


@dataclass(frozen=True)
class PortableCharacter:
    """What a character file holds.

    Attributes:
        character: name, description and strength.
        reference: the picture and what it was made from; None for a character in words alone.
    """

    character: Character
    reference: Reference | None

    def adopt(self, references: References) -> Character:
        """The character as a storyboard has it, its picture kept with the project's.

        Args:
            references: where the picture goes.

        Raises:
            ProjectError: if the disk does not take it.
        """
        if self.reference is None:
            return self.character
        return self.character.model_copy(update={"reference": references.add(self.reference)})


def save_character(project: Project, path: Path) -> Path:
    """Pack a project's character into a file.

    Args:
        project: its stored storyboard's character is packed.
        path: the file to write; replaced if it exists.

    Returns:
        `path`.

    Raises:
        UserError: if the character has neither words nor picture, its picture is missing, or the
            disk does not take the file.
    """
    character = project.load().character
    if not (character.description.strip() or character.reference):
        raise UserError(
            "The character has neither a description nor a picture.",
            "Describe it or give it a picture, then save it.",
        )
    reference = project.references.load(character.reference) if character.reference else None
    body = character.model_dump(mode="json", include={"name", "description", "strength"})
    files = {_RECORD: CHARACTER_FILE.dump({"character": body})}
    if reference is not None:
        files |= {
            _REFERENCE: reference.content,
            _SOURCE: png_bytes(reference.source),
            _MASK: png_bytes(reference.mask),
        }
    packed = io.BytesIO()
    # PNG is compressed already: packing it again only costs time.
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    write_result(path, packed.getvalue())
    return path


def load_character(path: Path) -> PortableCharacter:
    """Read a character file.

    Raises:
        UserError: if it cannot be read, is no character file, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be opened ({error.strerror or error}).",
            "Check that the file is there and may be read.",
        ) from error
    except _DAMAGE as error:
        raise UserError(
            f"{path} is not a character that can be read: {' '.join(str(error).split())}.",
            f"Choose a {SUFFIX} file that Throughline saved.",
        ) from error


def _read(archive: zipfile.ZipFile, path: Path) -> PortableCharacter:
    body = CHARACTER_FILE.parse(_member(archive, _RECORD), path / _RECORD)
    try:
        character = Character.model_validate(body.get("character"))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from error
    # Which picture it is follows from the picture itself, once a project has it.
    character = character.model_copy(update={"reference": ""})
    if _REFERENCE not in archive.namelist():
        return PortableCharacter(character, None)
    image, source, mask = (read_png(_member(archive, n)) for n in (_REFERENCE, _SOURCE, _MASK))
    return PortableCharacter(character, Reference(image, source, mask))


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """One of the archive's files, which says how large it is before it is unpacked."""
    if name not in archive.namelist():
        raise ValueError(f"{name} is not in it")
    member = archive.getinfo(name)
    if member.file_size > _MOST_BYTES:
        raise ValueError(f"{name} is larger than {_MOST_BYTES // 1_000_000} MB")
    if member.compress_type not in _PACKINGS:
        raise ValueError(f"{name} is packed in an unusual way")
    return archive.read(member)
