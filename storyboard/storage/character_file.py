"""Character files: a character's description, reference picture and strength in one file.

A `.character` file is a ZIP archive:

    character.json   name, description and strength
    reference.png    the prepared picture; this and the next two where the character has one
    source.png       the picture that it was cut out of
    mask.png         the mask of what was cut out

The content of such a file is not trusted: its size is checked before it is read, and only pictures
that a project could have made are accepted. This module knows nothing of pages.
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
from storyboard.storage.files import DocumentKind, fault_of, write_result
from storyboard.storage.projects import Project
from storyboard.storage.reference_store import ReferenceStore

SUFFIX = ".character"
CHARACTER_FILE = DocumentKind("throughline character")

_RECORD, _REFERENCE, _SOURCE, _MASK = "character.json", "reference.png", "source.png", "mask.png"
_MOST_BYTES = 64_000_000  # of a picture in the archive: one of 2048 x 2048 is smaller
_MOST_WORDS = 1_000_000  # of the record, which takes many times as much once it is read
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What zipfile raises at archives that are damaged, or encrypted (RuntimeError).
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError)


@dataclass(frozen=True)
class PortableCharacter:
    """The content of a character file: a character, and its reference picture, if it has one."""

    character: Character
    reference: Reference | None

    def adopt(self, references: ReferenceStore) -> Character:
        """Store the reference picture in a project's, and return the character with its name.

        Raises:
            ProjectError: if it cannot be written.
        """
        if self.reference is None:
            return self.character
        return self.character.model_copy(update={"reference": references.add(self.reference)})


def save_character(project: Project, path: Path) -> Path:
    """Write the character of a project's stored storyboard to a file.

    Returns:
        The file's path, as given; replaced if it exists.

    Raises:
        UserError: if the character has neither a description nor a picture, its picture is
            missing, or the file cannot be written.
    """
    character = project.load().character
    if not (character.description.strip() or character.reference):
        raise UserError(
            "The character has neither a description nor a picture.",
            "Describe it or give it a picture, then save it.",
        )
    body = character.model_dump(mode="json", include={"name", "description", "strength"})
    files = {_RECORD: CHARACTER_FILE.dump({"character": body})}
    if character.reference:
        reference = project.references.load(character.reference)
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
        UserError: if it cannot be read, is not a character file, or is damaged.
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
            f"{path} is not a character file that can be read: {' '.join(str(error).split())}.",
            f"Choose a {SUFFIX} file that Throughline saved.",
        ) from error


def _read(archive: zipfile.ZipFile, path: Path) -> PortableCharacter:
    body = CHARACTER_FILE.parse(_member(archive, _RECORD), path / _RECORD)
    try:
        character = Character.model_validate(body.get("character"))
    except ValidationError as error:
        raise ValueError(fault_of(error)) from error
    # The picture is named by its content once a project stores it.
    character = character.model_copy(update={"reference": ""})
    if _REFERENCE not in archive.namelist():
        return PortableCharacter(character, None)
    image, source, mask = (read_png(_member(archive, n)) for n in (_REFERENCE, _SOURCE, _MASK))
    return PortableCharacter(character, Reference(image, source, mask))


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return one of the archive's files; its size is checked before it is unpacked."""
    if name not in archive.namelist():
        raise ValueError(f"{name} is not in it")
    member = archive.getinfo(name)
    most = _MOST_WORDS if name == _RECORD else _MOST_BYTES
    if member.file_size > most:
        raise ValueError(f"{name} is larger than {most // 1_000_000} MB")
    if member.compress_type not in _PACKINGS:
        raise ValueError(f"{name} is packed in an unusual way")
    return archive.read(member)
