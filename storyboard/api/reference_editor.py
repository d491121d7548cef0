"""Editor of the character's reference picture: the one in use, and the draft of the next one.

Each answer is a value of the page's property "reference", as plain data.
"""

from __future__ import annotations

import base64
import binascii
import threading
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from pipelines.errors import UserError
from pipelines.pictures import FindFigure, PrepareReference, png_bytes, read_png
from storyboard.api.routes import picture_address
from storyboard.storage.drafts import Draft, Drafts
from storyboard.storage.project import Project

_PNG_URL = "data:image/png;base64,"
_MAX_STROKES = 8_000_000  # characters


class ReferenceEditor:
    """Editor of the projects' reference pictures, for any number of threads.

    Args:
        find: a network that finds figures; None where there is none.
    """

    def __init__(self, prepare: PrepareReference, find: FindFigure | None) -> None:
        self._prepare = prepare
        self._find = find
        self._guard = threading.Lock()
        # Of the projects that are being worked on, and no others.
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()

    def state(self, project: Project) -> dict[str, Any]:
        """Return a project's reference picture and draft."""
        with self._lock(project):
            return self._state(project)

    def begin(self, project: Project, picture: Path) -> dict[str, Any]:
        """Start a draft from an uploaded picture; the answer says if it cannot be used."""
        with self._lock(project):
            try:
                self._drafts(project).begin(picture)
            except UserError as error:
                return self._state(project, str(error))
            return self._state(project)

    def edit_mask(self, project: Project, draft_id: str, strokes: str) -> dict[str, Any]:
        """Apply brush strokes to the mask of a draft.

        Args:
            draft_id: the draft that they were drawn on.
            strokes: a PNG picture as a data URL.

        Raises:
            UserError: if the strokes cannot be read, or the draft cannot be read or stored.
        """
        with self._lock(project):
            self._drafts(project).mend(draft_id, _png_of(strokes))
            return self._state(project)

    def find_figure(self, project: Project, draft_id: str) -> dict[str, Any]:
        """Find the figure of a draft with the network; the project stays usable meanwhile.

        Raises:
            ConsentNeeded: if a person has to agree to the network's download first.
            UserError: if there is no network, or it fails; the draft is unchanged.
        """
        if self._find is None:
            raise UserError("There is no other way to find the character here.")
        with self._lock(project):
            source = self._drafts(project).source(draft_id)
        mask = None if source is None else self._find(source)
        with self._lock(project):
            if mask is not None:
                self._drafts(project).restart(draft_id, mask)
            return self._state(project)

    def finish(self, project: Project, draft_id: str, strokes: str) -> str:
        """Store a draft among its project's references and return its name.

        Args:
            strokes: the last strokes, as for `edit_mask`; empty where there are no new ones.

        Raises:
            UserError: as for `edit_mask`, or if no figure is found.
        """
        with self._lock(project):
            drafts = self._drafts(project)
            if strokes:
                drafts.mend(draft_id, _png_of(strokes))
            return project.references.add(drafts.finish(draft_id))

    def reopen(self, project: Project) -> dict[str, Any]:
        """Make the picture in use a draft again, to edit its mask.

        Raises:
            UserError: if there is none, or its files are missing.
        """
        with self._lock(project):
            name = project.load().character.reference
            if not name:
                raise UserError("The character has no picture.", "Upload one.")
            self._drafts(project).resume(project.references.load(name))
            return self._state(project)

    def discard(self, project: Project, draft_id: str) -> None:
        """Delete a draft."""
        with self._lock(project):
            self._drafts(project).discard(draft_id)

    def _state(self, project: Project, fault: str = "") -> dict[str, Any]:
        faults = [fault] if fault else []
        used: dict[str, Any] | None = None
        draft: dict[str, Any] | None = None
        try:
            # Loaded here: another request may have changed it while this one ran.
            name = project.load().character.reference
            if name:
                used = {"name": name, "picture": None}
                used["picture"] = picture_address(project, project.references.check(name))
        except UserError as error:
            faults.append(str(error))
        try:
            current = self._drafts(project).current()
            draft = None if current is None else self._draft(project, current)
        except (UserError, OSError, ValueError) as error:
            faults.append(f"The uploaded picture is lost: {error}")
        return {"used": used, "draft": draft, "fault": " ".join(faults)}

    def _draft(self, project: Project, draft: Draft) -> dict[str, Any]:
        return {
            "id": draft.id,
            "view": picture_address(project, draft.view),
            "mask": _png_url(draft.mask, draft.size),
            "strokes": None if draft.strokes is None else _png_url(draft.strokes),
            "mended": _png_url(draft.mended),
            "prepared": draft.prepared and picture_address(project, draft.prepared),
            "doubt": draft.doubt,
            "fault": draft.fault,
        }

    def _drafts(self, project: Project) -> Drafts:
        return Drafts(project.path / "draft", self._prepare)

    def _lock(self, project: Project) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(project.id, threading.Lock())


def _png_of(url: str) -> bytes:
    fault = UserError("The page sent something that is not a mask.", "Reload the page.")
    if not url.startswith(_PNG_URL) or len(url) > _MAX_STROKES:
        raise fault
    try:
        return base64.b64decode(url.removeprefix(_PNG_URL), validate=True)
    except binascii.Error as error:
        raise fault from error


def _png_url(path: Path, size: tuple[int, int] | None = None) -> str:
    """Return a small PNG file as a data URL, resized where a size is given."""
    content = path.read_bytes()
    if size is not None:
        content = png_bytes(read_png(content).resize(size))
    return _PNG_URL + base64.b64encode(content).decode()
