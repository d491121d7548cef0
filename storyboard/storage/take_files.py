"""Files of takes: the picture, its mask, and a JSON file with the take and its request.

A take is never overwritten, so a file that has been read is read again only where it has changed
on disk.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import ValidationError

from pipelines.pictures import mask_picture, png_bytes
from pipelines.request import RenderRequest
from storyboard.board import Take
from storyboard.storage.files import DocumentKind, invalid, new_folder, write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

TAKE_FILE = DocumentKind("throughline take")
REQUEST_KEY = "throughline-request"

_PNG_BEGIN, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"

# Takes are small. A request names all frames of its render, and only those of chosen takes are
# asked for again and again.
_TAKES_KEPT, _REQUESTS_KEPT = 20_000, 1_000

_Stamp = tuple[int, int]
_Content = TypeVar("_Content")


class TakeFiles:
    """Reader of takes that remembers what it has read; for any thread."""

    def __init__(self) -> None:
        self._takes: _Recent[Take] = _Recent(_TAKES_KEPT)
        self._requests: _Recent[RenderRequest] = _Recent(_REQUESTS_KEPT)

    def take(self, path: Path) -> Take:
        """Return the take in a file.

        Raises:
            ProjectError: if the file is missing or damaged.
        """
        stamp = _stamp(path)
        known = self._takes.get(path, stamp)
        return known or self._remember_take(path, stamp, TAKE_FILE.read(path))

    def request(self, path: Path) -> RenderRequest:
        """Return the request in a file; its take is remembered too.

        Raises:
            ProjectError: if the file is missing or damaged.
        """
        stamp = _stamp(path)
        known = self._requests.get(path, stamp)
        if known is not None:
            return known
        body = TAKE_FILE.read(path)
        try:
            request = RenderRequest.from_dict(body["request"])
        except (KeyError, TypeError, ValueError) as error:
            raise invalid(path, error) from error
        self._remember_take(path, stamp, body)
        self._requests.keep(path, stamp, request)
        return request

    def _remember_take(self, path: Path, stamp: _Stamp, body: dict[str, Any]) -> Take:
        try:
            take = Take.model_validate(body.get("take"))
        except ValidationError as error:
            raise invalid(path, error) from error
        self._takes.keep(path, stamp, take)
        return take


def write_take(
    folder: Path, take: Take, image: Image.Image, mask: NDArray[np.bool_], request: RenderRequest
) -> None:
    """Write a take's folder, which appears complete or not at all.

    Args:
        image: the picture, RGB.
        mask: its foreground mask, bool, shape (rows, columns) in tokens.
        request: the request that made it, for take.json and the picture's metadata.

    Raises:
        OSError: if it cannot be written.
    """
    recipe = request.to_dict()
    body: dict[str, Any] = {"take": take.model_dump(mode="json"), "request": recipe}
    files = {
        "image.png": png_bytes(image, **{REQUEST_KEY: json.dumps(recipe, ensure_ascii=False)}),
        "mask.png": png_bytes(mask_picture(mask, image.size)),
        "take.json": TAKE_FILE.dump(body),
    }
    folder.parent.mkdir(exist_ok=True)
    with new_folder(folder) as unfinished:
        for name, content in files.items():
            write_atomically(unfinished / name, content)


def picture_fault(path: Path) -> str:
    """Return why a PNG file cannot be shown, as "is missing"; empty where it looks whole.

    Its first and last bytes are looked at: they tell a file that is empty, cut off or of another
    kind, without reading megabytes.
    """
    try:
        if not path.is_file():
            return "is not a file" if os.path.lexists(path) else "is missing"
        with path.open("rb") as file:
            begin = file.read(len(_PNG_BEGIN))
            file.seek(-min(len(_PNG_END), path.stat().st_size), os.SEEK_END)
            end = file.read()
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    return "" if (begin, end) == (_PNG_BEGIN, _PNG_END) else "is damaged"


class _Recent(Generic[_Content]):
    """The contents of files that were asked for last."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[Path, tuple[_Stamp, _Content]] = OrderedDict()
        self._guard = threading.Lock()

    def get(self, path: Path, stamp: _Stamp) -> _Content | None:
        """Return a file's content; None where it is not known as it was then."""
        with self._guard:
            then, content = self._known.get(path, (None, None))
            if then != stamp:
                return None
            self._known.move_to_end(path)
            return content

    def keep(self, path: Path, stamp: _Stamp, content: _Content) -> None:
        """Remember a file's content in place of what was asked for longest ago."""
        with self._guard:
            self._known[path] = (stamp, content)
            self._known.move_to_end(path)
            while len(self._known) > self._limit:
                self._known.popitem(last=False)


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:  # reading it reports why
        return (0, 0)
    return status.st_mtime_ns, status.st_size
