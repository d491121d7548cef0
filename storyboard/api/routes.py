"""Addresses of the files that a page shows: its scripts, pictures of takes, downloads.

Pictures are sent from their projects, so that nothing is copied and nothing can be cleaned away
under an open page. A take's picture carries its own frame's part of its request alone, however it
is saved from the page. A board's address contains its project's id, which nobody can guess.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from pipelines.errors import UserError
from pipelines.pictures import png_bytes, read_png, smooth_mask
from storyboard.formats import ENDINGS, FORMS, export_board
from storyboard.storage.character_file import save_character
from storyboard.storage.own_pictures import own_picture, small_picture
from storyboard.storage.project import Project
from storyboard.storage.projects import Store

PREFIX = "/tl"
SMOOTH_MASK = "mask-smooth.png"  # made of a take's mask.png when it is asked for

_log = logging.getLogger(__name__)

_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_PLAIN = {"X-Content-Type-Options": "nosniff"}


def take_address(project: Project, take_id: str, name: str) -> dict[str, str]:
    """Return the address of a take's "image.png", "mask.png" or `SMOOTH_MASK`."""
    return {"at": f"boards/{project.id}/takes/{take_id}/{name}"}


def picture_address(project: Project, path: Path) -> dict[str, str]:
    """Return the address of a picture in a project's folder `references` or `draft`."""
    return {"at": f"boards/{project.id}/{path.parent.name}/{path.name}"}


def download_address(project: Project, name: str) -> dict[str, str]:
    """Return the address of a download, "storyboard.zip" or "board.character"."""
    return {"at": f"boards/{project.id}/{name}"}


def small_address(project_id: str, take_id: str | None, deleted: bool = False) -> dict[str, str]:
    """Return the address of a small picture of a take, of a project that may be in the bin."""
    return {"at": f"{'bin' if deleted else 'boards'}/{project_id}/takes/{take_id}/small.jpg"}


def scripts_version(folder: Path) -> str:
    """Return a name for the scripts as they are now, so that no browser mixes two versions."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.js")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def make_routes(store: Store, scripts: Path) -> list[BaseRoute]:
    """Return the routes below `PREFIX`.

    Args:
        store: the projects.
        scripts: folder of the page's scripts.
    """

    def project_of(request: Request) -> Project:
        return store.open(request.path_params["project"])

    def take(request: Request) -> Response:
        project, name = project_of(request), request.path_params["name"]
        take_id = request.path_params["take"]
        match name:
            case "image.png":
                return _png(own_picture(project, take_id))
            case "small.jpg":
                return _jpeg(small_picture(project, take_id))
            case "mask.png":
                return FileResponse(project.mask_path(take_id), headers=_FOREVER | _PLAIN)
            case _ if name == SMOOTH_MASK:
                mask = smooth_mask(read_png(project.mask_path(take_id).read_bytes()))
                return _png(png_bytes(mask))
        raise KeyError(name)

    def deleted_take(request: Request) -> Response:
        project = store.deleted(request.path_params["project"])
        return _jpeg(small_picture(project, request.path_params["take"]))

    def picture(request: Request) -> Response:
        folder, name = request.path_params["folder"], request.path_params["name"]
        return _picture(project_of(request).path / folder / name)

    def board_file(request: Request) -> Response:
        project, ending = project_of(request), request.path_params["ending"]
        form = next(form for form in FORMS if ENDINGS[form] == f".{ending}")
        return _made(lambda path: export_board(project, form, path), f"storyboard.{ending}")

    def character(request: Request) -> Response:
        project = project_of(request)
        return _made(lambda path: save_character(project, path), "board.character")

    routes: list[BaseRoute] = [
        Route("/alive", lambda _: PlainTextResponse("alive"), methods=["GET", "HEAD"]),
        Route(f"/ui/{scripts_version(scripts)}/{{path:path}}", _scripts(scripts)),
        Route("/boards/{project}/takes/{take}/{name}", _answered(take)),
        Route("/bin/{project}/takes/{take}/small.jpg", _answered(deleted_take)),
        Route("/boards/{project}/storyboard.{ending}", _answered(board_file)),
        Route("/boards/{project}/board.character", _answered(character)),
        Route("/boards/{project}/{folder}/{name}", _answered(picture)),
    ]
    return [Mount(PREFIX, routes=routes)]


def _scripts(folder: Path) -> Callable[[Request], Awaitable[Response]]:
    """Return what sends the scripts, from memory: a page fetches dozens of them at once.

    Their address names their version, so that they never change.
    """
    packed = {
        path.relative_to(folder).as_posix(): gzip.compress(path.read_bytes())
        for path in folder.rglob("*.js")
    }

    async def send(request: Request) -> Response:
        content = packed.get(request.path_params["path"])
        if content is None:
            raise HTTPException(404, "There is no such script.")
        headers = dict(_FOREVER | _PLAIN)
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
        else:
            content = gzip.decompress(content)
        return Response(content, media_type="text/javascript", headers=headers)

    return send


def _answered(answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """Answer 404 where a project or file is not there; runs in Starlette's threads."""

    def endpoint(request: Request) -> Response:
        try:
            return answer(request)
        except (UserError, KeyError, ValueError, OSError, StopIteration) as error:
            # A picture that is damaged, or a name that is too long for a file, too.
            raise HTTPException(404, "There is no such file.") from error

    return endpoint


def _png(content: bytes) -> Response:
    return Response(content, media_type="image/png", headers=_FOREVER | _PLAIN)


def _jpeg(content: bytes) -> Response:
    return Response(content, media_type="image/jpeg", headers=_FOREVER | _PLAIN)


def _picture(path: Path) -> Response:
    shown = path.parent.name in ("references", "draft")
    if not shown or path.suffix != ".png" or path.name.startswith(".") or not path.is_file():
        raise HTTPException(404, "There is no such picture.")
    return FileResponse(path, headers=_FOREVER | _PLAIN)


def _made(write: Callable[[Path], Path], name: str) -> Response:
    """Send a file that is written for this answer, and delete it afterwards.

    Raises:
        HTTPException: if it cannot be written, though its project is there.
    """
    with ExitStack() as made:
        try:
            path = write(Path(made.enter_context(tempfile.TemporaryDirectory()), name))
        except (UserError, OSError) as error:
            _log.warning("%s cannot be made: %s", name, error)
            raise HTTPException(500, f"{name} cannot be made; the log says why.") from error
        delete = BackgroundTask(made.pop_all().close)
    return FileResponse(path, headers=_PLAIN, background=delete)
