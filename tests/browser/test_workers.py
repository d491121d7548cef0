"""The real page, whose frames are rendered by workers in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.driving import RENDERING, Opened, Server, generate, rendered, small_story


@pytest.fixture
def server(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Server]:
    """Start it with `capfd`, which captures its output from the start."""
    with Server(
        tmp_path,
        THROUGHLINE_WORKERS="2",
    ) as server:
        yield server


def test_two_workers_start_and_render_a_storyboard(
    opened: Opened, server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    page = opened()
    small_story(page, steps=2, frames=4)
    generate(page)
    rendered(page, 4)
    expect(page.locator(".tl-usable")).to_have_text(
        "Runs on the workers, on the CPU.", timeout=RENDERING
    )
    assert "cannot be started" not in capfd.readouterr().err
