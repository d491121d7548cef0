"""A pipeline for all tests of styles, which has to be left as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipelines.flux1.pipeline import FluxStoryboardPipeline
from tests.pipelines.snapshots import assert_same, snapshot
from tests.pipelines.tiny import tiny_pipeline


@pytest.fixture(scope="module")
def shared_pipeline() -> FluxStoryboardPipeline:
    return tiny_pipeline()


@pytest.fixture
def pipeline(shared_pipeline: FluxStoryboardPipeline) -> Iterator[FluxStoryboardPipeline]:
    """The tiny pipeline; every test must leave it as it found it."""
    before = snapshot(shared_pipeline)
    yield shared_pipeline
    assert_same(shared_pipeline, before)
