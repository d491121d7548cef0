"""Atomic files, versioned documents, and names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from storyboard.errors import ProjectError
from storyboard.settings import ROOT
from storyboard.storage.files import (
    STEM_LENGTH,
    DocumentKind,
    Migration,
    file_stem,
    write_atomically,
)


def _rename_title(body: dict[str, Any]) -> dict[str, Any]:
    return {"title": body["name"]}


def _add_mood(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "mood": "calm"}


OLD = DocumentKind("test story")
NEW = DocumentKind(
    "test story",
    (Migration("call the name a title", _rename_title), Migration("give it a mood", _add_mood)),
)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"one")

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_crash_before_the_move_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"one")
    crash = (
        "import os, pathlib, sys; from storyboard.storage.files import write_atomically\n"
        "os.replace = lambda *a: os._exit(9)\n"
        "write_atomically(pathlib.Path(sys.argv[1]), b'two' * 100000)"
    )
    done = subprocess.run([sys.executable, "-c", crash, str(path)], cwd=ROOT, check=False)
    assert done.returncode == 9
    assert path.read_bytes() == b"one"
    write_atomically(path, b"three")
    assert path.read_bytes() == b"three"


def test_a_document_survives(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(NEW.dump({"title": "Größe", "mood": "calm"}))
    assert NEW.read(path) == {"title": "Größe", "mood": "calm"}
    assert json.loads(path.read_text("utf-8"))["version"] == 3
    assert "Größe" in path.read_text("utf-8")


def test_an_old_document_is_migrated_in_order_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(OLD.dump({"name": "Maya"}))
    before = path.read_bytes()
    assert NEW.read(path) == {"title": "Maya", "mood": "calm"}
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"kind": "test story", "version": 2', "damaged"),
        (b"\xff\xfe\x00", "damaged"),
        (b"", "damaged"),
        (b'{"kind": "test story", "version": 1, "name": NaN}', "NaN is not a number"),
        (b'{"kind": "test story", "version": 1, "name": -Infinity}', "-Infinity is not a number"),
        (b'{"kind": "test story", "version": 1, "name": 1e999}', "1e999 is not a number"),
        (b'{"kind": "test story", "version": 1, "name": "\\ud83d"}', "damaged"),
        (b'{"kind": "test story", "version": 1, "name": ' + b"9" * 5000 + b"}", "damaged"),
        (b'{"kind": "test story", "version": 1, "name": ' + b"[" * 100_000, "nested too deeply"),
        (b"[]", "not a test story"),
        (b'{"kind": "other", "version": 1}', "not a test story"),
        (b'{"kind": "test story"}', "not a test story"),
        (b'{"kind": "test story", "version": 0}', "not a test story"),
        (b'{"kind": "test story", "version": true}', "not a test story"),
        (b'{"kind": "test story", "version": 4}', "newer Throughline"),
    ],
)
def test_an_unreadable_document_is_named_and_left(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ProjectError, match=words) as caught:
        NEW.read(path)
    assert str(path) in str(caught.value)
    assert caught.value.remedy
    assert path.read_bytes() == content


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_documents_of_other_editors_are_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(NEW.dump({"title": "Größe \U0001f600"}).decode(), encoding)
    assert NEW.read(path) == {"title": "Größe \U0001f600"}


def test_a_missing_document_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="missing"):
        NEW.read(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("number", "words", "stem"),
    [
        (3, "Reading a Book", "03-reading-a-book"),
        (12, "../../etc/passwd", "12-etc-passwd"),
        (1, "海滩", "01"),
        (1, "", "01"),
        (100, "a", "100-a"),
    ],
)
def test_stems(number: int, words: str, stem: str) -> None:
    assert file_stem(number, words) == stem


def test_a_long_stem_ends_at_a_word() -> None:
    stem = file_stem(1, "word " * 40)
    assert len(stem) <= STEM_LENGTH
    assert stem.endswith("-word")
