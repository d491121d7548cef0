"""Leftovers: what a run that was ended in the middle of its work left behind, cleared at start.

Files and folders that are being written have names of their own (`storyboard.storage.files`), so
that nothing else is ever deleted.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from storyboard.errors import ProjectError
from storyboard.storage.files import TEMPORARY, remove, unwritable
from storyboard.storage.presence import Presence
from storyboard.storage.project import BIN, is_identifier

# Folders of a project in which files are written.
_WRITTEN = ("", "takes", "references", "draft", ".small")
_RUN = "throughline-run-"
_UPLOADS = "GRADIO_TEMP_DIR"  # where Gradio keeps uploads


def clear_leftovers(root: Path) -> int:
    """Delete what interrupted runs left among the projects, while no other run uses them.

    What cannot be deleted stays, for the next start.

    Returns:
        The number of files and folders that were deleted.
    """
    deleted = 0
    for folder in _written(root):
        for path in _entries(folder):
            if _is_leftover(path.name):
                with suppress(ProjectError):
                    remove(path)
                    deleted += 1
    return deleted


@contextmanager
def run_folder() -> Iterator[Path]:
    """Keep all temporary files of this run in one folder, which ends with it; yield it.

    Those of runs that were killed are deleted. Uploads and downloads go there too. It lies in the
    folder for Gradio's uploads where the environment names one, else in the system's for temporary
    files.

    Raises:
        ProjectError: if it cannot be made.
    """
    uploads, before = os.environ.get(_UPLOADS), tempfile.tempdir
    base = Path(uploads or tempfile.gettempdir())
    try:
        base.mkdir(parents=True, exist_ok=True)
        _clear_runs(base)
        folder = Path(tempfile.mkdtemp(prefix=_RUN, dir=base))
    except OSError as error:
        raise unwritable(base, error) from error
    try:
        with Presence(folder):
            os.environ[_UPLOADS] = tempfile.tempdir = str(folder)
            yield folder
    finally:
        tempfile.tempdir = before
        if uploads is None:
            del os.environ[_UPLOADS]
        else:
            os.environ[_UPLOADS] = uploads
        shutil.rmtree(folder, ignore_errors=True)


def _clear_runs(base: Path) -> None:
    for folder in base.glob(f"{_RUN}*"):
        own = os.name != "posix" or folder.lstat().st_uid == os.getuid()
        if own and not folder.is_symlink() and not Presence(folder).others():
            shutil.rmtree(folder, ignore_errors=True)


def _written(root: Path) -> Iterator[Path]:
    """Yield the folders in which something is written while the application runs."""
    for shelf in (root, root / BIN):
        yield shelf
        for project in _entries(shelf):
            if is_identifier(project.name):
                yield from (project / name for name in _WRITTEN)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # there is none, it is a file, or it may not be read
        return []


def _is_leftover(name: str) -> bool:
    # The latter two are those of earlier versions, and of a deletion.
    return name.startswith((".new-", ".going-")) or (
        name.startswith(".") and name.endswith(TEMPORARY)
    )
