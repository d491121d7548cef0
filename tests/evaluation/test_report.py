"""Tables of scores: their numbers, their heads, and which there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from evaluation.report import tables
from evaluation.rows import REFERENCE_ROWS, ROWS, SuiteRow
from evaluation.scores import Agreement, ReferenceScores, RowScores, Scores
from pipelines.models.measured import Interval

PLAIN = RowScores(
    name="plain",
    characters=50,
    frames=200,
    identity_kept=Interval(0.5, 0.456, 0.544),
    identity_distance=Interval(0.3214, 0.3, 0.35),
    action_followed=Interval(0.9, 0.86, 0.94),
    place_followed=Interval(0.98, 0.96, 1.0),
    place_distance=None,
    frechet=Interval(1.234, 1.0, 1.5),
    seconds=1.516,
    identity_gain=None,
    action_gain=None,
    stated={"place": Interval(0.98, 0.96, 1.0), "top_color": Interval(0.9, 0.8, 1.0)},
)
MERGE = replace(
    PLAIN,
    name="merge",
    identity_gain=Interval(0.251, 0.2, 0.3),
    action_gain=Interval(-0.02, -0.04, 0.005),
    stated={"place": Interval(0.5, 0.4, 0.6)},
)
DRAWN = replace(PLAIN, name="drawn", seconds=None)
PLACE = replace(PLAIN, name="place", characters=25, frames=100, place_distance=PLAIN.frechet)
SCORES = Scores(
    rows=(PLAIN, MERGE, DRAWN),
    shared=(replace(PLAIN, characters=25, frames=100), PLACE),
    prompts=(
        Agreement("place", 200, PLAIN.stated["place"], Interval(1.0, 1.0, 1.0), 0.991),
        Agreement("hair_color", 85, PLAIN.stated["top_color"], Interval(0.95, 0.9, 1.0), None),
    ),
    readings={},
)


NONE = ReferenceScores(
    name="none",
    characters=40,
    frames=200,
    kept=Interval(0.2, 0.15, 0.25),
    kept_over={"reference": Interval(-0.5, -0.6, -0.4)},
    action_followed=PLAIN.action_followed,
    action_over={"reference": Interval(0.03, -0.01, 0.07)},
    place_followed=PLAIN.place_followed,
    identity_distance=PLAIN.identity_distance,
    place_distance=None,
    frechet=PLAIN.frechet,
    seconds=0.8,
    attributes={"hair_color": Interval(0.1, 0.0, 0.2)},
)
FOLLOWING = replace(
    NONE,
    name="reference",
    kept=Interval(0.7, 0.65, 0.75),
    kept_over={"none": Interval(0.5, 0.4, 0.6)},
    action_over={"none": Interval(-0.03, -0.07, 0.01)},
    attributes={"hair_color": Interval(0.9, 0.85, 0.95)},
)
TRUTH = replace(FOLLOWING, name="drawn", kept_over={"none": Interval(0.78, 0.7, 0.8)})
REFERENCES = Scores((), (), (), {}, (NONE, FOLLOWING, TRUTH))


def cells(text: str, first: str) -> list[str]:
    """The cells of the first line of a table that begins with this cell."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_numbers_stand_with_their_intervals() -> None:
    text = tables(SCORES, ROWS, "What was rendered.")
    assert text.startswith("What was rendered.\n\n### 50 characters, 200 frames\n")
    head = cells(text, "row")
    assert head[1:4] == ["identity kept, %", "minus plain, points", "identity distance"]
    plain = cells(text, "plain")
    assert plain[1:4] == ["50.0 (45.6 to 54.4)", "–", "0.321 (0.300 to 0.350)"]
    assert plain[-1] == "1.52"
    merged = cells(text, "consistency with merge")
    assert merged[2] == "+25.1 (+20.0 to +30.0)"
    assert merged[head.index("action followed, %") + 1] == "-2.0 (-4.0 to +0.5)"
    assert cells(text, "drawn, not rendered")[-1] == "–"
    assert "### 25 characters whose place is shared, 100 frames" in text
    assert cells(text, "with merge and shared place")[1] == "1.2 (1.0 to 1.5)"


def test_attributes_stand_by_row_and_by_prompt() -> None:
    text = tables(SCORES, ROWS, "")
    assert cells(text, "top colour")[1:] == ["90.0 (80.0 to 100.0)", "–", "90.0 (80.0 to 100.0)"]
    assert "### 200 single prompts" in text
    prompts = text[text.index("### 200 single prompts") :]
    assert cells(prompts, "place")[1:] == [
        "200", "98.0 (96.0 to 100.0)", "100.0 (100.0 to 100.0)", "99.1",
    ]  # fmt: skip
    assert cells(prompts, "hair colour")[-1] == "–"


def test_references_are_compared_row_by_row() -> None:
    text = tables(REFERENCES, REFERENCE_ROWS, "What was rendered.")
    assert text.startswith("What was rendered.\n\n### 40 characters, 200 frames\n")
    main, kept, acted, attributes = text.split("\n### ")[1:]
    assert cells(main, "row")[1:3] == ["kept from the reference, %", "minus no reference, points"]
    assert cells(main, "no reference")[1:3] == ["20.0 (15.0 to 25.0)", "–"]
    assert cells(main, "reference")[1:3] == ["70.0 (65.0 to 75.0)", "+50.0 (+40.0 to +60.0)"]
    assert cells(main, "reference")[4] == "-3.0 (-7.0 to +1.0)"
    assert cells(kept, "row") == ["row", "minus no reference", "minus reference"]
    assert cells(kept, "no reference") == ["no reference", "–", "-50.0 (-60.0 to -40.0)"]
    assert cells(kept, "drawn, not rendered")[1] == "+78.0 (+70.0 to +80.0)"
    assert cells(acted, "no reference")[2] == "+3.0 (-1.0 to +7.0)"
    assert cells(attributes, "hair colour")[1:3] == ["10.0 (0.0 to 20.0)", "90.0 (85.0 to 95.0)"]


@pytest.mark.parametrize(("scores", "rows"), [(SCORES, ROWS), (REFERENCES, REFERENCE_ROWS)])
def test_every_table_is_a_table(scores: Scores, rows: Sequence[SuiteRow]) -> None:
    lines = tables(scores, rows, "").splitlines()
    widths = [line.count("|") if line.startswith("|") else 0 for line in lines]
    for above, below in zip(widths, widths[1:], strict=False):
        assert 0 in (above, below) or above == below
    assert sum(line.startswith("| --- |") for line in lines) == 4


def test_what_was_not_evaluated_has_no_table() -> None:
    text = tables(replace(SCORES, rows=(), shared=()), (), "Prompts alone.")
    assert "characters" not in text
    assert "### 200 single prompts" in text
