"""Shortcuts in the settings of the real page: chosen, described and stored."""

from __future__ import annotations

from playwright.sync_api import expect

from pipelines.models.measured import cost_of, turbo_loras
from pipelines.models.shortcuts import find_shortcut
from pipelines.request import Shortcuts
from storyboard.storage.projects import Store
from tests.browser.driving import Opened, Server, cards, generate, is_saved, rendered, small_story


def test_a_shortcut_is_chosen_described_and_used(opened: Opened, server: Server) -> None:
    page = opened()
    small_story(page, steps=2, frames=2)
    choice = page.locator("[data-field='settings.shortcut']")
    note, costs = page.locator("#tl-shortcut-note"), page.locator(".tl-costs > div")
    expect(choice).to_have_value("exact")
    expect(costs).to_have_count(0)
    choice.select_option("both")
    expect(note).to_contain_text(find_shortcut("both").note)
    cost = cost_of("both", "miniature")
    expect(costs).to_have_count(len(cost.lines) if cost else 0)
    page.locator("[data-field='settings.consistent']").click()
    expect(note).to_contain_text("there is no probe")
    page.locator("[data-field='settings.consistent']").click()

    generate(page)
    rendered(page, 2)
    store = Store(server.projects)
    project = store.open(store.projects()[0].id)
    requests = [project.request(take.id) for take in project.takes()]
    assert {request.shortcuts for request in requests} == {Shortcuts(every=2, probe_every=2)}
    expect(page.locator(".tl-edited:visible")).to_have_count(0)

    choice.select_option("exact")
    is_saved(page)
    expect(page.locator(".tl-edited:visible")).to_have_count(2)
    assert project.load().settings.shortcut == "exact"
    page.reload()
    expect(cards(page)).to_have_count(2)
    expect(choice).to_have_value("exact")


def test_a_turbo_lora_is_named_where_one_is_known(opened: Opened) -> None:
    page = opened()
    page.locator("summary").click()
    lora = page.get_by_text(turbo_loras()["flux1-dev"][0].source)
    expect(lora).to_have_count(0)
    page.locator("[data-field='settings.model']").select_option("flux1-dev")
    expect(lora).to_be_visible()
