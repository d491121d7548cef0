"""Projects on disk: round trips, many threads, foreign identifiers, damaged files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.request import FrameRequest, Prompt, RenderRequest
from storyboard.board import Character, Frame, Storyboard, Take
from storyboard.errors import ProjectError
from storyboard.settings import ROOT
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from storyboard.storage.storyboard_file import STORYBOARD_FILE
from storyboard.storage.take_files import REQUEST_KEY
from tests.pipelines.pictures import reference

BOARD = Storyboard(
    title="Maya's Day",
    character=Character(name="Maya", description="a girl"),
    frames=(Frame(id="a", action="waving", location="beach"), Frame(id="b", action="running")),
)
REQUEST = RenderRequest(
    model="miniature",
    frames=(FrameRequest("a", Prompt("beach,", "ä girl,", "waving"), 7, 48, 32),),
    targets=("a",),
    steps=4,
)
MASK = np.array([[True, False, False], [False, False, True]])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "projects")


@pytest.fixture
def project(store: Store) -> Project:
    return store.create(BOARD)


def add_take(project: Project, take_id: str, frame_id: str = "a", colour: int = 9) -> Take:
    take = Take(
        id=take_id,
        frame_id=frame_id,
        seconds=1.5,
        seed=7,
        foreground=1 / 3,
        prompt="p",
        model="miniature",
    )
    project.add_take(take, Image.new("RGB", (48, 32), (colour, 0, 0)), MASK, REQUEST)
    return take


def test_a_storyboard_survives_a_restart(store: Store, project: Project) -> None:
    changed = BOARD.model_copy(update={"title": "Ein Tag für Zoë"})
    project.save(changed)
    again = Store(store.root).open(project.id)
    assert again.load() == changed
    assert "Zoë" in (again.path / "storyboard.json").read_text("utf-8")


def test_a_take_is_stored_whole_and_chosen(store: Store, project: Project) -> None:
    take = add_take(project, "t1")
    again = Store(store.root).open(project.id)
    assert again.load() == BOARD.with_take("a", "t1")
    assert again.take("t1") == take
    assert again.request("t1") == REQUEST
    with Image.open(again.image_path("t1")) as image:
        image.load()
        assert (image.size, image.getpixel((0, 0))) == ((48, 32), (9, 0, 0))
        assert RenderRequest.from_dict(json.loads(image.info[REQUEST_KEY])) == REQUEST
    with Image.open(again.mask_path("t1")) as mask:
        assert mask.mode == "L"
        assert np.array_equal(np.asarray(mask), np.kron(MASK, np.ones((16, 16))) * 255)
    assert [p.name for p in (again.path / "takes").iterdir()] == ["t1"]


def test_takes_are_listed_from_the_oldest(project: Project) -> None:
    for take_id, frame_id in (("z", "a"), ("y", "b"), ("x", "a")):
        add_take(project, take_id, frame_id)
    assert [t.id for t in project.takes()] == ["z", "y", "x"]
    assert project.load().frame("a").take == "x"


def test_a_take_is_never_overwritten(project: Project) -> None:
    add_take(project, "t1", colour=9)
    before = project.image_path("t1").read_bytes()
    with pytest.raises(ProjectError, match="exists already"):
        add_take(project, "t1", colour=10)
    assert project.image_path("t1").read_bytes() == before
    assert [p.name for p in (project.path / "takes").iterdir()] == ["t1"]


def test_a_take_of_a_removed_frame_is_kept_and_not_chosen(project: Project) -> None:
    add_take(project, "t1", frame_id="removed")
    assert project.load() == BOARD
    assert project.image_path("t1").is_file()


def test_a_crash_while_a_take_is_written_leaves_the_project_as_it_was(project: Project) -> None:
    add_take(project, "t1")
    crash = (
        "import os, sys; from pathlib import Path\n"
        "from storyboard.storage.projects import Store\n"
        "from tests.storyboard.storage.test_projects import add_take\n"
        "project = Store(Path(sys.argv[1])).open(sys.argv[2])\n"
        "Path.rename = lambda *a: os._exit(9)\n"
        "add_take(project, 't2')"
    )
    arguments = [sys.executable, "-c", crash, str(project.path.parent), project.id]
    assert subprocess.run(arguments, cwd=ROOT, check=False).returncode == 9
    assert project.load() == BOARD.with_take("a", "t1")
    assert [t.id for t in project.takes()] == ["t1"]
    with pytest.raises(ProjectError):
        project.take("t2")
    add_take(project, "t2")
    assert project.load().frame("a").take == "t2"


def test_a_full_disk_is_reported_and_harms_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProjectError, match="No space left"):
        project.save(BOARD.model_copy(update={"title": "lost"}))
    with pytest.raises(ProjectError, match="No space left"):
        add_take(project, "t1")
    monkeypatch.undo()
    assert project.load() == BOARD
    assert project.takes() == []


def test_edits_of_many_threads_all_arrive(store: Store, project: Project) -> None:
    def add_frames(writer: int) -> None:
        mine = store.open(project.id)
        for number in range(5):
            frame = Frame(id=f"w{writer}-{number}")
            mine.edit(lambda b, f=frame: b.model_copy(update={"frames": (*b.frames, f)}))
            add_take(mine, f"t{writer}-{number}", frame_id=frame.id)

    threads = [threading.Thread(target=add_frames, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frames = project.load().frames
    assert {f.id for f in frames} == {"a", "b"} | {f"w{i}-{n}" for i in range(4) for n in range(5)}
    assert all(f.take == f.id.replace("w", "t") for f in frames[2:])


def test_a_reader_never_finds_half_a_file(store: Store, project: Project) -> None:
    long = BOARD.model_copy(update={"title": "x" * 500})
    done = threading.Event()

    def write() -> None:
        for number in range(40):
            project.save(long if number % 2 else BOARD)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set():
        assert store.open(project.id).load() in (long, BOARD)
        reads += 1
    writer.join()
    assert reads > 0


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "a\\b", "/etc", "a\n", "a\0", "a" * 33, "ä", "a b", ".a"]
)
def test_foreign_identifiers_build_no_path(store: Store, project: Project, name: str) -> None:
    for use in (
        store.open,
        project.take,
        project.request,
        project.image_path,
        project.mask_path,
    ):
        with pytest.raises(ProjectError, match="not the name of"):
            use(name)


def test_a_project_can_be_made_under_a_given_name_once(store: Store) -> None:
    assert store.create(BOARD, "mine").id == "mine"
    with pytest.raises(ProjectError):
        store.create(Storyboard(), "mine")
    assert store.open("mine").load() == BOARD
    with pytest.raises(ProjectError, match="not the name of"):
        store.create(BOARD, "../mine")


def test_missing_projects_and_takes_are_reported(store: Store, project: Project) -> None:
    with pytest.raises(ProjectError, match="There is no project 'other'"):
        store.open("other")
    with pytest.raises(ProjectError, match="missing"):
        project.take("other")
    with pytest.raises(ProjectError, match="missing"):
        project.image_path("other")


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b'{"kind": "something else"}',
        b'{"kind": "throughline storyboard", "version": 1}',
        b'{"kind": "throughline storyboard", "version": 1, "storyboard": {"frames": 3}}',
        b'{"kind": "throughline storyboard", "version": 99, "storyboard": {}}',
    ],
)
def test_a_damaged_or_foreign_storyboard_is_reported_and_left(
    project: Project, content: bytes
) -> None:
    path = project.path / "storyboard.json"
    path.write_bytes(content)
    with pytest.raises(ProjectError) as caught:
        project.load()
    assert str(path) in str(caught.value)
    assert caught.value.remedy
    with pytest.raises(ProjectError):
        project.edit(lambda board: board)
    assert path.read_bytes() == content


def test_a_storyboard_from_before_there_was_guidance_is_opened(project: Project) -> None:
    path = project.path / "storyboard.json"
    document = json.loads(path.read_text("utf-8"))
    del document["storyboard"]["settings"]["guidance"]
    path.write_text(json.dumps(document))
    assert project.load().settings.guidance is None


def test_a_storyboard_from_before_there_were_references_is_opened(project: Project) -> None:
    path = project.path / "storyboard.json"
    document = json.loads(path.read_text("utf-8"))
    document["version"] = 1
    later = (
        ("character", ("reference", "strength")),
        ("settings", ("styles", "shortcut", "identity")),
    )
    for part, names in later:
        for name in names:
            del document["storyboard"][part][name]
    for frame in document["storyboard"]["frames"]:
        del frame["reference_strength"], frame["locked"]
    path.write_text(json.dumps(document))
    assert project.load() == BOARD
    project.save(project.load())
    assert json.loads(path.read_text("utf-8"))["version"] == STORYBOARD_FILE.version == 4
    path.write_text(json.dumps({"kind": document["kind"], "version": 1, "storyboard": {}}))
    assert project.load() == Storyboard()


def test_a_storyboard_from_before_there_were_shortcuts_takes_none(project: Project) -> None:
    path = project.path / "storyboard.json"
    document = json.loads(path.read_text("utf-8"))
    document["version"] = 2
    del document["storyboard"]["settings"]["shortcut"]
    path.write_text(json.dumps(document))
    assert project.load() == BOARD
    document["storyboard"]["settings"]["shortcut"] = "quick"
    path.write_text(json.dumps(document))
    with pytest.raises(ProjectError, match="shortcut"):
        project.load()


@pytest.mark.parametrize(
    ("frame", "identity"),
    [
        ({"id": "a", "take": "t"}, "a"),
        ({"id": "a", "take": "t", "action": "waving"}, ""),
        ({"id": "a", "take": None}, ""),
    ],
)
def test_a_first_frame_without_words_and_with_a_take_stays_the_identity_frame(
    project: Project, frame: dict[str, object], identity: str
) -> None:
    path = project.path / "storyboard.json"
    document = {
        "kind": "throughline storyboard",
        "version": 3,
        "storyboard": {"frames": [frame, {"action": "running"}], "settings": {"steps": 3}},
    }
    path.write_text(json.dumps(document))
    assert project.load().settings.identity == identity


def test_an_old_take_keeps_its_picture_when_the_character_gets_another(project: Project) -> None:
    first = project.references.add(reference((1, 2, 3)))
    frame = replace(REQUEST.frames[0], reference=first, reference_strength=0.5)
    request = replace(REQUEST, frames=(frame,))
    take = Take(id="t1", frame_id="a", seconds=1, seed=7, foreground=0, prompt="p", model="m")
    project.add_take(take, Image.new("RGB", (48, 32)), MASK, request)
    second = project.references.add(reference((4, 5, 6)))
    character = BOARD.character.model_copy(update={"reference": second})
    project.edit(lambda board: board.model_copy(update={"character": character}))
    (name,) = project.request("t1").references
    assert name == first != second
    assert project.references.load(name).image.getpixel((40, 40)) == (1, 2, 3)


def test_a_damaged_take_is_reported_and_left(project: Project) -> None:
    add_take(project, "t1")
    path = project.path / "takes" / "t1" / "take.json"
    document = json.loads(path.read_text("utf-8"))
    document["request"]["steps"] = 0
    document["take"]["seed"] = -1
    path.write_text(json.dumps(document))
    with pytest.raises(ProjectError, match="steps=0"):
        project.request("t1")
    with pytest.raises(ProjectError, match="seed"):
        project.take("t1")
    assert project.takes() == []
    assert json.loads(path.read_text("utf-8")) == document


def test_projects_are_listed_from_the_last_saved(store: Store, project: Project) -> None:
    assert Store(store.root / "nowhere").projects() == []
    newer = store.create(Storyboard(title="Newer"))
    broken = store.create(Storyboard(title="Broken"))
    os.utime(project.path / "storyboard.json", (1000, 1000))
    (broken.path / "storyboard.json").write_text("{")
    (store.root / "not a project").mkdir()
    listed = store.projects()
    assert [(i.id, i.title, i.frames) for i in listed] == [
        (broken.id, "", 0),
        (newer.id, "Newer", 0),
        (project.id, "Maya's Day", 2),
    ]
    assert listed[0].fault.startswith("storyboard.json is damaged") and not listed[1].fault
    assert listed[2].modified.timestamp() == 1000


def test_an_edit_that_changes_nothing_writes_nothing(project: Project) -> None:
    before = project.tag()
    assert project.edit(lambda board: board.model_copy()) == project.load()
    assert project.tag() == before
    project.edit(lambda board: board.model_copy(update={"title": "Another"}))
    assert project.tag() != before


def test_a_store_knows_what_it_has(project: Project, tmp_path: Path) -> None:
    store = Store(project.path.parent)
    assert store.has(project.id) and not store.has("another")
    for name in ("", "..", "a/b", "a\n"):
        with pytest.raises(ProjectError, match="not the name"):
            store.has(name)
        with pytest.raises(ProjectError, match="not the name"):
            store.create(BOARD, name)
