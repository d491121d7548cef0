"""Pictures as they leave a project: each carries its own frame's part of the request alone.

In a project, a take's picture holds the whole request that made it, with the words of every frame
that was rendered with it. What is shared says no more than what it shows. Pixels are never encoded
again, except for the small copies that lists show.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePath, PurePosixPath, PureWindowsPath

from pipelines.request import RenderRequest
from storyboard.errors import ProjectError
from storyboard.storage.files import invalid, read_file, write_result
from storyboard.storage.project import Project
from storyboard.storage.take_files import REQUEST_KEY

NOTE_KEY = "throughline-note"
_NOTE = (
    "This frame's own part of the request that rendered it. The frames that its character and its "
    "location came from are left out."
)
_REMEDY = "Put a copy back, choose another take, or redo it."
SMALL_SIDE = 320  # pixels of the longer side of a small picture
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXELS = (b"IHDR", b"PLTE", b"IDAT", b"IEND")


def own_picture(project: Project, take_id: str) -> bytes:
    """Return a take's picture as a PNG file with its own frame's part of the request.

    Where the request cannot be read, the picture has none.

    Raises:
        ProjectError: if there is no such picture, or it is damaged.
    """
    texts: dict[str, str] = {}
    with suppress(KeyError, ProjectError):
        texts = own_texts(project.request(take_id), project.take(take_id).frame_id)
    path = project.image_path(take_id)
    try:
        return with_texts(read_file(path, _REMEDY), texts)
    except ValueError as error:
        raise invalid(path, error) from error


def small_picture(project: Project, take_id: str) -> bytes:
    """Return a small copy of a take's picture, JPEG; keep it, where the disk lets us.

    Raises:
        ProjectError: if there is no picture, or it is damaged.
    """
    from PIL import Image

    path = project.path / ".small" / f"{take_id}.jpg"
    with suppress(ProjectError):  # there is none yet
        return read_file(path, _REMEDY)
    source = project.image_path(take_id)
    copy = io.BytesIO()
    try:
        with Image.open(source) as image:
            image.thumbnail((SMALL_SIDE, SMALL_SIDE))
            image.convert("RGB").save(copy, "JPEG", quality=85)
    except (OSError, SyntaxError, ValueError) as error:
        raise invalid(source, error) from error
    with suppress(ProjectError):  # a disk that is full or read-only
        write_result(path, copy.getvalue())
    return copy.getvalue()


def own_texts(request: RenderRequest, frame_id: str) -> dict[str, str]:
    """Return the texts by which a picture carries its own frame's part of a request.

    Raises:
        KeyError: if the frame is not in it.
    """
    return texts_of(own_part(request, frame_id)) | {NOTE_KEY: _NOTE}


def own_part(request: RenderRequest, frame_id: str) -> RenderRequest:
    """Return the part of a request that speaks of one of its frames, without paths of a machine.

    Raises:
        KeyError: if the frame is not in it.
    """
    frame = next((frame for frame in request.frames if frame.frame_id == frame_id), None)
    if frame is None:
        raise KeyError(frame_id)
    alone = replace(frame, identity_from=None, background_from=None)
    return replace(
        request,
        model=_without_folders(request.model),
        frames=(alone,),
        targets=(frame_id,),
        styles=tuple(replace(s, source=_without_folders(s.source)) for s in request.styles),
    )


def texts_of(request: RenderRequest) -> dict[str, str]:
    """Return the texts by which a picture carries a request."""
    return {REQUEST_KEY: json.dumps(request.to_dict(), ensure_ascii=False)}


def with_texts(content: bytes, texts: dict[str, str]) -> bytes:
    """Return a PNG file with these texts, and with nothing else besides its pixels.

    Raises:
        ValueError: if it is not a PNG file, or is damaged.
    """
    header, *rest = [chunk for kind, chunk in _chunks(content) if kind in _PIXELS]
    words = [_text_chunk(name, text) for name, text in texts.items()]
    return b"".join([_SIGNATURE, header, *words, *rest])


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield each chunk of a PNG file, with its type."""
    if not content.startswith(_SIGNATURE):
        raise ValueError("it is not a PNG picture")
    position = len(_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        head = content[position : position + 8]
        if len(head) < 8:
            raise ValueError("the picture is cut off")
        length, kind = struct.unpack(">I4s", head)
        end = position + 12 + length
        if end > len(content):
            raise ValueError("the picture is cut off")
        if zlib.crc32(content[position + 4 : end - 4]) != int.from_bytes(content[end - 4 : end]):
            raise ValueError("its content has changed")
        yield kind, content[position:end]
        position = end


def _text_chunk(name: str, text: str) -> bytes:
    """Return an international text chunk, not compressed."""
    body = b"iTXt" + name.encode("latin-1") + b"\0\0\0\0\0" + text.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _without_folders(name: str) -> str:
    """Return the last part of a path on a machine; any other name as it is."""
    kinds: tuple[type[PurePath], ...] = (PurePosixPath, PureWindowsPath)
    paths = [path for path in (kind(name) for kind in kinds) if path.is_absolute()]
    return paths[0].name or name if paths else name
