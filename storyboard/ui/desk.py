"""What a page can ask for, each answered with the values that the page shows next.

`Desk` joins the store and the runner for the page; it is tested without a browser. It knows
nothing of Gradio: an answer maps names of the editor's properties to plain data.
"""

from __future__ import annotations

import itertools
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines.events import WordsUnread
from pipelines.registry import MODELS, ModelSpec, find_model
from storyboard.board import (
    LONG_TEXT,
    MAX_FRAMES,
    MAX_GUIDANCE,
    MAX_SEED,
    MAX_STEPS,
    MIN_GUIDANCE,
    SHORT_TEXT,
    Storyboard,
    new_id,
)
from storyboard.errors import ProjectError, UserError
from storyboard.jobs import Runner, TakeSaved
from storyboard.settings import ROOT, Settings
from storyboard.store import Project, Store
from storyboard.storyfile import read_story
from storyboard.ui.documents import (
    blank_storyboard,
    document_of,
    picture_sizes,
    project_of,
    read_document,
    revision_of,
)
from storyboard.ui.gallery import Gallery, edited_frames
from storyboard.ui.progress import JobView, idle

Answer = dict[str, Any]

EXAMPLE = ROOT / "assets" / "example" / "story.yaml"
LISTED_PROJECTS = 50
SECONDS_BETWEEN_UPDATES = 0.1


class Desk:
    """Answers what pages ask.

    Args:
        runner: what paints.
        store: where projects are.
        settings: the application's settings.
        publish: puts a copy of a file where browsers can fetch it and returns the copy's path.
    """

    def __init__(
        self, runner: Runner, store: Store, settings: Settings, publish: Callable[[Path], str]
    ) -> None:
        self._runner = runner
        self._store = store
        self._space = settings.space
        self._spec = find_model(settings.model)
        self._gallery = Gallery(publish)
        self._serials = itertools.count(1)
        self._creating = threading.Lock()

    def setup(self) -> Answer:
        """What never changes while the application runs: the models and what this place allows."""
        return {
            "models": [_model(spec) for spec in self._models()],
            "listed": not self._space,
            "limits": {
                "frames": MAX_FRAMES,
                "guidance": [MIN_GUIDANCE, MAX_GUIDANCE],
                "long": LONG_TEXT,
                "seed": MAX_SEED,
                "short": SHORT_TEXT,
                "steps": MAX_STEPS,
            },
        }

    def open(self, project_id: str) -> Answer:
        """A project as it was left; a blank one where there is none, or it cannot be read."""
        try:
            project = self._store.open(project_id)
        except ProjectError:  # a blank one that was never changed, or one that was taken away
            return self.new()
        try:
            return self._whole(project, project.load())
        except ProjectError as error:
            return self.new() | self.refuse(error)

    def new(self) -> Answer:
        """A blank storyboard; its project appears on the disk when it is first changed."""
        return self._page(blank_storyboard(self._spec), new_id())

    def example(self) -> Answer:
        """A new project that holds the example."""
        settings = blank_storyboard(self._spec).settings
        story = read_story(EXAMPLE).storyboards[0].model_copy(update={"settings": settings})
        return self._whole(self._store.create(story), story)

    def save(self, document: object) -> Answer:
        """Store what was changed.

        Raises:
            UserError: if the document cannot be stored; what is stored stays.
        """
        _, _, answer = self._saved(document)
        return answer

    def generate(self, document: object, frames: Sequence[str] | None) -> Answer:
        """Store what was changed and ask for new takes.

        Args:
            document: the document as it is.
            frames: ids of the frames to paint, or None for all.

        Raises:
            UserError: if there is nothing to paint.
        """
        project, storyboard, answer = self._saved(document)
        _check_ready(storyboard)
        job = self._runner.start(project, frames)
        # Whoever follows an earlier job will be told of this one after it.
        is_next = self._runner.active(project.id) in (job, None)
        return answer | self._told(JobView(job)) if is_next else answer

    def cancel(self, document: object) -> Answer:
        """Stop what is being painted and what waits; what was painted is kept."""
        project_id = project_of(document)
        for job in reversed(self._runner.pending(project_id)):
            job.cancel()
        return {}

    def choose(self, document: object, frame_id: str, take_id: str) -> Answer:
        """Choose another take of a frame.

        Raises:
            UserError: if the take is not one of that frame.
        """
        project, _, answer = self._saved(document)
        if project.take(take_id).frame_id != frame_id:
            raise UserError("That take belongs to another frame.", "Reload the page.")
        storyboard = project.edit(lambda stored: stored.with_take(frame_id, take_id))
        return answer | self._shown(project, storyboard)

    def projects(self) -> Answer:
        """The projects that can be opened, the last saved first; none where strangers share it."""
        infos = [] if self._space else self._store.projects()[:LISTED_PROJECTS]
        items = [
            {
                "id": info.id,
                "title": info.title,
                "frames": info.frames,
                "modified": info.modified.isoformat(),
            }
            for info in infos
        ]
        return {"projects": {"serial": next(self._serials), "items": items}}

    def archive(self, document: object) -> Answer:
        """The frames and their masks in a ZIP file.

        Raises:
            UserError: if nothing has been painted yet.
        """
        project, storyboard, answer = self._saved(document)
        name = re.sub(r"\W+", "-", storyboard.title.casefold()).strip("-")[:60] or "storyboard"
        with tempfile.TemporaryDirectory() as folder:
            packed = project.zip_frames(Path(folder, f"{name}.zip"))
            file = self._gallery.published(packed)
        return answer | {
            "archive": {"serial": next(self._serials), "name": f"{name}.zip", "file": file}
        }

    def follow(self, project_id: str) -> Iterator[Answer]:
        """What happens to a project's jobs, until none is left.

        Raises:
            UserError: if there is no such project.
        """
        project = self._store.open(project_id)
        last = idle(project_id)
        while (job := self._runner.active(project_id)) is not None:
            view = JobView(job)
            told = 0.0
            for event in job.events():
                view.apply(event)
                if isinstance(event, WordsUnread):
                    yield self._told(view) | self.refuse(_too_long(job.storyboard, event))
                elif isinstance(event, TakeSaved):
                    yield self._shown(project, project.load()) | self._told(view)
                elif view.over or time.monotonic() - told >= SECONDS_BETWEEN_UPDATES:
                    yield self._told(view)
                    told = time.monotonic()
            last = view.shown()
        yield self._shown(project, project.load()) | {"progress": last}

    def refuse(self, error: UserError) -> Answer:
        """What a page shows when it asked for what cannot be done."""
        return {
            "notice": {
                "serial": next(self._serials),
                "problem": error.problem,
                "remedy": error.remedy,
            }
        }

    def _models(self) -> list[ModelSpec]:
        """The models that may be chosen: where strangers share the application, only its own."""
        others = [] if self._space else [spec for spec in MODELS if spec.name != self._spec.name]
        return [self._spec, *others]

    def _saved(self, document: object) -> tuple[Project, Storyboard, Answer]:
        """Store a document; its project, what is stored now, and what to answer."""
        models = [spec.name for spec in self._models()]
        project = self._found_or_made(project_of(document))
        back: set[str] = set()

        def change(stored: Storyboard) -> Storyboard:
            storyboard = read_document(document, stored, models)
            added = {f.id for f in storyboard.frames} - {f.id for f in stored.frames}
            # A frame that was removed and is back shows its newest take.
            for take in project.takes() if added else ():
                if take.frame_id in added:
                    back.add(take.frame_id)
                    storyboard = storyboard.with_take(take.frame_id, take.id)
            return storyboard

        storyboard = project.edit(change)
        saved = {"saved": {"project": project.id, "revision": revision_of(document)}}
        edited = {"edited": edited_frames(project, storyboard)}
        return project, storyboard, saved | (self._shown(project, storyboard) if back else edited)

    def _found_or_made(self, project_id: str) -> Project:
        with self._creating:
            try:
                return self._store.open(project_id)
            except ProjectError:
                return self._store.create(blank_storyboard(self._spec), project_id)

    def _whole(self, project: Project, storyboard: Storyboard) -> Answer:
        return (
            self._page(storyboard, project.id)
            | self._shown(project, storyboard)
            | self._progress(project)
        )

    def _page(self, storyboard: Storyboard, project_id: str) -> Answer:
        return {
            "value": document_of(storyboard, project_id),
            "results": {"project": project_id, "frames": {}},
            "edited": [],
            "progress": idle(project_id),
            "saved": {"project": project_id, "revision": 0},
        }

    def _shown(self, project: Project, storyboard: Storyboard) -> Answer:
        return {
            "results": {
                "project": project.id,
                "frames": self._gallery.results(project, storyboard),
            },
            "edited": edited_frames(project, storyboard),
        }

    def _progress(self, project: Project) -> Answer:
        job = self._runner.active(project.id)
        return {"progress": idle(project.id)} if job is None else self._told(JobView(job))

    def _told(self, view: JobView) -> Answer:
        later = [job for job in self._runner.pending(view.job.project_id) if job is not view.job]
        waiting = [frame_id for job in later for frame_id in job.targets]
        return {"progress": view.shown(waiting)}


def _check_ready(storyboard: Storyboard) -> None:
    if not storyboard.frames:
        raise UserError("The storyboard has no frames.", "Add one and say what happens in it.")
    described = [storyboard.character.description, *(f.character for f in storyboard.frames)]
    if not any(words.strip() for words in described):
        raise UserError(
            "The character has no description.",
            "Say who the story is about, for example: a girl with long red hair, wearing a green "
            "hoodie.",
        )


def _too_long(storyboard: Storyboard, event: WordsUnread) -> UserError:
    number = storyboard.position(event.frame_id) + 1
    return UserError(
        f"The words of frame {number} are too many for the model, which does not read "
        f"\u201c{event.words}\u201d.",
        "Shorten the character, the location or the action.",
    )


def _model(spec: ModelSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "title": spec.title,
        "note": spec.note,
        "licence": spec.licence,
        "licence_url": spec.licence_url,
        "non_commercial": spec.non_commercial,
        "steps": spec.steps,
        "guidance": spec.guidance_scale if spec.learnt_guidance else None,
        "sizes": picture_sizes(spec),
    }
