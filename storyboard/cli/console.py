"""Output on consoles of few letters, on full disks, and into pipes whose reader has gone."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TextIO

PIPE_CLOSED = 141  # the exit code after a closed pipe, as shells have it
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def accept_all_letters() -> None:
    """Let letters that a console does not have come out as their codes, instead of as an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def announce(text: str, stream: TextIO) -> None:
    """Print a line; a stream that cannot be written any more is no reason to stop."""
    try:
        print(text, file=stream, flush=True)
    except OSError:
        discard(stream)


def discard(stream: TextIO) -> None:
    """Send nowhere what is written to a stream from now on, also by Python when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


def output_is_full(error: OSError) -> bool:
    """Return whether an error is that of standard output, on a disk that is full or broken."""
    return error.filename is None and error.errno in _FULL
