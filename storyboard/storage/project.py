"""A project: a storyboard and its takes as files that a person can read.

    <project>/storyboard.json
    <project>/takes/<take id>/{image.png, mask.png, take.json}, starred
    <project>/takes/.bin/<take id>/    takes that a person has removed
    <project>/unfinished.json    see `storyboard.storage.unfinished`
    <project>/references/    see `storyboard.storage.reference_store`
    <project>/.small/        small copies of pictures, made anew where they are missing

Nothing is ever overwritten in place or deleted: documents are replaced whole
(`storyboard.storage.files`), a take's folder appears complete or not at all, and a damaged or
foreign file is reported and left. This module knows nothing of models, jobs or pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.request import RenderRequest
from storyboard.board import Storyboard, Take
from storyboard.errors import ProjectError
from storyboard.storage.files import invalid, move_folder, unwritable, write_result
from storyboard.storage.locks import ProjectLock
from storyboard.storage.reference_store import ReferenceStore
from storyboard.storage.storyboard_file import STORYBOARD, read_storyboard, storyboard_content
from storyboard.storage.take_files import TakeFiles, picture_fault, write_take
from storyboard.storage.unfinished import UnfinishedFrames

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

BIN = ".bin"

STAR = "starred"  # an empty file in the folder of a favourite take

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,32}")


class Project:
    """Storyboard and its takes on disk; only `Store` (`storyboard.storage.projects`) makes it.

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

    @property
    def unfinished(self) -> UnfinishedFrames:
        """Frames that a render was asked for, and that have no take of it yet."""
        return UnfinishedFrames(self.path, self._lock)

    def tag(self) -> str:
        """Return a name for the stored state: another one after a change, by whatever process."""
        found = []
        for path in (self.path / STORYBOARD, self.path / "takes"):
            with suppress(OSError):  # reading it reports why
                found.append(str(path.stat().st_mtime_ns))
        return "-".join(found)

    def load(self) -> Storyboard:
        """Load the storyboard as it was last saved.

        A frame whose chosen take is gone or damaged, and one that has takes and none chosen, has
        the newest of its takes: a crash can come between a take and the storyboard that names it.

        Raises:
            ProjectError: if its file is missing, damaged or of another kind.
        """
        return self._with_newest(read_storyboard(self.path / STORYBOARD))

    def save(self, storyboard: Storyboard) -> None:
        """Replace the storyboard; use `edit` to change only a part of it.

        Raises:
            ProjectError: if it cannot be written.
        """
        with self._lock.held():
            write_result(self.path / STORYBOARD, storyboard_content(storyboard))

    def locked(self) -> AbstractContextManager[None]:
        """Hold the project's lock, for changes that belong together."""
        return self._lock.held()

    def edit(self, change: Callable[[Storyboard], Storyboard]) -> Storyboard:
        """Change the stored storyboard under its lock; save it if it is another one, and return it.

        Raises:
            ProjectError: as `load` and `save`.
        """
        with self._lock.held():
            stored = read_storyboard(self.path / STORYBOARD)
            storyboard = change(self._with_newest(stored))
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
        folder = self._take_folder(take.id)
        if folder.exists():
            raise ProjectError(
                f"Take {take.id} of project {self.id} exists already.",
                "Takes are never overwritten; render the frame again.",
            )
        try:
            write_take(folder, self._after_others(take), image, mask, request)
        except OSError as error:
            raise unwritable(folder, error) from error

        def choose(storyboard: Storyboard) -> Storyboard:
            kept = any(frame.id == take.frame_id and frame.kept for frame in storyboard.frames)
            return storyboard if kept else storyboard.with_take(take.frame_id, take.id)

        self.edit(choose)
        with suppress(ProjectError):  # a full disk: the take is stored, and may be offered again
            self.unfinished.finish(take.frame_id)

    def takes(self) -> list[Take]:
        """Return the readable takes of all frames, oldest first."""
        found = []
        for take_id in self.take_ids():
            with suppress(ProjectError):  # `storyboard.storage.damage` reports it
                found.append(self.take(take_id))
        return sorted(found, key=lambda take: take.created)

    def take_ids(self) -> list[str]:
        """Return the identifiers of all takes, be they readable or not."""
        try:
            paths = sorted((self.path / "takes").iterdir())
        except OSError:  # there are none, or none can be read
            return []
        return [path.name for path in paths if is_identifier(path.name)]

    def take(self, take_id: str) -> Take:
        """Return the take of this identifier, which may come from a browser.

        Raises:
            ProjectError: if there is none or it is damaged.
        """
        path = self._take_folder(take_id) / "take.json"
        take = self._takes.take(path)
        if take.id != take_id:
            raise invalid(path, f"it is of take {take.id}")
        return take

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
            move_folder(source, target)
        except OSError as error:
            raise unwritable(target, error) from error

    def image_path(self, take_id: str) -> Path:
        """Return the path of a take's picture, PNG.

        Raises:
            ProjectError: if it is missing or damaged.
        """
        return self._picture(take_id, "image.png")

    def mask_path(self, take_id: str) -> Path:
        """Return the path of a take's foreground mask, PNG.

        It is 8-bit grey and of the picture's size; white is the character.

        Raises:
            ProjectError: if it is missing or damaged.
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
                move_folder(self.path, folder)
            except OSError as error:
                raise ProjectError(
                    f"{self.path} cannot be moved to {folder} ({error.strerror or error}).",
                    "Check the permissions of both folders, and that nothing has that name.",
                ) from error

    def _with_newest(self, storyboard: Storyboard) -> Storyboard:
        if all(frame.take and self._is_whole(frame.take) for frame in storyboard.frames):
            return storyboard
        takes = self.takes()
        known = {take.id for take in takes}
        newest = {take.frame_id: take.id for take in takes}
        for frame in storyboard.frames:
            if frame.take not in known and frame.id in newest:
                storyboard = storyboard.with_take(frame.id, newest[frame.id])
        return storyboard

    def _is_whole(self, take_id: str) -> bool:
        with suppress(ProjectError):  # it is asked for next, and in the same file
            self.request(take_id)
        try:
            return bool(self.take(take_id))
        except ProjectError:
            return False

    def _after_others(self, take: Take) -> Take:
        """Return a take that is newer than all others, also where the clock was set back."""
        last = max((other.created for other in self.takes()), default=None)
        if last is None or last < take.created:
            return take
        return take.model_copy(update={"created": last + timedelta(microseconds=1)})

    def _take_folder(self, take_id: str) -> Path:
        return self.path / "takes" / checked_id(take_id, "take")

    def _picture(self, take_id: str, name: str) -> Path:
        path = self._take_folder(take_id) / name
        fault = picture_fault(path)
        if fault:
            raise ProjectError(
                f"{path} {fault}.", "Put it back from a copy, choose another take, or redo it."
            )
        return path


def checked_id(identifier: str, what: str) -> str:
    """Return an identifier that may come from a browser.

    Raises:
        ProjectError: if it cannot be the name of a folder of `what`.
    """
    if not is_identifier(identifier):
        raise ProjectError(f"{identifier!r} is not the name of a {what}.")
    return identifier


def is_identifier(name: str) -> bool:
    """Return whether a folder's name can be the identifier of a project or a take."""
    return _IDENTIFIER.fullmatch(name) is not None
