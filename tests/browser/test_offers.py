"""Words of a card on its take, and what Generate offers: new, out of date, locked, empty."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.driving import (
    RENDERING,
    Opened,
    cards,
    generate,
    has_status,
    is_saved,
    rendered,
    small_story,
    within,
)


def main_button(page: Page) -> str:
    return page.locator("[data-action=generate]").inner_text()


def take_words(page: Page, number: int) -> str:
    return within(page, number, ".tl-take-words").inner_text()


def outdated(page: Page, number: int, *words: str) -> None:
    expect(within(page, number, ".tl-edited")).to_be_visible()
    for each in words:
        expect(within(page, number, ".tl-warnings")).to_contain_text(each)


def test_a_redone_identity_frame_leaves_its_readers_out_of_date(opened: Opened) -> None:
    page = opened()
    small_story(page, frames=3)
    for number in (1, 3):
        within(page, number, ".tl-toggle").click()
    expect(within(page, 3, ".tl-place")).to_have_text("Will have the location of frame 1.")
    generate(page)
    rendered(page, 3)
    expect(within(page, 3, ".tl-place")).to_have_text("Same location as frame 1.")
    expect(page.locator(".tl-edited:visible")).to_have_count(0)

    within(page, 1, "[data-action=redo]").click()
    expect(within(page, 1, ".tl-take-words")).to_have_text("Take 2 of 2", timeout=RENDERING)
    has_status(page, "finished", timeout=RENDERING)
    outdated(page, 2, "Frame 1", "another take")
    outdated(page, 3, "Frame 1")
    expect(within(page, 3, ".tl-place")).to_have_text("Will have the location of frame 1.")
    assert main_button(page) == "Generate 2 frames"
    generate(page)
    expect(page.locator(".tl-edited:visible")).to_have_count(0, timeout=RENDERING)
    assert [take_words(page, number) for number in (1, 2, 3)] == ["Take 2 of 2"] * 3
    expect(within(page, 3, ".tl-place")).to_have_text("Same location as frame 1.")

    # Another take of the identity frame, and back: the readers' takes fit again.
    has_status(page, "finished", timeout=RENDERING)
    within(page, 1, "[data-action=earlier]").click()
    outdated(page, 2, "Frame 1")
    within(page, 1, "[data-action=later]").click()
    expect(page.locator(".tl-edited:visible")).to_have_count(0)

    page.get_by_label("Steps").fill("3")
    for number in (1, 2, 3):
        outdated(page, number, "steps")
    page.locator("[data-action=undo]").click()
    expect(page.locator(".tl-edited:visible")).to_have_count(0)

    generate(page)
    question = page.get_by_role("dialog", name="Everything is up to date")
    question.get_by_role("button", name="Not now").click()
    expect(question).to_be_hidden()
    assert take_words(page, 1) == "Take 2 of 2"


def test_a_locked_take_and_empty_cards_are_left_out_and_said_so(opened: Opened) -> None:
    page = opened()
    small_story(page, frames=2)
    page.get_by_role("button", name="Add frame").click()
    generate(page)
    expect(page.locator(".tl-toast")).to_contain_text("Frame 3 has no words")
    rendered(page, 2)
    within(page, 2, "[data-action=keep-take]").click()
    within(page, 1, "textarea").fill("reading a book")
    is_saved(page)
    generate(page)
    expect(within(page, 1, ".tl-take-words")).to_have_text("Take 2 of 2", timeout=RENDERING)
    has_status(page, "finished", timeout=RENDERING)
    assert take_words(page, 2) == "Take 1 of 1"
    page.locator("[data-action=choices]").click()
    page.get_by_role("button", name="Everything again").click()
    expect(page.locator(".tl-toast")).to_contain_text("Frame 2 keeps its take.")
    expect(within(page, 1, ".tl-take-words")).to_have_text("Take 3 of 3", timeout=RENDERING)
    assert take_words(page, 2) == "Take 1 of 1"
    page.reload()
    expect(within(page, 2, "[data-action=keep-take]")).to_have_attribute("aria-pressed", "true")


def test_what_comes_besides_is_asked_and_what_would_not_change_is_said(opened: Opened) -> None:
    page = opened()
    small_story(page, frames=2)
    generate(page)
    rendered(page, 2)
    within(page, 1, "[data-action=lock]").click()
    is_saved(page)
    within(page, 1, "[data-action=redo]").click()
    question = page.get_by_role("dialog", name="Nothing would change")
    expect(question).to_contain_text("Frame 1 would come out the same")
    question.get_by_role("button", name="Leave it").click()
    assert take_words(page, 1) == "Take 1 of 1"

    page.get_by_label("Size").select_option(index=1)
    within(page, 2, "[data-action=redo]").click()
    question = page.get_by_role("dialog", name="1 more frame to generate")
    expect(question).to_contain_text("Frame 1:")
    question.get_by_role("button", name="Not now").click()
    assert take_words(page, 2) == "Take 1 of 1"
    within(page, 2, "[data-action=redo]").click()
    question.get_by_role("button", name="Generate all of them").click()
    for number in (1, 2):
        expect(within(page, number, ".tl-take-words")).to_have_text(
            "Take 2 of 2", timeout=RENDERING
        )


def test_any_frame_can_be_the_identity(opened: Opened) -> None:
    page = opened()
    small_story(page, frames=3)
    expect(within(page, 1, ".tl-identity")).to_be_visible()
    within(page, 3, "[data-action=identity]").click()
    expect(within(page, 3, ".tl-identity")).to_be_visible()
    expect(within(page, 1, ".tl-identity")).to_be_hidden()
    generate(page)
    rendered(page, 3)
    expect(page.locator(".tl-edited:visible")).to_have_count(0)
    within(page, 2, "[data-action=identity]").click()
    outdated(page, 1, "frame 2")
    page.locator(".tl-toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".tl-edited:visible")).to_have_count(0)
    within(page, 3, "[data-action=remove]").click()
    expect(cards(page)).to_have_count(2)
    expect(within(page, 1, ".tl-identity")).to_be_visible()
