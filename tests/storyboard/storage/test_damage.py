"""Damage of projects: every file in many ways, and the rest stays usable."""

from __future__ import annotations

import json
import os
import random
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from storyboard.board import Take
from storyboard.errors import ProjectError
from storyboard.storage.archive import check_archive, write_archive
from storyboard.storage.archive_reading import read_archive
from storyboard.storage.damage import damage_of
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from storyboard.storage.shelf import Shelf
from tests.storyboard.storage.test_projects import BOARD, MASK, REQUEST, add_take, project, store

__all__ = ["project", "store"]  # fixtures

Damage = Callable[[Path], object]


def take_of(take_id: str, frame_id: str = "a", **more: Any) -> Take:
    facts = {"seconds": 1, "seed": 1, "foreground": 0.5, "prompt": "p", "model": "miniature"}
    return Take(id=take_id, frame_id=frame_id, **(facts | more))


def in_place(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def rewritten(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text("utf-8")), "utf-8")


ANY_FILE: dict[str, Damage] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(b"\0" * path.stat().st_size),
    "other bytes": lambda path: path.write_bytes(random.Random(1).randbytes(500)),
    "a folder": lambda path: in_place(path, Path.mkdir),
    "a link to itself": lambda path: in_place(path, lambda p: p.symlink_to(p)),
    "a link to nothing": lambda path: in_place(path, lambda p: p.symlink_to(p.parent / "none")),
    "a pipe": lambda path: in_place(path, os.mkfifo),
    "without end": lambda path: os.truncate(path, 10**12),
}
JSON: dict[str, Damage] = {
    "nested": lambda path: path.write_text('{"kind": ' + "[" * 100_000),
    "a list": lambda path: path.write_text("[1]"),
    "a newer version": lambda path: rewritten(path, lambda t: t.replace('": 1', '": 99')),
    "another kind": lambda path: rewritten(path, lambda t: t.replace("throughline", "other")),
    "null": lambda path: rewritten(path, lambda t: t.replace('"take": {', '"take": null, "x": {')),
    "not a number": lambda path: rewritten(path, lambda t: t.replace("1.5", "NaN")),
    "infinity": lambda path: rewritten(path, lambda t: t.replace("1.5", "1e999")),
    "a huge number": lambda path: rewritten(path, lambda t: t.replace("1.5", "9" * 5000)),
    "half a letter": lambda path: rewritten(path, lambda t: t.replace('"p"', '"\\ud800"')),
    "of another take": lambda path: rewritten(path, lambda t: t.replace('"t2"', '"t1"')),
}
CASES = [(name, how, ANY_FILE[how]) for name in ("image.png", "mask.png") for how in ANY_FILE]
CASES += [("take.json", how, damage) for how, damage in (ANY_FILE | JSON).items()]


@pytest.mark.parametrize(("name", "how", "damage"), CASES, ids=[f"{n}-{h}" for n, h, _ in CASES])
def test_a_damaged_file_of_a_take_costs_that_take_alone(
    store: Store, project: Project, tmp_path: Path, name: str, how: str, damage: Damage
) -> None:
    add_take(project, "t1")
    add_take(project, "t2")
    other = replace(REQUEST, frames=(replace(REQUEST.frames[0], frame_id="b"),), targets=("b",))
    project.add_take(take_of("t3", "b"), Image.new("RGB", (48, 32)), MASK, other)
    damage(project.path / "takes" / "t2" / name)
    lost = damage_of(project)
    assert lost and all("t2" in sentence for sentence in lost)
    assert str(project.path) not in " ".join(lost)
    # The frame shows what is left of it, the other frame everything.
    kept = "t1" if name == "take.json" else "t2"
    again = Store(store.root).open(project.id)
    assert [frame.take for frame in again.load().frames] == [kept, "t3"]
    assert {"t1", "t3"} <= {take.id for take in again.takes()}
    assert again.image_path("t1") and again.mask_path("t3")
    if name == "image.png":
        with pytest.raises(ProjectError, match=r"image\.png"):
            again.image_path("t2")
    # It can be edited, copied, and saved as a file that says what is missing.
    assert again.edit(lambda board: board.model_copy(update={"title": "New"})).title == "New"
    if how != "without end":
        assert Shelf(store).duplicate(project.id).load().frame("b").take == "t3"
    packed = write_archive(again, tmp_path / "board.zip")
    assert check_archive(again) == damage_of(again)
    with zipfile.ZipFile(packed) as archive:
        readme = archive.read("README.txt").decode()
    assert all(sentence in readme for sentence in damage_of(again))
    opened, _ = read_archive(packed, store, lambda board: board)
    assert {"t1", "t3"} <= {take.id for take in opened.takes()}


def test_a_picture_that_is_damaged_in_its_middle_is_named_in_the_archive(
    project: Project, tmp_path: Path
) -> None:
    add_take(project, "t1")
    path = project.image_path("t1")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert check_archive(project) == ["The picture of frame 1, take t1, is damaged."]
    with zipfile.ZipFile(write_archive(project, tmp_path / "board.zip")) as archive:
        assert "The picture of frame 1" in archive.read("README.txt").decode()
        assert "masks/01-waving-beach.png" in archive.namelist()
        assert "01-waving-beach.png" not in archive.namelist()


def test_a_whole_project_has_no_damage(project: Project) -> None:
    add_take(project, "t1")
    assert damage_of(project) == check_archive(project) == []


def test_a_take_that_is_gone_is_named_and_another_is_shown(project: Project) -> None:
    add_take(project, "t1")
    add_take(project, "t2")
    (project.path / "takes" / "t2").rename(project.path / "away")
    assert damage_of(project) == ["The take t2 of frame 1 is missing."]
    assert project.load().frame("a").take == "t1"
    # Nothing is written for that: the take is chosen as soon as it is back.
    (project.path / "away").rename(project.path / "takes" / "t2")
    assert project.load().frame("a").take == "t2"


def test_a_frame_whose_choice_was_not_stored_shows_its_newest_take(project: Project) -> None:
    for take_id in ("t1", "t2"):
        add_take(project, take_id)
    project.save(BOARD)  # as a crash leaves it between the take and the storyboard
    assert project.load().frame("a").take == "t2"
    project.edit(lambda board: board)
    assert '"take": "t2"' in (project.path / "storyboard.json").read_text()


def test_foreign_things_among_the_takes_are_passed_over(project: Project) -> None:
    add_take(project, "t1")
    takes = project.path / "takes"
    (takes / "t1 (copy)").mkdir()
    (takes / ".new-abc").mkdir()
    (takes / "Thumbs.db").write_bytes(b"x")
    assert [take.id for take in project.takes()] == ["t1"]
    assert damage_of(project) == []


def test_takes_that_are_no_folder_are_none(project: Project) -> None:
    (project.path / "takes").write_text("a file")
    assert project.takes() == [] and project.load() == BOARD
    with pytest.raises(ProjectError, match="cannot be written"):
        add_take(project, "t1")


def test_a_clock_that_was_set_back_does_not_change_which_take_is_the_newest(
    project: Project,
) -> None:
    clock = datetime(2026, 5, 1, tzinfo=UTC)
    for take_id, hours in (("t1", 0), ("t2", -48), ("t3", -24)):
        take = take_of(take_id, created=clock + timedelta(hours=hours))
        project.add_take(take, Image.new("RGB", (48, 32)), MASK, REQUEST)
    assert [take.id for take in project.takes()] == ["t1", "t2", "t3"]
    assert project.remove_take("t3").frame("a").take == "t2"


def test_a_time_without_a_zone_is_utc(project: Project) -> None:
    add_take(project, "t1")
    add_take(project, "t2")
    path = project.path / "takes" / "t1" / "take.json"
    document = json.loads(path.read_text())
    document["take"]["created"] = "2020-01-01T12:00:00"
    path.write_text(json.dumps(document))
    assert project.take("t1").created == datetime(2020, 1, 1, 12, tzinfo=UTC)
    assert [take.id for take in project.takes()] == ["t1", "t2"]
    shelf = Shelf(Store(project.path.parent))
    for title in ("one", "two"):
        other = Store(project.path.parent).create(BOARD.model_copy(update={"title": title}))
        shelf.delete(other.id)
    record = next((project.path.parent / ".bin").iterdir()) / "deleted.json"
    record.write_text(record.read_text().replace("+00:00", ""))
    assert len(shelf.deleted()) == 2


@pytest.mark.parametrize("moment", [-(10**9), 0, 4_449_600_000, 10**12])
def test_file_times_outside_of_zip_files_and_of_calendars_are_no_hindrance(
    store: Store, project: Project, tmp_path: Path, moment: int
) -> None:
    add_take(project, "t1")
    for path in project.path.rglob("*"):
        os.utime(path, (moment, moment))
    if os.stat(project.path / "storyboard.json").st_mtime != moment:
        pytest.skip("this disk bounds the times of files")
    assert [info.id for info in store.projects()] == [project.id]
    packed = write_archive(project, tmp_path / "board.zip")
    with zipfile.ZipFile(packed) as archive:
        assert all(1980 <= member.date_time[0] <= 2107 for member in archive.infolist())
    assert len(read_archive(packed, store, lambda board: board)[0].takes()) == 1
