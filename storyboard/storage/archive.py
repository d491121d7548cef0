"""Archives: a whole project in one ZIP file, to look at and to open again.

    README.txt            what is inside, for a person
    01-waving.png ...     the chosen takes in order, each with its own frame's part of its request
    masks/01-waving.png   their foreground masks
    takes/<id>/           the earlier takes' pictures, and for every take the whole request
    references/           as in the project, where a frame or a take names one
    storyboard.json

An archive that Throughline wrote before it kept takes holds their whole requests in its pictures.
`storyboard.storage.archive_reading` opens both.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pipelines.errors import UserError
from storyboard.board import Storyboard, Take, new_id
from storyboard.errors import ProjectError
from storyboard.storage.damage import damage_of, without_folder
from storyboard.storage.files import TEMPORARY, file_stem, unwritable
from storyboard.storage.own_pictures import own_picture
from storyboard.storage.project import STAR, Project
from storyboard.storage.storyboard_file import STORYBOARD, storyboard_content
from storyboard.storage.take_files import picture_fault
from storyboard.storage.zip_files import write_zip

README = "README.txt"

_WORDS = """\
{title}
A storyboard of Throughline, saved on {date}. To open it again, drop this ZIP file on Throughline's
page, or run `python -m storyboard import FILE`.

{pictures}
storyboard.json   all words, seeds and settings of the storyboard

takes/ and storyboard.json hold the words of all frames{upload}.
To share pictures, share the pictures{numbered} alone: each carries the prompt and the
settings of its own frame, and of no other.
"""
_CHOSEN = """\
01-....png        the chosen picture of every generated frame, in the order of the story; each
                  carries its own frame's prompt and settings
masks/            where the character is in them: white
takes/            what the pictures were generated from (take.json: the whole request, with the
                  words of every frame that was generated with it), and all earlier takes\
"""
_LOST = """
Missing here, as it was missing or damaged when this file was saved:
"""
_NOTHING = "No frame has been generated yet, so there are no pictures."
_REFERENCES = """
references/       the reference pictures of the character, and what they were cut out of\
"""


def write_archive(project: Project, path: Path) -> Path:
    """Write a project into an archive.

    Takes of frames that were removed from the storyboard are left out.

    Pictures that are missing or damaged are left out, and named in its README.txt.

    Returns:
        The archive's path, as given; replaced if it exists.

    Raises:
        ProjectError: if the storyboard cannot be read, or the archive cannot be written.
    """
    board = project.load()
    temporary = path.with_name(f".{new_id()}{TEMPORARY}")
    try:
        write_zip(temporary, _members(project, board, []))
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def check_archive(project: Project) -> list[str]:
    """Return a sentence for everything that `write_archive` would leave out; write nothing.

    Raises:
        ProjectError: as `write_archive`.
    """
    lost: list[str] = []
    for _ in _members(project, project.load(), lost):
        pass
    return lost


def stem_of(board: Storyboard, frame_id: str) -> str:
    """Return the name of a frame's picture outside of a project, without its ending."""
    frame = board.frame(frame_id)
    return file_stem(board.position(frame_id) + 1, f"{frame.action} {frame.location}")


def _members(
    project: Project, board: Storyboard, lost: list[str]
) -> Iterator[tuple[str, Path | bytes]]:
    """Yield the name and the content of every file in the archive.

    Args:
        lost: takes a sentence for everything that is missing or damaged.
    """
    lost += damage_of(project)
    frames = {frame.id: frame for frame in board.frames}
    takes = [take for take in project.takes() if take.frame_id in frames]
    references = {board.character.reference} - {""}
    for take in takes:
        with suppress(ProjectError):  # a request that is damaged is packed as it is
            references |= project.request(take.id).references
    yield STORYBOARD, storyboard_content(board)
    for take in takes:
        folder = f"takes/{take.id}"
        chosen = frames[take.frame_id].take == take.id
        stem = stem_of(board, take.frame_id)
        image, mask = (
            (f"{stem}.png", f"masks/{stem}.png")
            if chosen
            else (f"{folder}/image.png", f"{folder}/mask.png")
        )
        if not picture_fault(project.path / folder / "image.png"):
            try:
                yield image, own_picture(project, take.id)
            except ProjectError:
                number = board.position(take.frame_id) + 1
                lost.append(f"The picture of frame {number}, take {take.id}, is damaged.")
        with suppress(ProjectError):  # named by `damage_of`
            yield mask, project.mask_path(take.id)
        yield f"{folder}/take.json", project.path / folder / "take.json"
        if project.is_starred(take.id):
            yield f"{folder}/{STAR}", b""
    for name in sorted(references):
        try:
            path = project.references.check(name)
        except UserError as error:
            if name == board.character.reference:
                lost.append(without_folder(error.problem, project))
            continue  # else of an earlier take, which can be looked at without
        yield f"references/{name}", path
        for suffix in (".source.png", ".mask.png", ".json"):
            if path.with_suffix(suffix).is_file():
                yield f"references/{path.stem}{suffix}", path.with_suffix(suffix)
    yield README, _readme(board, takes, references, lost).encode()


def _readme(board: Storyboard, takes: list[Take], references: set[str], lost: list[str]) -> str:
    pictures = (_CHOSEN if takes else _NOTHING) + (_REFERENCES if references else "")
    words = _WORDS.format(
        title=board.title or "Untitled storyboard",
        date=datetime.now(UTC).date().isoformat(),
        pictures=pictures,
        upload=", and references/ the picture that was uploaded" if references else "",
        numbered=" with a number" if takes else "",
    )
    return words + "\n".join([_LOST, *lost, ""]) if lost else words
