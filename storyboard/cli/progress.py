"""What the command line shows while it paints: a bar with the time left, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tqdm import tqdm

from pipelines.events import FrameStarted, ModelLoading, Notice
from storyboard.board import Storyboard
from storyboard.jobs.events import JobEvent, JobProgress, TakeSaved

_LAYOUT = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}"


class ProgressBar:
    """Shows how far all groups are in one bar; without a terminal, a line for each frame.

    Args:
        groups: what is painted.
    """

    def __init__(self, groups: Sequence[Storyboard]) -> None:
        self._groups = groups
        self._bar: tqdm[None] | None = None
        self._frames = sum(len(group.frames) for group in groups)
        self._fractions = [0.0] * len(groups)
        self._begun = self._done = 0
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, group: int, event: JobEvent) -> None:
        """Draw an event of the group with this number."""
        if isinstance(event, ModelLoading):
            self._note(f"loading {event.model}")
        elif isinstance(event, Notice) and event.kind == "prompt":
            number = self._groups[group].position(event.about) + 1
            self._line(f'frame {number} is too long for the model, which skips "{event.message}"')
        elif isinstance(event, Notice):
            self._note(event.message)
        elif isinstance(event, FrameStarted):
            self._begun += 1
        elif isinstance(event, JobProgress):
            self._progress(group, event)
        elif isinstance(event, TakeSaved):
            self._done += 1
            self._line(f"frame {self._done} of {self._frames} done in {event.take.seconds:.1f} s")

    def _progress(self, group: int, event: JobProgress) -> None:
        # Made at the first step, so that loading the model does not count in the time left.
        if self._bar is None:
            self._bar = tqdm(total=self._frames, bar_format=_LAYOUT, file=sys.stderr, disable=None)
        self._fractions[group] = event.fraction
        done = sum(
            fraction * len(board.frames)
            for fraction, board in zip(self._fractions, self._groups, strict=True)
        )
        self._bar.set_description(f"frame {self._begun}/{self._frames} {event.phase}", False)
        self._bar.update(done - self._bar.n)

    def _note(self, text: str) -> None:
        """Say what concerns all groups, once."""
        if text not in self._told:
            self._told.add(text)
            self._line(text)

    def _line(self, text: str) -> None:
        if self._bar is None:
            print(text, file=sys.stderr)
        else:
            self._bar.write(text, file=sys.stderr)
