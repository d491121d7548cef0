"""Files of the application: written whole, versioned, and named.

A file has either its old content or its new one, never half of it: it is written beside its path,
flushed to the disk and moved there. JSON documents carry their kind and version, and named
migrations bring older ones up to date. This module knows nothing of storyboards beyond the names
of their pictures.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storyboard.errors import ProjectError

STEM_LENGTH = 48


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, finds the old content or the new one.

    Raises:
        OSError: if it cannot be written; an old file at `path` is untouched then.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read; a project is not a secret on disk.
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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


def invalid(path: Path, error: Exception) -> ProjectError:
    """Return the error for a file whose content is at fault."""
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
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise ProjectError(
                f"{path} is missing.", "Put it back from a copy, or start a new storyboard."
            ) from error
        except OSError as error:
            raise ProjectError(
                f"{path} cannot be read ({error.strerror}).", "Check the disk and its permissions."
            ) from error
        return self.parse(content, path)

    def parse(self, content: bytes, path: Path) -> dict[str, Any]:
        """Return the body in a file's content, brought up to date; errors name its path.

        Raises:
            ProjectError: as `read`, for faults of the content.
        """
        try:
            document: object = json.loads(content.decode("utf-8"))
        except (ValueError, RecursionError) as error:  # of JSON, UTF-8, and nesting without end
            raise ProjectError(
                f"{path} is damaged: {error}.",
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
