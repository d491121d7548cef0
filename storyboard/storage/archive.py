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
from storyboard.board import Storyboard, Take
from storyboard.errors import ProjectError
from storyboard.storage.files import file_stem, unwritable
from storyboard.storage.own_pictures import own_picture
from storyboard.storage.project import STAR, Project
from storyboard.storage.storyboard_file import STORYBOARD
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
_NOTHING = "No frame has been generated yet, so there are no pictures."
_REFERENCES = """
references/       the reference pictures of the character, and what they were cut out of\
"""


def write_archive(project: Project, path: Path) -> Path:
    """Write a project into an archive.

    Takes of frames that were removed from the storyboard are left out.

    Returns:
        The archive's path, as given; replaced if it exists.

    Raises:
        ProjectError: if a picture is missing or damaged, or the archive cannot be written.
    """
    board = project.load()
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write_zip(temporary, _members(project, board))
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def check_archive(project: Project) -> None:
    """Refuse what `write_archive` would refuse; write nothing.

    Raises:
        ProjectError: as `write_archive`.
    """
    for _ in _members(project, project.load()):
        pass


def stem_of(board: Storyboard, frame_id: str) -> str:
    """Return the name of a frame's picture outside of a project, without its ending."""
    frame = board.frame(frame_id)
    return file_stem(board.position(frame_id) + 1, f"{frame.action} {frame.location}")


def _members(project: Project, board: Storyboard) -> Iterator[tuple[str, Path | bytes]]:
    """Yield the name and the content of every file in the archive."""
    frames = {frame.id: frame for frame in board.frames}
    takes = [take for take in project.takes() if take.frame_id in frames]
    references = {board.character.reference} - {""}
    for take in takes:
        with suppress(ProjectError):  # a request that is damaged is packed as it is
            references |= project.request(take.id).references
    yield README, _readme(board, takes, references).encode()
    yield STORYBOARD, project.path / STORYBOARD
    for take in takes:
        folder = f"takes/{take.id}"
        chosen = frames[take.frame_id].take == take.id
        stem = stem_of(board, take.frame_id)
        image, mask = (
            (f"{stem}.png", f"masks/{stem}.png")
            if chosen
            else (f"{folder}/image.png", f"{folder}/mask.png")
        )
        try:
            yield image, own_picture(project, take.id)
        except ValueError as error:
            raise ProjectError(
                f"The picture of take {take.id} is damaged ({error}).",
                f"Choose another take of frame {board.position(take.frame_id) + 1}, or redo it.",
            ) from error
        yield mask, project.mask_path(take.id)
        yield f"{folder}/take.json", project.path / folder / "take.json"
        if project.is_starred(take.id):
            yield f"{folder}/{STAR}", b""
    for name in sorted(references):
        try:
            path = project.references.path(name)
        except UserError:
            if name == board.character.reference:
                raise
            continue  # of an earlier take, which can be looked at without
        yield f"references/{name}", path
        for suffix in (".source.png", ".mask.png", ".json"):
            if path.with_suffix(suffix).is_file():
                yield f"references/{path.stem}{suffix}", path.with_suffix(suffix)


def _readme(board: Storyboard, takes: list[Take], references: set[str]) -> str:
    pictures = (_CHOSEN if takes else _NOTHING) + (_REFERENCES if references else "")
    return _WORDS.format(
        title=board.title or "Untitled storyboard",
        date=datetime.now(UTC).date().isoformat(),
        pictures=pictures,
        upload=", and references/ the picture that was uploaded" if references else "",
        numbered=" with a number" if takes else "",
    )
