"""Boards as a whole, as a person handles them: shelf, bin, files, two tabs."""

from __future__ import annotations

import io
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from storyboard.storage.projects import Store
from storyboard.storage.take_files import REQUEST_KEY
from tests.browser.driving import Opened, Server, cards, has_status, is_saved, within
from tests.conftest import ROOT

MAYA = ROOT / "tests" / "data" / "projects" / "mayas-day"
TITLES = ("Maya\u2019s day", "\u00dcber den Wolken", "The last bus")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("projects")) as server:
        yield server


@pytest.fixture
def store(server: Server) -> Store:
    """Three boards with pictures, called b0, b1 and b2, and nothing else."""
    for path in server.projects.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    store = Store(server.projects)
    for number, title in enumerate(TITLES):
        shutil.copytree(MAYA, server.projects / f"b{number}")
        board = store.open(f"b{number}").load()
        store.open(f"b{number}").save(board.model_copy(update={"title": title}))
    return store


def visit(page: Page, server: Server, board: str) -> Page:
    page.goto(f"{server.url}?board={board}")
    has_status(page, "idle")
    return page


def entry(page: Page, title: str) -> Locator:
    return page.locator(".tl-entry").filter(has_text=title)


def open_shelf(page: Page, count: int) -> None:
    page.locator("[data-action=projects]").click()
    expect(page.locator(".tl-shelf .tl-entry")).to_have_count(count)


def act(page: Page, title: str, action: str) -> None:
    entry(page, title).locator(f"[data-action={action}]").click()


def titles(store: Store) -> set[str]:
    return {info.title for info in store.projects()}


def test_boards_are_found_renamed_and_copied(opened: Opened, server: Server, store: Store) -> None:
    page = visit(opened(), server, "b0")
    open_shelf(page, 3)
    expect(entry(page, TITLES[0]).locator(".tl-badge")).to_have_text("Open now")
    picture = entry(page, TITLES[1]).locator("img")
    picture.evaluate("image => image.decode()")
    assert picture.evaluate("image => image.naturalWidth") == 128
    page.get_by_role("searchbox").fill("uber")
    expect(page.locator(".tl-entry")).to_have_count(1)
    page.get_by_role("searchbox").fill("nothing of that kind")
    expect(page.locator(".tl-shelf-count")).to_contain_text("No storyboard is called")
    page.get_by_role("searchbox").fill("")

    act(page, TITLES[2], "rename-board")
    page.keyboard.type("The first bus")
    page.keyboard.press("Escape")
    expect(entry(page, TITLES[2])).to_have_count(1)
    act(page, TITLES[2], "rename-board")
    page.keyboard.type("The first bus")
    page.keyboard.press("Enter")
    expect(entry(page, "The first bus").locator("[data-action=rename-board]")).to_be_focused()
    act(page, TITLES[0], "rename-board")  # of the board on the page, by leaving the field
    page.keyboard.type("Zoe\u2019s day")
    page.get_by_role("searchbox").click()
    expect(page.locator(".tl-title")).to_have_value("Zoe\u2019s day")
    act(page, "The first bus", "copy-board")
    expect(entry(page, "The first bus copy")).to_have_count(1)
    assert titles(store) == {"Zoe\u2019s day", TITLES[1], "The first bus", "The first bus copy"}
    entry(page, "The first bus copy").locator("[data-action=open]").click()
    expect(page.locator(".tl-title")).to_have_value("The first bus copy")
    expect(page.locator(".tl-card[data-state=rendered]")).to_have_count(2)


def test_a_board_goes_to_the_bin_and_comes_back(
    opened: Opened, server: Server, store: Store
) -> None:
    page = visit(opened(), server, "b0")
    open_shelf(page, 3)
    act(page, TITLES[1], "delete-board")
    expect(entry(page, TITLES[1]).locator("[data-action=restore-board]")).to_be_focused()
    assert titles(store) == {TITLES[0], TITLES[2]}
    page.keyboard.press("Enter")
    expect(entry(page, TITLES[1]).locator("[data-action=delete-board]")).to_be_visible()
    assert titles(store) == set(TITLES)

    act(page, TITLES[0], "delete-board")  # the board on the page
    expect(page.locator(".tl-title")).to_have_value("Untitled storyboard")
    act(page, TITLES[2], "delete-board")
    page.get_by_role("button", name="Bin (2)").click()
    expect(page.locator(".tl-entry")).to_have_count(2)
    act(page, TITLES[0], "restore-board")
    expect(page.locator(".tl-entry")).to_have_count(1)
    act(page, TITLES[2], "ask-empty")
    expect(entry(page, TITLES[2])).to_contain_text("for good?")
    page.get_by_role("button", name="Keep", exact=True).click()
    assert store.deleted("b2").image_path("4ac260af598c").is_file()
    act(page, TITLES[2], "ask-empty")
    page.get_by_role("button", name="Delete for good").click()
    expect(page.locator(".tl-shelf-count")).to_have_text("The bin is empty.")
    assert not (server.projects / ".bin" / "b2").exists()
    page.get_by_role("button", name="Back to the storyboards").click()
    entry(page, TITLES[0]).locator("[data-action=open]").click()
    expect(page.locator(".tl-card[data-state=rendered]")).to_have_count(2)


def test_a_page_is_told_that_its_board_was_deleted_and_keeps_what_is_typed(
    opened: Opened, server: Server, store: Store
) -> None:
    one, two = visit(opened(), server, "b0"), visit(opened(), server, "b1")
    one.wait_for_load_state("networkidle")  # with all pictures
    open_shelf(two, 3)
    act(two, TITLES[0], "delete-board")
    banner = one.locator(".tl-main > .tl-banner")
    expect(banner).to_contain_text("This storyboard has been deleted")
    within(one, 1, "textarea").fill("reading")
    one.wait_for_timeout(1500)
    assert not (server.projects / "b0").exists()
    banner.get_by_role("button", name="Restore").click()
    is_saved(one)
    expect(banner).to_be_hidden()
    board = store.open("b0").load()
    assert (board.title, board.frames[0].action) == (TITLES[0], "reading")
    assert board.frames[0].take is not None

    act(two, TITLES[1], "delete-board")
    visit(one, server, "b1")
    expect(banner).to_contain_text("in the bin")
    banner.get_by_role("button", name="Restore").click()
    expect(one.locator(".tl-title")).to_have_value(TITLES[1])


def test_words_of_a_board_that_is_gone_for_good_can_be_kept(
    opened: Opened, server: Server, store: Store
) -> None:
    page = visit(opened(), server, "b0")
    page.wait_for_load_state("networkidle")  # with all pictures
    shutil.rmtree(server.projects / "b0")
    banner = page.locator(".tl-main > .tl-banner")
    expect(banner).to_contain_text("no longer there")
    page.get_by_role("button", name="Keep the words").click()
    is_saved(page)
    expect(banner).to_be_hidden()
    assert store.open("b0").load().frames[0].action == "waving"
    expect(cards(page)).to_have_count(2)


def saved_as(page: Page, form: str) -> tuple[str, bytes]:
    page.locator("[data-action=save-as]").click()
    with page.expect_download() as download:
        page.locator(f"[data-form={form}]").click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_a_board_is_saved_and_opened_as_each_kind_of_file(
    opened: Opened, server: Server, store: Store, tmp_path: Path
) -> None:
    page = visit(opened(), server, "b1")
    for form, pictures in (("zip", 2), ("json", 0), ("yaml", 0)):
        name, content = saved_as(page, form)
        assert name == f"\u00fcber-den-wolken.{form}"
        path = tmp_path / name
        path.write_bytes(content)
        known = {info.id for info in store.projects()}
        page.locator("[data-action=projects]").click()
        page.set_input_files("[data-file=board]", path)
        expect(page).not_to_have_url(re.compile(rf"board=({'|'.join(known)})$"))
        expect(page.locator(".tl-title")).to_have_value(TITLES[1])
        expect(page.locator(".tl-card[data-state=rendered]")).to_have_count(pictures)
        assert ("not all of it" in page.locator(".tl-main").inner_text()) == (form == "json")
        visit(page, server, "b1")
    page.locator("[data-action=save-as]").click()
    expect(page.locator(".tl-inside")).to_contain_text("no other frame")


DROP = """([name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name));
  for (const kind of ["dragover", "drop"]) {
    const event = new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
    document.querySelector(".tl").dispatchEvent(event);
  }
}"""


def test_files_are_opened_where_they_are_dropped(
    opened: Opened, server: Server, store: Store
) -> None:
    page = visit(opened(), server, "b0")
    lines = "on a beach#a girl#waving\n\nin a forest#a boy#reading\nat home#a boy#sitting\n"
    page.evaluate(DROP, ["prompts.txt", lines])
    expect(page.locator(".tl-title")).to_have_value("prompts, group 1")
    page.get_by_role("button", name="Show").click()
    expect(entry(page, "prompts, group 2")).to_contain_text("2 frames")
    page.keyboard.press("Escape")
    page.evaluate(DROP, ["broken.zip", "no zip at all"])
    banner = page.locator(".tl-main > .tl-banner")
    expect(banner).to_contain_text("broken.zip is not an archive")
    assert len(store.projects()) == 5


def test_a_picture_and_its_mask_are_saved_alone(
    opened: Opened, server: Server, store: Store
) -> None:
    page = visit(opened(), server, "b0")
    within(page, 2, ".tl-open").click()
    files = {}
    for part in ("picture", "mask"):
        with page.expect_download() as download:
            page.locator(f".tl-viewer [data-part={part}]").click()
        files[download.value.suggested_filename] = Path(download.value.path()).read_bytes()
    assert list(files) == ["02-jumping-on-a-beach.png", "02-jumping-on-a-beach-mask.png"]
    picture, mask = (Image.open(io.BytesIO(content)) for content in files.values())
    request = json.loads(picture.info[REQUEST_KEY])
    assert [frame["prompt"]["action"] for frame in request["frames"]] == ["jumping"]
    assert (mask.mode, mask.size, mask.info.get(REQUEST_KEY)) == ("L", picture.size, None)


def test_the_archive_of_the_page_says_what_is_inside(
    opened: Opened, server: Server, store: Store
) -> None:
    _, content = saved_as(visit(opened(), server, "b0"), "zip")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert "own frame" in archive.read("README.txt").decode()


def test_the_example_opens_as_it_was_left(opened: Opened, server: Server, store: Store) -> None:
    page = visit(opened(), server, "b0")
    page.locator("nav [data-action=example]").click()
    expect(cards(page)).to_have_count(6)
    within(page, 1, "textarea").fill("singing in the rain")
    is_saved(page)
    page.locator("[data-action=new]").click()
    expect(within(page, 1, "textarea")).to_have_value("")
    page.locator("nav [data-action=example]").click()
    expect(within(page, 1, "textarea")).to_have_value("singing in the rain")
    assert len(store.projects()) == 4
