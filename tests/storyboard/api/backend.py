"""Actions with a real store and runner, for tests."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.pictures import FindFigure
from pipelines.reference.from_upload import prepare_reference
from storyboard.api.actions import Actions
from storyboard.jobs.local import LocalRunner
from storyboard.settings import Settings
from storyboard.storage.projects import Store
from tests.storyboard.fakes import FakeEngine


@dataclass
class Backend:
    """Actions, and the store, runner and engine that they use."""

    actions: Actions
    store: Store
    runner: LocalRunner
    engine: FakeEngine


def publish(path: Path) -> dict[str, str]:
    return {"path": str(path)}


def backend_in(
    folder: Path, engine: FakeEngine, space: bool = False, find: FindFigure | None = None
) -> Backend:
    store = Store(folder)
    runner = LocalRunner(engine, random.Random(1))
    actions = Actions(
        runner, store, Settings(projects=folder, space=space), prepare_reference, find, publish
    )
    return Backend(actions, store, runner, engine)


def story(backend: Backend, frames: int = 2) -> dict[str, Any]:
    """Return the document of a new storyboard with small frames and words in it."""
    document = backend.actions.new()["value"]
    document["character"]["description"] = "a girl"
    document["frames"] = document["frames"][:frames]
    for number, frame in enumerate(document["frames"]):
        frame |= {"action": "waving", "location": "beach", "seed": number}
    document["settings"] |= {"width": 64, "height": 64, "steps": 2}
    return document


def rendered(backend: Backend, document: dict[str, Any]) -> list[dict[str, Any]]:
    """Render all frames and return the answers that a page gets meanwhile."""
    backend.actions.generate(document, None)
    return list(backend.actions.follow(document["project"]))
