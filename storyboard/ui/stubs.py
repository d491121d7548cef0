"""Import of Gradio without the type stubs that it writes for every component."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_stub_files() -> Iterator[None]:
    """Keep Gradio from writing type stubs while it is imported.

    For each of its components it parses the source and writes a `.pyi` file, at every start, which
    takes longer than the rest of its import. It gives up on a class without a source file.
    """
    original = inspect.getfile

    def getfile(thing: Any) -> str:
        if inspect.isclass(thing):
            raise OSError("no stub files are written here")
        return original(thing)

    inspect.getfile = getfile  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = original
