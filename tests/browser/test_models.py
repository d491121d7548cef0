"""Facts about a model before it renders: whether it runs here, its settings and its words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.driving import (
    Opened,
    Server,
    change_stored,
    has_status,
    is_saved,
    project_of,
    within,
)

LIBRARIES = 90_000  # milliseconds until the server has loaded its libraries


@pytest.fixture
def unable_server(tmp_path: Path) -> Iterator[Server]:
    """Run an app whose memory preset no model can use on a CPU."""
    with Server(tmp_path / "projects", THROUGHLINE_MEMORY="model-offload") as server:
        yield server


def settings_of(page: Page) -> Locator:
    """Open the settings."""
    box = page.locator(".tl-settings")
    box.locator("summary").click()
    return box


def test_the_list_of_models_says_where_each_runs(opened: Opened) -> None:
    page = opened()
    settings = settings_of(page)
    line = settings.locator(".tl-usable")
    expect(line).to_have_text("Runs here, on the CPU.", timeout=LIBRARIES)
    settings.get_by_label("Model").select_option("flux1-dev")
    expect(line).to_have_text(
        # Depends on the memory of the machine, and on whether it was downloaded.
        re.compile(r"^(Runs here, on the CPU|Does not run here: (even .*)?it needs \d)")
    )


def test_a_model_that_does_not_run_here_is_marked_before_anything_is_asked(
    unable_server: Server, browser: Browser
) -> None:
    page = browser.new_page()
    page.goto(unable_server.url)
    has_status(page, "idle")
    warning = page.locator(".tl-main .tl-warning")
    expect(warning).to_contain_text(
        "Throughline miniature does not run here with memory preset model-offload, which is for "
        "CUDA GPUs. Choose another model",
        timeout=LIBRARIES,
    )
    settings = settings_of(page)
    expect(settings.locator(".tl-usable.tl-doubt")).to_contain_text("Does not run here")
    select = settings.get_by_label("Model")
    marked = "FLUX.1 [dev] \u2013 does not run here"
    expect(select.locator("option").nth(1)).to_have_text(marked)
    select.select_option(label=marked)
    expect(select).to_have_value("flux1-dev")
    expect(warning).to_contain_text("FLUX.1 [dev] does not run here")
    page.close()


def test_words_that_the_miniature_does_not_know_are_named_quietly(opened: Opened) -> None:
    page = opened()
    action = within(page, 1, "textarea")
    action.press_sequentially("juggling with")
    hint = within(page, 1, ".tl-unknown-words").first
    expect(hint).to_have_text("Throughline miniature does not know: juggling.")
    phrases = within(page, 1, ".tl-phrases").first
    phrases.get_by_role("button", name="kicking a ball").click()
    expect(action).to_have_value("kicking a ball")
    expect(action).to_be_focused()
    expect(hint).to_be_hidden()
    expect(phrases).to_be_hidden()
    action.fill("")
    action.press("Tab")  # phrases are reached by keys too, and suggested for an empty field
    expect(phrases.get_by_role("button", name="standing", exact=True)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(action).to_have_value("waving")
    expect(action).to_be_focused()
    action.fill("juggling")
    # The hint and the phrases come and go only when the click is over, which would miss otherwise.
    within(page, 1, "[data-action=redo]").click(delay=300)
    expect(page.get_by_role("alert").filter(has_text="no description")).to_be_visible()
    expect(hint).to_contain_text("juggling")
    expect(phrases).to_be_hidden()
    description = page.get_by_label("Description")
    description.fill("Three girls' hats; a wizard")
    hint = page.locator(".tl-character .tl-unknown-words")
    expect(hint).to_be_hidden()  # the last word may not be whole
    description.blur()
    expect(hint).to_have_text("Throughline miniature does not know: wizard.")
    place = within(page, 1, "[data-field=location]")
    place.fill("on a hill of wizards ")
    expect(within(page, 1, ".tl-phrase:visible").first).to_have_text("on a hill")
    assert "in a kitchen" in page.locator("#tl-locations option").evaluate_all(
        "options => options.map(({ value }) => value)"
    )
    settings_of(page).get_by_label("Model").select_option("flux1-schnell")
    expect(page.locator(".tl-unknown-words:visible")).to_have_count(0)


def test_settings_that_a_model_was_not_made_for_are_marked(opened: Opened, server: Server) -> None:
    page = opened()
    settings = settings_of(page)
    doubt = settings.locator("#tl-doubts")
    settings.get_by_label("Steps").fill("3")
    expect(doubt).to_contain_text("was made for 10 to 50 steps; with fewer")
    is_saved(page)
    change_stored(server, project_of(page), "settings", width=512, height=512, guidance=8)
    page.reload()
    has_status(page, "idle")
    settings = settings_of(page)
    expect(doubt).to_contain_text("256 \u00d7 256 pixels, not for 512 \u00d7 512.")
    expect(settings.locator(".tl-guidance .tl-doubt")).to_contain_text("guidance of 1 to 6")
    settings.get_by_label("Model").select_option("flux1-schnell")
    settings.get_by_label("Steps").fill("50")
    expect(doubt).to_have_text(
        "FLUX.1 [schnell] was made for 1 to 4 steps; more take longer for little."
    )


def test_numbers_out_of_bounds_stay_and_are_refused_with_words(opened: Opened) -> None:
    page = opened()
    steps = settings_of(page).get_by_label("Steps")
    steps.fill("20")
    steps.fill("500")
    steps.blur()
    refusal = page.locator("#tl-steps-refused")
    expect(refusal).to_have_text("500 was not taken: steps go up to 200.")
    expect(steps).to_have_value("500")
    expect(steps).to_have_attribute("aria-invalid", "true")
    seed = within(page, 2, "[data-field=seed]")
    seed.fill("4294967296")
    expect(within(page, 2, ".tl-refused")).to_contain_text("seeds go up to 4294967295")
    within(page, 2, "textarea").fill("waving")
    is_saved(page)
    expect(steps).to_have_value("500")
    expect(seed).to_have_value("4294967296")
    model = page.get_by_label("Model")
    model.select_option("flux1-schnell")  # it brings its own steps
    expect(model).to_have_value("flux1-schnell")
    expect(steps).to_have_value("")
    expect(refusal).to_be_hidden()
    steps.fill("500")
    expect(refusal).to_be_visible()
    steps.fill("30")
    expect(refusal).to_be_hidden()
    is_saved(page)
    page.reload()
    has_status(page, "idle")
    expect(page.locator("[data-field='settings.steps']")).to_have_value("30")
    expect(within(page, 2, "[data-field=seed]")).to_have_value("")
