"""What a page shows of the character's picture: the one in use, and the one on its way there.

Answers are values of the editor's property "reference". It knows nothing of Gradio, save the shape
in which a page is told of a file.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.pictures import FindFigure, PrepareReference, png_bytes, read_png
from storyboard.api.takes import Gallery
from storyboard.storage.drafts import Draft, Drafts
from storyboard.storage.projects import Project

_DATA = "data:image/png;base64,"
_LONGEST_STROKES = 8_000_000  # characters


class ReferenceEditor:
    """Makes reference pictures of what people upload, for any number of threads.

    Args:
        prepare: cuts figures out of pictures.
        find: a slower way to look for figures; None where there is none.
        gallery: puts files where browsers can fetch them.
    """

    def __init__(
        self, prepare: PrepareReference, find: FindFigure | None, gallery: Gallery
    ) -> None:
        self._prepare = prepare
        self._find = find
        self._gallery = gallery
        self._guard = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        # Pages drop what is older than what they know, also after the application was restarted.
        self._serials = itertools.count(round(time.time() * 1000))

    def shown(self, project: Project, **more: Any) -> dict[str, Any]:
        """How a project's picture stands.

        Args:
            project: the project.
            **more: what else the page is told: a "fault", or that the brush is to "open".
        """
        with self._lock(project):
            return self._told(project, more)

    def none(self, project_id: str) -> dict[str, Any]:
        """The answer for a project without any picture."""
        return {"project": project_id, "serial": next(self._serials), "used": None, "draft": None}

    def begin(self, project: Project, picture: Path) -> dict[str, Any]:
        """Look for the figure in a picture; what cannot be used is told in the answer."""
        more: dict[str, Any] = {}
        with self._lock(project):
            try:
                self._drafts(project).begin(picture)
            except UserError as error:
                more["fault"] = str(error)
            return self._told(project, more)

    def mend(self, project: Project, draft_id: str, strokes: str, revision: int) -> dict[str, Any]:
        """Apply the strokes of a brush to a draft.

        Args:
            project: the project.
            draft_id: what they were painted on.
            strokes: a PNG picture as a data address.
            revision: the page's own count of strokes, which it is told again.

        Raises:
            UserError: if these are no strokes, or the draft cannot be read or stored.
        """
        with self._lock(project):
            self._drafts(project).mend(draft_id, _png_of(strokes))
            return self._told(project, {"revision": revision})

    def search(self, project: Project, draft_id: str) -> dict[str, Any]:
        """Look for the figure of a draft in the slower way, which the page does not wait for.

        Raises:
            ConsentNeeded: if a person has to agree to that first.
            UserError: if it cannot be done here; the draft stays as it is.
        """
        if self._find is None:
            raise UserError("There is no other way to look for the character here.")
        with self._lock(project):
            source = self._drafts(project).source(draft_id)
        mask = None if source is None else self._find(source)
        with self._lock(project):
            if mask is not None:
                self._drafts(project).restart(draft_id, mask)
            return self._told(project, {})

    def finish(self, project: Project, draft_id: str, strokes: str | None) -> str:
        """Make a draft a reference of its project and return its name.

        Args:
            project: the project.
            draft_id: the draft.
            strokes: the last strokes, as for `mend`; None where all are known.

        Raises:
            UserError: as for `mend`, or if no figure is found.
        """
        with self._lock(project):
            drafts = self._drafts(project)
            if strokes is not None:
                drafts.mend(draft_id, _png_of(strokes))
            return project.references.add(drafts.finish(draft_id))

    def retouch(self, project: Project) -> dict[str, Any]:
        """Take up the picture in use, so that its mask can be mended further.

        Raises:
            UserError: if there is none, or its files are missing.
        """
        with self._lock(project):
            name = project.load().character.reference
            if not name:
                raise UserError("The character has no picture.", "Upload one.")
            self._drafts(project).resume(project.references.load(name))
            return self._told(project, {"open": True})

    def discard(self, project: Project, draft_id: str) -> None:
        """Forget a draft."""
        with self._lock(project):
            self._drafts(project).discard(draft_id)

    def _told(self, project: Project, more: dict[str, Any]) -> dict[str, Any]:
        faults = []
        used: dict[str, Any] | None = None
        draft: dict[str, Any] | None = None
        try:
            # Loaded here: what a slow answer knew at its beginning may have been overtaken.
            name = project.load().character.reference
            if name:
                used = {"name": name, "picture": None}
                used["picture"] = self._gallery.picture(project.references.path(name))
        except UserError as error:
            faults.append(str(error))
        try:
            current = self._drafts(project).current()
            draft = None if current is None else self._draft(current)
        except (UserError, OSError) as error:
            faults.append(f"The uploaded picture is lost: {error}")
        told = self.none(project.id) | {"used": used, "draft": draft}
        return told | ({"fault": " ".join(faults)} if faults else {}) | more

    def _draft(self, draft: Draft) -> dict[str, Any]:
        return {
            "id": draft.id,
            "view": self._gallery.picture(draft.view),
            "width": draft.size[0],
            "height": draft.size[1],
            "mask": _address(draft.mask, draft.size),
            "strokes": None if draft.strokes is None else _address(draft.strokes),
            "mended": _address(draft.mended),
            "prepared": draft.prepared and self._gallery.picture(draft.prepared),
            "doubt": draft.doubt,
            "fault": draft.fault,
        }

    def _drafts(self, project: Project) -> Drafts:
        return Drafts(project.path / "draft", self._prepare)

    def _lock(self, project: Project) -> threading.Lock:
        with self._guard:
            return self._locks[project.id]


def _png_of(address: str) -> bytes:
    if not address.startswith(_DATA) or len(address) > _LONGEST_STROKES:
        raise UserError("The page sent something that is not a mask.", "Reload the page.")
    try:
        return base64.b64decode(address.removeprefix(_DATA), validate=True)
    except binascii.Error as error:
        raise UserError(
            "The page sent something that is not a mask.", "Reload the page."
        ) from error


def _address(path: Path, size: tuple[int, int] | None = None) -> str:
    """A small picture of ours as a data address, in another size where one is given."""
    content = path.read_bytes()
    if size is not None:
        content = png_bytes(read_png(content).resize(size))
    return _DATA + base64.b64encode(content).decode()
