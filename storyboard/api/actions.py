"""What a page can ask for, each answered with the values that the page shows next.

`Actions` joins the store and the runner for the page; it is tested without a browser. It knows
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

from pipelines.errors import UserError
from pipelines.events import Preview
from pipelines.models.catalog import BIREFNET, MODELS, find_model
from pipelines.models.specs import ModelSpec
from pipelines.pictures import FindFigure, PrepareReference
from storyboard.api.document import (
    blank_storyboard,
    document_of,
    project_of,
    read_document,
    revision_of,
)
from storyboard.api.limits import LIMITS, model_told
from storyboard.api.progress import JobView, idle, warning_of
from storyboard.api.reference_editor import ReferenceEditor
from storyboard.api.takes import Gallery, edited_frames
from storyboard.board import Storyboard, new_id
from storyboard.errors import ConsentNeeded, ProjectError
from storyboard.importing.story_file import read_story
from storyboard.jobs.events import TakeSaved
from storyboard.jobs.job import Runner
from storyboard.settings import ROOT, Settings
from storyboard.storage.character_file import SUFFIX, load_character, save_character
from storyboard.storage.consents import Consents
from storyboard.storage.projects import Project, Store

Answer = dict[str, Any]

EXAMPLE = ROOT / "assets" / "example" / "story.yaml"
LISTED_PROJECTS = 50
SECONDS_BETWEEN_UPDATES = 0.1


class Actions:
    """Answers what pages ask.

    Args:
        runner: what paints.
        store: where projects are.
        settings: the application's settings.
        prepare: cuts the figures out of uploaded pictures.
        find: a network that looks for figures; None where there is none.
        publish: puts a copy of a file where browsers can fetch it and returns the copy's path.
    """

    def __init__(
        self,
        runner: Runner,
        store: Store,
        settings: Settings,
        prepare: PrepareReference,
        find: FindFigure | None,
        publish: Callable[[Path], str],
    ) -> None:
        self._runner = runner
        self._store = store
        self._space = settings.space
        self._spec = find_model(settings.model)
        self._gallery = Gallery(publish)
        self._studio = ReferenceEditor(prepare, find, self._gallery)
        self._matting = BIREFNET if find is not None else None
        self._consents = Consents(settings.consents)
        self._serials = itertools.count(1)
        self._creating = threading.Lock()

    def setup(self) -> Answer:
        """What never changes while the application runs: the models and what this place allows."""
        return {
            "models": [model_told(spec) for spec in self._models()],
            "listed": not self._space,
            "matting": self._matting and self._matting.title,
            "limits": LIMITS,
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

        Where a person has to agree to something first, the answer asks for that instead.

        Args:
            document: the document as it is.
            frames: ids of the frames to paint, or None for all.

        Raises:
            UserError: if there is nothing to paint.
        """
        project, storyboard, answer = self._saved(document)
        _check_ready(storyboard)
        try:
            job = self._runner.start(project, frames)
        except ConsentNeeded as needed:
            wanted = None if frames is None else list(frames)
            return answer | {"consent": self._question(needed, {"frames": wanted})}
        # Whoever follows an earlier job will be told of this one after it.
        is_next = self._runner.active(project.id) in (job, None)
        return answer | self._told(JobView(job)) if is_next else answer

    def consent(
        self, document: object, key: str, frames: Sequence[str] | None, draft_id: str = ""
    ) -> Answer:
        """Remember that a person has agreed, and go on with what was asked for.

        Args:
            document: the document as it is.
            key: what they have agreed to.
            frames: as for `generate`.
            draft_id: as for `search`, where that was asked for; else empty.

        Raises:
            UserError: if that is nothing to agree to, or as for `generate` and `search`.
        """
        known = {
            spec.character_adapter.consent
            for spec in self._models()
            if spec.character_adapter is not None
        }
        if self._matting is not None:
            known.add(self._matting.source)
        if not key or key not in known:
            raise UserError("There is nothing of that name to agree to.", "Reload the page.")
        self._consents.give(key)
        return self.search(document, draft_id) if draft_id else self.generate(document, frames)

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
        name = f"{_file_name(storyboard.title) or 'storyboard'}.zip"
        return answer | self._download(name, project.zip_frames)

    # ---- the character

    def picture(self, document: object, path: Path) -> Answer:
        """Look for the character in an uploaded picture; what is wrong with it is in the answer.

        Args:
            document: the document as it is.
            path: the picture; never one that a browser named.

        Raises:
            UserError: if the document cannot be stored.
        """
        project, storyboard, answer = self._saved(document)
        return answer | {"reference": self._studio.begin(project, path)}

    def mend(self, document: object, draft_id: str, strokes: str, revision: int) -> Answer:
        """Mend the mask of an uploaded picture; see `ReferenceEditor.mend`.

        Raises:
            UserError: if these are no strokes, or the picture is damaged.
        """
        project, storyboard, answer = self._saved(document)
        told = self._studio.mend(project, draft_id, strokes, revision)
        return answer | {"reference": told}

    def search(self, document: object, draft_id: str) -> Answer:
        """Let the network look for the figure of an uploaded picture.

        Where a person has to agree to something first, the answer asks for that instead.

        Raises:
            UserError: if it cannot be done here; what was found before stays.
        """
        project, storyboard, answer = self._saved(document)
        try:
            told = self._studio.search(project, draft_id)
        except ConsentNeeded as needed:
            return answer | {"consent": self._question(needed, {"draft": draft_id})}
        return answer | {"reference": told}

    def use(self, document: object, draft_id: str, strokes: str | None) -> Answer:
        """Let frames follow an uploaded picture.

        Args:
            document: the document as it is.
            draft_id: the uploaded picture.
            strokes: all strokes, where the page has any; see `ReferenceEditor.mend`.

        Raises:
            UserError: if no figure was found in it, or the disk does not take it.
        """
        project, _, answer = self._saved(document)
        name = self._studio.finish(project, draft_id, strokes)
        storyboard = _refer(project, name)
        self._studio.discard(project, draft_id)
        return answer | self._pictured(project, storyboard)

    def refer(self, document: object, name: str) -> Answer:
        """Let frames follow a picture that the project has, or none.

        Args:
            document: the document as it is.
            name: the picture's name; empty for none.

        Raises:
            UserError: if the project has no such picture.
        """
        project, _, answer = self._saved(document)
        if name:
            project.references.path(name)
        return answer | self._pictured(project, _refer(project, name))

    def retouch(self, document: object) -> Answer:
        """Take up the picture that frames follow, to mend its mask.

        Raises:
            UserError: if there is none, or its files are missing.
        """
        project, storyboard, answer = self._saved(document)
        return answer | {"reference": self._studio.retouch(project)}

    def discard(self, document: object, draft_id: str) -> Answer:
        """Forget an uploaded picture that is not in use.

        Raises:
            UserError: if the document cannot be stored.
        """
        project, storyboard, answer = self._saved(document)
        self._studio.discard(project, draft_id)
        return answer | {"reference": self._studio.shown(project)}

    def save_character(self, document: object) -> Answer:
        """The character as a file that other storyboards can load.

        Raises:
            UserError: if there is nothing to save.
        """
        project, storyboard, answer = self._saved(document)
        name = f"{_file_name(storyboard.character.name) or 'character'}{SUFFIX}"
        return answer | self._download(name, lambda path: save_character(project, path))

    def load_character(self, document: object, path: Path) -> Answer:
        """Give the storyboard the character of a file; everything else in it stays.

        Args:
            document: the document as it is.
            path: the file; never one that a browser named.

        Raises:
            UserError: if the file holds no character, or the disk does not take it.
        """
        project, _, _ = self._saved(document)
        try:
            character = load_character(path).adopt(project.references)
        except UserError as error:
            # Its place on the server says nothing to whoever uploaded it.
            problem = error.problem.replace(str(path), path.name)
            raise UserError(problem, error.remedy) from error
        storyboard = project.edit(lambda stored: stored.model_copy(update={"character": character}))
        return self._whole(project, storyboard)

    def follow(self, project_id: str) -> Iterator[Answer]:
        """What happens to a project's jobs, until none is left.

        Raises:
            UserError: if there is no such project.
        """
        project = self._store.open(project_id)
        last = idle(project_id)
        while (job := self._runner.active(project_id)) is not None:
            view = JobView(job)
            told = {"preview": 0.0, "other": 0.0}
            for event in job.events():
                view.apply(event)
                kind = "preview" if isinstance(event, Preview) else "other"
                if (warning := warning_of(job.storyboard, event)) is not None:
                    yield self._told(view) | self.refuse(warning)
                elif isinstance(event, TakeSaved):
                    yield self._shown(project, project.load()) | self._told(view)
                elif view.over or time.monotonic() - told[kind] >= SECONDS_BETWEEN_UPDATES:
                    yield self._told(view)
                    told[kind] = time.monotonic()
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
            storyboard = read_document(document, stored, models, local_styles=not self._space)
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
            | {"reference": self._studio.shown(project)}
        )

    def _page(self, storyboard: Storyboard, project_id: str) -> Answer:
        return {
            "value": document_of(storyboard, project_id),
            "results": {"project": project_id, "frames": {}},
            "edited": [],
            "progress": idle(project_id),
            "saved": {"project": project_id, "revision": 0},
            "reference": self._studio.none(project_id),
        }

    def _pictured(self, project: Project, storyboard: Storyboard) -> Answer:
        return {
            "reference": self._studio.shown(project),
            "edited": edited_frames(project, storyboard),
        }

    def _download(self, name: str, write: Callable[[Path], Path]) -> Answer:
        with tempfile.TemporaryDirectory() as folder:
            file = self._gallery.published(write(Path(folder, name)))
        return {"file": {"serial": next(self._serials), "name": name, "file": file}}

    def _question(self, needed: ConsentNeeded, wanted: dict[str, Any]) -> dict[str, Any]:
        """What a page asks a person, and says again with the answer: what was `wanted`."""
        return {
            "serial": next(self._serials),
            "key": needed.key,
            "wanted": wanted,
            "title": needed.title,
            "terms": needed.terms,
            "licence": needed.licence,
            "licence_url": needed.licence_url,
            "download_bytes": needed.download_bytes,
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
        return {"progress": view.shown(waiting)} | view.news_of_previews()


def _check_ready(storyboard: Storyboard) -> None:
    if not storyboard.frames:
        raise UserError("The storyboard has no frames.", "Add one and say what happens in it.")
    character = storyboard.character
    described = [character.description, *(f.character for f in storyboard.frames)]
    if not (character.reference or any(words.strip() for words in described)):
        raise UserError(
            "The character has no description and no picture.",
            "Say who the story is about, for example: a girl with long red hair, wearing a green "
            "hoodie. Or upload a picture of the character.",
        )


def _refer(project: Project, name: str) -> Storyboard:
    """Store which picture the character has."""

    def change(stored: Storyboard) -> Storyboard:
        character = stored.character.model_copy(update={"reference": name})
        return stored.model_copy(update={"character": character})

    return project.edit(change)


def _file_name(words: str) -> str:
    return re.sub(r"\W+", "-", words.casefold()).strip("-")[:60]
