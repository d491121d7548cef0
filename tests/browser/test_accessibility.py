"""Accessibility of the page in its states, by axe-core; skipped, visibly, without it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.driving import Opened, Server, change_stored, generate, small_story, within
from tests.conftest import ROOT, needed_node_package

MAYA = ROOT / "tests" / "data" / "projects" / "mayas-day"
WIDE, NARROW = (1400, 900), (390, 844)
STANDARDS = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
EVERYTHING = {"runOnly": {"type": "tag", "values": STANDARDS}, "resultTypes": ["violations"]}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
# Nothing is left out: Gradio's own elements around the page break no rule.
RUN = """async (options) => {
  const dialog = document.querySelector("dialog[open]"); // behind it, nothing can be reached
  const { violations } = await axe.run(dialog ?? document, options);
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, any, all, none }) => {
      const why = [...any, ...all, ...none].map(({ message }) => message);
      return `${id} at ${target.join(" ")}: ${why.join(" ")}`;
    }));
}"""
IS_THEME = "theme => document.body.classList.contains('dark') === (theme === 'dark')"
STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"


class Audit:
    """Findings of axe-core on a page, by state of the page.

    Args:
        page: the page.
        rules: the script of axe-core.
    """

    def __init__(self, page: Page, rules: Path) -> None:
        self._page = page
        self._rules = rules
        self.found: dict[str, list[str]] = {}

    def begin(self) -> None:
        """Give a page that was loaded the rules, and end all motion on it."""
        self._page.add_script_tag(path=self._rules)
        self._page.add_style_tag(content=STILL)

    def examine(self, state: str) -> None:
        """Examine the page as it is now: narrow and wide, and its colours also in the dark."""
        for theme, (width, height), rules in (
            ("light", NARROW, EVERYTHING),
            ("light", WIDE, EVERYTHING),
            ("dark", WIDE, COLOURS),
        ):
            self._page.set_viewport_size({"width": width, "height": height})
            self._page.emulate_media(color_scheme=theme)
            self._page.wait_for_function(IS_THEME, arg=theme)
            if found := self._page.evaluate(RUN, rules):
                self.found[f"{state}, {width} wide, {theme}"] = found
        self._page.emulate_media(color_scheme="light")


@pytest.fixture
def board(server: Server) -> str:
    """Name of a board with takes and a reference picture."""
    name = "accessible"
    shutil.copytree(MAYA, server.projects / name)
    return name


def test_no_rule_is_broken(opened: Opened, server: Server, board: str) -> None:
    rules = needed_node_package("axe-core") / "axe.min.js"
    page = opened()
    audit = Audit(page, rules)
    audit.begin()
    audit.examine("empty")
    write_with_doubts(page)
    audit.examine("written")

    page.goto(f"{server.url}?board={board}")
    audit.begin()
    expect(page.locator(".tl-card[data-state=rendered]")).to_have_count(2)
    audit.examine("rendered")
    for state, open_it in DIALOGS.items():
        open_it(page)
        expect(page.locator("dialog[open]")).to_have_count(1)
        audit.examine(state)
        page.locator("dialog[open] [data-action=shut]").click()
    change_in_two_places(page, server, board)
    audit.examine("out of date, with warnings")
    assert audit.found == {}


def write_with_doubts(page: Page) -> None:
    """Write a story with an unknown word and a number that is refused; open a menu."""
    small_story(page)
    page.get_by_label("Steps").fill("500")
    within(page, 1, "textarea").fill("juggling")
    page.locator("[data-action=choices]").click()
    expect(page.locator("#tl-steps-refused")).to_be_visible()
    expect(within(page, 1, ".tl-unknown-words").first).to_be_visible()


def edit_title(page: Page) -> None:
    """Open the shelf, and a title in it."""
    page.locator("[data-action=projects]").click()
    page.locator("[data-action=rename-board]").first.click()


DIALOGS: dict[str, Callable[[Page], None]] = {
    "question": generate,  # as everything is up to date
    "save as": lambda page: page.locator("[data-action=save-as]").click(),
    "viewer": lambda page: within(page, 1, ".tl-open").click(),
    "mask editor": lambda page: page.locator("[data-action=retouch]").click(),
    "shelf": edit_title,
}


def change_in_two_places(page: Page, server: Server, board: str) -> None:
    """Change a field of a frame here while it is changed elsewhere."""
    page.context.set_offline(True)
    within(page, 1, "textarea").fill("typed here")
    change_stored(server, board, 1, action="typed there")
    page.context.set_offline(False)
    expect(within(page, 1, "[data-action=keep-mine]")).to_be_visible()
    expect(page.locator(".tl-edited:visible")).to_have_count(2)
