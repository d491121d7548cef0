"""A story that the tests of jobs render, and its jobs to their ends."""

from __future__ import annotations

from storyboard.board import Character, Frame, RenderSettings, Storyboard, Style
from storyboard.jobs.events import JobEvent, TakeSaved
from storyboard.jobs.job import Job
from storyboard.storage.project import Project
from tests.pipelines.pictures import reference

BOARD = Storyboard(
    character=Character(description="a girl"),
    frames=tuple(Frame(id=name, action="waving", location="beach") for name in "abc"),
    settings=RenderSettings(width=64, height=64),
)
PATIENCE = 20.0


def finish(job: Job) -> list[JobEvent]:
    assert job.wait(PATIENCE)
    return list(job.events())


def takes_of(events: list[JobEvent]) -> list[str]:
    return [e.frame_id for e in events if isinstance(e, TakeSaved)]


def give_picture(project: Project) -> str:
    """Give the project's character a reference picture, and a model that can use it."""
    name = project.references.add(reference())
    character = BOARD.character.model_copy(update={"reference": name})
    styles = (Style(source="owner/ink"),)
    settings = BOARD.settings.model_copy(update={"model": "flux1-dev", "styles": styles})
    changes = {"character": character, "settings": settings}
    project.edit(lambda board: board.model_copy(update=changes))
    return name
