"""Files of the application: written whole, versioned, and named.

A file has either its old content or its new one, never half of it: it is written beside its path,
flushed to the disk and moved there. JSON documents carry their kind and version, and named
migrations bring older ones up to date. This module knows nothing of storyboards beyond the names
of their pictures.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storyboard.board import new_id
from storyboard.errors import ProjectError

STEM_LENGTH = 48
TEMPORARY = ".tmp"  # ending of files and folders that are being written
MOST_BYTES = 64_000_000  # of one file: a picture of 2048 x 2048 is smaller

# Errors of disks that have no way to wait until a file is on them.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new one.

    Raises:
        OSError: if it cannot be written; an old file at `path` is untouched then.
    """
    temporary = path.parent / f".{new_id()}{TEMPORARY}"
    try:
        # `tempfile` makes files for their owner alone, and not every disk can change that.
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            _sync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):  # it is gone, or its disk is: another error says so
            temporary.unlink()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder that appears at `path`, which must be free, once it is filled; yield it empty.

    Raises:
        OSError: if it cannot be made.
    """
    unfinished = path.parent / f".{new_id()}{TEMPORARY}"
    unfinished.mkdir()
    try:
        yield unfinished
        unfinished.rename(path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder survive a power cut, on systems that can open folders.

    Raises:
        OSError: if the disk fails.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows, or a folder that may be written and not read
        return
    try:
        _sync(handle)
    finally:
        os.close(handle)


def _sync(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def move_folder(source: Path, target: Path) -> None:
    """Move a folder, to another disk too; it is at `target` whole or not at all.

    Raises:
        OSError: if it cannot be moved; a part of `source` may be gone where it could be copied
            and not be deleted.
    """
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with new_folder(target) as unfinished:
            copy_folder(source, unfinished)
        shutil.rmtree(source)
    for folder in {source.parent, target.parent}:
        sync_folder(folder)


def copy_folder(source: Path, target: Path, kept: Callable[[Path], bool] = lambda _: True) -> None:
    """Copy the files in a folder to a new one: their content alone, as no disk refuses that.

    Links are followed, except to a folder that holds them; what is no file and no folder is left.

    Args:
        kept: returns whether a file or folder is copied.

    Raises:
        OSError: if a file cannot be read or written.
    """
    target.mkdir(exist_ok=True)
    holders = [source.resolve(), *source.resolve().parents]
    for path in filter(kept, source.iterdir()):
        if path.is_dir() and path.resolve() not in holders:
            copy_folder(path, target / path.name, kept)
        elif path.is_file():
            shutil.copyfile(path, target / path.name)


def read_file(path: Path, remedy: str) -> bytes:
    """Read a file that may be missing, damaged, or no file.

    Raises:
        ProjectError: if it cannot be read, or is larger than any file of a project.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ProjectError(f"{path} is not a file.", remedy)
        if status.st_size > MOST_BYTES:
            raise ProjectError(f"{path} is larger than {MOST_BYTES // 1_000_000} MB.", remedy)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ProjectError(f"{path} is missing.", remedy) from error
    except OSError as error:
        raise ProjectError(f"{path} cannot be read ({error.strerror or error}).", remedy) from error


def write_result(path: Path, content: bytes) -> None:
    """Write a file atomically, and make its folder if it does not exist.

    Raises:
        ProjectError: if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise unwritable(path, error) from error


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it.

    Raises:
        ProjectError: if it cannot be deleted.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ProjectError(
            f"{path} cannot be deleted ({error.strerror or error}).",
            "Check the permissions of its folder.",
        ) from error


def fault_of(error: ValidationError) -> str:
    """Return the first fault that pydantic found, with its field."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


def unwritable(path: Path, error: OSError) -> ProjectError:
    """Return the error for a file that cannot be written."""
    return ProjectError(
        f"{path} cannot be written ({error.strerror or error}).",
        "Check the free space and the permissions of its folder.",
    )


def invalid(path: Path, error: Exception | str) -> ProjectError:
    """Return the error for a file whose content is at fault, in words or as an exception."""
    fault = fault_of(error) if isinstance(error, ValidationError) else str(error)
    return ProjectError(
        f"{path} is damaged ({fault}).", "It was left as it is; mend it or put a copy back."
    )


@dataclass(frozen=True)
class Migration:
    """Step from a version of a document to the next.

    Attributes:
        name: the change, in words.
        apply: takes the old body and returns the new one.
    """

    name: str
    apply: Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class DocumentKind:
    """A kind of JSON file: `{"kind": ..., "version": ..., ...body}`.

    Attributes:
        kind: the value of "kind" in such files.
        migrations: steps; the n-th, counted from 1, brings a body from version n to n + 1.
    """

    kind: str
    migrations: tuple[Migration, ...] = ()

    @property
    def version(self) -> int:
        """Version of the files that are written."""
        return len(self.migrations) + 1

    def dump(self, body: dict[str, Any]) -> bytes:
        """Return the content of a file with this body, as JSON that a person can read."""
        document = {"kind": self.kind, "version": self.version, **body}
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()

    def read(self, path: Path) -> dict[str, Any]:
        """Read a file and bring its body up to date; leave the file itself as it is.

        Raises:
            ProjectError: if it is missing, unreadable, of another kind, or of a version that this
                release does not know.
        """
        content = read_file(path, "Put a copy back, or move its folder away.")
        return self.parse(content, path)

    def parse(self, content: bytes, path: Path) -> dict[str, Any]:
        """Return the body in a file's content, brought up to date; errors name its path.

        Raises:
            ProjectError: as `read`, for faults of the content.
        """
        try:
            # UTF-8, or UTF-16 and 32 as some editors write it.
            document: object = json.loads(content, parse_float=_finite, parse_constant=_finite)
            json.dumps(document, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:  # halves of letters, or nesting without end
            fault = "it is nested too deeply" if isinstance(error, RecursionError) else error
            raise ProjectError(
                f"{path} is damaged: {fault}.",
                "It was left as it is; mend it, put a copy back, or move its folder away.",
            ) from error
        body: dict[str, Any] = document if isinstance(document, dict) else {}
        version = body.pop("version", None)
        if body.pop("kind", None) != self.kind or type(version) is not int or version < 1:
            raise ProjectError(
                f"{path} is not a {self.kind}.",
                "It was left as it is; put the right file back, or move its folder away.",
            )
        if version > self.version:
            raise ProjectError(
                f"{path} was written by a newer Throughline (version {version} of the format; "
                f"this one reads up to {self.version}).",
                "Update Throughline to open it.",
            )
        for migration in self.migrations[version - 1 :]:
            body = migration.apply(body)
        return body


def _finite(digits: str) -> float:
    """Return a number of JSON; a page that is sent NaN or infinity shows nothing at all."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits} is not a number that can be stored")
    return number


def file_stem(number: int, words: str) -> str:
    """Return a name for a numbered picture: "03-reading-a-book".

    Args:
        number: its number in the storyboard, counted from 1.
        words: any text; characters that are not allowed in every file name are dropped.
    """
    parts = [part for part in re.split(r"[^a-z0-9]+", words.casefold()) if part]
    name = f"{number:02d}"
    for part in parts:
        if len(name) + len(part) >= STEM_LENGTH:
            break
        name += f"-{part}"
    return name
