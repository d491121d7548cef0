"""Errors on their way between processes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pipelines.errors import OutOfMemoryError, ThroughlineError
from pipelines.models.catalog import BIREFNET
from storyboard.errors import ConsentNeeded, RenderCancelled, StoryFileError


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("It does not fit.", "Make it smaller."),
        StoryFileError(Path("story.yaml"), 3, "no frames"),
        ConsentNeeded("key", BIREFNET, "For research."),
        RenderCancelled(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_itself_in_another_process(error: ThroughlineError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), vars(copy)) == (str(error), vars(error))
