"""Results that a page shows: the takes of every frame, and the frames edited since their take."""

from __future__ import annotations

from typing import Any

from storyboard.api.routes import take_address
from storyboard.board import Storyboard, Take
from storyboard.errors import ProjectError
from storyboard.planning import is_current
from storyboard.storage.projects import Project


def frame_results(project: Project, storyboard: Storyboard) -> dict[str, Any]:
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
                    "image": take_address(project, take.id, "image.png"),
                    "mask": take_address(project, take.id, "mask.png"),
                    "seed": take.seed,
                    "seconds": round(take.seconds, 1),
                    "foreground": round(take.foreground, 3),
                    "matches": take.matches,
                    "starred": project.is_starred(take.id),
                    "words": take_words(project, take),
                }
                for take in takes[frame.id]
            ],
        }
        for frame in storyboard.frames
        if takes[frame.id]
    }


def take_words(project: Project, take: Take) -> dict[str, str] | None:
    """Return the action and the location of a take's request; None where it is damaged."""
    try:
        request = project.request(take.id)
    except ProjectError:
        return None
    for frame in request.frames:
        if frame.frame_id == take.frame_id:
            location = frame.prompt.background
            follows = frame.prompt.character or frame.prompt.action
            return {
                "action": frame.prompt.action,
                "location": location.removesuffix(",") if follows else location,
            }
    return None


def outdated_frames(project: Project, storyboard: Storyboard) -> list[str]:
    """Return the ids of the frames that differ from the request of their chosen take.

    Steps, guidance and merging are not compared.
    """
    outdated = []
    for frame in storyboard.frames:
        if frame.take is not None:
            try:
                request = project.request(frame.take)
            except ProjectError:  # without its request a take cannot be compared
                continue
            if not is_current(storyboard, frame, request):
                outdated.append(frame.id)
    return outdated
