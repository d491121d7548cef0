"""Pages of other addresses in the same browser, and the page of a Space in its frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.browser.driving import Server, has_status, is_saved, small_story

SPACE = "https://someone-boards.hf.space"
FRAMED = f"<!doctype html><iframe src='{SPACE}/' width=1300 height=800></iframe>"
ASK = """async (address) => {
  const asked = `${address}gradio_api/component_server/`;
  const ask = (more) => fetch(asked, { method: "POST", ...more });
  const body = JSON.stringify({
    data: { name: "save", data: { project: "evil", board: { title: "evil" }, base: "" } },
    component_id: 1, fn_name: "call", session_hash: "evil",
  });
  const upload = new FormData();
  upload.append("files", new File(["evil"], "evil.txt"));
  await Promise.allSettled([
    ask({ mode: "no-cors", body }),
    ask({ body, headers: { "content-type": "application/json" } }),
    fetch(`${address}gradio_api/upload`, { method: "POST", mode: "no-cors", body: upload }),
  ]);
  return fetch(`${address}config`).then((answer) => answer.text(), () => "");
}"""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An app that takes itself for a Space's."""
    variables = {"SPACE_ID": "someone/boards", "SPACE_HOST": urlsplit(SPACE).hostname or ""}
    uploads = str(tmp_path_factory.mktemp("uploads"))
    folder = tmp_path_factory.mktemp("space")
    with Server(folder, "--host", "127.0.0.1", GRADIO_TEMP_DIR=uploads, **variables) as server:
        yield server


@pytest.fixture
def context(browser: Browser, space: Server) -> Iterator[BrowserContext]:
    """A browser in which the Space has its own address, behind Hugging Face's proxy."""
    context = browser.new_context()

    def forward(route: Route) -> None:
        request, own = route.request, urlsplit(SPACE).hostname or ""
        dropped = ("host", "content-length", "accept-encoding")
        headers = {k: v for k, v in request.all_headers().items() if k not in dropped}
        headers = {k: v for k, v in headers.items() if not k.startswith(":")}
        answer = httpx.request(
            request.method,
            request.url.replace(f"{SPACE}/", space.url),
            content=request.post_data_buffer,
            headers=headers | {"host": own, "x-forwarded-proto": "https"},
        )
        route.fulfill(status=answer.status_code, headers=dict(answer.headers), body=answer.content)

    context.route(f"{SPACE}/**", forward)
    yield context
    context.unroute_all(behavior="ignoreErrors")
    context.close()


@pytest.fixture
def shown_at(context: BrowserContext) -> Callable[[str, str], Page]:
    """Show a page of this content at an address."""

    def show(address: str, content: str) -> Page:
        context.route(
            f"{address}/**", lambda route: route.fulfill(body=content, content_type="text/html")
        )
        page = context.new_page()
        page.goto(f"{address}/")
        return page

    return show


def test_the_page_of_a_space_works_in_its_frame(shown_at: Callable[[str, str], Page]) -> None:
    page = shown_at("https://huggingface.co", FRAMED)
    frame = page.frame_locator("iframe")
    expect(frame.locator(".tl")).to_have_attribute("data-status", "idle")
    frame.get_by_label("Description").fill("a girl with long red hair")
    expect(frame.locator(".tl-saved")).to_have_text("Saved")


def test_no_other_page_can_frame_it(shown_at: Callable[[str, str], Page]) -> None:
    page = shown_at("https://evil.example", FRAMED)
    with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
        page.reload()
    assert page.frame_locator("iframe").locator(".tl").count() == 0


def test_another_page_can_change_and_read_nothing(
    shown_at: Callable[[str, str], Page], space: Server
) -> None:
    page = shown_at("http://localhost:9", "<!doctype html>")
    for address in (space.url, space.url.replace("127.0.0.1", "localhost")):
        assert page.evaluate(ASK, address) == ""
    assert not list(Path(space.projects).glob("evil*"))
    assert not list(Path(space.variables["GRADIO_TEMP_DIR"]).rglob("evil*"))


def test_the_page_works_under_its_names(browser: Browser, server: Server) -> None:
    complaints: list[str] = []
    for name in ("127.0.0.1", "localhost"):
        page = browser.new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.goto(server.url.replace("127.0.0.1", name))
        has_status(page, "idle")
        small_story(page, frames=1)
        is_saved(page)
        page.close()
    assert not complaints
