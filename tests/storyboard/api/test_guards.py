"""Guards of the web application, asked as a browser does for its page, and for others."""

from __future__ import annotations

import socket

import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from storyboard.api.guards import Guard, HostNames, is_foreign
from storyboard.settings import Settings


def client_of(settings: Settings) -> TestClient:
    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse("changed" if request.method == "POST" else "shown")

    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST", "OPTIONS"])])
    guard = Guard(app, HostNames.of(settings), settings.space)
    return TestClient(guard, base_url="http://127.0.0.1:7860")


# ---- names


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:7860", "localhost", "LocalHost:1", "[::1]:7860", "[::1]", "localhost.:7860"],
)
def test_this_machine_is_always_answered(host: str) -> None:
    for settings in (Settings(), Settings(host="0.0.0.0"), Settings(host="192.168.1.5")):
        assert client_of(settings).get("/", headers={"host": host}).text == "shown"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example"),
        *("x.localhost", "evil@localhost", "localhost:1@evil.example", "localhost/evil", ""),
        *("[::1", "::1", "[fe80::1]", "192.168.1.5", "localhost:port", "xn--80ak6aa92e.example"),
    ],
)
def test_a_name_that_was_made_to_point_here_is_not_answered(host: str) -> None:
    answer = client_of(Settings()).get("/", headers={"host": host})
    assert answer.status_code == 421
    assert "THROUGHLINE_HOSTS" in answer.text


def test_on_a_network_every_address_in_numbers_is_answered_and_this_machines_name() -> None:
    own = socket.gethostname()
    for everywhere in ("0.0.0.0", "::", "[::]"):
        client = client_of(Settings(host=everywhere))
        for host in ("192.168.1.5:7860", "[fe80::1]:7860", "[2001:db8::7]", own, f"{own}.local"):
            assert client.get("/", headers={"host": host}).status_code == 200, host
        for host in ("evil.example", "1.2.3.4.evil.example", "localhost.example"):
            assert client.get("/", headers={"host": host}).status_code == 421, host


def test_one_address_of_a_network_is_that_one_alone() -> None:
    client = client_of(Settings(host="192.168.1.5"))
    assert client.get("/", headers={"host": "192.168.1.5:80"}).status_code == 200
    assert client.get("/", headers={"host": "192.168.1.6:80"}).status_code == 421
    client = client_of(Settings(host="[2001:db8::7]"))
    assert client.get("/", headers={"host": "[2001:DB8::7]:80"}).status_code == 200


def test_listed_names_are_answered_and_what_ends_like_a_starred_one() -> None:
    client = client_of(Settings(hosts=("boards.example.org", "*.studio.example")))
    for host in ("boards.example.org", "a.studio.example:443", "a.b.studio.example"):
        assert client.get("/", headers={"host": host}).status_code == 200, host
    for host in ("example.org", "x.boards.example.org", "studio.example", "astudio.example"):
        assert client.get("/", headers={"host": host}).status_code == 421, host


# ---- pages of other addresses

OWN = [
    {},  # no browser
    {"origin": "http://127.0.0.1:7860"},
    {"origin": "http://127.0.0.1:7860", "sec-fetch-site": "same-origin"},
    {"sec-fetch-site": "none"},
    {"host": "localhost:80", "origin": "http://localhost"},
    {"host": "[::1]:7860", "origin": "http://[::1]:7860"},
    # Behind a proxy; its port is often not said.
    {"origin": "https://boards.example.org", "x-forwarded-host": "boards.example.org"},
    {"origin": "https://a.example:8443", "x-forwarded-host": "a.example, 10.0.0.7"},
    {"origin": "https://a.example:8443", "x-forwarded-host": "a.example:8443"},
    {"host": "localhost", "origin": "http://localhost:8080", "x-forwarded-proto": "http"},
]
FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": ""},
    {"origin": "http://127.0.0.1:3000"},
    {"origin": "http://localhost:7860"},
    {"origin": "https://127.0.0.1"},
    {"origin": "http://127.0.0.1:7860.evil.example"},
    {"origin": "http://[::1"},
    {"origin": "http://127.0.0.1:99999"},
    {"sec-fetch-site": "cross-site"},
    {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-site"},
    {"origin": "https://evil.example", "x-forwarded-host": "boards.example.org"},
]


@pytest.mark.parametrize("headers", OWN)
def test_the_own_page_may_change_things(headers: dict[str, str]) -> None:
    assert client_of(Settings()).post("/", headers=headers).text == "changed"


@pytest.mark.parametrize("headers", FOREIGN)
def test_no_other_page_may_change_things(headers: dict[str, str]) -> None:
    client = client_of(Settings())
    for method in ("POST", "OPTIONS"):
        answer = client.request(method, "/", headers=headers)
        assert answer.status_code == 403 and "X-Forwarded-Host" in answer.text
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_another_page_may_lead_here_but_not_read() -> None:
    client = client_of(Settings())
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=link).status_code == 200
    script = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    assert client.get("/", headers=script).status_code == 403
    assert client.head("/", headers={"origin": "null"}).status_code == 403


def test_every_method_but_reading_counts_as_a_change() -> None:
    asked = Headers({"host": "127.0.0.1", "sec-fetch-site": "cross-site"})
    foreign = [
        m
        for m in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "ODD")
        if is_foreign(m, asked)
    ]
    assert foreign == ["POST", "PUT", "DELETE", "OPTIONS", "ODD"]


# ---- what browsers may do


def policy(settings: Settings, status: int = 200, **headers: str) -> dict[str, list[str]]:
    answer = client_of(settings).get("/", headers=headers)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    parts = answer.headers["content-security-policy"].split(";")
    return {name: sources for name, *sources in (part.split() for part in parts)}


def test_pages_of_this_machine_alone_may_frame_the_page() -> None:
    framing = policy(Settings())["frame-ancestors"]
    assert framing == ["'self'", "http://localhost:*", "http://127.0.0.1:*"]


def test_on_a_space_pages_of_hugging_face_may_too() -> None:
    framing = policy(Settings(space=True))["frame-ancestors"]
    assert {"https://huggingface.co", "https://*.hf.space"} <= set(framing)
    assert not {"*", "https:", "http:", "https://*"} & set(framing)


def test_nothing_comes_from_another_machine_and_refusals_say_so_too() -> None:
    for policies in (policy(Settings()), policy(Settings(), 421, host="evil.example")):
        for name, sources in policies.items():
            if name != "frame-ancestors":
                assert not [s for s in sources if "//" in s or "*" in s], name
        assert policies["object-src"] == policies["frame-src"] == ["'none'"]
