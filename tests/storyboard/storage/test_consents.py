"""Consents are stored, and shared by all who read the file."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from pipelines.models.catalog import BIREFNET
from storyboard.errors import ConsentNeeded, ProjectError
from storyboard.settings import Settings
from storyboard.storage.consents import Consents


def test_a_consent_is_stored_for_its_key_alone(tmp_path: Path) -> None:
    path = Settings(projects=tmp_path / "projects").consents
    assert path.parent == tmp_path / "projects"
    before = Consents(path)
    assert not before.given("tencent/InstantCharacter")
    assert not path.exists()
    Consents(path).give("tencent/InstantCharacter")
    assert before.given("tencent/InstantCharacter")
    assert not before.given("another")


def test_a_missing_consent_is_required_with_the_licence(tmp_path: Path) -> None:
    consents = Consents(tmp_path / "consents.json")
    with pytest.raises(ConsentNeeded, match="It runs code of its own") as caught:
        consents.require("code", BIREFNET, "It runs code of its own.")
    asked = caught.value
    assert (asked.key, asked.licence) == ("code", BIREFNET.licence)
    assert asked.download_bytes == BIREFNET.download_bytes
    consents.give("code")
    consents.require("code", BIREFNET, "It runs code of its own.")


def test_a_second_consent_keeps_the_time_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "consents.json"
    Consents(path).give("a")
    first = path.read_bytes()
    Consents(path).give("a")
    assert path.read_bytes() == first


def test_consents_of_many_threads_all_arrive(tmp_path: Path) -> None:
    path = tmp_path / "consents.json"
    threads = [threading.Thread(target=Consents(path).give, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(Consents(path).given(str(i)) for i in range(8))


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"kind": "throughline consents", "version": 1}', b'{"kind": "x"}']
)
def test_a_damaged_file_holds_no_consent_and_is_left(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "consents.json"
    path.write_bytes(content)
    for use in (Consents(path).given, Consents(path).give):
        with pytest.raises(ProjectError, match=r"consents\.json"):
            use("a")
    assert path.read_bytes() == content


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "consents.json"
    Consents(path).give("a")

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProjectError, match="No space left"):
        Consents(path).give("b")
    assert json.loads(path.read_text())["given"].keys() == {"a"}
