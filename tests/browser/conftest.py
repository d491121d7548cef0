"""A browser, and pages of the app that `server` serves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.driving import SOON, Opened, Server, has_status
from tests.conftest import find_chromium

CHROMIUM_FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
# Messages of the browser and of Gradio's own script while the server is away, or the page closes.
PARTING_WORDS = re.compile(
    r"AbortError|Connection errored out|net::ERR_(CONNECTION|EMPTY|INTERNET|NETWORK)"
)
HERE = Path(__file__).resolve().parent
MOST = 600  # seconds of a test on a busy machine

expect.set_options(timeout=SOON)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker("browser")
            item.add_marker(pytest.mark.timeout(MOST))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run an app for all modules, with the miniature; some modules have their own."""
    with Server(tmp_path_factory.mktemp("projects")) as server:
        yield server


@pytest.fixture
def opened(server: Server, browser: Browser) -> Iterator[Opened]:
    """Open the app in a profile of its own; at the end no page has logged an error."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(width: int = 1400, height: int = 900, touch: bool = False) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, has_touch=touch)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(server.url)
        has_status(page, "idle")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [text for text in complaints if not PARTING_WORDS.search(text)] == []
