"""Conditions of all tests: no network, one thread, and visible skips where a part is missing."""

from __future__ import annotations

import os

# Before anything imports torch, gradio or huggingface_hub; subprocesses inherit it.
os.environ.update(
    HF_HUB_OFFLINE="1",
    GRADIO_ANALYTICS_ENABLED="False",
    TOKENIZERS_PARALLELISM="false",
)
# One thread: the models are so small that more only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import ipaddress
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import start

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Path of a Chromium: THROUGHLINE_CHROMIUM, one on the PATH, or Playwright's own."""
    named = os.environ.get("THROUGHLINE_CHROMIUM")
    if named:
        return named
    for name in CHROMIUM_NAMES:
        found = shutil.which(name)
        if found:
            return found
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
    return str(own) if own.is_file() else None


def needed_node_package(name: str) -> Path:
    """Return the folder of a package of Node; skip the test, visibly, where it is not there."""
    version = start.NODE_PACKAGES[name]
    package = start.node_package(Path(sys.prefix), name)
    if start.installed_version(package) != version:
        pytest.skip(f"no {name} {version} here; `python3 start.py test` installs it with npm")
    return package


def _cuda_is_there() -> bool:
    import torch

    return torch.cuda.is_available()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long tests first, and skip, with the reason, what this machine cannot run.

    THROUGHLINE_REQUIRE_BROWSER=1 leaves the browser tests in, so that they fail without Chromium.
    """
    browser = [item for item in items if item.get_closest_marker("browser")]
    for item in browser:
        item.add_marker("slow")
    if browser and os.environ.get("THROUGHLINE_REQUIRE_BROWSER") != "1" and not find_chromium():
        for item in browser:
            item.add_marker(pytest.mark.skip(reason="no Chromium on this machine"))
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if gpu and not _cuda_is_there():
        for item in gpu:
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the Chromium that browser tests drive."""
    found = find_chromium()
    assert found, "no Chromium on this machine; `python3 start.py test` installs it where it can"
    return found


@pytest.fixture(scope="session")
def miniature_folder() -> Path:
    """The folder of the embedded model's weights."""
    return ROOT / "assets" / "miniature"


def _is_local(address: Any) -> bool:
    if not isinstance(address, tuple):
        return True  # A Unix socket's path.
    host = str(address[0])
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Fail any test that connects to another machine."""
    patch = pytest.MonkeyPatch()
    for name in ("connect", "connect_ex"):
        original = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: Any, original: Any = original) -> Any:
            if not _is_local(address):
                raise AssertionError(f"a test connected to {address}")
            return original(self, address)

        patch.setattr(socket.socket, name, guarded)
    yield
    patch.undo()
