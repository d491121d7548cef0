"""In which ways a suite is painted, and the requests for that.

A row of the tables is a way to paint: what a frame takes from the identity frame, and which of the
model's settings are changed. Prompts and seeds are the same in all rows, and the identity frame is
the same picture in all of them. It knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.registry import ModelSpec
from pipelines.request import ConsistencySettings, FrameRequest, RenderRequest
from pipelines.suite import Suite, SuiteCharacter

IDENTITY_FRAME = "identity"


@dataclass(frozen=True)
class Row:
    """One way to paint the frames after the identity frame.

    Attributes:
        name: for the command line and for files.
        title: for the tables.
        consistent: whether frames take the character from the identity frame.
        shares_place: whether frames take the place from the identity frame, too. Only characters
            whose place is shared are painted so.
        changes: settings of `ConsistencySettings` that differ from the model's own.
    """

    name: str
    title: str
    consistent: bool = True
    shares_place: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)

    def covers(self, character: SuiteCharacter) -> bool:
        """Whether this character is painted so."""
        return character.shares_place or not self.shares_place

    def settings(self, spec: ModelSpec) -> ConsistencySettings:
        """The model's settings with this row's changes."""
        return replace(spec.consistency, **self.changes)

    def frame_id(self, number: int) -> str:
        """What requests and files call the frame with this index."""
        return IDENTITY_FRAME if number == 0 else f"{self.name}-{number + 1}"


ROWS = (
    Row("plain", "plain", consistent=False),
    Row("sharing", "consistency without merge", changes={"merge": False}),
    Row("merge", "consistency with merge", changes={"merge": True}),
    Row("place", "with merge and shared place", shares_place=True, changes={"merge": True}),
)


def requests(
    suite: Suite,
    character: SuiteCharacter,
    rows: Sequence[Row],
    spec: ModelSpec,
    steps: int,
    wanted: Collection[str],
) -> Iterator[RenderRequest]:
    """The requests that paint one character: one for each distinct setting of the rows.

    Rows without consistency do not depend on the settings and come with the first request.

    Args:
        suite: gives the size of the pictures.
        character: whom to paint.
        rows: in which ways.
        spec: the model.
        steps: denoising steps.
        wanted: ids of the frames to paint; the others only lend.
    """
    covering = [row for row in rows if row.covers(character)]
    settings = list(dict.fromkeys(row.settings(spec) for row in covering if row.consistent))
    asked: set[str] = set()
    for number, chosen in enumerate(settings or [spec.consistency]):
        frames = {IDENTITY_FRAME: _frame(suite, character, 0, None)}
        for row in covering:
            if row.settings(spec) == chosen if row.consistent else number == 0:
                for index in range(1, len(character.frames)):
                    frames[row.frame_id(index)] = _frame(suite, character, index, row)
        targets = tuple(name for name in frames if name in wanted and name not in asked)
        asked.update(targets)
        if targets:
            yield RenderRequest(
                model=spec.name,
                frames=tuple(frames.values()),
                targets=targets,
                steps=steps,
                guidance_scale=spec.guidance_scale,
                true_cfg_scale=spec.true_cfg_scale,
                consistency=chosen,
            )


def frame_ids(character: SuiteCharacter, rows: Sequence[Row]) -> list[str]:
    """Ids of all frames of a character, each picture once."""
    names = [IDENTITY_FRAME]
    for row in rows:
        if row.covers(character):
            names += [row.frame_id(index) for index in range(1, len(character.frames))]
    return names


def _frame(suite: Suite, character: SuiteCharacter, index: int, row: Row | None) -> FrameRequest:
    """A frame as a row paints it; without a row the identity frame."""
    frame = character.frames[index]
    return FrameRequest(
        frame_id=IDENTITY_FRAME if row is None else row.frame_id(index),
        prompt=frame.prompt,
        seed=frame.seed,
        width=suite.width,
        height=suite.height,
        identity_from=IDENTITY_FRAME if row is not None and row.consistent else None,
        background_from=IDENTITY_FRAME if row is not None and row.shares_place else None,
    )
