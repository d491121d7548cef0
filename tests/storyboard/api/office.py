"""A desk with everything behind it, for tests."""

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
class Office:
    """A desk and what stands behind it."""

    desk: Actions
    store: Store
    runner: LocalRunner
    engine: FakeEngine


def office_in(
    folder: Path, engine: FakeEngine, space: bool = False, find: FindFigure | None = None
) -> Office:
    store = Store(folder)
    runner = LocalRunner(engine, random.Random(1))
    desk = Actions(
        runner, store, Settings(projects=folder, space=space), prepare_reference, find, str
    )
    return Office(desk, store, runner, engine)


def story(office: Office, frames: int = 2) -> dict[str, Any]:
    """The document of a new storyboard with words in it, of small frames."""
    document = office.desk.new()["value"]
    document["character"]["description"] = "a girl"
    document["frames"] = document["frames"][:frames]
    for number, frame in enumerate(document["frames"]):
        frame |= {"action": "waving", "location": "beach", "seed": number}
    document["settings"] |= {"width": 64, "height": 64, "steps": 2}
    return document


def painted(office: Office, document: dict[str, Any]) -> list[dict[str, Any]]:
    """Generate everything; what a page that follows is told."""
    office.desk.generate(document, None)
    return list(office.desk.follow(document["project"]))
