"""What the command line shows while it paints: a bar with the time left, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tqdm import tqdm

from pipelines.events import (
    FrameDone,
    FrameStarted,
    MemoryNoted,
    PipelineEvent,
    ReferenceDoubted,
    StepDone,
    StyleNoted,
    WordsUnread,
)
from storyboard.batch import Group
from storyboard.jobs import ModelLoading


class ProgressBar:
    """Shows the steps of all groups in one bar; without a terminal, a line for each frame.

    Args:
        groups: what will be painted.
    """

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups
        self._bar: tqdm[None] | None = None
        self._frames = sum(len(group.request.targets) for group in groups)
        self._begun: set[tuple[int, str]] = set()
        self._steps_before = 0
        self._group = 0

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

    def show(self, group: int, event: PipelineEvent | ModelLoading) -> None:
        """Draw an event of the group with this number."""
        if isinstance(event, ModelLoading):
            self._line(f"loading {event.model}")
        elif isinstance(event, WordsUnread):
            number = self._groups[group].storyboard.position(event.frame_id) + 1
            self._line(f'frame {number} is too long for the model, which skips "{event.words}"')
        elif isinstance(event, ReferenceDoubted | StyleNoted | MemoryNoted):
            self._line(event.words)
        elif isinstance(event, FrameStarted):
            # A frame may begin again, after memory ran out or as one that only lends.
            self._begun.add((group, event.frame_id))
        elif isinstance(event, StepDone):
            self._step(group, event)
        elif isinstance(event, FrameDone):
            self._line(f"frame {len(self._begun)} of {self._frames} done in {event.seconds:.1f} s")

    def _step(self, group: int, event: StepDone) -> None:
        # Made at the first step, so that loading the model does not count in the time left.
        if self._bar is None:
            self._bar = tqdm(
                total=event.total * len(self._groups), unit="step", file=sys.stderr, disable=None
            )
        if group != self._group:
            self._group = group
            self._steps_before = self._bar.n
        # Groups differ in their steps: the rest is taken to be like this one.
        self._bar.total = self._steps_before + event.total * (len(self._groups) - group)
        self._bar.set_description(f"frame {len(self._begun)}/{self._frames} {event.phase}", False)
        self._bar.update(self._steps_before + event.done - self._bar.n)

    def _line(self, text: str) -> None:
        if self._bar is None:
            print(text, file=sys.stderr)
        else:
            self._bar.write(text, file=sys.stderr)
