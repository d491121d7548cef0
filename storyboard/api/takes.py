"""Results that a page shows: the takes of every frame, and the frames edited since their take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.errors import UnknownModelError
from pipelines.models.catalog import find_model
from storyboard.board import Frame, Storyboard, Take
from storyboard.errors import ProjectError
from storyboard.planning import (
    compose_prompt,
    frame_of,
    reference_of,
    shortcuts_of,
    styles_of,
    takes_shortcuts,
)
from storyboard.storage.projects import Project

# Copies a file to where browsers can fetch it; returns the front end's value for the copy, with
# its "path".
Publish = Callable[[Path], dict[str, Any]]


class PublishedFiles:
    """Files that browsers can fetch.

    Args:
        publish: publishes a file of ours, never one that a browser named.
    """

    def __init__(self, publish: Publish) -> None:
        self.publish = publish
        self._pictures: dict[Path, dict[str, Any]] = {}

    def picture(self, path: Path) -> dict[str, Any]:
        """Publish a picture whose file never changes; again only where its copy is gone."""
        known = self._pictures.get(path)
        if known is None or not Path(known["path"]).exists():
            known = self._pictures[path] = self.publish(path)
        return known


def frame_results(
    project: Project, storyboard: Storyboard, files: PublishedFiles
) -> dict[str, Any]:
    """Return each frame's takes, oldest first, and its chosen one, by frame id.

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
            "takes": [
                {
                    "id": take.id,
                    "image": files.picture(project.image_path(take.id)),
                    "mask": files.picture(project.mask_path(take.id)),
                    "seed": take.seed,
                    "seconds": round(take.seconds, 1),
                    "foreground": round(take.foreground, 3),
                    "matches": take.matches,
                }
                for take in takes[frame.id]
            ],
        }
        for frame in storyboard.frames
        if takes[frame.id]
    }


def outdated_frames(project: Project, storyboard: Storyboard) -> list[str]:
    """Return the ids of the frames that differ from the request of their chosen take.

    Steps, guidance and merging are not compared.
    """
    return [
        frame.id
        for frame in storyboard.frames
        if frame.take is not None and not _is_current(project, storyboard, frame, frame.take)
    ]


def _is_current(project: Project, storyboard: Storyboard, frame: Frame, take_id: str) -> bool:
    try:
        request = project.request(take_id)
    except ProjectError:  # without its request a take cannot be compared
        return True
    then = next((f for f in request.frames if f.frame_id == frame.id), None)
    if then is None or request.model != storyboard.settings.model:
        return False
    try:
        spec = find_model(request.model)
    except UnknownModelError:  # a model folder that is gone: the take cannot be rendered again
        return False
    settings = storyboard.settings
    place = storyboard.background_source(frame.id) if settings.consistent else None
    return (
        then.prompt == compose_prompt(storyboard, frame)
        and (then.width, then.height) == (settings.width, settings.height)
        and (then.reference, then.reference_strength) == reference_of(storyboard, frame, spec)
        and request.styles == styles_of(storyboard)
        and takes_shortcuts(request, frame.id, shortcuts_of(storyboard))
        and frame.seed in (None, then.seed)
        and (then.background_from and frame_of(then.background_from)) == place
    )
