"""Archives: everything comes back, from today's and earlier ones; attacks are refused in words."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import UserError
from pipelines.pictures import png_bytes
from pipelines.request import FrameRequest, Prompt, RenderRequest
from storyboard.board import Frame, Storyboard, Take
from storyboard.storage import archive_reading, locks
from storyboard.storage.archive import README, write_archive
from storyboard.storage.archive_reading import read_archive
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from storyboard.storage.take_files import REQUEST_KEY
from tests.conftest import ROOT
from tests.pipelines.pictures import reference
from tests.storyboard.storage.test_projects import BOARD, add_take

EARLIER = ROOT / "tests" / "data" / "archives" / "mayas-day.zip"

Change = Callable[[dict[str, bytes]], object]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "projects")


@pytest.fixture
def project(store: Store) -> Project:
    """A project with a reference, an earlier take and a chosen one of frame a, and none of b."""
    project = store.create(BOARD)
    name = project.references.add(reference(doubt="Is it whole?"))
    character = BOARD.character.model_copy(update={"reference": name})
    project.save(BOARD.model_copy(update={"character": character}))
    add_take(project, "t1", colour=1)
    add_take(project, "t2", colour=2)
    project.star("t1", True)
    return project


@pytest.fixture
def archive(project: Project, tmp_path: Path) -> Path:
    return write_archive(project, tmp_path / "board.zip")


def opened(path: Path, store: Store) -> tuple[Project, list[str]]:
    return read_archive(path, store, lambda board: board)


def changed(archive: Path, change: Change, packing: int = zipfile.ZIP_STORED) -> Path:
    """Return a copy of an archive whose members `change` has changed."""
    with zipfile.ZipFile(archive) as old:
        members = {name: old.read(name) for name in old.namelist()}
    change(members)
    path = archive.with_name("changed.zip")
    with zipfile.ZipFile(path, "w", packing) as new:
        for name, content in members.items():
            new.writestr(name, content)
    return path


def files_of(project: Project) -> dict[str, bytes]:
    paths = (path for path in project.path.rglob("*") if path.is_file())
    return {str(path.relative_to(project.path)): path.read_bytes() for path in paths}


def test_everything_comes_back(project: Project, archive: Path, store: Store) -> None:
    again, notes = opened(archive, store)
    assert notes == []
    assert again.id != project.id
    assert again.load() == project.load()
    assert again.takes() == project.takes()
    before, after = files_of(project), files_of(again)
    assert before.keys() == after.keys()
    for name in before:
        if not before[name]:
            assert after[name] == b"", name
        elif name.endswith(".json"):
            assert json.loads(before[name]) == json.loads(after[name]), name
        else:
            with Image.open(project.path / name) as old, Image.open(again.path / name) as new:
                assert np.array_equal(np.asarray(old), np.asarray(new)), name
                assert old.info == new.info
    kept = again.references.load(again.load().character.reference)
    assert (kept.doubt, kept.mask.size) == ("Is it whole?", (120, 128))
    assert [p.name for p in store.root.iterdir() if p.name.startswith(".")] in ([], [locks.FOLDER])


def test_the_archive_says_what_is_inside(archive: Path, project: Project) -> None:
    name = project.load().character.reference.removesuffix(".png")
    with zipfile.ZipFile(archive) as packed:
        assert sorted(packed.namelist()) == [
            "01-waving-beach.png",
            README,
            "masks/01-waving-beach.png",
            *(f"references/{name}{s}" for s in (".json", ".mask.png", ".png", ".source.png")),
            "storyboard.json",
            *(f"takes/t1/{name}" for name in ("image.png", "mask.png", "starred", "take.json")),
            "takes/t2/take.json",
        ]
        words = packed.read(README).decode()
    assert words.startswith("Maya's Day\n")
    for part in ("masks/", "takes/", "references/", "storyboard.json", "that was uploaded"):
        assert part in words
    assert list(archive.parent.glob(".*")) == []


def test_pictures_of_an_archive_carry_their_own_frame_alone(store: Store, tmp_path: Path) -> None:
    project = store.create(Storyboard(frames=(Frame(id="a"), Frame(id="b", action="waving"))))
    request = RenderRequest(
        model="miniature",
        frames=(
            FrameRequest("a", Prompt("beach,", "a spy,", "hiding the secret"), 7, 48, 32),
            FrameRequest("b", Prompt("beach,", "a girl,", "waving"), 7, 48, 32, "a", "a"),
        ),
        targets=("a", "b"),
        steps=4,
    )
    for number in range(2):
        take = Take(
            id=f"t{number}", frame_id="b", seconds=1, seed=7, foreground=0, prompt="p", model="m"
        )
        mask = np.ones((2, 3), dtype=bool)
        project.add_take(take, Image.new("RGB", (48, 32)), mask, request)
    path = write_archive(project, tmp_path / "board.zip")
    with zipfile.ZipFile(path) as packed:
        pictures = [n for n in packed.namelist() if n.endswith(".png")]
        assert len(pictures) == 4
        for name in pictures:
            assert b"secret" not in packed.read(name)
        with Image.open(io.BytesIO(packed.read("02-waving.png"))) as picture:
            shown = RenderRequest.from_dict(json.loads(picture.info[REQUEST_KEY]))
    assert [frame.prompt.text for frame in shown.frames] == ["beach, a girl, waving"]
    again, _ = opened(path, store)
    assert again.request("t1") == request


def test_a_board_without_pictures_comes_back(store: Store, tmp_path: Path) -> None:
    project = store.create(BOARD)
    path = write_archive(project, tmp_path / "board.zip")
    with zipfile.ZipFile(path) as packed:
        assert sorted(packed.namelist()) == [README, "storyboard.json"]
        assert b"No frame has been generated yet" in packed.read(README)
    assert opened(path, store)[0].load() == BOARD


def test_takes_of_removed_frames_stay_at_home(project: Project, tmp_path: Path) -> None:
    add_take(project, "t9", "removed")
    with zipfile.ZipFile(write_archive(project, tmp_path / "board.zip")) as packed:
        assert not any("t9" in name for name in packed.namelist())


def test_an_archive_of_an_earlier_throughline_opens_with_its_chosen_takes(store: Store) -> None:
    project, notes = opened(EARLIER, store)
    board = project.load()
    assert notes == []
    assert (board.title, len(board.frames)) == ("Maya\u2019s day", 2)
    for frame in board.frames:
        assert frame.take is not None
        take, request = project.take(frame.take), project.request(frame.take)
        own = next(f for f in request.frames if f.frame_id == frame.id)
        assert (take.seed, take.prompt) == (own.seed, own.prompt.text)
        assert 0 < take.foreground < 1
        with Image.open(project.image_path(take.id)) as picture:
            assert picture.size == (own.width, own.height)
    kept = project.references.load(board.character.reference)
    assert kept.source.tobytes() == kept.image.tobytes()


def test_a_folder_that_a_person_packed_opens(project: Project, store: Store) -> None:
    path = store.root.parent / "mine.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files_of(project).items():
            packed.writestr(f"my board/{name}", content)
    again, notes = opened(path, store)
    assert (notes, again.load(), again.takes()) == ([], project.load(), project.takes())


def test_what_is_damaged_is_left_out_and_told(archive: Path, store: Store) -> None:
    def change(members: dict[str, bytes]) -> None:
        members["takes/t1/image.png"] = members["takes/t1/image.png"][:70]
        del members["01-waving-beach.png"]
        members.update({n: b"x" for n in members if n.startswith("references/")})

    project, notes = opened(changed(archive, change), store)
    assert project.takes() == []
    assert project.load().frames[0].take is None
    assert project.load().character.reference == ""
    assert len(notes) == 5
    told = " ".join(notes)
    for words in ("Take t1 was left out", "Take t2 of frame 1", "Frame 1 comes without", "changed"):
        assert words in told
    assert str(archive.parent) not in told


def _request(change: Callable[[RenderRequest], RenderRequest]) -> Change:
    def apply(members: dict[str, bytes]) -> None:
        record = json.loads(members["takes/t2/take.json"])
        request = change(RenderRequest.from_dict(record["request"]))
        members["takes/t2/take.json"] = json.dumps(record | {"request": request.to_dict()}).encode()

    return apply


@pytest.mark.parametrize(
    "change",
    [
        _request(lambda r: replace(r, steps=10**6)),
        _request(lambda r: replace(r, frames=(replace(r.frames[0], width=1600, height=16000),))),
        _request(
            lambda r: replace(
                r, frames=(replace(r.frames[0], prompt=Prompt("x" * 100_000, "", "")),)
            )
        ),
        lambda members: members.update(
            {"01-waving-beach.png": png_bytes(Image.new("RGB", (16, 16)))}
        ),
        lambda members: members.update({"01-waving-beach.png": b"GIF89a"}),
    ],
)
def test_takes_that_no_page_could_make_are_left_out(
    archive: Path, store: Store, change: Change
) -> None:
    project, notes = opened(changed(archive, change), store)
    assert [take.id for take in project.takes()] == ["t1"]
    assert "Take t2 of frame 1 was left out" in notes[0]


def test_names_that_lead_out_of_the_archive_write_nothing(archive: Path, store: Store) -> None:
    def change(members: dict[str, bytes]) -> None:
        record = json.loads(members["takes/t1/take.json"])
        for name in ("../../evil", "/tmp/evil"):
            record["take"]["id"] = name
            members[f"takes/{name}/take.json"] = json.dumps(record).encode()
            members[f"{name}.png"] = members["takes/t1/image.png"]
        members["takes/..\\..\\evil/take.json"] = json.dumps(record).encode()

    before = sorted(p for p in store.root.parent.rglob("*"))
    project, notes = opened(changed(archive, change), store)
    after = set(store.root.parent.rglob("*")) - set(before) - {archive.with_name("changed.zip")}
    assert all(path.is_relative_to(project.path) for path in after)
    assert "left out" in notes[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda members: members.pop("storyboard.json"), "no storyboard.json in it"),
        (lambda members: members.update({"storyboard.json": b"{"}), "damaged"),
        (
            lambda members: members.update({"storyboard.json": b"[]"}),
            "not a throughline storyboard",
        ),
        (
            lambda members: members.update({"storyboard.json": b"0" * 11_000_000}),
            "larger than 10 MB",
        ),
    ],
)
def test_archives_without_a_storyboard_are_refused(
    archive: Path, store: Store, change: Change, words: str
) -> None:
    projects = len(store.projects())
    with pytest.raises(UserError, match=words) as caught:
        opened(changed(archive, change, zipfile.ZIP_DEFLATED), store)
    assert caught.value.remedy
    assert len(store.projects()) == projects
    assert [p.name for p in store.root.iterdir() if p.name.startswith(".")] in ([], [locks.FOLDER])


def test_bombs_are_refused_before_they_are_unpacked(
    archive: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = changed(archive, lambda members: members.update({f"{n}.txt": b"" for n in range(60)}))
    monkeypatch.setattr(archive_reading, "_MOST_MEMBERS", 50)
    with pytest.raises(UserError, match="more than 50"):
        opened(many, store)
    monkeypatch.undo()
    monkeypatch.setattr(archive_reading, "_MOST_IN_ALL", 1000)
    with pytest.raises(UserError, match="in all"):
        opened(archive, store)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a zip", b"PK\x05\x06" + bytes(18)])
def test_files_that_are_no_archive_are_refused(
    tmp_path: Path, store: Store, content: bytes
) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not an archive|no storyboard"):
        opened(path, store)
    with pytest.raises(UserError, match="cannot be opened"):
        opened(tmp_path / "missing.zip", store)
