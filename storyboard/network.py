"""Network around the application: the address that it listens on, and the proxies in use.

Knows nothing of pages.
"""

from __future__ import annotations

import errno
import os
import socket
import urllib.request
from collections.abc import MutableMapping
from urllib.parse import urlsplit

from pipelines.errors import UserError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_SCHEMES = ("http", "https", "socks5", "socks5h")


def reachable_host(host: str) -> str:
    """Return a host under which this machine reaches what listens on `host`."""
    return _EVERYWHERE.get(host.strip("[]"), host.strip("[]"))


def in_address(host: str) -> str:
    """Return a host as an address of the web has it: IPv6 in brackets."""
    host = host.strip("[]")
    return f"[{host}]" if ":" in host else host


def check_address(host: str, port: int | None) -> None:
    """Check that this process may listen there; with no port, on any that is free.

    Raises:
        UserError: if the host is none of this machine's, or the port is taken or not allowed.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port or 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"--host {host} is no address that can be found.",
            "Use 127.0.0.1 for this machine alone, or 0.0.0.0 for the whole network.",
        ) from error
    family, kind, protocol, _, address = found[0]
    try:
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # elsewhere it would allow a port that is in use
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise _refusal(host, port, error) from error


def _refusal(host: str, port: int | None, error: OSError) -> UserError:
    match error.errno:
        case errno.EADDRINUSE:
            problem = f"Port {port} of {host} is taken."
            remedy = "Choose another --port, or leave it out for the first free one from 7860."
        case errno.EACCES:
            problem = f"Port {port} is not allowed to this user."
            remedy = "Choose a --port from 1024."
        case _:
            problem = f"--host {host} cannot be listened on ({error.strerror})."
            remedy = "Use an address of this machine: 127.0.0.1, or 0.0.0.0 for all of them."
    return UserError(problem, remedy)


def bypass_proxies(environment: MutableMapping[str, str], host: str) -> None:
    """Let this machine reach itself without the proxies of the environment and the system.

    Gradio asks its own page before it opens it, and a proxy cannot reach this machine.

    Args:
        environment: the process's variables, usually `os.environ`; NO_PROXY is changed.
        host: the address that the app listens on.

    Raises:
        UserError: if a proxy's address cannot be used.
    """
    proxies = urllib.request.getproxies()
    exceptions = [name.strip() for name in proxies.pop("no", "").split(",") if name.strip()]
    for kind, address in proxies.items():
        _check_proxy(kind, address)
    if not proxies or "*" in exceptions:
        return
    own = [*LOOPBACK, host.strip("[]"), reachable_host(host)]
    names = ",".join(dict.fromkeys([*exceptions, *own]))
    environment["NO_PROXY"] = environment["no_proxy"] = names
    # Where variables name exceptions, those of the system are not looked at any more.
    for kind, address in proxies.items():
        if not environment.get(f"{kind}_proxy") and not environment.get(f"{kind}_PROXY".upper()):
            environment[f"{kind}_proxy"] = address


def _check_proxy(kind: str, address: str) -> None:
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if kind in ("http", "https", "all") and not usable:
        raise UserError(
            f"{kind.upper()}_PROXY is {address!r}, which is no address of a proxy.",
            "Write it as http://HOST:PORT or socks5://HOST:PORT, or remove it.",
        )
