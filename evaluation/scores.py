"""Data of an evaluation: rendered pictures in, scores out. Without torch.

`evaluation.rendering` renders the pictures, `evaluation.metrics` computes the scores, and
`evaluation.report` formats the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipelines.models.measured import Interval


@dataclass(frozen=True)
class RenderedPicture:
    """RGB picture of the suite's size on the disk, and the seconds of its frame, probe included."""

    path: Path
    seconds: float


@dataclass(frozen=True)
class RenderedRow:
    """All pictures of one row.

    Attributes:
        name: the row's name.
        pictures: for each character, by name, the pictures of its frames in their order. The first
            is the identity frame's.
    """

    name: str
    pictures: Mapping[str, tuple[RenderedPicture, ...]]


@dataclass(frozen=True)
class RowScores:
    """Scores of a row. None stands where there is nothing to measure.

    Attributes:
        name: the row.
        characters: how many characters were measured.
        frames: how many frames, identity frames not counted.
        identity_kept: share of the left-out attributes that equal the identity frame's.
        identity_distance: mean cosine distance of the judge's embedding of the character to that
            in the identity frame, in [0, 2].
        action_followed: share of the frames with the stated action.
        place_followed: share of the frames in the stated place.
        place_distance: mean colour distance (CIE76) to the identity frame outside both
            foregrounds, over the characters whose place is shared.
        frechet: Fréchet distance to drawn pictures in the judge's features.
        seconds: median time of a frame; None for drawn pictures.
        identity_gain: `identity_kept` minus that of the first row on the same characters.
        action_gain: `action_followed` minus that of the first row on the same characters.
        stated: for each attribute, the share that shows it of the frames that state it.
    """

    name: str
    characters: int
    frames: int
    identity_kept: Interval | None
    identity_distance: Interval | None
    action_followed: Interval | None
    place_followed: Interval | None
    place_distance: Interval | None
    frechet: Interval | None
    seconds: float | None
    identity_gain: Interval | None
    action_gain: Interval | None
    stated: Mapping[str, Interval]


@dataclass(frozen=True)
class ReferenceScores:
    """Scores of a row on characters with references; all frames count. Others as in `RowScores`.

    Attributes:
        kept: share that the frames show as the reference does, of the attributes that only the
            reference shows.
        kept_over: `kept` minus that of each other row, by its name.
        action_over: `action_followed` minus that of each other row, by its name.
        place_distance: mean colour distance (CIE76), outside both foregrounds, of frames to those
            whose place they are in.
        attributes: for each attribute that only a reference shows, the share that keeps it.
    """

    name: str
    characters: int
    frames: int
    kept: Interval | None
    kept_over: Mapping[str, Interval]
    action_followed: Interval | None
    action_over: Mapping[str, Interval]
    place_followed: Interval | None
    identity_distance: Interval | None
    place_distance: Interval | None
    frechet: Interval | None
    seconds: float | None
    attributes: Mapping[str, Interval]


@dataclass(frozen=True)
class Agreement:
    """Agreement of pictures with the prompts on one attribute.

    Attributes:
        name: the attribute.
        prompts: how many prompts state it.
        painted: agreement of the judge with the prompts, on rendered pictures.
        drawn: the same on pictures drawn of the same scenes: the judge's own accuracy there.
        judge: the judge's accuracy on many other drawn pictures, as its training measured it; None
            where it did not.
    """

    name: str
    prompts: int
    painted: Interval
    drawn: Interval
    judge: float | None


@dataclass(frozen=True)
class Scores:
    """All scores of an evaluation.

    Attributes:
        rows: the rows that render every character, and last drawn pictures of the same scenes.
        shared: all rows on the characters whose place is shared, and drawn pictures of those.
        prompts: agreement with single prompts, by attribute.
        readings: the judge's reading of each picture, by the picture's path.
        references: of a suite whose characters have references, its rows, and last drawn pictures
            of the same scenes; then `rows` and `shared` are empty.
    """

    rows: tuple[RowScores, ...]
    shared: tuple[RowScores, ...]
    prompts: tuple[Agreement, ...]
    readings: Mapping[Path, Mapping[str, str]]
    references: tuple[ReferenceScores, ...] = ()
