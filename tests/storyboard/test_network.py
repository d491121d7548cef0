"""The address that the app listens on, and the proxies between."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import httpx2
import pytest

from pipelines.errors import UserError
from storyboard import network
from storyboard.network import bypass_proxies, check_address, in_address, reachable_host

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies, which is put back afterwards."""
    for name in (*VARIABLES, *map(str.upper, VARIABLES)):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.fixture
def page() -> Iterator[str]:
    """A page on this machine."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"page")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "proxy"),
    [
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("http_proxy", "127.0.0.1:9"),
        ("ALL_PROXY", "socks5://127.0.0.1:9"),
        ("all_proxy", "socks5h://user:pass@127.0.0.1:9"),
    ],
)
def test_this_machine_is_reached_without_the_proxy(
    proxies: pytest.MonkeyPatch, page: str, name: str, proxy: str
) -> None:
    """Both of the clients that Gradio and the hub use."""
    proxies.setenv(name, proxy)
    with pytest.raises(httpx.TransportError):
        httpx.get(page)
    bypass_proxies(os.environ, "127.0.0.1")
    assert httpx.get(page).text == "page"
    assert httpx2.get(page).text == "page"
    with pytest.raises(httpx.TransportError):
        httpx.get("http://example.org")


def test_exceptions_that_are_there_stay(proxies: pytest.MonkeyPatch) -> None:
    proxies.setenv("http_proxy", "http://proxy.example:3128")
    proxies.setenv("no_proxy", "example.org, .local")
    bypass_proxies(os.environ, "::")
    names = os.environ["NO_PROXY"].split(",")
    assert names == ["example.org", ".local", "localhost", "127.0.0.1", "::1", "::"]
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"]


@pytest.mark.parametrize("given", [{}, {"no_proxy": "*", "http_proxy": "http://proxy:1"}])
def test_nothing_changes_where_nothing_goes_through_a_proxy(
    proxies: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    for name, value in given.items():
        proxies.setenv(name, value)
    before = dict(os.environ)
    bypass_proxies(os.environ, "127.0.0.1")
    assert dict(os.environ) == before


def test_proxies_of_the_system_stay_where_exceptions_are_named(proxies: pytest.MonkeyPatch) -> None:
    """Variables go before the settings of Windows and macOS, which would not be read any more."""
    system = {"http": "http://system:1", "https": "http://system:2"}
    proxies.setattr(network.urllib.request, "getproxies", lambda: dict(system))
    bypass_proxies(os.environ, "127.0.0.1")
    assert os.environ["https_proxy"] == "http://system:2"
    assert "127.0.0.1" in os.environ["NO_PROXY"]


@pytest.mark.parametrize(
    "address",
    ["ftp://proxy:1", "http://proxy:abc", "http://proxy:99999", "http://", "socks9://p:1"],
)
def test_a_proxy_that_is_none_is_named(proxies: pytest.MonkeyPatch, address: str) -> None:
    proxies.setenv("HTTPS_PROXY", address)
    with pytest.raises(UserError, match="HTTPS_PROXY is") as caught:
        bypass_proxies(os.environ, "127.0.0.1")
    assert address in str(caught.value)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"Port {port} of 127.0.0.1 is taken"):
            check_address("127.0.0.1", port)
    check_address("127.0.0.1", port)
    check_address("127.0.0.1", None)


@pytest.mark.parametrize(
    ("host", "say"),
    [
        ("no-such-host.invalid", "no address that can be found"),
        ("a" * 300, "no address that can be found"),
        ("a..b", "no address that can be found"),
        ("192.0.2.7", "cannot be listened on"),
        ("2001:db8::7", "cannot be"),
    ],
)
def test_a_host_of_another_machine_is_named(host: str, say: str) -> None:
    with pytest.raises(UserError, match=say):
        check_address(host, None)


def test_a_port_for_administrators_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    refusing = type("Refusing", (socket.socket,), {"bind": refuse})
    monkeypatch.setattr(network.socket, "socket", refusing)
    with pytest.raises(UserError, match="Port 80 is not allowed to this user.*from 1024"):
        check_address("127.0.0.1", 80)


@pytest.mark.parametrize(
    ("host", "address", "reached"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0", "127.0.0.1"),
        ("::", "[::]", "::1"),
        ("[::1]", "[::1]", "::1"),
        ("studio.local", "studio.local", "studio.local"),
    ],
)
def test_hosts_are_written_as_addresses_have_them(host: str, address: str, reached: str) -> None:
    assert in_address(host) == address
    assert reachable_host(host) == reached
