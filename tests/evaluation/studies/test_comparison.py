"""The comparison of ways to render, and its table."""

from __future__ import annotations

import pytest

from evaluation.drawn.judge import JUDGE, JudgeReader
from evaluation.drawn.scenes import draw_frame
from evaluation.rows import ROWS
from evaluation.studies.comparison import score_rows, table
from evaluation.studies.settings import OWN_SETTINGS, fresh_suite
from miniature.judge.reading import load_judge


def test_rows_are_compared_with_the_plain_one() -> None:
    cases = fresh_suite(3).characters
    reader = JudgeReader(load_judge(JUDGE))
    drawn = {
        case.name: reader.read([draw_frame(case, n) for n in range(len(case.frames))])
        for case in cases
    }
    still = {name: (sightings[0],) * len(sightings) for name, sightings in drawn.items()}
    seen = {"plain": drawn, OWN_SETTINGS.name: still}
    rows = (ROWS[0], OWN_SETTINGS)
    plain, own = score_rows(cases, 4, rows, seen)
    assert plain.identity_gain is None and plain.action_gain is None
    assert own.identity is not None and own.identity.value == 1  # the same picture in all frames
    assert own.action_gain is not None and own.action_gain.value < -0.5
    assert plain.action is not None and own.action is not None
    assert own.action_gain.value == pytest.approx(own.action.value - plain.action.value)
    head, _, first, second = table([plain, own]).splitlines()
    assert head.count("|") == first.count("|") == second.count("|")
    assert first.startswith("| 4 | plain |") and second.startswith("| 4 | the model's own")
