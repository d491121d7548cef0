"""Storyboards as files: every form out and in again, and wrong files refused in words."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from pipelines.errors import UserError
from pipelines.pictures import Reference
from storyboard import formats
from storyboard.formats import ENDINGS, FORMS, export_board, form_of, import_file
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from tests.conftest import ROOT
from tests.pipelines.pictures import reference
from tests.storyboard.storage.test_projects import BOARD, add_take

STORIES = ROOT / "tests" / "data" / "stories"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "projects")


@pytest.fixture
def project(store: Store) -> Project:
    project = store.create(BOARD)
    add_take(project, "t1")
    return project


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_opened_again(project: Project, store: Store, tmp_path: Path, form) -> None:
    path = export_board(project, form, tmp_path / f"board{ENDINGS[form]}")
    assert form_of(path) == form
    imported = import_file(path, store)
    (again,) = imported.projects
    board = again.load()
    assert again.id != project.id
    assert (board.title, board.character) == (BOARD.title, BOARD.character)
    assert [(f.action, f.location) for f in board.frames] == [("waving", "beach"), ("running", "")]
    assert bool(board.frames[0].take) == bool(again.takes()) == (form == "zip")
    assert bool(imported.notes) == (form == "json")


@pytest.mark.parametrize("form", FORMS)
def test_the_content_tells_where_the_ending_does_not(
    project: Project, store: Store, tmp_path: Path, form
) -> None:
    path = export_board(project, form, tmp_path / "board.download")
    assert import_file(path, store).projects[0].load().title == BOARD.title


def test_a_file_of_several_storyboards_becomes_several_projects(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("beach#a girl#waving\nbeach#a girl#running\n\nforest#a boy#reading\n")
    imported = import_file(path, store)
    boards = [project.load() for project in imported.projects]
    assert [len(board.frames) for board in boards] == [2, 1]
    assert [board.character.description for board in boards] == ["a girl", "a boy"]
    assert len(store.projects()) == 2


def test_a_storyboard_of_an_earlier_throughline_is_opened(store: Store) -> None:
    path = ROOT / "tests" / "data" / "projects" / "mayas-day" / "storyboard.json"
    (project,) = import_file(path, store).projects
    board = project.load()
    assert (board.title, board.character.reference) == ("Maya\u2019s day", "")
    assert [frame.take for frame in board.frames] == [None, None]


def test_a_story_file_finds_its_picture_only_on_its_own_machine(
    store: Store, tmp_path: Path
) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "maya.png")
    path = tmp_path / "story.yaml"
    path.write_text(
        "character: {reference: maya.png, strength: 0.5}\nstyles: [ink.safetensors]\n"
        "frames: [{action: waving}]\n"
    )
    (tmp_path / "ink.safetensors").write_bytes(b"")

    def prepare(picture: Path) -> Reference:
        assert picture == tmp_path / "maya.png"
        return reference(doubt="Is it whole?")

    imported = import_file(path, store, prepare=prepare)
    character = imported.projects[0].load().character
    assert character.reference == reference().name and character.strength == 0.5
    assert imported.notes == ("Is it whole?",)
    alone = import_file(path, store)
    board = alone.projects[0].load()
    assert (board.character.reference, board.settings.styles[0].source) == ("", "ink.safetensors")
    assert "maya.png is not in a story file" in alone.notes[0]


@pytest.mark.parametrize("named", ["/etc/passwd", "/nowhere/at/all.png"])
def test_a_file_from_elsewhere_cannot_ask_what_is_on_this_machine(
    store: Store, tmp_path: Path, named: str
) -> None:
    path = tmp_path / "story.yaml"
    path.write_text(f"character: {{reference: {named}}}\nframes: [{{action: waving}}]\n")
    assert len(import_file(path, store).projects) == 1


def test_a_storyboard_is_adapted_before_it_is_stored(
    project: Project, store: Store, tmp_path: Path
) -> None:
    for form in FORMS:
        path = export_board(project, form, tmp_path / f"board{ENDINGS[form]}")
        imported = import_file(path, store, lambda b: b.model_copy(update={"title": "adapted"}))
        assert imported.projects[0].load().title == "adapted"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("picture.gif", b"GIF89a\0\0\xff\xfe", "not a storyboard that can be opened"),
        ("empty", b"", "not a storyboard that can be opened"),
        ("other.json", b'{"kind": "package"}', "not a throughline storyboard"),
        ("other.json", b"[1", "damaged"),
        ("board.json", b'{"kind": "throughline storyboard", "version": 99}', "newer Throughline"),
        ("board.json", b'{"kind": "throughline storyboard", "version": 3}', "damaged"),
        ("story.yaml", b"frames: [", "YAML is wrong"),
        ("story.txt", b"no separator", "expected background#character#action"),
        ("story.yaml", b"\xff\xfe", "not UTF-8"),
    ],
)
def test_wrong_files_are_refused_in_words(
    store: Store, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        import_file(path, store)
    assert store.projects() == []


def test_text_that_is_too_large_is_refused_unread(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "_MOST_TEXT", 1000)
    for name in ("board.json", "story.yaml", "story.txt"):
        path = tmp_path / name
        path.write_text("x" * 1001)
        with pytest.raises(UserError, match="too large"):
            import_file(path, store)


def test_a_file_without_end_makes_no_heap_of_projects(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("beach#a girl#waving\n\n" * 101)
    with pytest.raises(UserError, match="101 storyboards"):
        import_file(path, store)
    assert store.projects() == []


def test_a_document_that_is_a_zip_of_something_else_is_refused(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "letter.docx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    with pytest.raises(UserError, match="no storyboard.json in it"):
        import_file(path, store)


def test_a_saved_storyboard_json_is_what_the_project_has(project: Project, tmp_path: Path) -> None:
    path = export_board(project, "json", tmp_path / "storyboard.json")
    assert json.loads(path.read_text()) == json.loads(
        (project.path / "storyboard.json").read_text()
    )
