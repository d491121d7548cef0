"""In which ways a suite is painted, and the requests for that.

A row of the tables is a way to paint: what a frame takes from the identity frame and from the
character's reference, and which of the model's settings are changed. Prompts and seeds are the
same in all rows, and rows that follow the reference alike have the same identity frame. It knows
nothing of files.
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
class Following:
    """With what, and how closely, frames follow the reference.

    Attributes:
        name: for files; rows with the same name follow it alike.
        strength: how closely; None for what suits the model.
        bundle: the folder with what the reference is followed with; None for the model's own.
        model: the folder of a model that has this bundle in place of its own; empty for the
            model as it is.
    """

    name: str
    strength: float | None = None
    bundle: Path | None = None
    model: str = ""

    def strength_for(self, spec: ModelSpec) -> float:
        """How closely frames of a model follow the reference."""
        if self.strength is not None:
            return self.strength
        return 1.0 if spec.character_adapter is None else spec.character_adapter.strength


@dataclass(frozen=True)
class Row:
    """One way to paint a character's frames.

    Attributes:
        name: for the command line and for files.
        title: for the tables.
        consistent: whether frames take the character from the identity frame.
        shares_place: whether frames that are in another one's place take it from there.
        sharers_only: whether only characters all of whose frames share a place are painted so.
        changes: settings of `ConsistencySettings` that differ from the model's own.
        follows: how frames follow the character's reference; None where they do not.
    """

    name: str
    title: str
    consistent: bool = True
    shares_place: bool = False
    sharers_only: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)
    follows: Following | None = None

    def covers(self, character: SuiteCharacter) -> bool:
        """Whether this character is painted so."""
        if self.follows is not None and character.reference is None:
            return False
        return character.shares_place or not self.sharers_only

    def settings(self, spec: ModelSpec) -> ConsistencySettings:
        """The model's settings with this row's changes."""
        return replace(spec.consistency, **self.changes)

    def model(self, spec: ModelSpec) -> str:
        """The name of the model that paints it."""
        return spec.name if self.follows is None else self.follows.model or spec.name

    def frame_id(self, number: int) -> str:
        """What requests and files call the frame with this index."""
        if number:
            return f"{self.name}-{number + 1}"
        return IDENTITY_FRAME if self.follows is None else f"{IDENTITY_FRAME}-{self.follows.name}"


ROWS = (
    Row("plain", "plain", consistent=False),
    Row("sharing", "consistency without merge", changes={"merge": False}),
    Row("merge", "consistency with merge", changes={"merge": True}),
    Row(
        "place",
        "with merge and shared place",
        shares_place=True,
        sharers_only=True,
        changes={"merge": True},
    ),
)
OWN = Following("reference")
REFERENCE_ROWS = (
    Row("none", "no reference", consistent=False),
    Row("consistency", "consistency alone", shares_place=True),
    Row("reference", "reference", consistent=False, follows=OWN),
    Row("both", "reference and consistency", shares_place=True, follows=OWN),
)


def requests(
    suite: Suite,
    character: SuiteCharacter,
    rows: Sequence[Row],
    spec: ModelSpec,
    steps: int,
    wanted: Collection[str],
    reference: str | None = None,
) -> Iterator[RenderRequest]:
    """The requests that paint one character: one for each model and distinct setting of the rows.

    Rows without consistency do not depend on the settings and come with their model's first
    request.

    Args:
        suite: gives the size of the pictures.
        character: whom to paint.
        rows: in which ways.
        spec: the model.
        steps: denoising steps.
        wanted: ids of the frames to paint; the others only lend.
        reference: name of the picture that shows the character, if there is one.
    """
    asked: set[str] = set()
    for model, settings, together in _groups(character, rows, spec):
        frames = {
            row.frame_id(index): _frame(suite, character, index, row, spec, reference)
            for row in together
            for index in range(len(character.frames))
        }
        targets = tuple(name for name in frames if name in wanted and name not in asked)
        asked.update(targets)
        if targets:
            yield RenderRequest(
                model=model,
                frames=tuple(frames.values()),
                targets=targets,
                steps=steps,
                guidance_scale=spec.guidance_scale,
                true_cfg_scale=spec.true_cfg_scale,
                consistency=settings,
            )


def frame_ids(character: SuiteCharacter, rows: Sequence[Row]) -> list[str]:
    """Ids of all frames of a character, each picture once."""
    indices = range(len(character.frames))
    names = [row.frame_id(index) for row in _covering(character, rows) for index in indices]
    return list(dict.fromkeys(names))


def _covering(character: SuiteCharacter, rows: Sequence[Row]) -> list[Row]:
    """The rows in which a character is painted, plain if there is none."""
    return [row for row in rows if row.covers(character)] or [ROWS[0]]


def _groups(
    character: SuiteCharacter, rows: Sequence[Row], spec: ModelSpec
) -> Iterator[tuple[str, ConsistencySettings, list[Row]]]:
    """Models, settings, and the rows that are painted with these."""
    covering = _covering(character, rows)
    for model in dict.fromkeys(row.model(spec) for row in covering):
        alike = [row for row in covering if row.model(spec) == model]
        settings = dict.fromkeys(row.settings(spec) for row in alike if row.consistent)
        for number, chosen in enumerate(settings or [spec.consistency]):
            together = [
                row
                for row in alike
                if (row.settings(spec) == chosen if row.consistent else number == 0)
            ]
            yield model, chosen, together


def _frame(
    suite: Suite,
    character: SuiteCharacter,
    index: int,
    row: Row,
    spec: ModelSpec,
    reference: str | None,
) -> FrameRequest:
    """A frame as a row paints it."""
    frame = character.frames[index]
    place = character.place_source(index) if row.shares_place else None
    plain = FrameRequest(
        frame_id=row.frame_id(index),
        prompt=frame.prompt,
        seed=frame.seed,
        width=suite.width,
        height=suite.height,
        identity_from=row.frame_id(0) if row.consistent and index else None,
        background_from=None if place is None else row.frame_id(place),
    )
    if row.follows is None:
        return plain
    strength = row.follows.strength_for(spec)
    return replace(plain, reference=reference, reference_strength=strength)
