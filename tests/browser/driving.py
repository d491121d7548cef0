"""The app in a process of its own, and steps of a person on its page."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from playwright.sync_api import Locator, Page, expect

from tests.conftest import ROOT

ACTIONS = ("waving", "running", "sitting", "jumping")
START_TIMEOUT = 90.0
# Milliseconds for the page's own work, and for rendering a few small frames on a busy machine.
SOON, RENDERING = 20_000, 180_000

Opened = Callable[..., Page]


class Server:
    """The app in a process of its own, which runs inside `with`.

    Args:
        projects: its projects folder.
        options: further options of the command line.
        variables: further environment variables.
    """

    def __init__(self, projects: Path, *options: str, **variables: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.projects = projects
        self._options = options
        self.variables = variables
        self.url = f"http://127.0.0.1:{self.port}/"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, str(ROOT / "app.py"), "--no-browser", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [*command, "--projects", str(self.projects), *self._options],
            cwd=ROOT,
            env=os.environ | {"THROUGHLINE_DEVICE": "cpu"} | self.variables,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        deadline = time.monotonic() + START_TIMEOUT
        while not (line := self._process.stdout.readline()).startswith("Throughline is at"):
            assert self._process.poll() is None, "the app did not start"
            assert time.monotonic() < deadline, line

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self.stop()

    def kill(self) -> None:
        """Let it die, as in a crash."""
        assert self._process is not None and self._process.stdout is not None
        self._process.kill()
        self._process.wait(timeout=60)
        self._process.stdout.close()

    def stop(self) -> None:
        """Stop it as Ctrl+C does."""
        assert self._process is not None and self._process.stdout is not None
        self._process.send_signal(signal.SIGINT)
        status = self._process.wait(timeout=60)
        assert status == 0, status
        self._process.stdout.close()


def has_status(page: Page, *statuses: str, timeout: float = SOON) -> None:
    pattern = re.compile(rf"^({'|'.join(statuses)})$")
    expect(page.locator(".tl")).to_have_attribute("data-status", pattern, timeout=timeout)


def cards(page: Page) -> Locator:
    return page.locator(".tl-card")


def within(page: Page, number: int, selector: str) -> Locator:
    """Return an element in the card of a frame, counted from 1."""
    return cards(page).nth(number - 1).locator(selector)


def is_saved(page: Page) -> None:
    expect(page.locator(".tl-saved")).to_have_text("Saved")


def project_of(page: Page) -> str:
    """Return the name of the board that a page shows, from its address."""
    return page.url.partition("?board=")[2]


def stored(server: Server, project: str) -> dict[str, Any]:
    """Return a board as it is stored."""
    content = json.loads((server.projects / project / "storyboard.json").read_text("utf-8"))
    return dict(content["storyboard"])


def change_stored(server: Server, project: str, part: str | int, **values: Any) -> None:
    """Change "settings" of a stored board, or a frame of it, counted from 1, as somebody else."""
    path = server.projects / project / "storyboard.json"
    content = json.loads(path.read_text("utf-8"))
    board = content["storyboard"]
    (board[part] if isinstance(part, str) else board["frames"][part - 1]).update(values)
    path.write_text(json.dumps(content), "utf-8")


def small_story(page: Page, steps: int = 2, frames: int = 4) -> None:
    """Describe a character and give every frame words; as small and quick as it can be."""
    page.get_by_label("Description").fill("a girl with long red hair, wearing a green hoodie")
    page.locator("summary").click()
    page.get_by_label("Steps").fill(str(steps))
    for number in range(1, frames + 1):
        within(page, number, "textarea").fill(ACTIONS[number - 1])
        within(page, number, "[data-field=location]").fill("on a sunny beach")
    for _ in range(4 - frames):
        within(page, frames + 1, "[data-action=remove]").click()
    expect(cards(page)).to_have_count(frames)


def generate(page: Page) -> None:
    page.locator("[data-action=generate]").click()


def rendered(page: Page, frames: int) -> None:
    has_status(page, "finished", timeout=RENDERING)
    expect(page.locator(".tl-card[data-state=rendered]")).to_have_count(frames)
    for number in range(1, frames + 1):
        is_loaded(within(page, number, ".tl-picture"))


def is_loaded(image: Locator) -> None:
    expect(image).to_be_visible()
    image.evaluate("image => image.decode()")
    assert image.evaluate("image => image.naturalWidth") > 0
