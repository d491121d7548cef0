"""Reference pictures on disk: names, round trips, damage, foreign names."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from storyboard.errors import ProjectError
from storyboard.storage.reference_store import ReferenceStore
from tests.pipelines.pictures import reference


@pytest.fixture
def references(tmp_path: Path) -> ReferenceStore:
    return ReferenceStore(tmp_path / "references")


def same(one: Image.Image, other: Image.Image) -> bool:
    return (one.mode, one.size, one.tobytes()) == (other.mode, other.size, other.tobytes())


def test_a_reference_is_named_by_its_bytes_and_kept_with_what_it_was_made_from(
    references: ReferenceStore,
) -> None:
    made = reference(doubt="The mask looks odd.")
    name = references.add(made)
    path = references.path(name)
    assert name == made.name == f"{hashlib.sha256(path.read_bytes()).hexdigest()}.png"
    assert same(references.image(name), made.image)
    again = ReferenceStore(references.folder).load(name)
    assert again.doubt == "The mask looks odd."
    for part in ("image", "source", "mask"):
        assert same(getattr(again, part), getattr(made, part))
    assert again.name == name
    stem = name.removesuffix(".png")
    assert {p.name for p in references.folder.iterdir()} == {
        name, f"{stem}.source.png", f"{stem}.mask.png", f"{stem}.json"
    }  # fmt: skip


def test_a_reference_that_is_there_is_never_written_again(references: ReferenceStore) -> None:
    name = references.add(reference())
    before = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in references.folder.iterdir()}
    assert references.add(replace(reference(), doubt="another doubt")) == name
    after = {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in references.folder.iterdir()}
    assert after == before
    other = references.add(reference((1, 2, 3)))
    assert other != name
    assert same(references.image(name), reference().image)


def test_a_full_disk_is_reported_and_leaves_no_reference(
    references: ReferenceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def full_at_the_third_file(file: int) -> None:
        calls.append(file)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_at_the_third_file)
        with pytest.raises(ProjectError, match="No space left"):
            references.add(reference())
    with pytest.raises(ProjectError, match="is missing"):
        references.path(reference().name)
    assert references.load(references.add(reference())).name == reference().name


@pytest.mark.parametrize(
    "name",
    ["", "..", "../x.png", "a" * 64, "A" * 64 + ".png", "a" * 64 + ".png\n", "a" * 64 + ".json"],
)
def test_foreign_names_build_no_path(references: ReferenceStore, name: str) -> None:
    references.add(reference())
    for use in (references.path, references.image, references.load):
        with pytest.raises(ProjectError, match="not the name of a reference|is missing"):
            use(name)


def test_a_changed_picture_is_refused(references: ReferenceStore) -> None:
    name = references.add(reference())
    path = references.path(name)
    path.write_bytes(reference((1, 2, 3)).content)
    with pytest.raises(ProjectError, match="has changed"):
        references.image(name)


def test_a_missing_or_damaged_source_is_reported_and_the_picture_still_loads(
    references: ReferenceStore,
) -> None:
    name = references.add(reference())
    mask = references.path(name).with_suffix(".mask.png")
    for content in (b"", mask.read_bytes()[:60], reference().content):
        mask.write_bytes(content)
        with pytest.raises(ProjectError, match="damaged") as caught:
            references.load(name)
        assert name.removesuffix(".png") in str(caught.value)
    mask.unlink()
    with pytest.raises(ProjectError, match="mask.png is missing"):
        references.load(name)
    assert same(references.image(name), reference().image)
    record = references.path(name).with_suffix(".json")
    record.write_text(json.dumps({"kind": "another"}))
    with pytest.raises(ProjectError, match="not a throughline reference"):
        references.load(name)
