"""Damage of a project: sentences on what is missing or damaged in it, while the rest is used.

Only takes of frames that are still in the storyboard are looked at.
"""

from __future__ import annotations

from storyboard.board import Storyboard
from storyboard.errors import ProjectError
from storyboard.storage.project import Project
from storyboard.storage.storyboard_file import STORYBOARD, read_storyboard
from storyboard.storage.take_files import picture_fault

_PICTURES = {"image.png": "picture", "mask.png": "mask"}


def damage_of(project: Project) -> list[str]:
    """Return a sentence for every take that is gone or unreadable, and every damaged picture.

    Raises:
        ProjectError: if the storyboard itself cannot be read.
    """
    board = read_storyboard(project.path / STORYBOARD)
    found = []
    known = project.take_ids()
    for frame_number, frame in enumerate(board.frames, 1):
        if frame.take is not None and frame.take not in known:
            found.append(f"The take {frame.take} of frame {frame_number} is missing.")
    for take_id in known:
        try:
            take = project.take(take_id)
        except ProjectError as error:
            found.append(_sentence(project, board, take_id, error))
            continue
        for name, what in _PICTURES.items():
            fault = picture_fault(project.path / "takes" / take_id / name)
            if fault and (number := _number(board, take.frame_id)):
                found.append(f"The {what} of frame {number}, take {take_id}, {fault}.")
    return found


def take_fault(project: Project, take_id: str) -> str:
    """Return a sentence on the picture of a take; empty where it looks whole."""
    fault = picture_fault(project.path / "takes" / take_id / "image.png")
    return f"The picture of this take {fault}." if fault else ""


def without_folder(words: str, project: Project) -> str:
    """Return words about a project without its folder, which means nothing to a person."""
    return words.replace(f"{project.path}/", "")


def _sentence(project: Project, board: Storyboard, take_id: str, error: ProjectError) -> str:
    chosen = (number for number, f in enumerate(board.frames, 1) if f.take == take_id)
    number = next(chosen, None)
    where = "" if number is None else f" of frame {number}"
    fault = without_folder(error.problem, project).rstrip(".")
    return f"Take {take_id}{where} cannot be shown: {fault}."


def _number(board: Storyboard, frame_id: str) -> int | None:
    """Return the number of a frame, counted from 1; None where it was removed."""
    return next((n for n, frame in enumerate(board.frames, 1) if frame.id == frame_id), None)
