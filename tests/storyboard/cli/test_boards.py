"""`export` and `import` as they are typed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from storyboard.cli.main import main
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from tests.pipelines.pictures import drawing
from tests.storyboard.storage.test_projects import BOARD, add_take

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("THROUGHLINE_PROJECTS", str(tmp_path / "projects"))
    return Store(tmp_path / "projects")


@pytest.fixture
def project(store: Store) -> Project:
    project = store.create(BOARD, "maya")
    add_take(project, "t1")
    return project


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize("ending", ["zip", "json", "yaml"])
def test_a_project_goes_out_and_comes_in(
    store: Store, project: Project, tmp_path: Path, capsys: Printed, ending: str
) -> None:
    out = tmp_path / f"board.{ending}"
    assert run("export", "maya", "-o", out) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert run("import", out) == 0
    printed = capsys.readouterr()
    new, title = printed.out.strip().split("  ")
    assert (title, store.open(new).load().frames[0].action) == ("Maya's Day", "waving")
    assert len(store.open(new).takes()) == (1 if ending == "zip" else 0)
    assert ("holds no pictures" in printed.err) == (ending == "json")


@pytest.mark.parametrize("name", ["maya", "Maya's Day", "folder"])
def test_a_project_is_found_by_id_title_and_folder(
    project: Project, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "saved"
    named = project.path if name == "folder" else name
    assert run("export", named, "--as", "zip", "-o", out) == 0
    assert zipfile.is_zipfile(out)


def test_a_project_that_is_not_there_is_told_with_those_that_are(
    store: Store, project: Project, tmp_path: Path, capsys: Printed
) -> None:
    assert run("export", "zoe", "-o", tmp_path / "a.zip") == 1
    assert "maya (Maya's Day)" in capsys.readouterr().err
    store.create(BOARD, "other")
    assert run("export", "Maya's Day", "-o", tmp_path / "a.zip") == 2
    assert "2 projects" in capsys.readouterr().err
    assert not (tmp_path / "a.zip").exists()


def test_files_are_not_overwritten_unasked(
    project: Project, tmp_path: Path, capsys: Printed
) -> None:
    out = tmp_path / "board.yaml"
    out.write_text("mine")
    assert run("export", "maya", "-o", out) == 2
    assert (out.read_text(), "--overwrite" in capsys.readouterr().err) == ("mine", True)
    assert run("export", "maya", "-o", out, "--overwrite") == 0
    assert "waving" in out.read_text()
    assert run("export", "maya", "-o", tmp_path / "board") == 2
    assert "--as zip, --as json or --as yaml" in capsys.readouterr().err


def test_a_story_brings_its_picture(store: Store, tmp_path: Path, capsys: Printed) -> None:
    drawing().save(tmp_path / "maya.png")
    story = tmp_path / "story.yaml"
    story.write_text("character: {reference: maya.png}\nframes: [{action: waving}]\n")
    assert run("import", story) == 0
    project = store.open(capsys.readouterr().out.split()[0])
    name = project.load().character.reference
    assert project.references.load(name).source.size == drawing().size


def test_a_text_file_of_two_storyboards_becomes_two_projects(
    store: Store, tmp_path: Path, capsys: Printed
) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("beach#a girl#waving\n\nforest#a boy#reading\n")
    assert run("import", path) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(store.projects()) == 2


@pytest.mark.parametrize(
    ("content", "words"), [(b"PK\x03\x04 cut", "not an archive"), (b"GIF89a\0", "can be opened")]
)
def test_wrong_files_are_one_line_on_stderr(
    store: Store, tmp_path: Path, capsys: Printed, content: bytes, words: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert run("import", path) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert store.projects() == []


LONG = "a title " * 60  # longer than the name of a file may be


def test_a_title_that_no_file_can_have_names_a_project(
    store: Store, tmp_path: Path, capsys: Printed
) -> None:
    store.create(BOARD.model_copy(update={"title": LONG}), "long")
    assert run("export", LONG, "-o", tmp_path / "a.zip") == 0
    assert run("export", LONG + "!", "-o", tmp_path / "b.zip") == 1
    assert "There is no project" in capsys.readouterr().err


def test_a_name_that_no_file_can_have_is_refused(
    project: Project, tmp_path: Path, capsys: Printed
) -> None:
    assert run("export", "maya", "-o", tmp_path / f"{LONG}.yaml") == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_damaged_project_is_damaged_and_not_missing(
    project: Project, tmp_path: Path, capsys: Printed
) -> None:
    (project.path / "storyboard.json").write_text("{ half")
    assert run("export", "maya", "-o", tmp_path / "a.zip") == 1
    assert "is damaged" in capsys.readouterr().err
