"""Gradio's own routes, as far as the page needs them; all others are closed.

Gradio serves many more than an application without events needs, and ends a request that it cannot
read with a traceback. So only what is listed here is passed on, and questions are read before.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from gradio.utils import get_upload_folder
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storyboard.api.limits import MAX_BOARD_BYTES, MAX_QUESTION_BYTES
from storyboard.api.routes import PREFIX

_API = "/gradio_api"
_ASK, _UPLOAD = f"{_API}/component_server", f"{_API}/upload"
_SHOWN = (
    *("/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json"),
    *(f"{_API}/{name}" for name in ("app_id", "info", "startup-events", "theme.css")),
)
# With what is below them; Gradio's client holds a heartbeat open.
_FOLDERS = ("/assets/", "/static/", "/svelte/", f"{PREFIX}/", f"{_API}/heartbeat/")
_MULTIPART_BYTES = 10_000  # around the file of an upload
_MOST_UPLOADS = 8 * MAX_BOARD_BYTES  # on the disk at once; Gradio deletes them after an hour


class _Question(BaseModel):
    """A question as Gradio's script sends it; `storyboard.api.calls` reads its data."""

    session_hash: Annotated[str, Field(max_length=64)]
    component_id: int
    fn_name: str
    data: Any


class OpenRoutes:
    """Passes on what the page asks for; answers 4xx to everything else.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        method, asked = scope["method"], path.rstrip("/") or "/"
        if method in ("GET", "HEAD") and (asked in _SHOWN or path.startswith(_FOLDERS)):
            await self._app(scope, receive, send)
        elif method == "POST" and asked == _ASK:
            await self._ask(scope, receive, send)
        elif method == "POST" and asked == _UPLOAD:
            await self._upload(scope, receive, send)
        else:
            await PlainTextResponse("There is no such page.", 404)(scope, receive, send)

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read a question, and pass on what was understood of it."""
        try:
            content = await _body(receive, MAX_QUESTION_BYTES)
            question = _Question.model_validate_json(content)
            if question.component_id not in scope["app"].get_blocks().blocks:
                raise ValueError("no such component")
        except _TooLarge:
            await _refuse(f"more than {MAX_QUESTION_BYTES // 10**6} MB", 413)(scope, receive, send)
        except (ValidationError, ValueError):
            await _refuse("a question that cannot be understood")(scope, receive, send)
        else:
            content = question.model_dump_json().encode()
            headers = MutableHeaders(raw=list(scope["headers"]))
            headers.update(
                {"content-type": "application/json", "content-length": str(len(content))}
            )
            sent = iter([{"type": "http.request", "body": content, "more_body": False}])

            async def read() -> Message:
                return next(sent, None) or await receive()

            await self._app({**scope, "headers": headers.raw}, read, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on an upload; files of names that no disk takes, and too much at once, are refused.

        Gradio limits each of the files of an upload, but not all of them together.
        """
        left = MAX_BOARD_BYTES + _MULTIPART_BYTES
        answered = False

        async def read() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise _TooLarge
            return message

        async def answer(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        if await run_in_threadpool(_bytes_of_uploads) > _MOST_UPLOADS:
            await PlainTextResponse("Too many uploads wait. Try again later.", 507)(
                scope, receive, send
            )
            return
        kind = Headers(scope=scope).get("content-type", "")
        if not kind.startswith("multipart/form-data"):
            await _refuse("no file")(scope, receive, send)
            return
        try:
            await self._app(scope, read, answer)
        except ClientDisconnect:
            pass  # nobody waits for an answer
        except _TooLarge:
            await _refuse(f"more than {MAX_BOARD_BYTES // 10**6} MB", 413)(scope, receive, send)
        except (ValueError, KeyError, TypeError, OSError):  # a name, or a form, that is none
            if answered:
                raise
            await _refuse("a file that cannot be stored")(scope, receive, send)


class _TooLarge(Exception):
    """More was sent than the application reads."""


async def _body(receive: Receive, most: int) -> bytes:
    """Return the whole body of a request.

    Raises:
        _TooLarge: if it is longer than `most` bytes.
    """
    parts, length, more = [], 0, True
    while more:
        message = await receive()
        part = message.get("body", b"")
        length += len(part)
        if length > most:
            raise _TooLarge
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def _bytes_of_uploads() -> int:
    files = Path(get_upload_folder()).rglob("*")
    with suppress(FileNotFoundError):  # one is deleted meanwhile
        return sum(file.stat().st_size for file in files)
    return 0


def _refuse(what: str, status: int = 400) -> PlainTextResponse:
    return PlainTextResponse(f"The page sent {what}. Reload the page.", status)
