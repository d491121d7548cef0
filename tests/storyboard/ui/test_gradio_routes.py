"""Requests to Gradio's application that no page sends: each is refused, and none is a fault."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gradio.routes import App
from gradio.utils import get_upload_folder
from starlette.testclient import TestClient

from pipelines.reference.from_upload import prepare_reference
from storyboard.api.limits import MAX_QUESTION_BYTES
from storyboard.jobs.local import LocalRunner
from storyboard.settings import Settings
from storyboard.storage.projects import Store
from storyboard.ui import gradio_routes
from storyboard.ui.page import build_ui, launch_options
from tests.storyboard.fakes import FakeEngine

ASK, UPLOAD = "/gradio_api/component_server/", "/gradio_api/upload"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The whole application as it is served; a fault in it is raised here."""
    folder = tmp_path_factory.mktemp("served")
    store = Store(folder / "projects")
    settings = Settings(projects=store.root)
    runner = LocalRunner(FakeEngine(), random.Random(1))

    async def build() -> App:
        demo = build_ui(runner, store, settings, prepare_reference)
        options = launch_options(store, settings)
        demo.max_file_size = options["max_file_size"]
        demo.state_session_capacity = options["state_session_capacity"]
        return App.create_app(demo, app_kwargs=options["app_kwargs"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        with TestClient(asyncio.run(build()), base_url="http://127.0.0.1:7860") as client:
            yield client
    runner.close()


def question(client: TestClient, **changes: Any) -> dict[str, Any]:
    (html,) = [c for c in client.get("/config").json()["components"] if c["type"] == "html"]
    asked = {"data": {"name": "setup"}, "component_id": html["id"], "fn_name": "call"}
    return asked | {"session_hash": "one"} | changes


def test_the_page_and_its_questions_are_answered(client: TestClient) -> None:
    for path in ("/config", "/robots.txt", "/tl/alive", "/gradio_api/info", "/favicon.ico"):
        assert client.get(path).status_code == 200, path
    assert "models" in client.post(ASK, json=question(client)).json()["ok"]
    assert "models" in client.post(ASK[:-1], json=question(client)).json()["ok"]


def test_an_upload_arrives(client: TestClient) -> None:
    (path,) = client.post(UPLOAD, files={"files": ("a.png", b"pixels")}).json()
    assert Path(path).read_bytes() == b"pixels"


def test_the_guards_stand_outside_of_gradios_own(client: TestClient) -> None:
    """Gradio would let every page read under most names, and answer preflights itself."""
    name, page = {"host": "evil.example"}, {"origin": "https://evil.example"}
    preflight = page | {"access-control-request-method": "POST"}
    assert client.get("/config", headers=name).status_code == 421
    assert client.options("/config", headers=name | preflight).status_code == 421
    for answer in (
        client.get("/config", headers=page),
        client.options(ASK, headers=preflight),
        client.post(ASK, json=question(client), headers=page),
    ):
        assert answer.status_code == 403
        assert not [header for header in answer.headers if header.startswith("access-control")]
    assert "content-security-policy" in client.get("/config").headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", f"/gradio_api/{name}") for name in ("queue/join", "run/predict", "api/save")),
        *(("POST", f"/gradio_api/{name}") for name in ("call/save", "call/v2/save", "cancel")),
        *(("POST", f"/gradio_api/{name}") for name in ("reset", "process_recording", "vibe-edit")),
        *(("GET", f"/gradio_api/{name}") for name in ("queue/data", "file=/etc/passwd", "runs")),
        *(("GET", f"/gradio_api/{name}") for name in ("deep_link", "proxy=http://x", "vibe-code")),
        *(("GET", path) for path in ("/monitoring/summary", "/docs", "/openapi.json", "/nothing")),
        *(("POST", path) for path in ("/", "/login", "/config", "/tl/alive")),
        *(("DELETE", "/"), ("PUT", ASK), ("GET", ASK), ("GET", UPLOAD), ("TRACE", "/")),
    ],
)
def test_gradios_other_routes_are_closed(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, path).status_code == 404


BODIES = {
    "cut off": b"{",
    "empty": b"",
    "a list": b"[]",
    "nested lists": b"[" * 100_000,
    "nested objects": b'{"data":' * 100_000,
    "half a letter": b'{"data": "\xff"}',
    "half a pair": b'{"data": "\\ud800", "component_id": 1, "fn_name": "call"}',
    "another encoding": '{"data": 1}'.encode("utf-16"),
    "a number without end": b'{"data": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_question_is_refused(client: TestClient, body: bytes) -> None:
    for kind in ("application/json", "multipart/form-data", "text/plain", ""):
        assert client.post(ASK, content=body, headers={"content-type": kind}).status_code == 400


@pytest.mark.parametrize(
    "changes",
    [
        *({"component_id": odd} for odd in (99, -1, 2**70, None, "x", 1.5, [], {})),
        *({"session_hash": odd} for odd in (None, 5, [], "x" * 65, {"a": 1})),
        *({"fn_name": odd} for odd in (None, 5, [])),
        *({"fn_name": odd} for odd in ("publish", "__init__", "value", "a\0b", "")),
    ],
)
def test_a_question_of_odd_parts_is_refused(client: TestClient, changes: dict[str, Any]) -> None:
    assert client.post(ASK, json=question(client, **changes)).status_code in (400, 404)


def test_a_question_that_lacks_a_part_is_refused(client: TestClient) -> None:
    for name in question(client):
        asked = question(client)
        del asked[name]
        assert client.post(ASK, json=asked).status_code == 400, name


def test_questions_with_odd_numbers_are_answered_in_words(client: TestClient) -> None:
    asked = json.dumps(question(client, data={"name": "save", "data": {"project": 1e999}}))
    assert "Infinity" in asked
    for body in (asked, asked.replace("Infinity", "NaN"), asked.replace("Infinity", "1e400")):
        assert "problem" in client.post(ASK, content=body).json()


def test_a_question_has_a_limit(client: TestClient) -> None:
    asked = question(client, data={"name": "setup", "data": {"x": "y" * MAX_QUESTION_BYTES}})
    answer = client.post(ASK, json=asked)
    assert answer.status_code == 413 and "10 MB" in answer.text
    # Where nobody says how long it is, too.
    assert client.post(ASK, content=iter([b" " * 10**6] * 12)).status_code == 413


def test_uploads_without_a_file_or_of_impossible_names_are_refused(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    form = {"content-type": "multipart/form-data; boundary=x"}
    for sent in (
        {"content": b"{}", "headers": {"content-type": "application/json"}},
        {"content": b"", "headers": {"content-type": "multipart/form-data"}},
        {"content": b"--x\r\n", "headers": form},
        {"content": b"", "headers": form},
        {"data": {"files": "text"}},
        {
            "content": b'--x\r\nContent-Disposition: form-data; name="files"; filename="a\0b"'
            b"\r\n\r\nx\r\n--x--\r\n",
            "headers": form,
        },
        {"files": {"files": (".." * 3000, b"x")}},
    ):
        answer = client.post(UPLOAD, **sent)  # type: ignore[arg-type]
        assert answer.status_code < 500, (sent, answer.text)
    assert not [record for record in caplog.records if record.exc_info]


def test_an_upload_has_a_limit_for_all_its_files_together(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradio_routes, "MAX_BOARD_BYTES", 1_000_000)
    parts = [("files", (f"{number}.png", b"x" * 200_000)) for number in range(10)]
    assert client.post(UPLOAD, files=parts[:4]).status_code == 200
    assert client.post(UPLOAD, files=parts).status_code == 413


def test_uploads_that_wait_for_their_use_have_a_limit(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send() -> int:
        return client.post(UPLOAD, files={"files": ("a.png", os.urandom(1000))}).status_code

    waiting = sum(path.stat().st_size for path in Path(get_upload_folder()).rglob("*"))
    monkeypatch.setattr(gradio_routes, "_MOST_UPLOADS", waiting + 1500)
    assert [send() for _ in range(4)][0] == 200
    assert send() == 507


def test_few_sessions_are_kept(client: TestClient) -> None:
    asked = question(client)
    for number in range(150):
        client.post(ASK, json=asked | {"session_hash": f"session-{number}"})
    app: Any = client.app
    assert 0 < len(app.state_holder.session_data) <= 101


def test_below_a_path_of_a_proxy_the_same_is_open(client: TestClient) -> None:
    below = TestClient(client.app, base_url="http://127.0.0.1:7860", root_path="/boards")
    assert below.get("/boards/config").status_code == 200
    assert below.post("/boards/gradio_api/queue/join").status_code == 404


def test_gradio_is_asked_under_names_of_other_hosts_by_a_proxy(client: TestClient) -> None:
    proxied = {
        "x-forwarded-host": "boards.example.org",
        "x-forwarded-proto": "https",
        "origin": "https://boards.example.org",
        "sec-fetch-site": "same-origin",
    }
    assert "ok" in client.post(ASK, json=question(client), headers=proxied).json()
    config = client.get("/config", headers=proxied).json()
    assert config["root"] == "https://boards.example.org"
