"""All takes of a frame: seen side by side, marked, removed, and their words given back."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.driving import (
    RENDERING,
    Opened,
    generate,
    has_status,
    is_loaded,
    is_saved,
    rendered,
    small_story,
    within,
)


def test_takes_are_compared_marked_removed_and_give_back_their_words(opened: Opened) -> None:
    page = opened()
    small_story(page, frames=1)
    generate(page)
    rendered(page, 1)
    within(page, 1, "textarea").fill("reading a book")
    within(page, 1, "[data-action=redo]").click()
    expect(within(page, 1, ".tl-take-words")).to_have_text("Take 2 of 2", timeout=RENDERING)
    has_status(page, "finished", timeout=RENDERING)
    second = within(page, 1, ".tl-picture").get_attribute("src")

    within(page, 1, "[data-action=look]").click()
    viewer = page.get_by_role("dialog", name="Frame")
    takes = viewer.get_by_role("option")
    expect(takes).to_have_count(2)
    expect(viewer.get_by_role("button", name="Compare")).to_be_disabled()
    takes.first.click()
    viewer.get_by_role("button", name="Compare").click()
    for name in ("chosen", "shown"):
        is_loaded(viewer.locator(f".tl-viewer-{name} .tl-picture"))
    expect(viewer.locator(".tl-viewer-chosen figcaption")).to_have_text("Take 2, in use")
    expect(viewer.locator(".tl-viewer-shown figcaption")).to_have_text("Take 1")

    viewer.get_by_role("button", name="Mark as a favourite").click()
    expect(takes.first).to_have_accessible_name("Take 1, a favourite")
    viewer.get_by_role("button", name="Use its words").click()
    expect(within(page, 1, "textarea")).to_have_value("waving")
    viewer.get_by_role("button", name="Use this take").click()
    expect(viewer.locator(".tl-in-use")).to_have_attribute("aria-label", "Take 1, a favourite")

    takes.last.click()
    viewer.get_by_role("button", name="Remove this take").click()
    expect(takes).to_have_count(0)  # one take alone needs no strip
    page.locator(".tl-toast").get_by_role("button", name="Undo").click()
    expect(takes).to_have_count(2)
    page.keyboard.press("Escape")
    expect(within(page, 1, ".tl-picture")).to_have_attribute("src", second or "")
    is_saved(page)
    page.reload()
    expect(within(page, 1, ".tl-take-words")).to_have_text("Take 2 of 2")
    expect(within(page, 1, "textarea")).to_have_value("waving")
