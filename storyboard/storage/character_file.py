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
import zipfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pipelines.errors import UserError
from pipelines.pictures import Reference, png_bytes, read_png
from storyboard.board import Character
from storyboard.storage.files import DocumentKind, fault_of, write_result
from storyboard.storage.project import Project
from storyboard.storage.reference_store import ReferenceStore
from storyboard.storage.zip_files import opened_zip, read_member, write_zip

SUFFIX = ".character"
CHARACTER_FILE = DocumentKind("throughline character")

_RECORD, _REFERENCE, _SOURCE, _MASK = "character.json", "reference.png", "source.png", "mask.png"


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
    files: dict[str, Path | bytes] = {_RECORD: CHARACTER_FILE.dump({"character": body})}
    if character.reference:
        reference = project.references.load(character.reference)
        files |= {
            _REFERENCE: reference.content,
            _SOURCE: png_bytes(reference.source),
            _MASK: png_bytes(reference.mask),
        }
    packed = io.BytesIO()
    write_zip(packed, files.items())
    write_result(path, packed.getvalue())
    return path


def load_character(path: Path) -> PortableCharacter:
    """Read a character file.

    Raises:
        UserError: if it cannot be read, is not a character file, or is damaged.
    """
    remedy = f"Choose a {SUFFIX} file that Throughline saved."
    with opened_zip(path, "a character file", remedy) as archive:
        return _read(archive, path)


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
    """Return the content of one of the archive's files."""
    member = archive.getinfo(name) if name in archive.namelist() else None
    return read_member(archive, member, name)
