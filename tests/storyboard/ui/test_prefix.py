"""The application below a path of a reverse proxy, by the headers that proxies send."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from storyboard.ui.prefix import ForwardedPrefix


async def answer(request: Request) -> JSONResponse:
    return JSONResponse(
        {
            "url": str(request.url),
            "below": str(request.base_url),
            "host": request.headers.get("x-forwarded-host"),
        }
    )


@pytest.fixture
def client() -> TestClient:
    routes = [Route("/", answer), Mount("/tl", routes=[Route("/alive", answer)])]
    app = Starlette(routes=routes, middleware=[Middleware(ForwardedPrefix)])
    return TestClient(app, "http://inside:7860")


@pytest.mark.parametrize(
    ("given", "prefix"),
    [
        ("/boards", "/boards"),
        ("/boards/", "/boards"),
        ("/a/b-c_d.e~f", "/a/b-c_d.e~f"),
        ("/outer, /inner", "/outer/inner"),
        ("/", ""),
        ("", ""),
        ("boards", ""),
        ("//evil.example", ""),
        ("/a/../b<script>", ""),
        ('/"onload="x', ""),
        ("/a b", ""),
    ],
)
def test_addresses_begin_with_the_path_of_the_proxy(
    client: TestClient, given: str, prefix: str
) -> None:
    found = client.get("/tl/alive", headers={"X-Forwarded-Prefix": given}).json()
    assert found["url"] == f"http://inside:7860{prefix}/tl/alive"
    assert found["below"].startswith(f"http://inside:7860{prefix}/")
    assert found["host"] is None


def test_a_path_that_the_proxy_left_on_is_not_doubled(client: TestClient) -> None:
    headers = {"X-Forwarded-Prefix": "/boards"}
    assert (
        client.get("/boards/tl/alive", headers=headers)
        .json()["url"]
        .endswith(":7860/boards/tl/alive")
    )
    assert client.get("/boardsother/tl/alive", headers=headers).status_code == 404
    assert client.get("/boards/", headers=headers).status_code == 200


def test_the_forwarded_host_has_the_path_too(client: TestClient) -> None:
    """Gradio makes the addresses of its page from it."""
    headers = {"X-Forwarded-Prefix": "/boards", "X-Forwarded-Host": "example.org, inner"}
    assert client.get("/", headers=headers).json()["host"] == "example.org/boards"


def test_without_the_header_nothing_changes(client: TestClient) -> None:
    found = client.get("/tl/alive", headers={"X-Forwarded-Host": "example.org"}).json()
    assert found == {
        "url": "http://inside:7860/tl/alive",
        "below": "http://inside:7860/",
        "host": "example.org",
    }
