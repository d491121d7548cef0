"""Fixtures that the tests of actions share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storyboard.api.backend import Backend, backend_in
from tests.storyboard.fakes import FakeEngine


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    backend = backend_in(tmp_path / "projects", FakeEngine())
    yield backend
    if backend.engine.permits is not None:
        backend.engine.permits.release(1000)
    backend.runner.close()
