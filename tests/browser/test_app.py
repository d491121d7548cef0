"""The real app with the real miniature, in a browser.

One server for all files; every test opens its own browser profile, and with it its own
storyboard. The frames are small and take few steps: their content does not matter here.
"""

from __future__ import annotations

import re
import time
import zipfile

from playwright.sync_api import expect

from tests.browser.driving import (
    ACTIONS,
    RENDERING,
    Opened,
    Server,
    cards,
    generate,
    has_status,
    is_loaded,
    is_saved,
    rendered,
    small_story,
    within,
)


def test_a_character_goes_through_a_whole_storyboard(opened: Opened, server: Server) -> None:
    page = opened()
    small_story(page, steps=150)
    within(page, 1, ".tl-toggle").click()
    within(page, 3, ".tl-toggle").click()
    expect(within(page, 1, ".tl-place")).to_have_text("Frame 3 keeps this location.")
    expect(within(page, 3, ".tl-place")).to_have_text("Will have the location of frame 1.")

    generate(page)
    has_status(page, "running", timeout=RENDERING)
    expect(within(page, 1, ".tl-state")).to_contain_text("step", timeout=RENDERING)
    page.get_by_role("button", name="Cancel").click()
    begun = time.monotonic()
    has_status(page, "cancelled", timeout=RENDERING)
    # Within one step: all steps would take a minute on an idle machine.
    assert time.monotonic() - begun < 5
    expect(page.locator(".tl-toast")).to_contain_text("Stopped")
    assert page.locator(".tl-card[data-state=rendered]").count() == 0

    page.get_by_label("Steps").fill("2")
    generate(page)
    rendered(page, 4)

    page.keyboard.press("m")
    expect(within(page, 2, ".tl-tint")).to_have_css("opacity", "0.55")
    expect(within(page, 2, ".tl-mask")).to_be_hidden()
    page.keyboard.press("m")
    is_loaded(within(page, 2, ".tl-mask"))
    picture, mask = (within(page, 2, name).bounding_box() for name in (".tl-picture", ".tl-mask"))
    assert picture and mask and mask["x"] > picture["x"] and mask["y"] == picture["y"]

    page.reload()
    expect(cards(page)).to_have_count(4)
    expect(page.get_by_label("Description")).to_have_value(re.compile("green hoodie"))
    for number, action in enumerate(ACTIONS, 1):
        expect(within(page, number, "textarea")).to_have_value(action)
        is_loaded(within(page, number, ".tl-picture"))
    expect(within(page, 3, ".tl-place")).to_have_text("Same location as frame 1.")

    server.stop()
    server.start()
    page.reload()
    expect(cards(page)).to_have_count(4)
    is_loaded(within(page, 4, ".tl-picture"))
    expect(within(page, 4, "textarea")).to_have_value("jumping")


def test_takes_are_kept_and_can_be_chosen_again(opened: Opened) -> None:
    page = opened()
    small_story(page, frames=1)
    generate(page)
    rendered(page, 1)
    first = within(page, 1, ".tl-picture").get_attribute("src")
    within(page, 1, "[data-action=redo]").click()
    expect(within(page, 1, ".tl-take-words")).to_have_text("Take 2 of 2", timeout=RENDERING)
    has_status(page, "finished", timeout=RENDERING)
    within(page, 1, "[data-action=earlier]").click()
    expect(within(page, 1, ".tl-take-words")).to_have_text("Take 1 of 2")
    assert within(page, 1, ".tl-picture").get_attribute("src") == first

    within(page, 1, "[data-action=lock]").click()
    expect(within(page, 1, "[data-field=seed]")).not_to_have_value("")
    is_saved(page)
    within(page, 1, "textarea").fill("reading a book")
    expect(within(page, 1, ".tl-edited")).to_be_visible()

    page.reload()
    expect(within(page, 1, ".tl-take-words")).to_have_text("Take 1 of 2")
    page.get_by_role("button", name="Save as").click()
    with page.expect_download() as download:
        page.locator("[data-form=zip]").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        pictures = [n for n in archive.namelist() if n.endswith(".png")]
        assert [n for n in pictures if not n.startswith("takes/")] == [
            "01-reading-a-book-on-a-sunny-beach.png",
            "masks/01-reading-a-book-on-a-sunny-beach.png",
        ]


def test_the_last_keystroke_reaches_the_render(opened: Opened, server: Server) -> None:
    page = opened()
    small_story(page, frames=1)
    is_saved(page)
    within(page, 1, "textarea").fill("holding an umbrella")
    generate(page)
    rendered(page, 1)
    takes = [path.read_text() for path in server.projects.glob("*/takes/*/take.json")]
    assert any("holding an umbrella" in take for take in takes)
    expect(within(page, 1, ".tl-edited")).to_be_hidden()


def test_words_and_order_changed_while_frames_arrive_survive(opened: Opened) -> None:
    page = opened()
    small_story(page, steps=4, frames=3)
    generate(page)
    has_status(page, "running", timeout=RENDERING)
    words = "walking slowly up the hill in the evening"
    within(page, 3, "textarea").fill("")
    within(page, 3, "textarea").press_sequentially(words, delay=30)
    expect(within(page, 3, "textarea")).to_be_focused()
    expect(within(page, 3, "textarea")).to_have_value(words)
    page.keyboard.press("Alt+ArrowLeft")  # moves words of a text, and no card
    expect(within(page, 3, "textarea")).to_have_value(words)
    within(page, 3, "[data-action=duplicate]").focus()
    page.keyboard.press("Alt+ArrowLeft")
    expect(within(page, 2, "textarea")).to_have_value(words)
    expect(within(page, 2, "[data-action=duplicate]")).to_be_focused()
    rendered(page, 3)
    expect(within(page, 2, "textarea")).to_have_value(words)
    expect(within(page, 2, ".tl-edited")).to_be_visible()
    is_saved(page)
    page.reload()
    expect(within(page, 2, "textarea")).to_have_value(words)


def test_frames_are_added_duplicated_moved_removed_and_brought_back(opened: Opened) -> None:
    page = opened()
    small_story(page, frames=2)

    def actions() -> list[str]:
        return [box.input_value() for box in page.locator(".tl-card textarea").all()]

    within(page, 1, "[data-action=duplicate]").click()
    within(page, 2, "textarea").fill("dancing")
    page.get_by_role("button", name="Add frame").click()
    page.keyboard.type("pointing")
    assert actions() == ["waving", "dancing", "running", "pointing"]
    within(page, 4, "[data-action=back]").click()
    within(page, 1, "[data-action=forth]").click()
    assert actions() == ["dancing", "waving", "pointing", "running"]
    expect(within(page, 1, ".tl-identity")).to_be_visible()
    expect(within(page, 2, ".tl-identity")).to_be_hidden()
    within(page, 4, ".tl-card-head").drag_to(
        within(page, 1, ".tl-card-head"), target_position={"x": 10, "y": 10}
    )
    assert actions() == ["running", "dancing", "waving", "pointing"]
    within(page, 2, "[data-action=remove]").click()
    assert actions() == ["running", "waving", "pointing"]
    page.locator(".tl-toast").get_by_role("button", name="Undo").click()
    assert actions() == ["running", "dancing", "waving", "pointing"]
    is_saved(page)
    page.reload()
    expect(cards(page)).to_have_count(4)
    assert actions() == ["running", "dancing", "waving", "pointing"]


def test_what_cannot_be_rendered_is_reported_and_nothing_typed_is_lost(opened: Opened) -> None:
    page = opened()
    within(page, 1, "textarea").fill("waving")
    generate(page)
    banner = page.get_by_role("alert").filter(has_text="no description and no picture")
    expect(banner).to_be_visible()
    expect(within(page, 1, "textarea")).to_have_value("waving")
    assert "Traceback" not in page.content()
    banner.get_by_role("button", name="Dismiss").click()
    expect(banner).to_be_hidden()
    has_status(page, "idle")


def test_guidance_is_the_models_own_until_it_is_moved(opened: Opened) -> None:
    page = opened()
    page.locator("summary").click()
    model, guidance = page.get_by_label("Model"), page.get_by_label("Guidance")
    guidance_row = page.locator(".tl-guidance")
    model.select_option("flux1-schnell")
    expect(guidance).to_be_disabled()
    expect(guidance_row).to_contain_text("FLUX.1 [schnell] does not use guidance.")
    model.select_option("flux1-dev")
    expect(guidance).to_have_value("3.5")
    expect(guidance_row).to_contain_text("3.5, the model's default")
    guidance.focus()
    page.keyboard.press("ArrowRight")
    expect(guidance_row).to_contain_text("Guidance4How")
    is_saved(page)

    page.reload()
    expect(guidance).to_have_value("4")
    page.locator("summary").click()
    guidance.fill("3.5")
    expect(guidance_row).to_contain_text("3.5, the model's default")
    guidance.fill("8")
    model.select_option("flux1-krea-dev")
    expect(guidance).to_have_value("4.5")


def test_words_stay_words(opened: Opened) -> None:
    page = opened()
    hit = "document.body.dataset.hit='1'"
    words = f'<img src=x onerror="{hit}">${{{hit}}}{{{{x}}}}`'
    page.get_by_label("Title of the storyboard").fill(words)
    page.get_by_label("Description").fill(words)
    within(page, 1, "[data-field=location]").fill(words)
    is_saved(page)
    page.reload()
    expect(page.get_by_label("Description")).to_have_value(words)
    page.get_by_role("button", name="Boards").click()
    expect(page.locator(".tl-entry strong").filter(has_text="onerror")).to_have_text(words)
    assert page.evaluate("document.body.dataset.hit") is None


def test_two_people_do_not_see_each_other(opened: Opened) -> None:
    mine, theirs = opened(), opened()
    small_story(mine, frames=1)
    generate(mine)
    theirs.get_by_label("Description").fill("a man in a black coat")
    is_saved(theirs)
    rendered(mine, 1)
    theirs.reload()
    expect(theirs.get_by_label("Description")).to_have_value("a man in a black coat")
    assert theirs.locator(".tl-card[data-state=rendered]").count() == 0
    expect(mine.get_by_label("Description")).to_have_value(re.compile("red hair"))


def test_the_example_and_a_new_storyboard_are_one_click_away(opened: Opened) -> None:
    page = opened()
    page.get_by_role("button", name="open the example").click()
    expect(cards(page)).to_have_count(6)
    expect(page.get_by_label("Title of the storyboard")).not_to_have_value("")
    title = page.get_by_label("Title of the storyboard").input_value()
    page.get_by_role("button", name="New", exact=True).click()
    expect(cards(page)).to_have_count(4)
    page.get_by_role("button", name="Boards").click()
    page.locator(".tl-entry-open").filter(has_text=title).first.click()
    expect(cards(page)).to_have_count(6)


def test_a_phone_shows_everything_without_scrolling_sideways(opened: Opened) -> None:
    page = opened(400, 800)
    page.get_by_role("button", name="open the example").click()
    expect(cards(page)).to_have_count(6)
    page.locator("summary").click()
    for view in ("overlay", "side", "grid", "picture"):
        page.locator("button[data-view]:visible").click()
        expect(page.locator(".tl")).to_have_attribute("data-view", view)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    low = page.evaluate(
        """[...document.querySelectorAll('.tl button, .tl input:not([type=checkbox]), .tl select')]
        .filter((e) => e.checkVisibility() && !e.matches('.tl-link, .tl-open'))
        .map((e) => [e.outerHTML.slice(0, 120), e.getBoundingClientRect().height])
        .filter(([, height]) => height < 44)"""
    )
    assert low == []
