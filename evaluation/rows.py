"""Rows of an evaluation's tables, and the requests that render them.

A row is a way to render a suite: what a frame takes from the identity frame and from the
character's reference, and which of the model's settings are changed. Prompts and seeds are the
same in all rows, and rows with the same conditioning share the identity frame. Knows nothing of
files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evaluation.suite import Suite, SuiteCharacter
from pipelines.models.specs import ModelSpec
from pipelines.request import ConsistencySettings, FrameRequest, RenderRequest

IDENTITY_FRAME = "identity"


@dataclass(frozen=True)
class Conditioning:
    """Conditioning of frames on the character's reference.

    Attributes:
        name: for files; rows with the same name are conditioned alike.
        strength: of the conditioning; None for the model's own.
        bundle: the folder of the character adapter; None for the model's own.
        model: the folder of a model that has this bundle in place of its own; empty for the
            model as it is.
    """

    name: str
    strength: float | None = None
    bundle: Path | None = None
    model: str = ""

    def strength_for(self, spec: ModelSpec) -> float:
        """Return the strength for frames of a model."""
        if self.strength is not None:
            return self.strength
        return 1.0 if spec.character_adapter is None else spec.character_adapter.strength


@dataclass(frozen=True)
class SuiteRow:
    """Way to render a character's frames.

    Attributes:
        name: for the command line and for files.
        title: for the tables.
        consistent: whether frames take the character from the identity frame.
        shares_place: whether frames that are in another one's place take it from there.
        sharers_only: whether it covers only characters all of whose frames share a place.
        changes: settings of `ConsistencySettings` that differ from the model's own.
        conditioning: on the character's reference; None for none.
    """

    name: str
    title: str
    consistent: bool = True
    shares_place: bool = False
    sharers_only: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)
    conditioning: Conditioning | None = None

    def covers(self, character: SuiteCharacter) -> bool:
        """Return whether the row renders this character."""
        if self.conditioning is not None and character.reference is None:
            return False
        return character.shares_place or not self.sharers_only

    def settings(self, spec: ModelSpec, steps: int) -> ConsistencySettings:
        """Return the model's settings for a number of steps, with this row's changes."""
        return replace(spec.consistency_for(steps), **self.changes)

    def model(self, spec: ModelSpec) -> str:
        """Return the name of the model that renders it."""
        return spec.name if self.conditioning is None else self.conditioning.model or spec.name

    def frame_id(self, index: int) -> str:
        """Return the name in requests and files of the frame with this index."""
        if index:
            return f"{self.name}-{index + 1}"
        if self.conditioning is None:
            return IDENTITY_FRAME
        return f"{IDENTITY_FRAME}-{self.conditioning.name}"


ROWS = (
    SuiteRow("plain", "plain", consistent=False),
    SuiteRow("sharing", "consistency without merge", changes={"merge": False}),
    SuiteRow("merge", "consistency with merge", changes={"merge": True}),
    SuiteRow(
        "place",
        "with merge and shared place",
        shares_place=True,
        sharers_only=True,
        changes={"merge": True},
    ),
)
OWN_CONDITIONING = Conditioning("reference")
REFERENCE_ROWS = (
    SuiteRow("none", "no reference", consistent=False),
    SuiteRow("consistency", "consistency alone", shares_place=True),
    SuiteRow("reference", "reference", consistent=False, conditioning=OWN_CONDITIONING),
    SuiteRow("both", "reference and consistency", shares_place=True, conditioning=OWN_CONDITIONING),
)


def requests(
    suite: Suite,
    character: SuiteCharacter,
    rows: Sequence[SuiteRow],
    spec: ModelSpec,
    steps: int,
    missing: Collection[str],
    reference: str | None = None,
) -> Iterator[RenderRequest]:
    """Make the requests of one character: one for each model and distinct setting of the rows.

    Rows without consistency do not depend on the settings and come with their model's first
    request. Of the frames only those in `missing` are targets; the others are sources.
    """
    requested: set[str] = set()
    for model, settings, together in _groups(character, rows, spec, steps):
        frames = {
            row.frame_id(index): _frame(suite, character, index, row, spec, reference)
            for row in together
            for index in range(len(character.frames))
        }
        targets = tuple(name for name in frames if name in missing and name not in requested)
        requested.update(targets)
        if targets:
            made = own_request(spec, tuple(frames.values()))
            yield replace(made, model=model, targets=targets, steps=steps, consistency=settings)


def own_request(spec: ModelSpec, frames: tuple[FrameRequest, ...]) -> RenderRequest:
    """Make the request of frames with a model's own settings; all of them are targets."""
    return RenderRequest(
        model=spec.name,
        frames=frames,
        targets=tuple(frame.frame_id for frame in frames),
        steps=spec.steps,
        guidance_scale=spec.guidance_scale,
        true_cfg_scale=spec.true_cfg_scale,
        consistency=spec.consistency_for(spec.steps),
    )


def frame_ids(character: SuiteCharacter, rows: Sequence[SuiteRow]) -> list[str]:
    """Return the ids of all frames of a character, each picture once."""
    indices = range(len(character.frames))
    names = [row.frame_id(index) for row in _covering(character, rows) for index in indices]
    return list(dict.fromkeys(names))


def _covering(character: SuiteCharacter, rows: Sequence[SuiteRow]) -> list[SuiteRow]:
    """Return the rows that render a character, plain if there is none."""
    return [row for row in rows if row.covers(character)] or [ROWS[0]]


def _groups(
    character: SuiteCharacter, rows: Sequence[SuiteRow], spec: ModelSpec, steps: int
) -> Iterator[tuple[str, ConsistencySettings, list[SuiteRow]]]:
    """Yield models, settings, and the rows that are rendered with these."""
    covering = _covering(character, rows)
    for model in dict.fromkeys(row.model(spec) for row in covering):
        alike = [row for row in covering if row.model(spec) == model]
        settings = dict.fromkeys(row.settings(spec, steps) for row in alike if row.consistent)
        for number, chosen in enumerate(settings or [spec.consistency_for(steps)]):
            together = [
                row
                for row in alike
                if (row.settings(spec, steps) == chosen if row.consistent else number == 0)
            ]
            yield model, chosen, together


def _frame(
    suite: Suite,
    character: SuiteCharacter,
    index: int,
    row: SuiteRow,
    spec: ModelSpec,
    reference: str | None,
) -> FrameRequest:
    """Make the request of a frame in a row."""
    frame = character.frames[index]
    source = character.place_source(index) if row.shares_place else None
    plain = FrameRequest(
        frame_id=row.frame_id(index),
        prompt=frame.prompt,
        seed=frame.seed,
        width=suite.width,
        height=suite.height,
        identity_from=row.frame_id(0) if row.consistent and index else None,
        background_from=None if source is None else row.frame_id(source),
    )
    if row.conditioning is None:
        return plain
    strength = row.conditioning.strength_for(spec)
    return replace(plain, reference=reference, reference_strength=strength)
