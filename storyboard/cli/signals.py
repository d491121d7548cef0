"""Signals that end a process: all of them as Ctrl+C does, so that it cleans up behind itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130  # the exit code after Ctrl-C, as shells have it


_ENDING = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)  # Windows has no SIGHUP
]


def end_as_interrupted() -> None:
    """Let signals that end a process raise `KeyboardInterrupt`, unless somebody chose otherwise."""
    if threading.current_thread() is not threading.main_thread():
        return  # there, Python lets nobody choose
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


@contextmanager
def interrupts_to(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Call a function at signals that end a process, except at those that are ignored."""
    chosen = {number: signal.getsignal(number) for number in _ENDING}
    chosen = {n: before for n, before in chosen.items() if before is not signal.SIG_IGN}
    for number in chosen:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, before in chosen.items():
            signal.signal(number, before)
