"""Fixtures that the tests of jobs share."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from storyboard.jobs.local import LocalRunner
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from tests.storyboard.fakes import FakeEngine
from tests.storyboard.jobs.stories import BOARD


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Store(tmp_path / "projects").create(BOARD)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def runner(engine: FakeEngine) -> Iterator[LocalRunner]:
    runner = LocalRunner(engine, random.Random(1))
    yield runner
    if engine.permits is not None:
        engine.permits.release(1000)
    runner.close()
