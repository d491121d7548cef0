"""Previews of a frame while it renders."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.driving import (
    RENDERING,
    Opened,
    generate,
    has_status,
    rendered,
    small_story,
    within,
)


def is_shown(page: Page, timeout: float = RENDERING) -> None:
    """Check that the first frame's preview is there, with something in it."""
    preview = within(page, 1, ".tl-preview")
    expect(preview).to_have_css("opacity", "1", timeout=timeout)
    shades = preview.evaluate(
        """async (image) => {
          await image.decode();
          const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
          const context = canvas.getContext("2d");
          context.drawImage(image, 0, 0);
          return new Set(context.getImageData(0, 0, canvas.width, canvas.height).data).size;
        }"""
    )
    assert shades > 30


def test_a_frame_is_seen_before_it_is_rendered(opened: Opened) -> None:
    page = opened()
    small_story(page, steps=200, frames=1)
    generate(page)
    is_shown(page)
    assert within(page, 1, ".tl-picture").is_hidden()
    assert page.locator(".tl-card[data-state=rendering]").count() == 1
    early = within(page, 1, ".tl-preview").get_attribute("src")

    page.reload()
    is_shown(page)
    assert page.locator(".tl-card[data-state=rendering]").count() == 1
    expect(within(page, 1, ".tl-preview")).not_to_have_attribute("src", early or "")

    page.get_by_role("button", name="Cancel").click()
    has_status(page, "cancelled", "idle", timeout=RENDERING)
    expect(within(page, 1, ".tl-preview")).to_have_css("opacity", "0")
    page.locator("summary").click()
    page.get_by_label("Steps").fill("4")
    generate(page)
    rendered(page, 1)
    expect(within(page, 1, ".tl-preview")).to_have_css("opacity", "0")
