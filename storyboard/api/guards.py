"""Guards of the web application: who may ask it, from which pages, and what browsers may do.

Whoever reaches the application may read and change all boards, and so might every page that a
person's browser shows. So it answers to its own names alone (a page that lets its name point here
would count as its own), and changes nothing for other pages. Knows nothing of Gradio.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storyboard.settings import Settings

# A name or an address, and perhaps a port.
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[\w.-]+)(:(?P<port>\d{1,5}))?", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_READING = ("GET", "HEAD")

# Editors and notebooks on the same machine show pages in frames.
_FRAMED_LOCALLY = "http://localhost:* http://127.0.0.1:*"
_FRAMED_ON_SPACES = "https://huggingface.co https://*.huggingface.co https://*.hf.space"
# Gradio's page starts with scripts inside of it, and makes functions of words.
_CONTENT = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; object-src 'none'; frame-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'self' "
)


@dataclass(frozen=True)
class HostNames:
    """Names that the application answers to.

    Attributes:
        names: names and addresses, in lower case; "*.example.org" stands for all names that end
            like that.
        numbers: whether it answers to every address in numbers. No page can have one of these as
            its own unless it is this machine's.
    """

    names: frozenset[str]
    numbers: bool = False

    @classmethod
    def of(cls, settings: Settings) -> HostNames:
        """Return loopback, the address that the settings listen on, and the names they list."""
        names = {"localhost", "127.0.0.1", "::1", settings.host, *settings.hosts}
        everywhere = settings.host in ("0.0.0.0", "::", "[::]")
        if everywhere:
            own = socket.gethostname()
            names |= {own, f"{own}.local"}
        plain = (name.strip("[]").casefold().rstrip(".") for name in names)
        return cls(frozenset(plain), everywhere)

    def __contains__(self, host: str) -> bool:
        """Return whether this is one of them; host: as in a request, perhaps with a port."""
        name, _ = _parted(host)
        if self.numbers and _is_number(name):
            return True
        parents = name.split(".")
        endings = {f"*.{'.'.join(parents[start:])}" for start in range(1, len(parents))}
        return bool(name) and not self.names.isdisjoint({name} | endings)


class Guard:
    """Answers only the application's own pages, and says in every answer what browsers may do.

    Args:
        app: the application.
        names: the names that it answers to.
        space: whether pages of Hugging Face may frame it.
    """

    def __init__(self, app: ASGIApp, names: HostNames, space: bool = False) -> None:
        self._app = app
        self._names = names
        self._headers = {
            "Content-Security-Policy": _CONTENT
            + (f"{_FRAMED_LOCALLY} {_FRAMED_ON_SPACES}" if space else _FRAMED_LOCALLY),
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await (self._refused(scope) or self._app)(scope, receive, with_headers)

    def _refused(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is not answered; None for others."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host not in self._names:
            return PlainTextResponse(
                f"Throughline does not answer to the name {ascii(host[:100])}. Whoever runs it can "
                "list that name in THROUGHLINE_HOSTS.",
                status_code=421,
            )
        if is_foreign(scope["method"], headers):
            return PlainTextResponse(
                "Throughline answers its own page alone, not pages of other addresses. Behind a "
                "proxy, let it send X-Forwarded-Host.",
                status_code=403,
            )
        return None


def is_foreign(method: str, headers: Headers) -> bool:
    """Return whether a page of another address asks, and not only to show something.

    Browsers name the page that asks: in `Sec-Fetch-Site`, where they trust the connection, and in
    `Origin`, except for what any page may show. Programs that are no browsers send neither.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is None and method in _READING:
        return False
    if site is not None:
        return site not in ("same-origin", "none")
    return origin is not None and not _is_own(origin, headers)


def _is_own(origin: str, headers: Headers) -> bool:
    """Return whether an origin is the address at which the browser reached the application.

    A proxy says in `X-Forwarded-Host` which one that was, often without its port. Pages cannot send
    such headers to another origin without asking first, which is refused.
    """
    try:
        page = urlsplit(origin.casefold())
        name, port = page.hostname, page.port or _DEFAULT_PORTS.get(page.scheme)
    except ValueError:
        return False
    proxied = any(header.startswith("x-forwarded-") for header in headers)
    for host in (headers.get("host", ""), *headers.get("x-forwarded-host", "").split(",")):
        own, own_port = _parted(host.strip())
        default = port if proxied else _DEFAULT_PORTS.get(page.scheme)
        if own == name and (own_port or default) == port:
            return True
    return False


def _parted(host: str) -> tuple[str, int | None]:
    """Return the name of a host, in lower case and without brackets, and its port if it has one.

    The name is empty where it is none.
    """
    found = _HOST.fullmatch(host.casefold())
    if found is None:
        return "", None
    port = found["port"]
    return found["name"].strip("[]").rstrip("."), None if port is None else int(port)


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
