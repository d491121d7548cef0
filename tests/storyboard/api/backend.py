"""Actions with a real store and runner, and what a page asks of them, for tests."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.pictures import FindFigure
from pipelines.reference.from_upload import prepare_reference
from storyboard.api.actions import Actions
from storyboard.api.character import CharacterActions
from storyboard.api.document import revision_of
from storyboard.errors import ProjectError
from storyboard.jobs.local import LocalRunner
from storyboard.settings import Settings
from storyboard.storage.projects import Store
from tests.storyboard.fakes import FakeEngine

Answer = dict[str, Any]

PATIENCE = 20.0


@dataclass
class Backend:
    """Actions, and the store, runner and engine that they use."""

    actions: Actions
    store: Store
    runner: LocalRunner
    engine: FakeEngine

    @property
    def character(self) -> CharacterActions:
        return self.actions.character


def backend_in(
    folder: Path,
    engine: FakeEngine,
    space: bool = False,
    find: FindFigure | None = None,
    **more: Any,
) -> Backend:
    store = Store(folder)
    runner = LocalRunner(engine, random.Random(1))
    settings = Settings(projects=folder, space=space, **more)
    return Backend(Actions(runner, store, settings, prepare_reference, find), store, runner, engine)


def story(backend: Backend, frames: int = 2) -> Answer:
    """Return the document of a new storyboard with small frames and words in it."""
    document: Answer = backend.actions.new()["board"]
    document["character"]["description"] = "a girl"
    document["frames"] = document["frames"][:frames]
    for number, frame in enumerate(document["frames"]):
        frame |= {"action": "waving", "location": "beach", "seed": number}
    document["settings"] |= {"width": 64, "height": 64, "steps": 2}
    return document


def revision(backend: Backend, document: Answer) -> str:
    """Return the revision of a document's project as it is stored; empty where there is none."""
    try:
        return revision_of(backend.store.open(document["project"]).load())
    except ProjectError:
        return ""


def saved(backend: Backend, document: Answer) -> Answer:
    """Save a document, as a page that has heard of everything does."""
    base = revision(backend, document)
    return backend.actions.save(document["project"], document, base)


def stored_story(backend: Backend, frames: int = 2) -> Answer:
    """Return the document of a storyboard as `story` gives it, and stored."""
    document = story(backend, frames)
    saved(backend, document)
    return document


def ended(backend: Backend, project: str) -> Answer:
    """Wait for a project's jobs; return what a page hears then that has heard of nothing."""
    for job in backend.runner.pending(project):
        assert job.wait(PATIENCE)
    return backend.actions.news(project)


def rendered(backend: Backend, document: Answer, frames: list[str] | None = None) -> Answer:
    """Save a document and render its frames; return what a page hears at the end."""
    saved(backend, document)
    backend.actions.generate(document["project"], frames)
    return ended(backend, document["project"])


def takes_of(answer: Answer, frame: Answer) -> list[str]:
    """Return the ids of a frame's takes in an answer, oldest first."""
    return [take["id"] for take in answer["results"][frame["id"]]["takes"]]


def outdated(answer: Answer) -> list[str]:
    """Return the ids of the frames that an answer names as out of date."""
    return list(answer["outdated"])
