"""Boards with damaged files, and a job that a crash interrupted, as a person sees them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from storyboard.board import Character, Frame, RenderSettings, Storyboard
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from tests.browser.driving import Opened, Server, cards, has_status, is_saved, within
from tests.storyboard.storage.test_projects import add_take

BOARD = Storyboard(
    title="A day",
    character=Character(description="a girl with long red hair"),
    frames=tuple(
        Frame(id=name, action=action, location="on a beach")
        for name, action in (("a", "waving"), ("b", "running"), ("c", "sitting"))
    ),
    settings=RenderSettings(width=64, height=64, steps=1, consistent=False),
)


@pytest.fixture
def project(server: Server) -> Iterator[Project]:
    store = Store(server.projects)
    made = store.create(BOARD)
    yield made
    shutil.rmtree(made.path)


def warnings(page: Page) -> str:
    return page.locator(".tl-main > .tl-warnings").inner_text()


def test_a_missing_picture_is_named_and_an_interrupted_job_is_offered(
    project: Project, server: Server, opened: Opened
) -> None:
    add_take(project, "t1")
    project.image_path("t1").unlink()
    project.unfinished.begin("a-run-that-ended", ["b", "c"])
    page = opened()
    page.goto(f"{server.url}?board={project.id}")
    expect(cards(page)).to_have_count(3)
    expect(within(page, 1, ".tl-warnings")).to_contain_text("The picture of this take is missing.")
    assert "2 frames were left when Throughline stopped." in warnings(page)
    assert "The picture of frame 1, take t1, is missing." in warnings(page)
    page.get_by_role("button", name="Generate them").click()
    has_status(page, "finished", timeout=60_000)
    expect(page.get_by_role("button", name="Generate them")).to_have_count(0)
    assert {take.frame_id for take in project.takes()} == {"a", "b", "c"}
    assert project.unfinished.now().frames == ()


def test_a_damaged_board_is_greyed_with_the_reason_and_forgotten_by_nobody(
    project: Project, server: Server, opened: Opened
) -> None:
    page = opened()
    page.goto(f"{server.url}?board={project.id}")
    expect(page.get_by_label("Title")).to_have_value("A day")
    path = project.path / "storyboard.json"
    whole = path.read_bytes()
    path.write_text("[" * 100_000)
    page.goto(server.url)
    expect(cards(page)).to_have_count(4)  # a blank board, and why
    expect(page.locator(".tl-banner:not([hidden])").first).to_contain_text("is damaged")
    remembered = page.evaluate("localStorage.getItem('throughline-board')")
    assert remembered == project.id
    page.get_by_label("Title").fill("Meanwhile")
    is_saved(page)
    page.locator('[data-action="projects"]').first.click()
    entry = page.locator(f'.tl-entry[data-board="{project.id}"]')
    expect(entry).to_contain_text("storyboard.json is damaged")
    expect(entry.locator('[data-action="open"]')).to_have_count(0)
    expect(entry.locator('[data-action="delete-board"]')).to_be_visible()
    assert project.id in page.evaluate("localStorage.getItem('throughline-boards')")
    path.write_bytes(whole)
    page.goto(f"{server.url}?board={project.id}")
    expect(page.get_by_label("Title")).to_have_value("A day")


def test_a_picture_that_no_browser_can_show_says_so(
    project: Project, server: Server, browser: Browser
) -> None:
    add_take(project, "t1")
    path = project.image_path("t1")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    page = browser.new_page()
    page.goto(f"{server.url}?board={project.id}")
    expect(within(page, 1, ".tl-shot.tl-broken")).to_have_count(1)
    page.close()
