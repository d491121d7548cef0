"""Projects: storyboards and their takes as files that a person can read.

    <root>/<project id>/storyboard.json
    <root>/<project id>/takes/<take id>/{image.png, mask.png, take.json}, starred
    <root>/<project id>/takes/.bin/<take id>/    takes that a person has removed
    <root>/<project id>/references/    see `storyboard.storage.reference_store`
    <root>/<project id>/.small/        small copies of pictures, made anew where they are missing
    <root>/.bin/<project id>/          see `storyboard.storage.shelf`

Nothing is ever overwritten in place or deleted: documents are replaced whole
(`storyboard.storage.files`), a take's folder and a new project appear complete or not at all, and a
damaged or foreign file is reported and left. This module knows nothing of models, jobs or pages.
"""

from __future__ import annotations

import json
import re
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipelines.pictures import mask_picture, png_bytes
from pipelines.request import RenderRequest
from storyboard.board import Storyboard, Take, new_id
from storyboard.errors import DeletedError, ProjectError
from storyboard.storage.files import (
    DocumentKind,
    Migration,
    unwritable,
    write_atomically,
    write_result,
)
from storyboard.storage.locks import ProjectLock
from storyboard.storage.reference_store import ReferenceStore
from storyboard.storage.summaries import ProjectInfo, Summaries
from storyboard.storage.take_files import TAKE_FILE, TakeFiles, invalid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image


def _unchanged(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body as it is: the defaults of the new fields are what it meant."""
    return body


def _name_identity_frame(body: dict[str, Any]) -> dict[str, Any]:
    """Name the first frame as the identity frame where it has a take and no words.

    Until then the first frame was it in any case; now one without words is passed over.
    """
    match body.get("storyboard"):
        case {"frames": [{"id": first, "take": str()} as frame, *_], "settings": dict(settings)}:
            if not any(frame.get(key) for key in ("action", "location", "character")):
                settings["identity"] = first
    return body


STORYBOARD_FILE = DocumentKind(
    "throughline storyboard",
    (
        Migration("characters may have a reference picture, storyboards styles", _unchanged),
        Migration("storyboards may take a shortcut", _unchanged),
        Migration("frames may be locked, and any may be the identity frame", _name_identity_frame),
    ),
)
REQUEST_KEY = "throughline-request"
BIN = ".bin"

STAR = "starred"  # an empty file in the folder of a favourite take

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,32}")


class Store:
    """All projects below one folder, made with the first; safe to use from any thread."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._guard = threading.Lock()
        self._locks: dict[str, ProjectLock] = {}
        self._takes = TakeFiles()
        self._summaries = Summaries(lambda folder: self._in(folder).load())

    def create(self, storyboard: Storyboard, project_id: str | None = None) -> Project:
        """Make a new project with this storyboard.

        Args:
            project_id: its identifier, which may come from a browser; None for a new one.

        Raises:
            DeletedError: if there was one of this name, and it is in the bin.
            ProjectError: if it exists already or cannot be written.
        """
        project_id = _checked(new_id() if project_id is None else project_id, "project")
        self._check_kept(project_id)
        folder = self.root / project_id
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise unwritable(folder, error) from error
        project = self._project(project_id)
        project.save(storyboard)
        return project

    def build(self, fill: Callable[[Path], None]) -> Project:
        """Make a new project whose files something else writes; it appears whole or not at all.

        Args:
            fill: writes all files of a project into an empty folder.

        Raises:
            ProjectError: if they cannot be written.
        """
        project_id = new_id()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new-", dir=self.root) as temporary:
                unfinished = Path(temporary, project_id)
                unfinished.mkdir()
                fill(unfinished)
                unfinished.rename(self.root / project_id)
        except OSError as error:
            raise unwritable(self.root / project_id, error) from error
        return self._project(project_id)

    def open(self, project_id: str) -> Project:
        """Return the project of this identifier, which may come from a browser.

        Raises:
            DeletedError: if it is in the bin.
            ProjectError: if there is none.
        """
        if not self.has(project_id):
            self._check_kept(project_id)
            raise ProjectError(
                f"There is no project {project_id!r} in {self.root}.",
                "Open another one, or start a new storyboard.",
            )
        return self._project(project_id)

    def has(self, project_id: str) -> bool:
        """Return whether there is a project of this identifier, which may come from a browser.

        Raises:
            ProjectError: if it cannot be the name of one.
        """
        return (self.root / _checked(project_id, "project") / "storyboard.json").is_file()

    def deleted(self, project_id: str) -> Project:
        """Return a project in the bin, whose identifier may come from a browser.

        Raises:
            ProjectError: if there is none.
        """
        folder = self.root / BIN / _checked(project_id, "project")
        if not (folder / "storyboard.json").is_file():
            raise ProjectError(
                f"There is no project {project_id!r} in the bin.", "Reload the page."
            )
        return self._in(folder)

    def projects(self) -> list[ProjectInfo]:
        """Return all readable projects, the last saved first."""
        return self.infos(self.root)

    def infos(self, folder: Path) -> list[ProjectInfo]:
        """Return the readable projects in a folder, the last saved first."""
        folders = (path.parent for path in folder.glob("*/storyboard.json"))
        found = (self._summaries.of(f) for f in folders if _IDENTIFIER.fullmatch(f.name))
        infos = [info for info in found if info is not None]
        return sorted(infos, key=lambda info: info.modified, reverse=True)

    def _check_kept(self, project_id: str) -> None:
        if (self.root / BIN / project_id).is_dir():
            raise DeletedError(project_id)

    def _project(self, project_id: str) -> Project:
        return self._in(self.root / project_id)

    def _in(self, folder: Path) -> Project:
        with self._guard:
            lock = self._locks.setdefault(folder.name, ProjectLock(self.root, folder.name))
        return Project(folder, lock, self._takes)


class Project:
    """Storyboard and its takes on disk; only `Store` makes it.

    Args:
        path: its folder.
        lock: held while its storyboard changes; shared by all objects of this project.
        takes: reads the files of its takes.
    """

    def __init__(self, path: Path, lock: ProjectLock, takes: TakeFiles) -> None:
        self.path = path
        self._lock = lock
        self._takes = takes

    @property
    def id(self) -> str:
        """Identifier of the project: its folder's name."""
        return self.path.name

    @property
    def references(self) -> ReferenceStore:
        """Reference pictures of its storyboard and of older takes."""
        return ReferenceStore(self.path / "references")

    def tag(self) -> str:
        """Return a name for the stored state: another one after a change, by whatever process."""
        found = []
        for path in (self.path / "storyboard.json", self.path / "takes"):
            with suppress(FileNotFoundError):
                found.append(str(path.stat().st_mtime_ns))
        return "-".join(found)

    def load(self) -> Storyboard:
        """Load the storyboard as it was last saved.

        Raises:
            ProjectError: if its file is missing, damaged or of another kind.
        """
        path = self.path / "storyboard.json"
        body = STORYBOARD_FILE.read(path)
        try:
            return Storyboard.model_validate(body.get("storyboard"))
        except ValidationError as error:
            raise invalid(path, error) from error

    def save(self, storyboard: Storyboard) -> None:
        """Replace the storyboard; use `edit` to change only a part of it.

        Raises:
            ProjectError: if it cannot be written.
        """
        content = STORYBOARD_FILE.dump({"storyboard": storyboard.model_dump(mode="json")})
        with self._lock.held():
            write_result(self.path / "storyboard.json", content)

    def edit(self, change: Callable[[Storyboard], Storyboard]) -> Storyboard:
        """Change the stored storyboard under its lock; save it if it is another one, and return it.

        Raises:
            ProjectError: as `load` and `save`.
        """
        with self._lock.held():
            stored = self.load()
            storyboard = change(stored)
            if storyboard != stored:
                self.save(storyboard)
        return storyboard

    def add_take(
        self, take: Take, image: Image.Image, mask: NDArray[np.bool_], request: RenderRequest
    ) -> None:
        """Store a take and choose it for its frame; leave all else in the storyboard as it is.

        A take whose frame has been removed meanwhile is stored all the same. Where the frame was
        locked meanwhile, the take that it kept stays the chosen one.

        Args:
            image: the picture, RGB.
            mask: its foreground mask, bool, shape (rows, columns) in tokens.
            request: the request that made it, for take.json and the picture's metadata.

        Raises:
            ProjectError: if a take of this id exists or it cannot be written.
        """
        recipe = request.to_dict()
        body: dict[str, Any] = {"take": take.model_dump(mode="json"), "request": recipe}
        files = {
            "image.png": png_bytes(image, **{REQUEST_KEY: json.dumps(recipe, ensure_ascii=False)}),
            "mask.png": png_bytes(mask_picture(mask, image.size)),
            "take.json": TAKE_FILE.dump(body),
        }
        folder = self._take_folder(take.id)
        try:
            folder.parent.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as temporary:
                unfinished = Path(temporary, take.id)
                unfinished.mkdir()
                for name, content in files.items():
                    write_atomically(unfinished / name, content)
                unfinished.rename(folder)
        except OSError as error:
            if folder.exists():
                raise ProjectError(
                    f"Take {take.id} of project {self.id} exists already.",
                    "Takes are never overwritten; render the frame again.",
                ) from error
            raise unwritable(folder, error) from error

        def choose(storyboard: Storyboard) -> Storyboard:
            kept = any(frame.id == take.frame_id and frame.kept for frame in storyboard.frames)
            return storyboard if kept else storyboard.with_take(take.frame_id, take.id)

        self.edit(choose)

    def takes(self) -> list[Take]:
        """Return the takes of all frames, oldest first.

        Raises:
            ProjectError: if one of the project's takes is damaged.
        """
        paths = sorted((self.path / "takes").glob("[!.]*/take.json"))
        return sorted((self.take(path.parent.name) for path in paths), key=lambda t: t.created)

    def take(self, take_id: str) -> Take:
        """Return the take of this identifier, which may come from a browser.

        Raises:
            ProjectError: if there is none or it is damaged.
        """
        return self._takes.take(self._take_folder(take_id) / "take.json")

    def request(self, take_id: str) -> RenderRequest:
        """Return the request that made a take.

        Raises:
            ProjectError: if there is no such take or it is damaged.
        """
        return self._takes.request(self._take_folder(take_id) / "take.json")

    def star(self, take_id: str, starred: bool) -> None:
        """Mark a take as a favourite, or as none.

        Raises:
            ProjectError: if there is no such take, or the mark cannot be stored.
        """
        mark = self._take_folder(self.take(take_id).id) / STAR
        try:
            if starred:
                mark.touch()
            else:
                mark.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(mark, error) from error

    def is_starred(self, take_id: str) -> bool:
        """Return whether a take is marked as a favourite."""
        return (self._take_folder(take_id) / STAR).exists()

    def remove_take(self, take_id: str) -> Storyboard:
        """Move a take to the project's bin; its frame shows its newest other take, or none.

        Returns:
            The storyboard as it is stored then.

        Raises:
            ProjectError: if there is no such take, or it cannot be moved.
        """
        take = self.take(take_id)
        folder = self._take_folder(take_id)
        self._move(folder, folder.parent / BIN / take_id)
        left = [other.id for other in self.takes() if other.frame_id == take.frame_id]

        def change(storyboard: Storyboard) -> Storyboard:
            chosen = any(frame.take == take_id for frame in storyboard.frames)
            newest = left[-1] if left else None
            return storyboard.with_take(take.frame_id, newest) if chosen else storyboard

        return self.edit(change)

    def bring_back_take(self, take_id: str) -> Storyboard:
        """Take a take out of the project's bin, and choose it for its frame.

        Returns:
            The storyboard as it is stored then.

        Raises:
            ProjectError: if it is not in the bin, or cannot be moved.
        """
        folder = self._take_folder(take_id)
        self._move(folder.parent / BIN / take_id, folder)
        take = self.take(take_id)
        return self.edit(lambda storyboard: storyboard.with_take(take.frame_id, take_id))

    def _move(self, source: Path, target: Path) -> None:
        if not source.is_dir():
            raise ProjectError("That take is not there any more.", "Reload the page.")
        try:
            target.parent.mkdir(exist_ok=True)
            source.rename(target)
        except OSError as error:
            raise unwritable(target, error) from error

    def image_path(self, take_id: str) -> Path:
        """Return the path of a take's picture, PNG.

        Raises:
            ProjectError: if there is none.
        """
        return self._picture(take_id, "image.png")

    def mask_path(self, take_id: str) -> Path:
        """Return the path of a take's foreground mask, PNG.

        It is 8-bit grey and of the picture's size; white is the character.

        Raises:
            ProjectError: if there is none.
        """
        return self._picture(take_id, "mask.png")

    def move(self, folder: Path) -> None:
        """Move the project to another folder, between two changes of its storyboard.

        Raises:
            ProjectError: if there is something already, or it cannot be moved.
        """
        with self._lock.held():
            try:
                folder.parent.mkdir(parents=True, exist_ok=True)
                self.path.rename(folder)
            except OSError as error:
                raise ProjectError(
                    f"{self.path} cannot be moved to {folder} ({error.strerror or error}).",
                    "Check the permissions of both folders, and that nothing has that name.",
                ) from error

    def _take_folder(self, take_id: str) -> Path:
        return self.path / "takes" / _checked(take_id, "take")

    def _picture(self, take_id: str, name: str) -> Path:
        path = self._take_folder(take_id) / name
        if not path.is_file():
            raise ProjectError(f"{path} is missing.", "Put it back from a copy, or redo the frame.")
        return path


def _checked(identifier: str, what: str) -> str:
    if not _IDENTIFIER.fullmatch(identifier):
        raise ProjectError(f"{identifier!r} is not the name of a {what}.")
    return identifier
