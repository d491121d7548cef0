"""Comparison of ways to render the same characters, and its table. Without torch at import.

Seams tell merged pictures that fall apart into tokens, which the judge still reads rightly.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.rendering import EvaluationFolder
from evaluation.results import grid, interval_text
from evaluation.rows import SuiteRow
from evaluation.scores import RenderedRow
from evaluation.suite import SuiteCharacter
from pipelines.models.measured import Interval

if TYPE_CHECKING:
    from evaluation.drawn.judge import JudgeReader
    from evaluation.metrics.measures import Sightings

HEAD = (
    "steps", "row",
    "identity kept, %", "minus plain, points",
    "action followed, %", "minus plain, points",
    "place followed, %", "seams", "s a frame",
)  # fmt: skip


@dataclass(frozen=True)
class WayScores:
    """Scores of a way to render in a number of steps. None stands where nothing was observed.

    Attributes:
        steps: denoising steps.
        title: the way.
        identity: share of the left-out attributes that equal the identity frame's.
        identity_gain: the same minus that of the first way; None for this one.
        action: share of the frames with the stated action.
        action_gain: the same minus that of the first way; None for this one.
        place: share of the frames in the stated place.
        seams: contrast between neighbouring tokens of the figure, by that inside tokens.
        seconds: median time of a frame.
    """

    steps: int
    title: str
    identity: Interval | None
    identity_gain: Interval | None
    action: Interval | None
    action_gain: Interval | None
    place: Interval | None
    seams: Interval | None
    seconds: float


def compare_folder(
    folder: EvaluationFolder, cases: Sequence[SuiteCharacter], reader: JudgeReader
) -> list[WayScores]:
    """Read the pictures of a folder whose first row is the plain one, and score its rows."""
    rows = folder.run.rows
    rendered = [folder.row(row, cases) for row in rows]
    seen = {row.name: reader.read_row(row) for row in rendered}
    seconds = {row.name: median_seconds(row) for row in rendered}
    return score_rows(cases, folder.run.steps, rows, seen, seconds)


def score_rows(
    cases: Sequence[SuiteCharacter],
    steps: int,
    rows: Sequence[SuiteRow],
    seen: Mapping[str, Sightings],
    seconds: Mapping[str, float],
) -> list[WayScores]:
    """Score ways to render, each on all those of the characters that it covers.

    Args:
        cases: the characters.
        steps: denoising steps.
        rows: the ways; gains are over the first, on the same characters.
        seen: the judge's readings, by the name of the row.
        seconds: median time of a frame, likewise.
    """
    # Imports torch, whose threads the engine sets up before it is first imported.
    from evaluation.metrics.measures import followed, identity_kept, seams, tally
    from evaluation.metrics.statistics import difference, mean

    action, base, found = followed("action"), rows[0].name, []
    for row in rows:
        covered = [case for case in cases if case.name in seen[row.name]]
        kept, acted, place, edges = (
            tally(observe, covered, seen[row.name])
            for observe in (identity_kept, action, followed("place"), seams)
        )
        plain = row.name == base
        first = seen[base]
        found.append(
            WayScores(
                steps=steps,
                title=row.title,
                identity=mean(kept),
                identity_gain=None
                if plain
                else difference(kept, tally(identity_kept, covered, first)),
                action=mean(acted),
                action_gain=None if plain else difference(acted, tally(action, covered, first)),
                place=mean(place),
                seams=mean(edges),
                seconds=seconds[row.name],
            )
        )
    return found


def median_seconds(row: RenderedRow) -> float:
    """Compute the median time of the frames of a row, identity frames not counted."""
    frames = (picture for case in row.pictures.values() for picture in case[1:])
    return statistics.median(picture.seconds for picture in frames)


def table(scores: Sequence[WayScores]) -> str:
    """Format a line for each way, in Markdown."""
    return grid(
        HEAD,
        [
            [
                str(way.steps),
                way.title,
                interval_text(way.identity, ".1f", 100),
                interval_text(way.identity_gain, "+.1f", 100),
                interval_text(way.action, ".1f", 100),
                interval_text(way.action_gain, "+.1f", 100),
                interval_text(way.place, ".1f", 100),
                interval_text(way.seams, ".2f"),
                f"{way.seconds:.2f}",
            ]
            for way in scores
        ],
    )
