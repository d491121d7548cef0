"""Reading of archives: a ZIP file of `storyboard.storage.archive` becomes a project again.

The content of such a file is not trusted. Nothing is unpacked by its name: known names are looked
up, their sizes are checked before they are read, and every document, request and picture is
checked before a project stores it. An archive from before it kept takes gives back what it has: the
chosen takes, whose requests its pictures carry.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from pipelines.errors import UserError
from pipelines.pictures import Reference, png_bytes, read_png
from pipelines.request import RenderRequest
from storyboard.board import LONG_TEXT, MAX_STEPS, Identifier, PictureName, Storyboard, Take
from storyboard.storage.files import fault_of, write_result
from storyboard.storage.own_pictures import texts_of, with_texts
from storyboard.storage.project import STAR, Project
from storyboard.storage.projects import Store
from storyboard.storage.reference_store import REFERENCE_FILE
from storyboard.storage.storyboard_file import STORYBOARD, STORYBOARD_FILE, storyboard_content
from storyboard.storage.take_files import REQUEST_KEY, TAKE_FILE
from storyboard.storage.zip_files import DAMAGE, opened_zip, read_member

if TYPE_CHECKING:
    from PIL import Image

_MOST_MEMBERS = 50_000
_MOST_IN_ALL = 4_000_000_000
_MOST_FRAMES = 500  # of a request, with copies of source frames
_LARGEST_SIDE = 2048
_NUMBERED = re.compile(r"0*(\d{1,4})(-[^/]*)?\.png")
_TAKE = re.compile(r"takes/([^/]+)/take\.json")
_ID, _NAME = TypeAdapter(Identifier), TypeAdapter(PictureName)


def read_archive(
    path: Path, store: Store, adapt: Callable[[Storyboard], Storyboard]
) -> tuple[Project, list[str]]:
    """Make a new project of an archive.

    Args:
        adapt: returns the storyboard as it may be stored here.

    Returns:
        The project, and what could not be taken over, as sentences.

    Raises:
        UserError: if it cannot be read, holds no storyboard, or is damaged.
    """
    with opened_zip(path, "an archive", "Choose a ZIP file that Throughline saved.") as archive:
        reading = _Reading(archive, path, adapt)
        project = store.build(reading.fill)
        return project, reading.notes


class _Reading:
    """Archive while it is read."""

    def __init__(
        self, archive: zipfile.ZipFile, path: Path, adapt: Callable[[Storyboard], Storyboard]
    ) -> None:
        self._archive = archive
        self._path = path
        self._adapt = adapt
        self.notes: list[str] = []
        members = archive.infolist()
        if len(members) > _MOST_MEMBERS:
            raise ValueError(f"it holds {len(members)} files, more than {_MOST_MEMBERS}")
        if sum(member.file_size for member in members) > _MOST_IN_ALL:
            raise ValueError(f"its files are larger than {_MOST_IN_ALL // 10**9} GB in all")
        self._members = {member.filename: member for member in members}
        boards = [n for n in self._members if n == STORYBOARD or n.endswith(f"/{STORYBOARD}")]
        if not boards:
            raise ValueError(f"there is no {STORYBOARD} in it")
        # A ZIP file that a person packed anew has everything in a folder.
        self._folder = min(boards, key=len).removesuffix(STORYBOARD)

    def fill(self, folder: Path) -> None:
        """Write the files of the project into an empty folder."""
        board = self._adapt(self._board())
        kept = {take.id: references for take, references in self._takes(board, folder)}
        for number, frame in enumerate(board.frames, 1):
            if frame.take is not None and frame.take not in kept:
                self._note(f"Frame {number} comes without its picture.")
                board = _without_take(board, frame.id)
        name = board.character.reference
        stored = {n for n in {name, *(r for names in kept.values() for r in names)} if n}
        stored = {n for n in sorted(stored) if self._store_reference(n, folder / "references")}
        if name and name not in stored:
            self._note("The character comes without its reference picture.")
            character = board.character.model_copy(update={"reference": ""})
            board = board.model_copy(update={"character": character})
        write_result(folder / STORYBOARD, storyboard_content(board))

    def _board(self) -> Storyboard:
        body = STORYBOARD_FILE.parse(self._content(STORYBOARD), self._path / STORYBOARD)
        try:
            return Storyboard.model_validate(body.get("storyboard"))
        except ValidationError as error:
            raise ValueError(f"its {STORYBOARD} is damaged: {fault_of(error)}") from error

    def _takes(self, board: Storyboard, folder: Path) -> Iterator[tuple[Take, frozenset[str]]]:
        """Store every take that is whole; yield each with the references that it names."""
        frames = {frame.id: number for number, frame in enumerate(board.frames, 1)}
        chosen = {frame.take: frame.id for frame in board.frames if frame.take}
        recorded = [found[1] for name in self._names if (found := _TAKE.fullmatch(name))]
        for take_id in dict.fromkeys([*chosen, *recorded]):
            frame_id = chosen.get(take_id, "")
            try:
                files, take, request = self._take(take_id, frame_id, frames.get(frame_id, 0))
                if take.frame_id not in frames or frame_id not in ("", take.frame_id):
                    raise ValueError("it belongs to another frame")
            except (UserError, KeyError, *DAMAGE) as error:
                where = f" of frame {frames[frame_id]}" if frame_id else ""
                self._note(f"Take {take_id}{where} was left out: {_words(error)}.")
                continue
            for name, content in files.items():
                write_result(folder / "takes" / take.id / name, content)
            yield take, request.references

    def _take(
        self, take_id: str, frame_id: str, number: int
    ) -> tuple[dict[str, bytes], Take, RenderRequest]:
        """Return the files of a take, checked; `number` is of the frame that chose it, or 0."""
        _ID.validate_python(take_id)
        image = self._either(f"takes/{take_id}/image.png", self._numbered(number, ""))
        mask = self._either(f"takes/{take_id}/mask.png", self._numbered(number, "masks/"))
        if image is None:
            raise ValueError("its picture is not there")
        picture, shape = read_png(image), None if mask is None else read_png(mask)
        record = f"takes/{take_id}/take.json"
        if record in self._names:
            body = TAKE_FILE.parse(self._content(record), self._path / record)
            take = Take.model_validate(body.get("take"))
            request = RenderRequest.from_dict(body["request"])
        else:
            request = RenderRequest.from_dict(json.loads(_text_of(image)))
            take = _take_of(request, take_id, frame_id, shape, self._time)
        _check(request, take, picture, shape)
        if take.id != take_id:
            raise ValueError(f"its record is of take {take.id}")
        body = {"take": take.model_dump(mode="json"), "request": request.to_dict()}
        files = {
            "image.png": with_texts(image, texts_of(request)),
            "take.json": TAKE_FILE.dump(body),
        }
        if mask is None:
            self._note(f"Take {take_id} comes without its mask.")
        else:
            files["mask.png"] = with_texts(mask, {})
        if f"takes/{take_id}/{STAR}" in self._names:
            files[STAR] = b""
        return files, take, request

    def _store_reference(self, name: str, folder: Path) -> bool:
        """Store a reference picture; return whether it is there, and whole."""
        try:
            _NAME.validate_python(name)
            content = self._content(f"references/{name}")
            if f"{hashlib.sha256(content).hexdigest()}.png" != name:
                raise ValueError("its content has changed")
            files = {name: content} | self._origin_of(name, read_png(content))
        except (UserError, *DAMAGE) as error:
            self._note(f"A reference picture was left out: {_words(error)}.")
            return False
        for file, part in reversed(files.items()):  # the picture comes last
            write_result(folder / file, part)
        return True

    def _origin_of(self, name: str, image: Image.Image) -> dict[str, bytes]:
        """Return the picture and mask that a reference was made from, and its record."""
        stem = name.removesuffix(".png")
        source_name, mask_name = f"references/{stem}.source.png", f"references/{stem}.mask.png"
        record: dict[str, Any] = {"made": self._time.isoformat(timespec="seconds"), "doubt": ""}
        if source_name in self._names and mask_name in self._names:
            source, mask = read_png(self._content(source_name)), read_png(self._content(mask_name))
            if f"references/{stem}.json" in self._names:
                content = self._content(f"references/{stem}.json")
                known = REFERENCE_FILE.parse(content, self._path / f"{stem}.json")
                record = {key: str(known.get(key, value)) for key, value in record.items()}
        else:  # an archive of earlier has the cut-out figure alone
            from PIL import Image

            source, mask = image, Image.new("L", image.size, 255)
        Reference(image, source, mask)
        return {
            f"{stem}.json": REFERENCE_FILE.dump(record),
            f"{stem}.mask.png": png_bytes(mask),
            f"{stem}.source.png": png_bytes(source),
        }

    @cached_property
    def _names(self) -> dict[str, zipfile.ZipInfo]:
        """The archive's files by their names below its folder."""
        length = len(self._folder)
        below = ((n, m) for n, m in self._members.items() if n.startswith(self._folder))
        return {name[length:]: member for name, member in below}

    @cached_property
    def _time(self) -> datetime:
        try:
            return datetime(*self._names[STORYBOARD].date_time, tzinfo=UTC)
        except ValueError:
            return datetime.now(UTC)

    def _numbered(self, number: int, folder: str) -> str:
        """Return the name of the picture with a frame's number in a folder; empty for none."""
        for name in self._names if number else ():
            found = _NUMBERED.fullmatch(name.removeprefix(folder))
            if found and name.startswith(folder) and int(found[1]) == number:
                return name
        return ""

    def _either(self, *names: str) -> bytes | None:
        """Return the content of the first of these files that is there; None without any."""
        found = next((name for name in names if name in self._names), None)
        return None if found is None else self._content(found)

    def _content(self, name: str) -> bytes:
        """Return the content of a file; its size is checked before it is unpacked."""
        return read_member(self._archive, self._names.get(name), name)

    def _note(self, words: str) -> None:
        self.notes.append(words.replace(f"{self._path}/", ""))


def _without_take(board: Storyboard, frame_id: str) -> Storyboard:
    frames = (f.model_copy(update={"take": None}) if f.id == frame_id else f for f in board.frames)
    return board.model_copy(update={"frames": tuple(frames)})


def _text_of(image: bytes) -> str:
    """Return the request that a picture of an earlier archive carries, as JSON."""
    from PIL import Image

    with Image.open(io.BytesIO(image), formats=["PNG"]) as picture:
        picture.load()
        text = picture.info.get(REQUEST_KEY)
    if not isinstance(text, str):
        raise ValueError("the picture does not say how it was generated")
    return text


def _take_of(
    request: RenderRequest, take_id: str, frame_id: str, mask: Image.Image | None, made: datetime
) -> Take:
    """Return the record of a take whose request and mask alone are known."""
    frame = next((f for f in request.frames if f.frame_id == frame_id), None)
    if frame is None:
        raise ValueError("it belongs to another frame")
    return Take(
        id=take_id,
        frame_id=frame_id,
        created=made,
        seconds=0,
        seed=frame.seed,
        foreground=mask.histogram()[255] / (mask.width * mask.height) if mask else 0,
        prompt=frame.prompt.text,
        model=request.model,
    )


def _check(
    request: RenderRequest, take: Take, picture: Image.Image, mask: Image.Image | None
) -> None:
    """Refuse a take whose parts do not belong together, or a request that no page could make."""
    frames = {frame.frame_id: frame for frame in request.frames}
    if len(frames) > _MOST_FRAMES or request.steps > MAX_STEPS:
        raise ValueError("its request is larger than one that Throughline makes")
    for frame in request.frames:
        if max(frame.width, frame.height) > _LARGEST_SIDE:
            raise ValueError(f"its request has a frame of {frame.width} x {frame.height} pixels")
        if len(frame.prompt.text) > 4 * LONG_TEXT:
            raise ValueError("its request has a prompt without end")
    own = frames.get(take.frame_id)
    if own is None:
        raise ValueError("its request renders another frame")
    masked = mask is None or (mask.size == picture.size and mask.mode == "L")
    if picture.size != (own.width, own.height) or not masked:
        raise ValueError("its picture and its mask do not have the size of its request")
    if picture.mode != "RGB":
        raise ValueError(f"its picture is in {picture.mode}, not RGB")


def _words(error: Exception) -> str:
    words = error.problem if isinstance(error, UserError) else str(error)
    if isinstance(error, ValidationError):
        words = fault_of(error)
    elif isinstance(error, KeyError):
        words = f"{error} is missing in its record"
    return " ".join(words.split()).rstrip(".")
