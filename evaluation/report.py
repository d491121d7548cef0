"""Scores as tables in Markdown, and a page that holds them between two marks.

It knows nothing of pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from evaluation.rows import Row
from evaluation.scores import ReferenceScores, RowScores, Scores
from pipelines.errors import UserError
from pipelines.models.measured import Interval
from storyboard.storage.files import write_atomically

BEGIN, END = "<!-- evaluation: begin -->", "<!-- evaluation: end -->"
_NOTHING = "–"

AnyScores = TypeVar("AnyScores", RowScores, ReferenceScores)


def tables(scores: Scores, rows: Sequence[Row], heading: str) -> str:
    """All tables of an evaluation.

    Args:
        scores: what was found.
        rows: for their titles.
        heading: what was painted, with what and by which command, in Markdown.
    """
    titles = {row.name: row.title for row in rows} | {"drawn": "drawn, not painted"}
    base = titles[rows[0].name] if rows else ""
    parts = [heading]
    if scores.rows:
        parts += [_who(scores.rows, "characters"), _main_table(scores.rows, titles, base)]
    if scores.shared:
        parts += [_who(scores.shared, "characters whose place is shared")]
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


def update_page(path: Path, text: str) -> None:
    """Put tables into a page in place of those between its marks.

    Raises:
        UserError: if the page cannot be read or written, or has no marks.
    """
    try:
        page = path.read_text(encoding="utf-8")
        before, begin, rest = page.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise UserError(
                f"{path} has no place for tables.",
                f"Write the lines {BEGIN} and {END} where they should go.",
            )
        written = f"{before}{BEGIN}\n\n{text}\n{END}{after}"
        write_atomically(path, written.encode())
    except OSError as error:
        raise UserError(f"{path} cannot be used ({error.strerror or error}).") from error


def _reference_parts(rows: Sequence[ReferenceScores], titles: Mapping[str, str]) -> list[str]:
    """The tables of how references are followed; differences are over the first row."""
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
        _who(rows, "characters"),
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
    """Every row minus every painted one."""
    compared = [name for name in over if name != "drawn"]
    lines = [["row", *(f"minus {titles[name]}" for name in compared)]]
    for name, found in over.items():
        lines.append([titles[name], *(_points(found.get(other)) for other in compared)])
    return _grid(lines)


def _attribute_table(rows: Mapping[str, Mapping[str, Interval]], titles: Mapping[str, str]) -> str:
    """A line for each attribute, a column for each row."""
    names = dict.fromkeys(name for row in rows.values() for name in row)
    lines = [["attribute", *(titles[name] for name in rows)]]
    lines += [[_words(n), *(_percent(row.get(n)) for row in rows.values())] for n in names]
    return _grid(lines)


def _who(rows: Sequence[RowScores] | Sequence[ReferenceScores], whom: str) -> str:
    return f"### {rows[0].characters} {whom}, {rows[0].frames} frames"


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
    lines = [["attribute", "prompts", "painted", "drawn, not painted", "judge's own accuracy"]]
    lines += [
        [
            _words(agreement.name),
            str(agreement.prompts),
            _percent(agreement.painted),
            _percent(agreement.drawn),
            _NOTHING if agreement.judge is None else f"{100 * agreement.judge:.1f}",
        ]
        for agreement in scores.prompts
    ]
    return _grid(lines)


def _table(rows: Sequence[AnyScores], *columns: tuple[str, Callable[[AnyScores], str]]) -> str:
    head = [title for title, _ in columns]
    return _grid([head, *([cell(row) for _, cell in columns] for row in rows)])


def _grid(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose first line is the head."""
    head, *body = lines
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *body))


def _percent(interval: Interval | None) -> str:
    if interval is None:
        return _NOTHING
    return f"{100 * interval.value:.1f} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _points(interval: Interval | None) -> str:
    if interval is None:
        return _NOTHING
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.value:+.1f} ({low:+.1f} to {high:+.1f})"


def _number(interval: Interval | None, digits: int) -> str:
    if interval is None:
        return _NOTHING
    value, low, high = (f"{x:.{digits}f}" for x in (interval.value, interval.low, interval.high))
    return f"{value} ({low} to {high})"


def _seconds(seconds: float | None) -> str:
    return _NOTHING if seconds is None else f"{seconds:.2f}"


def _words(name: str) -> str:
    return name.replace("_", " ").replace("color", "colour")
