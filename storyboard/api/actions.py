"""Actions that a front end can ask for; each returns the values that the page shows next.

`Actions` joins the project store and the runner for the page. It knows no front end: an answer maps
names of the page's properties to plain data.
"""

from __future__ import annotations

import itertools
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.events import Preview
from pipelines.models.catalog import BIREFNET, MODELS, find_model
from pipelines.pictures import FindFigure, PrepareReference
from storyboard.api.document import (
    blank_storyboard,
    document_of,
    project_id_of,
    read_document,
    revision_of,
)
from storyboard.api.limits import LIMITS, model_fields
from storyboard.api.progress import JobView, idle, notice_of
from storyboard.api.reference_editor import ReferenceEditor
from storyboard.api.takes import Publish, PublishedFiles, frame_results, outdated_frames
from storyboard.board import Storyboard, new_id
from storyboard.errors import ConsentNeeded, ProjectError
from storyboard.importing.story_file import EXAMPLE_STORY, read_story
from storyboard.jobs.events import TakeSaved
from storyboard.jobs.runner import Runner
from storyboard.settings import Settings
from storyboard.storage.character_file import SUFFIX, load_character, save_character
from storyboard.storage.consents import Consents
from storyboard.storage.projects import Project, Store

Answer = dict[str, Any]

LISTED_PROJECTS = 50
SECONDS_BETWEEN_UPDATES = 0.1


class Actions:
    """Actions on projects, for any number of pages at once.

    An action that takes the page's document stores it first; it raises `UserError` where that
    cannot be done, and the stored storyboard is unchanged.

    Args:
        prepare: cuts the figures out of uploaded pictures.
        find: a network that finds figures; None where there is none.
        publish: puts a copy of a file where browsers can fetch it; see `PublishedFiles`.
    """

    def __init__(
        self,
        runner: Runner,
        store: Store,
        settings: Settings,
        prepare: PrepareReference,
        find: FindFigure | None,
        publish: Publish,
    ) -> None:
        self._runner = runner
        self._store = store
        self._space = settings.space
        self._spec = find_model(settings.model)
        # Where strangers share the application, only its own model may be chosen.
        others = [] if self._space else [spec for spec in MODELS if spec.name != self._spec.name]
        self._models = [self._spec, *others]
        self._files = PublishedFiles(publish)
        self._references = ReferenceEditor(prepare, find, self._files)
        self._matting = BIREFNET if find is not None else None
        self._consents = Consents(settings.consents)
        self._serials = itertools.count(1)
        self._creating = threading.Lock()

    def setup(self) -> Answer:
        """Return what stays the same while the application runs: models, limits and features."""
        return {
            "models": [model_fields(spec) for spec in self._models],
            "listed": not self._space,
            "matting": self._matting and self._matting.title,
            "limits": LIMITS,
        }

    def open(self, project_id: str) -> Answer:
        """Open a project, or a blank storyboard where it is missing or cannot be read."""
        try:
            project = self._store.open(project_id)
        except ProjectError:  # a blank storyboard that was never changed, or a deleted project
            return self.new()
        try:
            return self._opened(project, project.load())
        except ProjectError as error:
            return self.new() | self.notice(error)

    def new(self) -> Answer:
        """Start a blank storyboard; its project is stored with the first change."""
        return self._blank(blank_storyboard(self._spec), new_id())

    def example(self) -> Answer:
        """Create a project that holds the example."""
        settings = blank_storyboard(self._spec).settings
        story = read_story(EXAMPLE_STORY).storyboards[0].model_copy(update={"settings": settings})
        return self._opened(self._store.create(story), story)

    def save(self, document: object) -> Answer:
        """Store the document."""
        return self._saved(document)[2]

    def generate(self, document: object, frames: Sequence[str] | None) -> Answer:
        """Store the document and start a job that renders new takes.

        Where a person has to agree to a download first, the answer asks for that instead.

        Args:
            frames: ids of the frames to render, or None for all.

        Raises:
            UserError: if there is nothing to render.
        """
        project, storyboard, answer = self._saved(document)
        _check_ready(storyboard)
        try:
            job = self._runner.start(project, frames)
        except ConsentNeeded as needed:
            return answer | self._consent_question(needed, {"frames": frames})
        # A page that follows an earlier job gets this job's progress after it.
        is_next = self._runner.active(project.id) in (job, None)
        return answer | self._progress(JobView(job)) if is_next else answer

    def give_consent(
        self, document: object, key: str, frames: Sequence[str] | None, draft_id: str = ""
    ) -> Answer:
        """Remember that a person has agreed to a download, and repeat the action that needed it.

        Args:
            key: the key of `ConsentNeeded`.
            frames: as for `generate`.
            draft_id: the draft, where `find_figure` needed the consent; else empty.

        Raises:
            UserError: if there is no such key, or as for `generate` and `find_figure`.
        """
        adapters = (spec.character_adapter for spec in self._models)
        known = [adapter.consent for adapter in adapters if adapter is not None]
        if not key or key not in (*known, self._matting and self._matting.source):
            raise UserError("There is no download of that name to agree to.", "Reload the page.")
        self._consents.give(key)
        if draft_id:
            return self.find_figure(document, draft_id)
        return self.generate(document, frames)

    def cancel(self, document: object) -> Answer:
        """Cancel the project's running and queued jobs; finished takes are kept."""
        for job in reversed(self._runner.pending(project_id_of(document))):
            job.cancel()
        return {}

    def choose_take(self, document: object, frame_id: str, take_id: str) -> Answer:
        """Choose another take of a frame.

        Raises:
            UserError: if the take does not belong to that frame.
        """
        project, _, answer = self._saved(document)
        if project.take(take_id).frame_id != frame_id:
            raise UserError("That take belongs to another frame.", "Reload the page.")
        storyboard = project.edit(lambda stored: stored.with_take(frame_id, take_id))
        return answer | self._results(project, storyboard)

    def projects(self) -> Answer:
        """Return the projects that can be opened, newest first; none where strangers share them."""
        infos = [] if self._space else self._store.projects()[:LISTED_PROJECTS]
        items = [asdict(info) | {"modified": info.modified.isoformat()} for info in infos]
        return {"projects": {"serial": next(self._serials), "items": items}}

    def archive(self, document: object) -> Answer:
        """Offer the frames and their masks as a ZIP file.

        Raises:
            UserError: if no frame has been rendered yet.
        """
        project, storyboard, answer = self._saved(document)
        name = f"{_file_name(storyboard.title) or 'storyboard'}.zip"
        return answer | self._download(name, project.zip_frames)

    # ---- the character

    def upload_picture(self, document: object, path: Path) -> Answer:
        """Find the character in an uploaded picture; the answer says if it cannot be used.

        Args:
            path: the picture; never a path that a browser named.
        """
        project, _, answer = self._saved(document)
        return answer | {"reference": self._references.begin(project, path)}

    def edit_mask(self, document: object, draft_id: str, strokes: str, revision: int) -> Answer:
        """Edit the mask of an uploaded picture; see `ReferenceEditor.edit_mask`.

        Raises:
            UserError: if the strokes cannot be read, or the picture is damaged.
        """
        project, _, answer = self._saved(document)
        reference = self._references.edit_mask(project, draft_id, strokes, revision)
        return answer | {"reference": reference}

    def find_figure(self, document: object, draft_id: str) -> Answer:
        """Find the figure in an uploaded picture with the network.

        Where a person has to agree to a download first, the answer asks for that instead.

        Raises:
            UserError: if there is no network, or it fails; the mask is unchanged.
        """
        project, _, answer = self._saved(document)
        try:
            return answer | {"reference": self._references.find_figure(project, draft_id)}
        except ConsentNeeded as needed:
            return answer | self._consent_question(needed, {"draft": draft_id})

    def use_picture(self, document: object, draft_id: str, strokes: str) -> Answer:
        """Make an uploaded picture the character's reference picture.

        Args:
            draft_id: the uploaded picture.
            strokes: all strokes, empty where there are none; see `ReferenceEditor.edit_mask`.

        Raises:
            UserError: if no figure was found in it, or it cannot be stored.
        """
        project, _, answer = self._saved(document)
        storyboard = _with_reference(project, self._references.finish(project, draft_id, strokes))
        self._references.discard(project, draft_id)
        return answer | self._reference(project, storyboard)

    def set_reference(self, document: object, name: str) -> Answer:
        """Choose the character's reference picture among the project's, or none.

        Args:
            name: the picture's name; empty for none.

        Raises:
            UserError: if the project has no such picture.
        """
        project, _, answer = self._saved(document)
        if name:
            project.references.path(name)
        return answer | self._reference(project, _with_reference(project, name))

    def reopen_picture(self, document: object) -> Answer:
        """Open the reference picture again, to edit its mask.

        Raises:
            UserError: if there is none, or its files are missing.
        """
        project, _, answer = self._saved(document)
        return answer | {"reference": self._references.reopen(project)}

    def discard_picture(self, document: object, draft_id: str) -> Answer:
        """Delete an uploaded picture that is not in use."""
        project, _, answer = self._saved(document)
        self._references.discard(project, draft_id)
        return answer | {"reference": self._references.state(project)}

    def save_character(self, document: object) -> Answer:
        """Offer the character as a file that other storyboards can load.

        Raises:
            UserError: if there is nothing to save.
        """
        project, storyboard, answer = self._saved(document)
        name = f"{_file_name(storyboard.character.name) or 'character'}{SUFFIX}"
        return answer | self._download(name, lambda path: save_character(project, path))

    def load_character(self, document: object, path: Path) -> Answer:
        """Replace the storyboard's character by a file's; everything else stays.

        Args:
            path: the file; never a path that a browser named.

        Raises:
            UserError: if the file holds no character, or it cannot be stored.
        """
        project, _, _ = self._saved(document)
        try:
            character = load_character(path).adopt(project.references)
        except UserError as error:  # without the server's folder, which means nothing to a person
            problem = error.problem.replace(str(path), path.name)
            raise UserError(problem, error.remedy) from error
        changes = {"character": character}
        return self._opened(project, project.edit(lambda old: old.model_copy(update=changes)))

    # ---- progress

    def follow(self, project_id: str) -> Iterator[Answer]:
        """Yield what happens in a project's jobs, until none is left.

        Raises:
            UserError: if there is no such project.
        """
        project = self._store.open(project_id)
        last = idle(project_id)
        while (job := self._runner.active(project_id)) is not None:
            view = JobView(job)
            updated = {"preview": 0.0, "other": 0.0}
            for event in job.events():
                view.apply(event)
                kind = "preview" if isinstance(event, Preview) else "other"
                if (notice := notice_of(job.storyboard, event)) is not None:
                    yield self._progress(view) | self.notice(notice)
                elif isinstance(event, TakeSaved):
                    yield self._results(project, project.load()) | self._progress(view)
                elif view.over or time.monotonic() - updated[kind] >= SECONDS_BETWEEN_UPDATES:
                    yield self._progress(view)
                    updated[kind] = time.monotonic()
            last = view.shown()
        yield self._results(project, project.load()) | {"progress": last}

    def notice(self, error: UserError) -> Answer:
        """Return the notice that shows an error to a person."""
        serial = next(self._serials)
        return {"notice": {"serial": serial, "problem": error.problem, "remedy": error.remedy}}

    # ---- parts of answers

    def _saved(self, document: object) -> tuple[Project, Storyboard, Answer]:
        """Store a document; return its project, the stored storyboard, and the answer."""
        models = [spec.name for spec in self._models]
        project = self._open_or_create(project_id_of(document))
        restored: set[str] = set()

        def change(stored: Storyboard) -> Storyboard:
            storyboard = read_document(document, stored, models, local_styles=not self._space)
            added = {f.id for f in storyboard.frames} - {f.id for f in stored.frames}
            # A frame that was removed and is back shows its newest take.
            for take in project.takes() if added else ():
                if take.frame_id in added:
                    restored.add(take.frame_id)
                    storyboard = storyboard.with_take(take.frame_id, take.id)
            return storyboard

        storyboard = project.edit(change)
        answer = {"saved": {"project": project.id, "revision": revision_of(document)}}
        if restored:
            return project, storyboard, answer | self._results(project, storyboard)
        return project, storyboard, answer | {"edited": outdated_frames(project, storyboard)}

    def _open_or_create(self, project_id: str) -> Project:
        with self._creating:
            try:
                return self._store.open(project_id)
            except ProjectError:
                return self._store.create(blank_storyboard(self._spec), project_id)

    def _opened(self, project: Project, storyboard: Storyboard) -> Answer:
        job = self._runner.active(project.id)
        return (
            self._blank(storyboard, project.id)
            | self._results(project, storyboard)
            | ({} if job is None else self._progress(JobView(job)))
            | {"reference": self._references.state(project)}
        )

    def _blank(self, storyboard: Storyboard, project_id: str) -> Answer:
        return {
            "value": document_of(storyboard, project_id),
            "results": {"project": project_id, "frames": {}},
            "edited": [],
            "progress": idle(project_id),
            "saved": {"project": project_id, "revision": 0},
            "reference": self._references.empty(project_id),
        }

    def _results(self, project: Project, storyboard: Storyboard) -> Answer:
        frames = frame_results(project, storyboard, self._files)
        return {
            "results": {"project": project.id, "frames": frames},
            "edited": outdated_frames(project, storyboard),
        }

    def _reference(self, project: Project, storyboard: Storyboard) -> Answer:
        return {
            "reference": self._references.state(project),
            "edited": outdated_frames(project, storyboard),
        }

    def _progress(self, view: JobView) -> Answer:
        later = [job for job in self._runner.pending(view.job.project.id) if job is not view.job]
        waiting = [frame_id for job in later for frame_id in job.targets]
        return {"progress": view.shown(waiting)} | view.changed_previews()

    def _download(self, name: str, write: Callable[[Path], Path]) -> Answer:
        with tempfile.TemporaryDirectory() as folder:
            file = self._files.publish(write(Path(folder, name)))
        return {"file": {"serial": next(self._serials), "name": name, "file": file}}

    def _consent_question(self, needed: ConsentNeeded, pending: dict[str, Any]) -> Answer:
        """Return the question for a person; the page sends `pending` back with the consent."""
        return {
            "consent": {
                "serial": next(self._serials),
                "key": needed.key,
                "pending": pending,
                "terms": needed.problem,
                "licence": needed.licence,
                "licence_url": needed.licence_url,
                "download_bytes": needed.download_bytes,
            }
        }


def _check_ready(storyboard: Storyboard) -> None:
    if not storyboard.frames:
        raise UserError("The storyboard has no frames.", "Add a frame and write its action.")
    character = storyboard.character
    described = [character.description, *(f.character for f in storyboard.frames)]
    if not (character.reference or any(words.strip() for words in described)):
        raise UserError(
            "The character has no description and no picture.",
            "Describe the character, for example: a girl with long red hair, wearing a green "
            "hoodie. Or upload a picture of the character.",
        )


def _with_reference(project: Project, name: str) -> Storyboard:
    """Store the character with this reference picture and return the storyboard."""

    def change(stored: Storyboard) -> Storyboard:
        character = stored.character.model_copy(update={"reference": name})
        return stored.model_copy(update={"character": character})

    return project.edit(change)


def _file_name(words: str) -> str:
    return re.sub(r"\W+", "-", words.casefold()).strip("-")[:60]
