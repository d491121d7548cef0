"""How the application's files are written, versioned and named.

A file is either its old self or its new self, never half of one: it is written beside its place,
flushed to the disk and moved there. JSON documents say what they are and which version, and older
ones are brought up to date by named migrations. It knows nothing of storyboards beyond the names
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
from typing import TYPE_CHECKING, Any

from pipelines.errors import UserError
from storyboard.errors import ProjectError

if TYPE_CHECKING:
    pass

STEM_LENGTH = 48


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file so that a reader, or a crash, meets the old content or the new.

    Args:
        path: where it goes; its folder exists.
        content: what it holds.

    Raises:
        OSError: if the disk does not take it; what was at `path` is untouched then.
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
    """Write a whole file into a folder that a person named, making the folder if need be.

    Raises:
        UserError: if the disk does not take it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}).",
            "Check the free space and the permissions, or choose another folder.",
        ) from error


def unwritable(path: Path, error: OSError) -> ProjectError:
    """What to tell when the disk does not take a file of a project."""
    reason = error.strerror or str(error)
    return ProjectError(
        f"{path} cannot be written ({reason}).", "Check the free space and the permissions."
    )


@dataclass(frozen=True)
class Migration:
    """One step from a version of a document to the next.

    Attributes:
        name: what it changes, in words.
        apply: takes the old body and returns the new one.
    """

    name: str
    apply: Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class DocumentKind:
    """A kind of JSON file: `{"kind": ..., "version": ..., ...body}`.

    Attributes:
        kind: what such files call themselves.
        migrations: the n-th brings a body from version n to n + 1, counted from 1.
    """

    kind: str
    migrations: tuple[Migration, ...] = ()

    @property
    def version(self) -> int:
        """The version that is written."""
        return len(self.migrations) + 1

    def dump(self, body: dict[str, Any]) -> bytes:
        """The file's content for this body, for people to read."""
        document = {"kind": self.kind, "version": self.version, **body}
        return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()

    def read(self, path: Path) -> dict[str, Any]:
        """Read a file and bring its body up to date; the file itself is left as it is.

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
        """The body in a file's content, brought up to date.

        Args:
            content: the file's bytes.
            path: where they are from, for faults.

        Raises:
            ProjectError: as `read`, for what concerns the content.
        """
        try:
            body: object = json.loads(content.decode("utf-8"))
        except ValueError as error:  # both of JSON's and of UTF-8's faults
            raise ProjectError(
                f"{path} is damaged: {error}.",
                "It was left as it is; mend it, put a copy back, or move its folder away.",
            ) from error
        if not isinstance(body, dict):
            raise ProjectError(f"{path} is not a {self.kind}.", "It was left as it is.")
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
    """A name for a numbered picture: "03-reading-a-book".

    Args:
        number: its place in the storyboard, counted from 1.
        words: any text; what cannot stand in a file name everywhere is dropped.
    """
    parts = [part for part in re.split(r"[^a-z0-9]+", words.casefold()) if part]
    name = f"{number:02d}"
    for part in parts:
        if len(name) + len(part) >= STEM_LENGTH:
            break
        name += f"-{part}"
    return name
