"""Storyboards as files, out and in: ZIP, `storyboard.json`, `story.yaml`.

The page and the command line share this: which file is of which kind, and what becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.errors import UserError
from pipelines.pictures import Reference
from storyboard.board import Storyboard
from storyboard.errors import ProjectError, StoryFileError
from storyboard.exporting.story import story_text
from storyboard.importing.story_file import StoryFile, read_story
from storyboard.storage.archive import write_archive
from storyboard.storage.archive_reading import read_archive
from storyboard.storage.files import write_result
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from storyboard.storage.storyboard_file import read_storyboard, storyboard_content

Form = Literal["zip", "json", "yaml"]
FORMS: tuple[Form, ...] = ("zip", "json", "yaml")
ENDINGS: dict[Form, str] = {"zip": ".zip", "json": ".json", "yaml": ".yaml"}

_FORM_OF: dict[str, Form] = {
    ".zip": "zip",
    ".json": "json",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".txt": "yaml",
}
_MOST_TEXT = 1_000_000  # bytes of a story file or a storyboard.json
_MOST_BOARDS = 100  # of one story file


@dataclass(frozen=True)
class Imported:
    """The projects that a file became, in its order, and what could not be taken over."""

    projects: tuple[Project, ...]
    notes: tuple[str, ...] = ()


def form_of(path: Path) -> Form | None:
    """Return the form of a file by the ending of its name; None for any other ending."""
    return _FORM_OF.get(path.suffix.casefold())


def export_board(project: Project, form: Form, path: Path) -> Path:
    """Write a project's storyboard to a file.

    Returns:
        The file's path, as given; replaced if it exists.

    Raises:
        UserError: if it cannot be written in this form, or the project is damaged.
    """
    if form == "zip":
        return write_archive(project, path)
    board = project.load()
    if form == "json":
        write_result(path, storyboard_content(board))
    else:
        write_result(path, story_text(board).encode())
    return path


def import_file(
    path: Path,
    store: Store,
    adapt: Callable[[Storyboard], Storyboard] = lambda board: board,
    prepare: Callable[[Path], Reference] | None = None,
) -> Imported:
    """Make new projects of a file; a text file with several groups becomes several.

    Args:
        adapt: returns a storyboard as it may be stored here.
        prepare: makes the reference of a picture that a story file names; None where the file
            comes alone, from another machine.

    Raises:
        UserError: if it cannot be read, is of no kind that can be opened, or is damaged. Nothing
            is stored then.
    """
    form = form_of(path) or _guessed(path)
    if form is None:
        raise UserError(
            f"{path} is not a storyboard that can be opened.",
            "Choose a ZIP, a storyboard.json, or a story file (.yaml, .yml or .txt).",
        )
    if form == "zip":
        project, notes = read_archive(path, store, adapt)
        return Imported((project,), tuple(notes))
    size = _size(path)
    if size > _MOST_TEXT:
        raise UserError(
            f"{path} is too large: it has {size / 1e6:.1f} MB, and a storyboard's words take less "
            f"than {_MOST_TEXT / 1e6:.0f} MB.",
            "Choose another file, or a ZIP.",
        )
    if form == "json":
        board, notes = _read_document(path)
        return Imported((store.create(adapt(board)),), tuple(notes))
    return _import_story(read_story(path, alone=prepare is None), store, adapt, prepare)


def _read_document(path: Path) -> tuple[Storyboard, list[str]]:
    """Return the storyboard of a `storyboard.json`, without the pictures that it names."""
    try:
        board = read_storyboard(path)
    except ProjectError as error:  # which is of no project here
        remedy = "Choose a storyboard.json that Throughline saved, with the same version or before."
        raise UserError(error.problem, remedy) from error
    had_pictures = board.character.reference or any(frame.take for frame in board.frames)
    notes = ["Words and settings alone: a storyboard.json holds no pictures, a ZIP does."]
    frames = tuple(frame.model_copy(update={"take": None}) for frame in board.frames)
    character = board.character.model_copy(update={"reference": ""})
    alone = board.model_copy(update={"frames": frames, "character": character})
    return alone, notes if had_pictures else []


def _import_story(
    story: StoryFile,
    store: Store,
    adapt: Callable[[Storyboard], Storyboard],
    prepare: Callable[[Path], Reference] | None,
) -> Imported:
    if len(story.storyboards) > _MOST_BOARDS:
        raise UserError(
            f"The file holds {len(story.storyboards)} storyboards, more than {_MOST_BOARDS}.",
            "Split it.",
        )
    reference = None
    notes = []
    if story.reference is not None and prepare is not None:
        reference = prepare(story.reference)
        notes += [reference.doubt] if reference.doubt else []
    elif story.reference is not None:
        notes.append(
            f"The reference picture {story.reference.name} is not in a story file: upload it."
        )
    projects = []
    for board in map(adapt, story.storyboards):
        project = store.create(board)
        if reference is not None:
            name = project.references.add(reference)
            character = board.character.model_copy(update={"reference": name})
            project.save(board.model_copy(update={"character": character}))
        projects.append(project)
    return Imported(tuple(projects), tuple(notes))


def _guessed(path: Path) -> Form | None:
    """Return the form of a file by its content; None where it is no known one."""
    try:
        with path.open("rb") as file:
            begin = file.read(4096)
    except OSError as error:
        raise StoryFileError(path, None, f"cannot be read ({error.strerror})") from error
    if begin.startswith(b"PK\x03\x04"):
        return "zip"
    try:
        text = begin.decode("utf-8-sig").lstrip()
    except UnicodeDecodeError as error:
        if error.start < len(begin) - 4:  # otherwise a letter is cut in two
            return None
        text = begin[: error.start].decode("utf-8-sig").lstrip()
    if text.startswith("{"):
        return "json"
    return "yaml" if text and "\0" not in text else None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise StoryFileError(path, None, f"cannot be read ({error.strerror})") from error
