"""Messages of the page when things go wrong, change elsewhere, or are taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.driving import (
    RENDERING,
    Opened,
    Server,
    cards,
    change_stored,
    generate,
    has_status,
    is_saved,
    project_of,
    rendered,
    small_story,
    stored,
    within,
)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """Run an app of a test's own, which it may stop."""
    with Server(tmp_path / "projects") as server:
        yield server


def stored_actions(server: Server, page: Page) -> list[str]:
    """Return the actions that are stored of the page's board."""
    return [frame["action"] for frame in stored(server, project_of(page))["frames"]]


def test_a_job_that_fails_at_once_says_why_until_it_is_read(opened: Opened) -> None:
    page = opened()
    small_story(page, frames=1)
    page.get_by_role("button", name="Add a style").click()
    page.get_by_role("textbox", name="LoRA").fill("/nowhere/none.safetensors")
    generate(page)
    alert = page.get_by_role("alert").filter(has_text="none.safetensors")
    expect(alert).to_contain_text("on this machine")
    expect(alert).to_contain_text("Give the path")
    has_status(page, "failed")

    later = page.context.new_page()
    later.goto(page.url)
    expect(later.get_by_role("alert").filter(has_text="none.safetensors")).to_be_visible()
    later.get_by_role("button", name="Dismiss").click()
    later.reload()
    has_status(later, "failed")
    expect(later.get_by_role("alert").filter(has_text="none.safetensors")).to_be_hidden()


def test_two_tabs_keep_what_was_typed_in_both(opened: Opened, server: Server) -> None:
    one = opened()
    small_story(one, frames=2)
    is_saved(one)
    two = one.context.new_page()
    two.goto(one.url)
    expect(cards(two)).to_have_count(2)
    within(one, 1, "textarea").fill("typed in the first tab")
    within(two, 2, "textarea").fill("typed in the second tab")
    for page in (one, two):
        expect(within(page, 1, "textarea")).to_have_value("typed in the first tab")
        expect(within(page, 2, "textarea")).to_have_value("typed in the second tab")
    assert stored_actions(server, one) == ["typed in the first tab", "typed in the second tab"]

    generate(one)
    rendered(one, 2)
    expect(two.locator(".tl-card[data-state=rendered]")).to_have_count(2)


def test_a_field_that_is_changed_in_two_tabs_shows_both_versions(
    opened: Opened, server: Server
) -> None:
    one = opened()
    small_story(one, frames=1)
    is_saved(one)
    two = one.context.new_page()
    two.goto(one.url)
    expect(cards(two)).to_have_count(1)
    two.context.set_offline(True)
    within(two, 1, "textarea").fill("mine, typed in the dark")
    # The other tab's change comes through a browser that is not cut off.
    change_stored(server, project_of(one), 1, action="theirs")
    two.context.set_offline(False)
    warning = within(two, 1, ".tl-warning")
    expect(warning).to_contain_text("changed elsewhere too, to \u201ctheirs\u201d")
    expect(within(two, 1, "textarea")).to_have_value("mine, typed in the dark")
    warning.get_by_role("button", name="Take the other").click()
    expect(within(two, 1, "textarea")).to_have_value("theirs")
    expect(warning).to_be_hidden()
    is_saved(two)
    assert stored_actions(server, two) == ["theirs"]


def test_words_typed_without_a_connection_are_kept_and_sent(
    own_server: Server, browser: Browser
) -> None:
    page = browser.new_context().new_page()
    page.goto(own_server.url)
    has_status(page, "idle")
    small_story(page, frames=2)
    is_saved(page)
    page.context.set_offline(True)
    within(page, 1, "textarea").fill("typed without a network")
    expect(page.locator(".tl-lost")).to_contain_text("What you type stays")
    expect(page.locator(".tl-saved")).to_have_text("Not saved yet")
    page.context.set_offline(False)
    expect(page.locator(".tl-lost")).to_be_hidden()
    is_saved(page)
    assert stored_actions(own_server, page)[0] == "typed without a network"

    # The server goes, in the middle of a render, and so does the page.
    page.get_by_label("Steps").fill("150")
    generate(page)
    has_status(page, "running", timeout=RENDERING)
    own_server.kill()
    expect(page.locator(".tl-lost")).to_be_visible()
    within(page, 2, "textarea").fill("typed while it was away")
    own_server.start()
    expect(page.get_by_role("alert")).to_contain_text("started anew")
    is_saved(page)
    assert stored_actions(own_server, page)[1] == "typed while it was away"
    page.reload()
    expect(within(page, 2, "textarea")).to_have_value("typed while it was away")
    page.context.close()


def test_a_page_that_is_loaded_anew_sends_what_it_could_not(
    own_server: Server, browser: Browser
) -> None:
    page = browser.new_context().new_page()
    page.goto(own_server.url)
    has_status(page, "idle")
    small_story(page, frames=1)
    is_saved(page)
    address = page.url
    own_server.kill()
    within(page, 1, "textarea").fill("typed before the page was closed")
    expect(page.locator(".tl-lost")).to_be_visible()
    page.goto("about:blank")
    own_server.start()
    page.goto(address)
    expect(within(page, 1, "textarea")).to_have_value("typed before the page was closed")
    is_saved(page)
    assert stored_actions(own_server, page) == ["typed before the page was closed"]
    page.context.close()


def test_every_change_can_be_undone_and_redone(opened: Opened) -> None:
    page = opened()
    small_story(page, frames=3)
    is_saved(page)

    def actions() -> list[str]:
        return [box.input_value() for box in page.locator(".tl-card textarea").all()]

    before = actions()
    within(page, 2, "[data-action=remove]").click()
    expect(within(page, 2, "[data-action=remove]")).to_be_focused()
    within(page, 1, "[data-action=remove]").click()
    assert actions() == before[2:]
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert actions() == before
    expect(page.locator(".tl-toast")).to_contain_text("Undone: Frame 2 removed.")
    page.keyboard.press("Control+y")
    assert actions() == [before[0], before[2]]
    page.keyboard.press("Control+z")

    # In a text, Ctrl+Z is the text's own.
    within(page, 1, "textarea").press_sequentially(" slowly")
    page.keyboard.press("Control+z")
    assert actions()[1:] == before[1:]
    page.get_by_role("heading", name="Throughline").click()
    page.locator("[data-action=undo]").click()
    assert actions() == before
    is_saved(page)
    page.reload()
    expect(within(page, 1, "textarea")).to_have_value(before[0])


def test_a_board_has_an_address(opened: Opened, server: Server, browser: Browser) -> None:
    page = opened()
    assert "?board=" not in page.url
    small_story(page, frames=1)
    is_saved(page)
    elsewhere = browser.new_context().new_page()
    elsewhere.goto(page.url)
    expect(within(elsewhere, 1, "textarea")).to_have_value("waving")
    elsewhere.goto(f"{server.url}?board=nowhere")
    expect(elsewhere.get_by_role("alert")).to_contain_text("no storyboard 'nowhere'")
    expect(cards(elsewhere)).to_have_count(4)
    elsewhere.context.close()


def test_a_render_cancelled_half_way_is_told_in_both_tabs(opened: Opened) -> None:
    one = opened()
    small_story(one, frames=3)
    generate(one)
    rendered(one, 3)
    one.get_by_label("Steps").fill("24")
    is_saved(one)
    two = one.context.new_page()
    two.goto(one.url)
    expect(two.locator(".tl-card[data-state=rendered]")).to_have_count(3)
    generate(one)
    for page in (one, two):
        has_status(page, "running", timeout=RENDERING)
    expect(within(two, 1, ".tl-edited")).to_be_hidden(timeout=RENDERING)
    two.locator("[data-action=cancel]").click()
    for page in (one, two):
        has_status(page, "cancelled", timeout=RENDERING)
        expect(within(page, 1, ".tl-edited")).to_be_hidden()
        expect(within(page, 3, ".tl-edited")).to_be_visible()
        expect(within(page, 3, ".tl-warnings")).to_contain_text("another take")
        expect(page.locator("[data-action=generate]")).to_contain_text("frame")


def test_a_field_that_a_person_is_in_shows_what_was_changed_elsewhere(
    opened: Opened, server: Server
) -> None:
    page = opened()
    small_story(page, frames=1)
    is_saved(page)
    action = within(page, 1, "textarea")
    action.focus()
    change_stored(server, project_of(page), 1, action="typed elsewhere")
    expect(action).to_have_value("typed elsewhere")
    expect(action).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.type(", slowly")
    action.blur()
    is_saved(page)
    assert stored_actions(server, page) == ["typed elsewhere, slowly"]


# Some browsers send no event where the field that has the focus is taken away.
HOLD_NEW = """() => {
  document.addEventListener("focusout", (event) => event.stopPropagation(), true);
  const send = window.fetch;
  const held = new Promise((release) => (window.release = release));
  window.fetch = async (...question) => {
    const answer = await send(...question);
    window.asked ||= String(question[1]?.body).includes('"name":"new"');
    if (window.asked) await held;
    return answer;
  };
}"""


def test_what_is_typed_while_another_board_opens_is_saved(opened: Opened, server: Server) -> None:
    page = opened()
    small_story(page, frames=1)
    is_saved(page)
    project = project_of(page)
    page.evaluate(HOLD_NEW)
    page.locator("[data-action=new]").click()
    page.wait_for_function("window.asked")
    within(page, 1, "textarea").fill("typed meanwhile")
    page.evaluate("window.release()")
    expect(cards(page)).to_have_count(4)
    assert stored(server, project)["frames"][0]["action"] == "typed meanwhile"
