"""Files of takes: read once, and again where they have changed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from storyboard.errors import ProjectError
from storyboard.settings import ROOT
from storyboard.storage.take_files import TakeFiles

TAKE = ROOT / "tests" / "data" / "projects" / "mayas-day" / "takes" / "026f9f44780f" / "take.json"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copy(TAKE, tmp_path))


def test_a_take_and_its_request_are_read_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = TakeFiles()
    request = files.request(path)
    monkeypatch.setattr(Path, "read_bytes", None)
    assert files.request(path) is request
    assert files.take(path).seed == request.frames[1].seed
    assert files.take(path) is files.take(path)


def test_a_file_that_has_changed_is_read_again(path: Path) -> None:
    files = TakeFiles()
    files.request(path)
    body = json.loads(path.read_text("utf-8"))
    body["take"]["seed"] = body["request"]["frames"][1]["seed"] = 7
    path.write_text(json.dumps(body), "utf-8")
    assert (files.take(path).seed, files.request(path).frames[1].seed) == (7, 7)
    content = path.read_text("utf-8").replace('"seed": 7', '"seed": 8')
    path.write_text(content, "utf-8")
    os.utime(path, ns=(1, 1))  # of the same size
    assert files.take(path).seed == 8


@pytest.mark.parametrize(
    ("content", "words"),
    [("{}", "is not a"), ("{ half", "damaged"), (None, "missing")],
)
def test_a_fault_is_reported_each_time(path: Path, content: str | None, words: str) -> None:
    files = TakeFiles()
    files.take(path)
    path.unlink()
    if content is not None:
        path.write_text(content)
    for read in (files.take, files.request, files.take):
        with pytest.raises(ProjectError, match=words):
            read(path)


def test_a_take_is_read_where_its_request_is_damaged(path: Path) -> None:
    files = TakeFiles()
    body = json.loads(path.read_text("utf-8"))
    body["request"]["steps"] = 0
    path.write_text(json.dumps(body), "utf-8")
    assert files.take(path).id == "026f9f44780f"
    with pytest.raises(ProjectError, match="damaged"):
        files.request(path)
