"""Construction from the settings."""

from __future__ import annotations

import importlib.util

import pytest

from pipelines.models.catalog import MINIATURE
from storyboard.settings import Settings, Workers
from storyboard.wiring import make_usability


def test_usability_is_that_of_the_process_that_renders(monkeypatch: pytest.MonkeyPatch) -> None:
    find = make_usability(Settings(device="cpu"))
    assert find is not None and find(MINIATURE).words == "Runs here, on the CPU."
    assert make_usability(Settings(workers=Workers(2))) is None
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: found("json") if name == "spaces" else found(name, *rest),
    )
    assert make_usability(Settings(device="cpu", space=True)) is None
