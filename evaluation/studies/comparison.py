"""Comparison of ways to render the same characters, and its table. Without torch at import.

Seams tell merged pictures that fall apart into tokens, which the judge still reads rightly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluation.rendering import EvaluationFolder
from evaluation.results import grid, interval_text
from evaluation.rows import SuiteRow
from evaluation.suite import SuiteCharacter
from pipelines.models.measured import Interval

if TYPE_CHECKING:
    from evaluation.drawn.judge import JudgeReader
    from evaluation.metrics.measures import Sightings

HEAD = (
    "steps", "row",
    "identity kept, %", "minus plain, points",
    "action followed, %", "minus plain, points",
    "place followed, %", "seams",
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
    """

    steps: int
    title: str
    identity: Interval | None
    identity_gain: Interval | None
    action: Interval | None
    action_gain: Interval | None
    place: Interval | None
    seams: Interval | None


def compare_folder(
    folder: EvaluationFolder, cases: Sequence[SuiteCharacter], reader: JudgeReader
) -> list[WayScores]:
    """Read the pictures of a folder whose first row is the plain one, and score its rows."""
    rows = folder.run.rows
    seen = {row.name: reader.read_row(folder.row(row, cases)) for row in rows}
    return score_rows(cases, folder.run.steps, rows, seen)


def score_rows(
    cases: Sequence[SuiteCharacter],
    steps: int,
    rows: Sequence[SuiteRow],
    seen: Mapping[str, Sightings],
) -> list[WayScores]:
    """Score ways to render, each on all those of the characters that it covers.

    Args:
        cases: the characters.
        steps: denoising steps.
        rows: the ways; gains are over the first, on the same characters.
        seen: the judge's readings, by the name of the row.
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
        plainly_kept, plainly_acted = (
            tally(observe, covered, seen[base]) for observe in (identity_kept, action)
        )
        plain = row.name == base
        found.append(
            WayScores(
                steps=steps,
                title=row.title,
                identity=mean(kept),
                identity_gain=None if plain else difference(kept, plainly_kept),
                action=mean(acted),
                action_gain=None if plain else difference(acted, plainly_acted),
                place=mean(place),
                seams=mean(edges),
            )
        )
    return found


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
            ]
            for way in scores
        ],
    )
