"""Progress of the command line: a bar with the time left, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tqdm import tqdm

from pipelines.events import FrameStarted, ModelLoading, Notice
from storyboard.board import Storyboard
from storyboard.cli.console import discard
from storyboard.jobs.events import JobEvent, JobProgress, TakeSaved

_LAYOUT = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}"


class ProgressBar:
    """Progress bar of all storyboards; without a terminal, a line for each frame.

    Where nobody reads it any more, frames are rendered without.
    """

    def __init__(self, boards: Sequence[Storyboard]) -> None:
        self._boards = boards
        self._bar: tqdm[None] | None = None
        self._frames = sum(len(board.frames) for board in boards)
        self._fractions = [0.0] * len(boards)
        self._begun = self._done = 0
        self._noted: set[str] = set()
        self._is_read = True

    def close(self) -> None:
        """Leave the bar on the terminal as it stands."""
        if self._bar is not None and self._is_read:
            self._bar.close()

    def show(self, number: int, event: JobEvent) -> None:
        """Show an event of the storyboard with this number."""
        try:
            if self._is_read:
                self._show(number, event)
        except OSError:
            self._is_read = False
            discard(sys.stderr)

    def _show(self, number: int, event: JobEvent) -> None:
        if isinstance(event, ModelLoading):
            self._note(f"loading {event.model}")
        elif isinstance(event, Notice) and event.kind == "prompt":
            frame = self._boards[number].position(event.about) + 1
            self._line(f'frame {frame} is too long for the model, which skips "{event.message}"')
        elif isinstance(event, Notice):
            self._note(event.message)
        elif isinstance(event, FrameStarted):
            self._begun += 1
        elif isinstance(event, JobProgress):
            self._progress(number, event)
        elif isinstance(event, TakeSaved):
            self._done += 1
            self._line(f"frame {self._done} of {self._frames} done in {event.take.seconds:.1f} s")

    def _progress(self, number: int, event: JobProgress) -> None:
        # Made at the first step, so that loading the model does not count in the time left.
        if self._bar is None:
            self._bar = tqdm(total=self._frames, bar_format=_LAYOUT, file=sys.stderr, disable=None)
        self._fractions[number] = event.fraction
        done = sum(
            fraction * len(board.frames)
            for fraction, board in zip(self._fractions, self._boards, strict=True)
        )
        self._bar.set_description(f"frame {self._begun}/{self._frames} {event.phase}", False)
        self._bar.update(done - self._bar.n)

    def _note(self, text: str) -> None:
        """Write what concerns all storyboards, once."""
        if text not in self._noted:
            self._noted.add(text)
            self._line(text)

    def _line(self, text: str) -> None:
        if self._bar is None:
            print(text, file=sys.stderr)
        else:
            self._bar.write(text, file=sys.stderr)
