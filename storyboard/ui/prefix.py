"""Path below which a reverse proxy serves the application."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

_PREFIX = re.compile(r"(/[\w.~-]+)+", re.ASCII)


class ForwardedPrefix:
    """Puts the path of the header X-Forwarded-Prefix before all addresses of an answer.

    Proxies that serve the application as a part of another site (nginx, Traefik, Caddy) send it.
    They may have taken the path off the request or not. What is no path is ignored.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] in ("http", "websocket"):
            prefix = _prefix(Headers(scope=scope))
            if prefix:
                scope = _below(scope, prefix)
        await self._app(scope, receive, send)


def _prefix(headers: Headers) -> str:
    """Return the path without a slash at its end; each of several proxies adds its own."""
    given = headers.get("x-forwarded-prefix", "")
    prefix = "".join(part.strip().rstrip("/") for part in given.split(","))
    return prefix if _PREFIX.fullmatch(prefix) else ""


def _below(scope: Scope, prefix: str) -> Scope:
    """Return a request with this root path, which ASGI has in the path too."""
    path = scope["path"]
    if path != prefix and not path.startswith(f"{prefix}/"):
        path = prefix + path
    # Gradio takes the address of a page from the forwarded host alone, where there is one.
    headers = [
        (name, b"%s%s" % (value.split(b",")[0].strip(), prefix.encode()))
        if name == b"x-forwarded-host"
        else (name, value)
        for name, value in scope["headers"]
    ]
    return {**scope, "root_path": prefix, "path": path, "headers": headers}
