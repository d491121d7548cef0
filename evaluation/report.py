"""Tables of scores, in Markdown. Knows nothing of pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evaluation.results import NOTHING, grid, interval_text
from evaluation.rows import SuiteRow
from evaluation.scores import ReferenceScores, RowScores, Scores
from pipelines.models.measured import Interval

Column = tuple[str, Callable[[Any], str]]
"""Title of a column, and the function that formats its cell of a row's scores."""


def tables(scores: Scores, rows: Sequence[SuiteRow], heading: str) -> str:
    """Format all tables of an evaluation.

    Args:
        scores: the scores.
        rows: the rows of the suite, for their titles.
        heading: the suite, the model and the command, in Markdown.
    """
    titles = {row.name: row.title for row in rows} | {"drawn": "drawn, not rendered"}
    base = titles[rows[0].name] if rows else ""
    parts = [heading]
    if scores.rows:
        parts += [_counts(scores.rows, "characters"), _row_table(scores.rows, titles, base)]
    if scores.shared:
        parts += [_counts(scores.shared, "characters whose place is shared")]
        parts += [_row_table(scores.shared, titles, base, shared=True)]
    if scores.rows:
        parts += ["### Stated attributes, by row\n\nPer cent of the frames that state them."]
        parts += [_attribute_table({row.name: row.stated for row in scores.rows}, titles)]
    if scores.references:
        parts += _reference_parts(scores.references, titles)
    if scores.prompts:
        count = max(agreement.prompts for agreement in scores.prompts)
        parts += [
            f"### {count} single prompts\n\nPer cent of the prompts that state the attribute."
        ]
        parts += [_prompt_table(scores)]
    return "\n\n".join(parts) + "\n"


def _reference_parts(rows: Sequence[ReferenceScores], titles: Mapping[str, str]) -> list[str]:
    """Format the tables of a suite of references; differences are over the first row."""
    first = rows[0].name
    main = _table(
        rows,
        titles,
        ("kept from the reference, %", lambda row: _percent(row.kept)),
        (f"minus {titles[first]}, points", lambda row: _points(row.kept_over.get(first))),
        _ACTION,
        (f"minus {titles[first]}, points", lambda row: _points(row.action_over.get(first))),
        _PLACE,
        _DISTANCE,
        ("colour distance of the shared place", _place_distance),
        *_LAST,
    )
    return [
        _counts(rows, "characters"),
        main,
        "### Kept from the reference: one row minus another, in points",
        _difference_table({row.name: row.kept_over for row in rows}, titles),
        "### Action followed: one row minus another, in points",
        _difference_table({row.name: row.action_over for row in rows}, titles),
        "### Attributes kept from the reference, by row\n\nPer cent of the frames in which they "
        "can be seen.",
        _attribute_table({row.name: row.attributes for row in rows}, titles),
    ]


def _difference_table(over: Mapping[str, Mapping[str, Interval]], titles: Mapping[str, str]) -> str:
    """Format every row minus every rendered one."""
    compared = [name for name in over if name != "drawn"]
    return grid(
        ["row", *(f"minus {titles[name]}" for name in compared)],
        [
            [titles[name], *(_points(found.get(other)) for other in compared)]
            for name, found in over.items()
        ],
    )


def _attribute_table(rows: Mapping[str, Mapping[str, Interval]], titles: Mapping[str, str]) -> str:
    """Format a line for each attribute, a column for each row."""
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return grid(
        ["attribute", *(titles[name] for name in rows)],
        [[_words(n), *(_percent(row.get(n)) for row in rows.values())] for n in names],
    )


def _counts(rows: Sequence[RowScores] | Sequence[ReferenceScores], characters: str) -> str:
    return f"### {rows[0].characters} {characters}, {rows[0].frames} frames"


def _row_table(
    rows: Sequence[RowScores], titles: Mapping[str, str], base: str, *, shared: bool = False
) -> str:
    """Format the scores of all rows; where places are shared, their distance comes first."""
    kept: list[Column] = [
        ("identity kept, %", lambda row: _percent(row.identity_kept)),
        (f"minus {base}, points", lambda row: _points(row.identity_gain)),
    ]
    acted = [_ACTION, (f"minus {base}, points", lambda row: _points(row.action_gain))]
    columns = [*kept, _DISTANCE, *acted, _PLACE]
    if shared:
        columns = [("colour distance of the place", _place_distance), _PLACE, *kept, *acted]
    return _table(rows, titles, *columns, *_LAST)


def _prompt_table(scores: Scores) -> str:
    return grid(
        ["attribute", "prompts", "rendered", "drawn, not rendered", "judge's own accuracy"],
        [
            [
                _words(agreement.name),
                str(agreement.prompts),
                _percent(agreement.painted),
                _percent(agreement.drawn),
                NOTHING if agreement.judge is None else f"{100 * agreement.judge:.1f}",
            ]
            for agreement in scores.prompts
        ],
    )


def _table(
    rows: Sequence[RowScores] | Sequence[ReferenceScores],
    titles: Mapping[str, str],
    *columns: Column,
) -> str:
    return grid(
        ["row", *(title for title, _ in columns)],
        [[titles[row.name], *(cell(row) for _, cell in columns)] for row in rows],
    )


def _percent(interval: Interval | None) -> str:
    return interval_text(interval, ".1f", 100)


def _points(interval: Interval | None) -> str:
    return interval_text(interval, "+.1f", 100)


def _place_distance(row: RowScores | ReferenceScores) -> str:
    return interval_text(row.place_distance, ".1f")


def _words(name: str) -> str:
    return name.replace("_", " ").replace("color", "colour")


_ACTION: Column = ("action followed, %", lambda row: _percent(row.action_followed))
_PLACE: Column = ("place followed, %", lambda row: _percent(row.place_followed))
_DISTANCE: Column = ("identity distance", lambda row: interval_text(row.identity_distance, ".3f"))
_LAST: tuple[Column, ...] = (
    ("Fréchet distance", lambda row: interval_text(row.frechet, ".2f")),
    ("s a frame", lambda row: NOTHING if row.seconds is None else f"{row.seconds:.2f}"),
)
