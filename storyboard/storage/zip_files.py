"""ZIP files: written whatever the clock shows, and read without trust.

A file in a ZIP can bear times from 1980 to 2107 alone; files of a machine without a clock bear
others.
"""

from __future__ import annotations

import struct
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pipelines.errors import UserError
from storyboard.storage.files import MOST_BYTES

# What zipfile raises at archives that are damaged, or encrypted (RuntimeError).
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError)

_MOST_WORDS = 10_000_000  # bytes of a document, which takes many times as much once it is read
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Seconds since 1970 that lie between 1980 and 2107 in every time zone.
_EARLIEST, _LATEST = 315_619_200, 4_354_732_800
_MODE = 0o644 << 16  # of unpacked files: their owner writes, others read


def write_zip(file: Path | IO[bytes], members: Iterable[tuple[str, Path | bytes]]) -> None:
    """Write a ZIP file of these members: each a name, and a file or its content.

    Raises:
        OSError: if it cannot be written, or a file cannot be read.
    """
    # PNG is compressed already: packing it again only costs time.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members:
            made = content.stat().st_mtime if isinstance(content, Path) else time.time()
            moment = time.localtime(min(max(made, _EARLIEST), _LATEST))
            member = zipfile.ZipInfo(name, moment[:6])
            member.external_attr = _MODE
            if isinstance(content, Path):
                content = content.read_bytes()
            archive.writestr(member, content)


@contextmanager
def opened_zip(path: Path, what: str, remedy: str) -> Iterator[zipfile.ZipFile]:
    """Open a ZIP file; faults of its content that are met meanwhile are told as its own.

    Args:
        path: the file.
        what: the kind of file that it should be, as "an archive".
        remedy: the advice where it is no such file.

    Raises:
        UserError: if it cannot be opened, or is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except OSError as error:
        raise UserError(
            f"{path} cannot be opened ({error.strerror or error}).",
            "Check that the file is there and may be read.",
        ) from error
    except DAMAGE as error:
        fault = " ".join(str(error).split())
        raise UserError(f"{path} is not {what} that can be read: {fault}.", remedy) from error


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo | None, name: str) -> bytes:
    """Return the content of a file in a ZIP; its size is checked before it is unpacked.

    Args:
        member: the file; None where there is none of this name.
        name: its name, for messages.

    Raises:
        ValueError: if there is none, or it is too large or packed in an unusual way.
    """
    if member is None:
        raise ValueError(f"{name} is not in it")
    most = _MOST_WORDS if name.endswith(".json") else MOST_BYTES
    if member.file_size > most:
        raise ValueError(f"{name} is larger than {most // 1_000_000} MB")
    if member.compress_type not in _PACKINGS:
        raise ValueError(f"{name} is packed in an unusual way")
    return archive.read(member)
