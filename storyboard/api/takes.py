"""Results that a page shows: the takes of every frame, and what is outdated in them."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from storyboard.api.document import revision_of
from storyboard.api.routes import SMOOTH_MASK, take_address
from storyboard.board import Storyboard, Take
from storyboard.errors import ProjectError
from storyboard.frames import KeptLocation, identity_frame, kept_locations
from storyboard.freshness import Origin, compare_takes
from storyboard.jobs.runner import chosen_requests
from storyboard.storage.damage import take_fault
from storyboard.storage.project import Project
from storyboard.targets import Wish, choose_targets


def frame_results(project: Project, storyboard: Storyboard) -> dict[str, Any]:
    """Return each frame's readable takes, oldest first, and its chosen one, by frame id.

    A take whose picture is missing or damaged says so in "fault".
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
                    "smooth": take_address(project, take.id, SMOOTH_MASK),
                    "seed": take.seed,
                    "seconds": round(take.seconds, 1),
                    "foreground": round(take.foreground, 3),
                    "matches": take.matches,
                    "starred": project.is_starred(take.id),
                    "fault": take_fault(project, take.id),
                }
                for take in takes[frame.id]
            ],
        }
        for frame in storyboard.frames
        if takes[frame.id]
    }


def take_words(project: Project, take_id: str) -> dict[str, str]:
    """Return the action and the location that a take was rendered from.

    Raises:
        ProjectError: if there is no such take, or it is damaged.
    """
    take, request = project.take(take_id), project.request(take_id)
    prompt = next((f.prompt for f in request.frames if f.frame_id == take.frame_id), None)
    if prompt is None:
        raise ProjectError(
            "This take does not say how it was rendered.", "Write the words of its frame anew."
        )
    location = prompt.background
    if prompt.character or prompt.action:
        location = location.removesuffix(",")  # which planning added
    return {"action": prompt.action, "location": location}


def freshness_fields(project: Project, storyboard: Storyboard) -> dict[str, Any]:
    """Return how the chosen takes stand to the storyboard as it is now.

    Returns:
        "outdated": for each frame whose take is out of date, sentences that say why; "kept": the
        same for frames that no render of the whole board touches, as they are locked or have no
        words; "origins": for each frame with a take, the frames from which it has its "identity"
        and its "location", with whether their chosen takes are still those ("current");
        "identity": the id of the identity frame, or None; and "locations": those that "frames" keep
        (see `storyboard.frames.kept_locations`), in the "revision" of the storyboard.
    """
    found = compare_takes(storyboard, _requests(project, storyboard))
    identity = identity_frame(storyboard)
    kept = kept_locations(storyboard)
    return {
        "outdated": {frame_id: list(why) for frame_id, why in found.outdated.items()},
        "kept": {frame_id: list(why) for frame_id, why in found.kept.items()},
        "origins": {
            frame.id: {
                "identity": _origin(found.identity.get(frame.id)),
                "location": _origin(found.location.get(frame.id)),
            }
            for frame in storyboard.frames
            if frame.take is not None
        },
        "identity": None if identity is None else identity.id,
        "locations": {
            "revision": revision_of(storyboard),
            "frames": None if kept is None else {key: _location(one) for key, one in kept.items()},
        },
    }


def target_fields(project: Project, storyboard: Storyboard, wish: Wish) -> dict[str, Any]:
    """Return what a render of these frames would do; see `storyboard.targets.Targets`.

    Raises:
        UserError: if a frame is gone, or a locked frame would have to be rendered again.
    """
    found = asdict(choose_targets(storyboard, wish, _requests(project, storyboard)))
    added = found.pop("added")
    lists = {name: list(ids) for name, ids in found.items()}
    return lists | {"extra": [{"frame": one["frame_id"], "why": one["why"]} for one in added]}


def _location(kept: KeptLocation) -> dict[str, Any]:
    return {"source": kept.source, "readers": list(kept.readers), "others": list(kept.others)}


def _requests(project: Project, storyboard: Storyboard) -> dict[str, Any]:
    return chosen_requests(project, storyboard, logging.DEBUG)


def _origin(origin: Origin | None) -> dict[str, Any] | None:
    return None if origin is None else {"frame": origin.frame_id, "current": origin.current}
