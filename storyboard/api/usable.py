"""Answers to whether the models of a page can render, kept for a short time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

from pipelines.models.specs import ModelSpec
from pipelines.models.usability import Usability

SECONDS_KEPT = 30.0  # free memory changes


class UsableModels:
    """Asks whether models can render where jobs run, and keeps the answers; for any thread.

    Args:
        models: the models of the page.
        find: finds out about a model; slow the first time.
        clock: returns seconds.
    """

    def __init__(
        self,
        models: Sequence[ModelSpec],
        find: Callable[[ModelSpec], Usability],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = models
        self._find = find
        self._clock = clock
        # Its thread imports libraries, in the midst of which a process cannot end: Python waits for
        # threads of pools, but not for those of a server.
        self._pool = ThreadPoolExecutor(1, "usable-models")
        self._found: dict[str, Any] = {}
        self._until = float("-inf")

    def answers(self) -> dict[str, Any]:
        """Return "usable" and "words" by the models' names."""
        return self._pool.submit(self._ask).result()

    def _ask(self) -> dict[str, Any]:
        if self._clock() >= self._until:
            self._found = {spec.name: asdict(self._find(spec)) for spec in self._models}
            self._until = self._clock() + SECONDS_KEPT
        return self._found
