"""Tables of scores, in Markdown. Knows nothing of pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from evaluation.results import NOTHING, grid, interval_text
from evaluation.rows import SuiteRow
from evaluation.scores import ReferenceScores, RowScores, Scores
from pipelines.models.measured import Interval

AnyScores = TypeVar("AnyScores", RowScores, ReferenceScores)


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
        parts += [_counts(scores.rows, "characters"), _main_table(scores.rows, titles, base)]
    if scores.shared:
        parts += [_counts(scores.shared, "characters whose place is shared")]
        parts += [_place_table(scores.shared, titles, base)]
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
        ("row", lambda row: titles[row.name]),
        ("kept from the reference, %", lambda row: _percent(row.kept)),
        (f"minus {titles[first]}, points", lambda row: _points(row.kept_over.get(first))),
        ("action followed, %", lambda row: _percent(row.action_followed)),
        (f"minus {titles[first]}, points", lambda row: _points(row.action_over.get(first))),
        ("place followed, %", lambda row: _percent(row.place_followed)),
        ("identity distance", lambda row: _number(row.identity_distance, 3)),
        ("colour distance of the shared place", lambda row: _number(row.place_distance, 1)),
        ("Fréchet distance", lambda row: _number(row.frechet, 2)),
        ("s a frame", lambda row: _seconds(row.seconds)),
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


def _main_table(rows: Sequence[RowScores], titles: Mapping[str, str], base: str) -> str:
    return _table(
        rows,
        ("row", lambda row: titles[row.name]),
        ("identity kept, %", lambda row: _percent(row.identity_kept)),
        (f"minus {base}, points", lambda row: _points(row.identity_gain)),
        ("identity distance", lambda row: _number(row.identity_distance, 3)),
        ("action followed, %", lambda row: _percent(row.action_followed)),
        (f"minus {base}, points", lambda row: _points(row.action_gain)),
        ("place followed, %", lambda row: _percent(row.place_followed)),
        ("Fréchet distance", lambda row: _number(row.frechet, 2)),
        ("s a frame", lambda row: _seconds(row.seconds)),
    )


def _place_table(rows: Sequence[RowScores], titles: Mapping[str, str], base: str) -> str:
    return _table(
        rows,
        ("row", lambda row: titles[row.name]),
        ("colour distance of the place", lambda row: _number(row.place_distance, 1)),
        ("place followed, %", lambda row: _percent(row.place_followed)),
        ("identity kept, %", lambda row: _percent(row.identity_kept)),
        (f"minus {base}, points", lambda row: _points(row.identity_gain)),
        ("action followed, %", lambda row: _percent(row.action_followed)),
        (f"minus {base}, points", lambda row: _points(row.action_gain)),
        ("Fréchet distance", lambda row: _number(row.frechet, 2)),
        ("s a frame", lambda row: _seconds(row.seconds)),
    )


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


def _table(rows: Sequence[AnyScores], *columns: tuple[str, Callable[[AnyScores], str]]) -> str:
    return grid(
        [title for title, _ in columns], [[cell(row) for _, cell in columns] for row in rows]
    )


def _percent(interval: Interval | None) -> str:
    return interval_text(interval, ".1f", 100)


def _points(interval: Interval | None) -> str:
    return interval_text(interval, "+.1f", 100)


def _number(interval: Interval | None, digits: int) -> str:
    return interval_text(interval, f".{digits}f")


def _seconds(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{seconds:.2f}"


def _words(name: str) -> str:
    return name.replace("_", " ").replace("color", "colour")
