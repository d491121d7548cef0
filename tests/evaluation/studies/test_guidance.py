"""The study of guidance: its settings, its prompts and its table."""

import pytest

from evaluation.studies import guidance
from evaluation.suite import SUITE, read_suite


def test_a_setting_is_two_numbers_from_one_up():
    assert guidance.parse_setting("2,1.5") == (2.0, 1.5)
    for text in ("2", "2,0.5", "a,b", "nan,1"):
        with pytest.raises(ValueError):
            guidance.parse_setting(text)


def test_the_prompts_are_none_of_the_evaluations():
    known = {case.frames[0].prompt.text for case in read_suite(SUITE).prompts}
    fresh = [case.frames[0].prompt.text for case in guidance.fresh_prompts(5)]
    assert len(fresh) == 5
    assert not known & set(fresh)


def test_the_command_prints_a_row_for_each_setting(capsys):
    guidance.main(["--prompts", "2", "--batch", "2", "--setting", "1,1", "--setting", "2,2"])
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| 1 | 1 |") and lines[3].startswith("| 2 | 2 |")
    assert all(line.count("|") == lines[0].count("|") for line in lines)
    assert " of 2 |" in lines[3]  # every prompt states a place
