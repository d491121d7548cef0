"""Character files: round trips from project to project, and files that are not one."""

from __future__ import annotations

import io
import json
import random
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from pipelines.errors import UserError
from pipelines.pictures import png_bytes
from storyboard.board import Character, Storyboard
from storyboard.errors import ProjectError
from storyboard.storage.character_file import PortableCharacter, load_character, save_character
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from storyboard.storage.reference_store import ReferenceStore
from tests.pipelines.pictures import reference

ZOE = Character(name="Zoë", description="a girl in a green hoodie", strength=0.8)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Store(tmp_path / "projects").create(Storyboard(character=ZOE))
    name = project.references.add(reference(doubt="odd"))
    character = ZOE.model_copy(update={"reference": name})
    project.edit(lambda board: board.model_copy(update={"character": character}))
    return project


@pytest.fixture
def packed(project: Project, tmp_path: Path) -> Path:
    return save_character(project, tmp_path / "zoe.character")


def repack(path: Path, **changed: bytes | None) -> None:
    """Replace files of an archive; None removes one."""
    with zipfile.ZipFile(path) as archive:
        files: dict[str, bytes | None] = {n: archive.read(n) for n in archive.namelist()}
    files |= {name.replace("_", "."): content for name, content in changed.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            if content is not None:
                archive.writestr(name, content)


def test_a_character_goes_from_project_to_project(
    project: Project, packed: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(packed) as archive:
        names = {"character.json", "reference.png", "source.png", "mask.png"}
        assert set(archive.namelist()) == names
        assert "Zoë" in archive.read("character.json").decode()
    loaded = load_character(packed)
    assert loaded.character == ZOE
    other = Store(tmp_path / "elsewhere").create(Storyboard())
    adopted = loaded.adopt(other.references)
    assert adopted == project.load().character
    kept = other.references.load(adopted.reference)
    assert kept.source.tobytes() == reference().source.tobytes()
    assert kept.mask.tobytes() == reference().mask.tobytes()


def test_a_character_with_a_description_alone_goes_too(tmp_path: Path) -> None:
    project = Store(tmp_path / "projects").create(Storyboard(character=ZOE))
    loaded = load_character(save_character(project, tmp_path / "new folder" / "zoe.character"))
    assert loaded == PortableCharacter(ZOE, None)
    assert loaded.adopt(ReferenceStore(tmp_path / "references")) == ZOE
    assert not (tmp_path / "references").exists()


def test_a_character_that_cannot_be_saved_is_reported(project: Project, tmp_path: Path) -> None:
    empty = Store(tmp_path / "projects").create(Storyboard(character=Character(name="Zoë")))
    path = tmp_path / "zoe.character"
    with pytest.raises(UserError, match="neither a description nor a picture"):
        save_character(empty, path)
    project.references.path(project.load().character.reference).unlink()
    with pytest.raises(ProjectError, match="is missing"):
        save_character(project, path)
    assert not path.exists()


def test_a_name_in_the_file_names_no_picture_of_the_project(packed: Path) -> None:
    body = {"kind": "throughline character", "version": 1}
    named = body | {"character": {"name": "Zoë", "reference": "a" * 64 + ".png"}}
    gone = dict.fromkeys(("reference_png", "source_png", "mask_png"))
    repack(packed, character_json=json.dumps(named).encode(), **gone)
    assert load_character(packed) == PortableCharacter(Character(name="Zoë"), None)


BODY = b'{"kind": "throughline character", "version": 1, "character": '


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("character.json", None, "character.json is not in it"),
        ("character.json", b"{", "damaged"),
        ("character.json", b'{"kind": "throughline take", "version": 1}', "not a throughline"),
        ("character.json", BODY.replace(b"1", b"9") + b"{}}", "newer Throughline"),
        ("character.json", BODY + b'{"strength": 3}}', "strength"),
        ("character.json", BODY + b'{"strength": NaN}}', "NaN is not a number"),
        ("character.json", BODY + b'{"secret": 1}}', "secret"),
        ("reference.png", b"GIF89a", "not a PNG"),
        ("reference.png", png_bytes(Image.new("RGB", (20, 30))), "20 x 30"),
        ("source.png", None, "source.png is not in it"),
        ("mask.png", png_bytes(Image.new("L", (20, 30))), "20 x 30"),
        ("mask.png", png_bytes(Image.new("L", (3000, 1))), "3000 x 1"),
    ],
)
def test_a_foreign_file_is_refused_with_a_message(
    packed: Path, name: str, content: bytes | None, words: str
) -> None:
    repack(packed, **{name.replace(".", "_"): content})
    with pytest.raises(UserError, match=words) as caught:
        load_character(packed)
    assert str(packed) in str(caught.value)
    assert caught.value.remedy


def test_a_file_that_is_no_character_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "picture.character"
    with pytest.raises(UserError, match="cannot be opened"):
        load_character(path)
    with pytest.raises(UserError, match="cannot be opened"):
        load_character(tmp_path)
    path.write_bytes(reference().content)
    with pytest.raises(UserError, match="not a character"):
        load_character(path)


def test_an_archive_that_unpacks_to_too_much_is_refused(
    packed: Path,
) -> None:
    repack(packed, character_json=b"[" * 10_000_001)  # a hundred times as much, once it is read
    with pytest.raises(UserError, match="character.json is larger than 10 MB"):
        load_character(packed)
    repack(packed, character_json=BODY + b"{}}", reference_png=b"\0" * 64_000_001)
    with pytest.raises(UserError, match="reference.png is larger than 64 MB"):
        load_character(packed)
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("character.json", BODY + b"{}}")
    with pytest.raises(UserError, match="unusual way"):
        load_character(packed)


def test_any_damage_is_reported_without_a_traceback(packed: Path) -> None:
    whole = packed.read_bytes()
    draw = random.Random(3)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(draw.randint(1, 8)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        packed.write_bytes(bytes(damaged[: draw.choice([len(damaged), len(damaged) // 2])]))
        try:
            load_character(packed)
        except UserError:
            refused += 1
    assert refused > 75
    packed.write_bytes(whole)
    assert load_character(packed).character == ZOE
    assert zipfile.is_zipfile(io.BytesIO(whole))
