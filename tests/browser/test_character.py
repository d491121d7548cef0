"""A person uploads a drawn character, edits its mask, and generates frames with it as reference.

The app runs with a tiny random model that uses reference pictures, and doubts every one of them:
the frames' content does not matter here, only that they were rendered with the reference.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from miniature.world.scene import draw_scene
from miniature.world.spec import WHOLE
from tests.browser.driving import (
    Opened,
    Server,
    generate,
    has_status,
    is_loaded,
    is_saved,
    rendered,
    within,
)

DOUBT = "unlike the drawings"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    from pipelines.instant_character.bundle import save_bundle
    from pipelines.instant_character.familiarity import fit_familiarity, summary
    from tests.pipelines.tiny import tiny_pipeline
    from tests.pipelines.tiny_character import tiny_bundle, tiny_features

    folder = tmp_path_factory.mktemp("tiny")
    pipeline = tiny_pipeline()
    pipeline.vae.register_to_config(sample_size=64)  # its own size is less than a storyboard's
    pipeline.save_pretrained(folder)
    knows_nobody = fit_familiarity(summary(tiny_features(pictures=200)), bound=0.0)
    bundle = replace(tiny_bundle(pipeline.transformer), familiarity=knows_nobody)
    save_bundle(folder / "subject", bundle)
    with Server(tmp_path_factory.mktemp("projects"), "--model", str(folder)) as server:
        yield server


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawing of a character at a location, 512 pixels high."""
    world = replace(WHOLE, shots=("full",), empty_share=0.0, pair_share=0.0)
    path = tmp_path_factory.mktemp("drawn") / "maya.png"
    Image.fromarray(np.asarray(draw_scene(5, world=world).image)).resize((512, 512)).save(path)
    return path


def upload(page: Page, file: Path) -> None:
    page.get_by_role("tab", name="Upload a picture").click()
    page.set_input_files("[data-file=picture]", file)
    expect(page.locator(".tl-draft")).to_be_visible()
    is_loaded(page.locator(".tl-draft .tl-prepared img"))


def prepared(page: Page) -> str | None:
    return page.locator(".tl-draft .tl-prepared img").get_attribute("src")


def open_brush(page: Page) -> Locator:
    page.get_by_role("button", name="Edit mask").click()
    canvas = page.locator(".tl-canvas")
    expect(canvas).to_be_visible()
    return canvas


def stroke(page: Page, canvas: Locator, *path: tuple[float, float]) -> None:
    """Draw with the mouse through points given as shares of the picture."""
    box = canvas.bounding_box()
    assert box is not None
    for number, (across, down) in enumerate(path):
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"], steps=4)
        if number == 0:
            page.mouse.down()
    page.mouse.up()


def alpha_at(canvas: Locator, across: float, down: float) -> bool:
    """Return whether a point of the picture is in full colour: faint ones are partly clear."""
    alpha = canvas.evaluate(
        """(canvas, [across, down]) => canvas.getContext("2d").getImageData(
            Math.floor(across * canvas.width), Math.floor(down * canvas.height), 1, 1).data[3]""",
        [across, down],
    )
    return bool(alpha == 255)


def is_edited(page: Page, before: str | None) -> None:
    image = page.locator(".tl-mender .tl-prepared img")
    expect(image).not_to_have_attribute("src", before or "")
    expect(page.locator(".tl-mender .tl-stale")).to_have_count(0)


def use(page: Page, within_selector: str = ".tl-draft") -> None:
    page.locator(f"{within_selector} [data-action=use]").click()
    expect(page.locator(".tl-used")).to_be_visible()
    is_loaded(page.locator(".tl-used .tl-prepared img"))


def requests_of(server: Server, page: Page) -> list[dict[str, Any]]:
    """Return the requests of all takes whose pictures are on the page."""
    words = page.get_by_label("Title of the storyboard").input_value()
    takes = []
    for board in server.projects.glob("*/storyboard.json"):
        if json.loads(board.read_text())["storyboard"]["title"] == words:
            takes += [json.loads(p.read_text()) for p in board.parent.glob("takes/*/take.json")]
    return [take["request"] for take in takes]


def used_name(page: Page) -> str:
    """Return the name of the reference picture in use."""
    return Path(page.locator(".tl-used .tl-prepared img").get_attribute("src") or "").name


def test_a_drawn_character_is_uploaded_edited_and_used(
    opened: Opened, server: Server, drawn: Path
) -> None:
    page = opened()
    page.get_by_label("Title of the storyboard").fill("Followed")
    upload(page, drawn)
    first = prepared(page)
    canvas = open_brush(page)
    assert not alpha_at(canvas, 0.05, 0.05)
    stroke(page, canvas, (0.04, 0.05), (0.2, 0.05))
    assert alpha_at(canvas, 0.1, 0.05)
    is_edited(page, first)
    page.get_by_role("button", name="Erase").click()
    second = page.locator(".tl-mender .tl-prepared img").get_attribute("src")
    stroke(page, canvas, (0.02, 0.05), (0.3, 0.05))
    is_edited(page, second)
    assert not alpha_at(canvas, 0.1, 0.05)
    third = page.locator(".tl-mender .tl-prepared img").get_attribute("src")
    page.keyboard.press("Control+z")
    is_edited(page, third)
    assert alpha_at(canvas, 0.1, 0.05)
    assert page.locator(".tl-mender .tl-prepared img").get_attribute("src") == second

    page.reload()
    expect(page.locator(".tl-draft")).to_be_visible()
    assert prepared(page) == second
    canvas = open_brush(page)
    assert alpha_at(canvas, 0.1, 0.05)
    page.get_by_role("button", name="Start over").click()
    assert not alpha_at(canvas, 0.1, 0.05)
    use(page, ".tl-mender")
    expect(page.locator(".tl-toast")).to_contain_text("Frames are generated with this picture")

    page.reload()
    expect(page.locator(".tl-used")).to_be_visible()
    name = used_name(page)
    page.locator(".tl-used").get_by_label("Reference strength").fill("0.6")
    for number, action in enumerate(("waves", "runs", "sits", "waves"), 1):
        within(page, number, "textarea").fill(f"a girl {action}")
        within(page, number, "[data-field=location]").fill("the beach" if number < 3 else "city")
    within(page, 1, ".tl-toggle").click()
    within(page, 2, ".tl-toggle").click()
    within(page, 4, "[data-field=reference_strength]").fill("1.4")
    page.locator("summary").click()
    page.get_by_label("Steps").fill("2")
    generate(page)
    rendered(page, 4)
    expect(page.locator(".tl-warning").filter(has_text=DOUBT)).to_be_visible()
    (request,) = {json.dumps(each): each for each in requests_of(server, page)}.values()
    frames = request["frames"]
    assert [frame["reference"] for frame in frames] == [name] * 4
    assert [frame["reference_strength"] for frame in frames] == [0.6, 0.6, 0.6, 1.4]
    assert frames[1]["background_from"] == frames[0]["frame_id"]
    expect(page.locator(".tl-edited:visible")).to_have_count(0)


def test_a_picture_is_pasted_dropped_and_edited_with_keys(opened: Opened, drawn: Path) -> None:
    page = opened()
    content = base64.b64encode(drawn.read_bytes()).decode()
    give = """([content, how]) => {
        const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], "maya.png", { type: "image/png" }));
        const event = how === "paste"
            ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
            : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
        document.querySelector(".tl-cards").dispatchEvent(event);
    }"""
    page.evaluate(give, [content, "paste"])
    expect(page.locator(".tl-draft")).to_be_visible()
    pasted = prepared(page)
    page.locator(".tl-draft [data-action=discard]").click()
    expect(page.locator(".tl-drop")).to_be_visible()
    page.evaluate(give, [content, "drop"])
    expect(page.locator(".tl-draft")).to_be_visible()
    assert prepared(page) == pasted

    canvas = open_brush(page)
    canvas.focus()
    for _ in range(22):
        page.keyboard.press("ArrowLeft")
    page.keyboard.down(" ")
    page.keyboard.press("ArrowUp")
    page.keyboard.up(" ")
    is_edited(page, pasted)
    assert alpha_at(canvas, 0.06, 0.5)
    page.keyboard.press("x")
    expect(page.get_by_role("button", name="Erase")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(canvas).to_be_hidden()
    expect(page.get_by_role("tab", name="Upload a picture")).to_have_attribute(
        "aria-selected", "true"
    )
    page.get_by_role("tab", name="Upload a picture").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_label("Description")).to_be_visible()
    expect(page.get_by_role("tab", name="Describe")).to_be_focused()


def test_what_is_no_picture_is_reported_and_nothing_is_lost(
    opened: Opened, drawn: Path, tmp_path: Path
) -> None:
    page = opened()
    within(page, 1, "textarea").fill("a girl waves")
    upload(page, drawn)
    use(page)
    odd = tmp_path / "odd.png"
    odd.write_bytes(b"%PDF-1.7 nothing to see")
    page.set_input_files("[data-file=picture]", odd)
    expect(page.locator(".tl-fault").first).to_contain_text("PDF")
    huge = tmp_path / "huge.png"
    huge.write_bytes(bytes(20_000_001))
    page.set_input_files("[data-file=picture]", huge)
    expect(page.locator(".tl-fault").first).to_contain_text("larger than 20 MB")
    expect(page.locator(".tl-used")).to_be_visible()
    expect(within(page, 1, "textarea")).to_have_value("a girl waves")

    page.locator(".tl-used [data-action=unuse]").click()
    expect(page.locator(".tl-drop")).to_be_visible()
    page.locator(".tl-toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".tl-used")).to_be_visible()


def test_a_model_without_references_says_so_and_terms_are_asked_first(
    opened: Opened, drawn: Path, server: Server
) -> None:
    page = opened()
    within(page, 1, "textarea").fill("a girl waves")
    upload(page, drawn)
    use(page)
    page.locator("summary").click()
    page.get_by_label("Model").select_option("flux1-schnell")
    note = page.locator(".tl-cannot")
    expect(note).to_contain_text("FLUX.1 [schnell] cannot use a reference picture.")
    expect(within(page, 1, "[data-field=reference_strength]")).to_be_hidden()
    generate(page)
    refused = page.get_by_role("alert").filter(has_text="cannot use a reference picture")
    expect(refused).to_be_visible()
    note.get_by_role("button", name="FLUX.1 [dev]", exact=True).click()
    expect(note).to_be_hidden()
    expect(page.get_by_label("Model")).to_have_value("flux1-dev")
    generate(page)
    dialog = page.get_by_role("dialog", name="Before the first download")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("research only")
    expect(dialog).to_contain_text(re.compile(r"About \d+ GB"))
    expect(dialog.get_by_role("link")).to_have_attribute("href", re.compile("^https://"))
    dialog.get_by_role("button", name="Not now").click()
    has_status(page, "idle")

    page.locator(".tl-used [data-action=retouch]").click()
    page.locator(".tl-mender [data-action=shut]").click()
    page.get_by_role("button", name="find the character with BiRefNet").click()
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("its own Python code")
    page.keyboard.press("Escape")
    expect(page.locator(".tl-draft")).to_be_visible()
    assert not (server.projects / "consents.json").exists()


def test_a_character_is_saved_and_loaded_into_another_storyboard(
    opened: Opened, drawn: Path
) -> None:
    page = opened()
    page.get_by_label("Name (optional)").fill("Maya")
    page.get_by_label("Description").fill("a girl in a red hat")
    upload(page, drawn)
    use(page)
    picture = used_name(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save", exact=True).click()
    assert download.value.suggested_filename == "maya.character"
    file = download.value.path().rename(download.value.path().with_suffix(".character"))

    page.get_by_role("button", name="New", exact=True).click()
    expect(page.get_by_label("Description")).to_have_value("")
    page.get_by_label("Description").fill("a blue coat")
    page.set_input_files("[data-file=import]", file)
    expect(page.locator(".tl-used")).to_be_visible()
    assert used_name(page) == picture
    expect(page.get_by_label("Name (optional)")).to_have_value("Maya")
    page.get_by_role("tab", name="Describe").click()
    expect(page.get_by_label("Description")).to_have_value("a girl in a red hat")
    page.locator(".tl-toast").get_by_role("button", name="Undo").click()
    expect(page.get_by_label("Description")).to_have_value("a blue coat")
    is_saved(page)
    page.reload()
    expect(page.get_by_label("Description")).to_have_value("a blue coat")
    expect(page.locator(".tl-drop")).to_be_hidden()


def test_styles_are_kept_as_they_are_written(opened: Opened) -> None:
    page = opened()
    page.locator("summary").click()
    page.get_by_role("button", name="Add a style").click()
    page.keyboard.type("owner/watercolor")
    page.get_by_label("Weight of the style").fill("0.75")
    page.get_by_label("Trigger words").fill("in watercolor")
    is_saved(page)
    page.reload()
    page.locator("summary").click()
    expect(page.get_by_label("LoRA", exact=True)).to_have_value("owner/watercolor")
    expect(page.get_by_label("Weight of the style")).to_have_value("0.75")
    page.get_by_role("button", name="Remove this style").click()
    expect(page.get_by_label("LoRA", exact=True)).to_have_count(0)
    page.locator(".tl-toast").get_by_role("button", name="Undo").click()
    expect(page.get_by_label("LoRA", exact=True)).to_have_value("owner/watercolor")


def test_a_finger_edits_the_mask_on_a_phone(opened: Opened, drawn: Path) -> None:
    page = opened(390, 844, touch=True)
    upload(page, drawn)
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(fits)
    before = prepared(page)
    canvas = open_brush(page)
    box = canvas.bounding_box()
    assert box is not None and box["width"] > 300
    page.touchscreen.tap(box["x"] + 0.08 * box["width"], box["y"] + 0.08 * box["height"])
    is_edited(page, before)
    assert alpha_at(canvas, 0.08, 0.08)
    assert page.evaluate(fits)
    low = page.evaluate(
        """[...document.querySelectorAll('.tl-mender button, .tl-mender input')]
        .map((e) => [e.outerHTML.slice(0, 120), e.getBoundingClientRect().height])
        .filter(([, height]) => height < 44)"""
    )
    assert low == []
    use(page, ".tl-mender")
    assert page.evaluate(fits)
