"""Actions that a front end can ask for; each returns plain data that the page shows next.

`Actions` joins the project store and the runner. It knows no front end; `storyboard.api.calls`
checks what a front end sends, and turns errors into answers.
"""

from __future__ import annotations

import threading
from typing import Any, Literal

from pipelines.errors import UserError
from pipelines.models.catalog import BIREFNET, MODELS, find_model
from pipelines.pictures import FindFigure, PrepareReference
from storyboard.api.board_answers import BoardAnswers
from storyboard.api.character import CharacterActions
from storyboard.api.document import blank_storyboard, document_of, read_document, revision_of
from storyboard.api.limits import LIMITS, model_fields
from storyboard.api.progress import JobViews, idle
from storyboard.api.reference_editor import ReferenceEditor
from storyboard.api.sharing import Sharing
from storyboard.api.shelf import ShelfActions
from storyboard.api.takes import freshness_fields, take_words, target_fields
from storyboard.api.usable import UsableModels
from storyboard.board import Storyboard, new_id
from storyboard.errors import DeletedError, ProjectError
from storyboard.importing.story_file import EXAMPLE_STORY, read_story
from storyboard.jobs.runner import Runner
from storyboard.settings import Settings
from storyboard.storage.consents import Consents
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from storyboard.storage.shelf import Shelf

Answer = dict[str, Any]


class Actions:
    """Actions on projects, for any number of pages at once; from any thread.

    Every action raises `UserError` where it cannot be done; the stored storyboard is unchanged
    then.

    Args:
        prepare: cuts the figures out of uploaded pictures.
        find: a network that finds figures; None where there is none.
    """

    def __init__(
        self,
        runner: Runner,
        store: Store,
        settings: Settings,
        prepare: PrepareReference,
        find: FindFigure | None,
    ) -> None:
        self._runner = runner
        self._store = store
        self._space = settings.space
        self._spec = find_model(settings.model)
        # Where strangers share the application, only its own model may be chosen, and what the
        # operator lists; and where others reach it, they can agree to nothing for the operator.
        self._sharing = Sharing(runner, self._spec, settings.loras) if self._space else None
        self._styles = settings.loras if self._space else None
        self.asks_consent = settings.local and not settings.space
        others = [] if self._space else [spec for spec in MODELS if spec.name != self._spec.name]
        self._models = [self._spec, *others]
        self._offered = [model_fields(spec) for spec in self._models]
        self._usable = UsableModels(self._models, runner.usability)
        references = ReferenceEditor(prepare, find)
        self._boards = BoardAnswers(store, self._spec, references)
        self.character = CharacterActions(self._boards, references)
        self._matting = BIREFNET if find is not None else None
        self._consents = Consents(settings.consents)
        self._marks = Shelf(store)
        self.shelf = ShelfActions(runner, store, self._models, not self._space, self._styles)
        self._views = JobViews(runner)
        self._server = new_id()
        self.projects = store.root
        self._making_example = threading.Lock()
        self._starting = threading.Lock()

    def setup(self) -> Answer:
        """Return what stays the same while the application runs: models, limits and features."""
        return {
            "models": self._offered,
            "listed": not self._space,
            "matting": self._matting and self._matting.title,
            "limits": LIMITS,
            "server": self._server,
        }

    def models(self) -> Answer:
        """Return whether each model can render where jobs run; slow the first time."""
        return {"usable": self._usable.answers()}

    # ---- boards

    def open(self, project: str) -> Answer:
        """Return a stored board, with everything that the page shows of it.

        Raises:
            ProjectError: if there is none, or it cannot be read.
        """
        return self._opened(self._boards.open(project))

    def new(self) -> Answer:
        """Return a blank board; its project is stored with the first change."""
        board = document_of(blank_storyboard(self._spec), new_id())
        return {"board": board, "revision": "", "tag": ""}

    def example(self, known: str = "") -> Answer:
        """Open the board that holds the example, as a person has left it; make it the first time.

        Args:
            known: the example's board that the browser remembers. Where strangers share the
                application, it alone is opened again.
        """
        with self._making_example:
            found = self._marks.example() if not self._space else None
            if known and self._marks.is_example(known):
                found = self._store.open(known)
            if found is None:
                settings = blank_storyboard(self._spec).settings
                (story,) = read_story(EXAMPLE_STORY).storyboards
                found = self._store.create(story.model_copy(update={"settings": settings}))
                self._marks.mark_example(found)
        return self._opened(found)

    def save(self, project: str, board: dict[str, Any], base: str) -> Answer:
        """Store the document that a page edited.

        Args:
            base: revision of the document that it was made from. Where another one is stored by
                now, nothing changes, and the answer is "stale", with the stored document: the page
                merges both and saves again.

        Returns:
            The new "revision", and what the change means for the takes.
        """
        models = [spec.name for spec in self._models]
        if not self._store.has(project):  # a page may still show a board whose files are gone
            base = ""
        opened = self._boards.open_or_create(project)
        restored: set[str] = set()
        stale: list[Storyboard] = []

        def change(stored: Storyboard) -> Storyboard:
            edited = read_document(board, stored, models, self._styles)
            if base != revision_of(stored) != revision_of(edited) and (base or _is_used(stored)):
                stale.append(stored)
                return stored
            added = {f.id for f in edited.frames} - {f.id for f in stored.frames}
            # A frame that was removed and is back shows its newest take.
            for take in opened.takes() if added else ():
                if take.frame_id in added:
                    restored.add(take.frame_id)
                    edited = edited.with_take(take.frame_id, take.id)
            return edited

        storyboard = opened.edit(change)
        answer: Answer = {"revision": revision_of(storyboard)}
        if stale:
            return answer | {"stale": True, "board": document_of(storyboard, opened.id)}
        if restored:
            return answer | self._boards.results(opened, storyboard)
        return answer | freshness_fields(opened, storyboard)

    def news(self, project: str, seen: str = "", previews: int = 0) -> Answer:
        """Return what has happened to a board; a page asks a few times a second.

        Args:
            seen: the "tag" of the stored state that the page shows. Where it is still the same, the
                answer holds no board and no takes.
            previews: the number of previews that the page has heard of.

        Raises:
            DeletedError: if the board was deleted, by whoever has it open too.
        """
        answer: Answer = {"server": self._server, "outcomes": [], "tag": ""}
        try:
            opened = self._store.open(project)
        except DeletedError:
            raise
        except ProjectError as error:
            if seen:
                raise DeletedError(project, restorable=False) from error
            # A blank board that was never changed.
            return answer | {"progress": idle()}
        answer |= self._views.news(opened.id, previews) | {"left": self._left(opened)}
        tag = opened.tag()
        if tag != seen:
            answer |= self._boards.board(opened, opened.load())
        return answer | {"tag": tag}

    # ---- takes

    def plan(self, project: str, which: Literal["new", "all"] | list[str]) -> Answer:
        """Return what `generate` would render; a page asks after every change.

        Args:
            which: "new" for frames that were never generated or are out of date, "all", or the ids
                of the frames.

        Returns:
            "targets": the frames to give to `generate`, in the order of their render; "extra":
            source frames that it renders besides, with "why"; "empty" and "locked": frames that
            are left out; "unchanged": targets whose pictures would come out as they are.

        Raises:
            UserError: if a frame is gone, or needs a locked frame that would have to be rendered
                again.
        """
        try:
            opened = self._store.open(project)
        except ProjectError:  # a blank board that was never changed
            return {"targets": [], "extra": [], "empty": [], "locked": [], "unchanged": []}
        return target_fields(opened, opened.load(), which)

    def generate(self, project: str, frames: list[str] | None = None, visitor: str = "") -> Answer:
        """Start a job that renders new takes.

        Args:
            frames: the "targets" of `plan`; None for those of all frames. The "extra" ones need not
                be named, and keep their seeds where they are not.
            visitor: who asks; never what a browser says of itself.

        Raises:
            UserError: if there is nothing to render, a frame is locked, or it is too much where
                strangers share the application; a `ConsentNeeded` where
                a person has to agree to a download first.
        """
        board = self._boards.load(project)
        _check_ready(board)
        opened = self._boards.open(project)
        if frames is None:
            frames = target_fields(opened, board, "all")["targets"]
        if not frames:
            raise UserError(
                "No frame is there to generate: each one is empty or locked.",
                "Write what happens in a frame, or unlock one.",
            )
        with self._starting:
            if self._sharing is not None:
                self._sharing.check(project, board, len(frames), visitor)
            before = opened.unfinished.now()
            opened.unfinished.begin(self._store.presence.run, frames)
            try:
                job = self._runner.start(opened, frames, visitor=visitor)
            except UserError:
                opened.unfinished.finish()
                opened.unfinished.begin(before.run, before.frames)
                raise
        return {"job": job.id} | self._views.news(opened.id)

    def cancel(self, project: str) -> Answer:
        """Cancel the project's running and queued jobs; finished takes are kept."""
        for job in reversed(self._runner.pending(project)):
            job.cancel()
        return self.forget_left(project)

    def read_outcome(self, project: str, job: str) -> Answer:
        """Remember that a person has read how a job ended."""
        self._runner.read(project, job)
        return {} if self._runner.pending(project) else self.forget_left(project)

    def forget_left(self, project: str) -> Answer:
        """Forget the frames that were "left" when a run ended: nobody wants them now."""
        if self._store.has(project):
            self._store.open(project).unfinished.finish()
        return {}

    def choose_take(self, project: str, frame: str, take: str) -> Answer:
        """Choose another take of a frame.

        Raises:
            UserError: if the take does not belong to that frame.
        """
        opened = self._boards.open(project)

        def choose(stored: Storyboard) -> Storyboard:
            # Here, where nobody else changes the board: another page may remove the take meanwhile.
            if opened.take(take).frame_id != frame:
                raise UserError("That take belongs to another frame.", "Reload the page.")
            return stored.with_take(frame, take)

        return self._boards.results(opened, opened.edit(choose))

    def take_words(self, project: str, take: str) -> Answer:
        """Return the action and the location that a take was rendered from, as "words"."""
        return {"words": take_words(self._boards.open(project), take)}

    def star_take(self, project: str, take: str, starred: bool) -> Answer:
        """Mark a take as a favourite, or as none."""
        opened = self._boards.open(project)
        opened.star(take, starred)
        return self._boards.results(opened, opened.load())

    def remove_take(self, project: str, take: str) -> Answer:
        """Move a take to the board's bin."""
        opened = self._boards.open(project)
        return self._boards.results(opened, opened.remove_take(take))

    def bring_back_take(self, project: str, take: str) -> Answer:
        """Bring a removed take back, and choose it for its frame."""
        opened = self._boards.open(project)
        return self._boards.results(opened, opened.bring_back_take(take))

    def give_consent(self, key: str) -> Answer:
        """Remember that a person has agreed to a download.

        Args:
            key: the key of `ConsentNeeded`.

        Raises:
            UserError: if there is no such key, or others than the operator can ask.
        """
        if not self.asks_consent:
            raise UserError(
                "Only whoever runs this application can agree to that.",
                f"THROUGHLINE_CONSENTS={key} at its start says so.",
            )
        adapters = (spec.character_adapter for spec in self._models)
        known = [adapter.consent for adapter in adapters if adapter is not None]
        if not key or key not in (*known, self._matting and self._matting.consent):
            raise UserError("There is no download of that name to agree to.", "Reload the page.")
        self._consents.give(key)
        return {}

    # ---- parts of answers

    def _opened(self, project: Project) -> Answer:
        tag = project.tag()
        board = self._boards.board(project, project.load())
        left = {"left": self._left(project)}
        return board | self._views.news(project.id) | left | {"tag": tag}

    def _left(self, project: Project) -> list[str]:
        """Return the frames that were being rendered when the run that did it ended."""
        unfinished = project.unfinished.now()
        if not unfinished.frames or self._store.presence.is_running(unfinished.run):
            return []
        return [frame.id for frame in project.load().frames if frame.id in unfinished.frames]


def _is_used(board: Storyboard) -> bool:
    """Return whether a storyboard is more than the blank one that its project began as."""
    words = [board.title != Storyboard().title, board.character.description, board.character.name]
    frames = [f.action or f.location or f.take for f in board.frames]
    return any(words) or any(frames)


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
