"""Frames of a batch as the attention processors see them, with their rotary tables."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipelines.consistency.frame_pass import FramePass
from pipelines.instant_character.adapters import Subject

RotaryTables = tuple[Tensor, Tensor]


class BatchContext:
    """Frames that go through a transformer together.

    Attributes:
        passes: pass of each frame; empty where frames share nothing.
        subjects: character that each frame is conditioned on; one alone serves all frames.
        image_tokens: tokens of one picture.
        complete: whether these are all frames that take part in the step.
    """

    def __init__(self) -> None:
        self.passes: tuple[FramePass, ...] = ()
        self.subjects: tuple[Subject | None, ...] = ()
        self.image_tokens = 0
        self.complete = False
        self._tables: dict[int, tuple[Tensor, RotaryTables]] = {}

    def set_frames(
        self,
        passes: Sequence[FramePass],
        subjects: Sequence[Subject | None],
        image_tokens: int,
        *,
        complete: bool,
    ) -> None:
        """Replace the frames, or begin another step of the same ones."""
        self.passes, self.subjects = tuple(passes), tuple(subjects)
        self.image_tokens, self.complete = image_tokens, complete
        self._tables.clear()

    @property
    def shares(self) -> bool:
        """True where a frame's pass takes part in single-stream blocks."""
        # The first block takes part wherever any block does.
        return any(frame_pass.observes(0) for frame_pass in self.passes)

    @property
    def conditioned(self) -> bool:
        """True where a frame is conditioned on a character."""
        return any(subject is not None and subject.scale for subject in self.subjects)

    def rows_of_subjects(self) -> list[tuple[Subject, list[int]]]:
        """Return every character with the rows of its frames; no rows stand for all frames."""
        if len(self.subjects) == 1:
            return [(s, []) for s in self.subjects if s is not None and s.scale]
        rows: dict[int, tuple[Subject, list[int]]] = {}
        for row, subject in enumerate(self.subjects):
            if subject is not None and subject.scale:
                rows.setdefault(id(subject), (subject, []))[1].append(row)
        found = list(rows.values())
        if len(found) == 1 and len(found[0][1]) == len(self.subjects):
            return [(found[0][0], [])]
        return found

    def tables(self, frame_pass: FramePass, rotary: RotaryTables, text: int) -> RotaryTables:
        """Return the rotary tables in the order of a frame's tokens."""
        if frame_pass.layout is None:
            return rotary
        key = id(frame_pass)
        if key not in self._tables or self._tables[key][0] is not rotary[0]:
            order = frame_pass.layout.order + text
            whole = torch.cat([torch.arange(text, device=order.device), order])
            self._tables[key] = rotary[0], (rotary[0][whole], rotary[1][whole])
        return self._tables[key][1]

    def orders(self, device: torch.device) -> Tensor | None:
        """Return the order of each frame's image tokens in single-stream blocks.

        Returns:
            Shape (frames, tokens), int64; None where all tokens stay where they are.
        """
        if all(frame_pass.layout is None for frame_pass in self.passes):
            return None
        plain = torch.arange(self.image_tokens, device=device)
        layouts = [frame_pass.layout for frame_pass in self.passes]
        return torch.stack([plain if layout is None else layout.order for layout in layouts])
