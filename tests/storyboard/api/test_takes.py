"""Frames edited since they were rendered, with a real store and runner."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.request import Shortcuts
from tests.storyboard.api.backend import Backend, backend_in, outdated, rendered, saved, story
from tests.storyboard.fakes import FakeEngine


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    backend = backend_in(tmp_path / "projects", FakeEngine())
    yield backend
    backend.runner.close()


def test_frames_rendered_with_other_shortcuts_are_outdated(backend: Backend) -> None:
    document = story(backend)
    assert outdated(rendered(backend, document)) == []
    ids = [frame["id"] for frame in document["frames"]]
    for shortcut, edited in (("half-steps", ids), ("both", ids), ("coarse-probe", ids[1:])):
        document["settings"]["shortcut"] = shortcut
        assert outdated(saved(backend, document)) == edited, shortcut
    # The identity frame has no probe pass, so its take is current and serves as a source.
    assert outdated(rendered(backend, document, [ids[1]])) == []
    assert backend.engine.requests[-1].targets == (ids[1],)
    assert backend.engine.requests[-1].shortcuts == Shortcuts(probe_every=2)
    document["settings"]["shortcut"] = "exact"
    assert outdated(saved(backend, document)) == ids[1:]
