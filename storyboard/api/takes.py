"""What a page shows of finished work: the takes of every frame, and which frames changed since.

It knows nothing of Gradio, save the shape in which a page is told of a file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from storyboard.board import Storyboard, Take
from storyboard.errors import ProjectError
from storyboard.planning import is_current
from storyboard.storage.projects import Project


class Gallery:
    """Tells pages about takes.

    Args:
        publish: puts a copy of a file where browsers can fetch it and returns the copy's path.
    """

    def __init__(self, publish: Callable[[Path], str]) -> None:
        self._publish = publish
        self._published: dict[Path, dict[str, Any]] = {}

    def results(self, project: Project, storyboard: Storyboard) -> dict[str, Any]:
        """All takes of a storyboard's frames, oldest first, and the chosen one of each frame.

        Raises:
            ProjectError: if a take is damaged or its pictures are missing.
        """
        takes: dict[str, list[Take]] = {frame.id: [] for frame in storyboard.frames}
        for take in project.takes():
            if take.frame_id in takes:
                takes[take.frame_id].append(take)
        return {
            frame.id: {
                "chosen": frame.take,
                "takes": [self._take(project, take) for take in takes[frame.id]],
            }
            for frame in storyboard.frames
            if takes[frame.id]
        }

    def published(self, path: Path) -> dict[str, Any]:
        """A file as pages are told of it; it becomes an address on its way there.

        Args:
            path: a file of ours; never one that a browser named.
        """
        return {"path": self._publish(path), "meta": {"_type": "gradio.FileData"}}

    def picture(self, path: Path) -> dict[str, Any]:
        """As `published`, once: for pictures that never change."""
        known = self._published.get(path)
        if known is None or not Path(known["path"]).exists():
            known = self._published[path] = self.published(path)
        return known

    def _take(self, project: Project, take: Take) -> dict[str, Any]:
        return {
            "id": take.id,
            "image": self.picture(project.image_path(take.id)),
            "mask": self.picture(project.mask_path(take.id)),
            "seed": take.seed,
            "seconds": round(take.seconds, 1),
            "foreground": round(take.foreground, 3),
            "matches": take.matches,
        }


def edited_frames(project: Project, storyboard: Storyboard) -> list[str]:
    """Ids of the frames that would not be painted again as their chosen take was."""
    edited = []
    for frame in storyboard.frames:
        if frame.take is not None:
            try:
                request = project.request(frame.take)
            except ProjectError:  # nothing says from what a damaged take was rendered
                continue
            if not is_current(storyboard, frame, request):
                edited.append(frame.id)
    return edited
