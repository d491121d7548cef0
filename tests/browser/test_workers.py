"""The real page, whose frames are rendered by workers in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.driving import Opened, Server, generate, rendered, small_story

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture
def server(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Server]:
    """Start it with `capfd`, which captures its output from the start."""
    server = Server(
        tmp_path,
        THROUGHLINE_WORKERS="2",
    )
    server.start()
    yield server
    server.stop()


def test_two_workers_start_and_render_a_storyboard(
    opened: Opened, server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    page = opened()
    small_story(page, steps=2, frames=4)
    generate(page)
    rendered(page, 4)
    assert "cannot be started" not in capfd.readouterr().err
