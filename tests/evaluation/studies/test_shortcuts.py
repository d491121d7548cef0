"""The study of shortcuts: its requests, its comparisons, and the lines that it prints."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.drawn.judge import JUDGE, JudgeReader
from evaluation.drawn.scenes import draw_frame
from evaluation.studies import shortcuts
from evaluation.studies.settings import fresh_suite
from evaluation.studies.shortcuts import RenderedCharacter, Way, WayResult
from miniature.judge.reading import load_judge
from pipelines.models.catalog import MINIATURE
from pipelines.models.measured import COSTS_FORMAT, Interval, shortcut_costs
from pipelines.models.shortcuts import SHORTCUTS
from pipelines.request import RenderBudget, Shortcuts
from tests.pipelines.tiny import SEQUENCE, tiny_pipeline

SPEC = replace(MINIATURE, steps=4, max_sequence_length=SEQUENCE)
EXACT, HALF = (
    Way("Exact", Shortcuts(), 4, "exact"),
    Way("Half", Shortcuts(every=2), 4, "half-steps"),
)
MASK = np.eye(4, dtype=bool)


def rendering(*colors: int, seconds: float = 1.0, mask: np.ndarray = MASK) -> RenderedCharacter:
    pictures = tuple(np.full((16, 16, 3), color, np.uint8) for color in colors)
    return RenderedCharacter(seconds, pictures, (mask,) * len(colors))


def test_the_exact_way_comes_first_and_fewer_steps_last():
    *found, packed, fewer = shortcuts.ways(SPEC, [2])
    assert (packed.budget.order, packed.budget.bank_dtype) == ("bank", "fp8")
    assert (packed.shortcuts, packed.steps) == (Shortcuts(), 4)
    found.append(fewer)
    assert [way.name for way in found] == [*(shortcut.name for shortcut in SHORTCUTS), None]
    assert all(way.budget == RenderBudget() for way in found)
    assert found[0].shortcuts == found[-1].shortcuts == Shortcuts()
    assert [way.steps for way in found] == [4, 4, 4, 4, 2]


def test_a_story_has_the_models_settings_and_some_of_the_prompts():
    suite = shortcuts.shortened(fresh_suite(2), 3)
    request = shortcuts.story(suite, suite.characters[0], SPEC)
    assert len(request.frames) == len(request.targets) == 3
    assert [frame.identity_from for frame in request.frames] == [None, *request.targets[:1] * 2]
    assert (request.steps, request.consistency) == (4, SPEC.consistency_for(4))


def test_time_masks_and_colours_are_compared_pair_by_pair():
    exact = [rendering(0, 0, seconds=2), rendering(0, 0, seconds=6)]
    other = [rendering(0, 255, seconds=1, mask=~MASK), rendering(0, 0, seconds=5)]
    pairs = list(zip(other, exact, strict=True))
    saved = shortcuts.saved_time(pairs)
    assert saved is not None and saved.value == pytest.approx(0.25)
    assert saved.low == pytest.approx(1 / 6) and saved.high == pytest.approx(0.5)
    assert [shortcuts.mask_overlaps(*pair) for pair in pairs] == [[0, 0], [1, 1]]
    (first, second), rest = (shortcuts.color_distances(*pair) for pair in pairs)
    assert (first, rest) == (0, [0, 0])
    assert second == pytest.approx(100, abs=0.1)  # from black to white


def test_pictures_of_one_moment_keep_the_character_and_lose_the_actions():
    suite = shortcuts.shortened(fresh_suite(3), 3)
    drawn = [
        RenderedCharacter(1.0, tuple(draw_frame(case, n) for n in range(3)), (MASK,) * 3)
        for case in suite.characters
    ]
    still = [RenderedCharacter(0.5, (p.pictures[0],) * 3, (MASK,) * 3) for p in drawn]
    renderings = {"Exact": drawn, "Half": still}
    reader = JudgeReader(load_judge(JUDGE))
    exact, half = shortcuts.compare(suite.characters, (EXACT, HALF), renderings, reader)
    assert half.shares["identity"] == Interval(1, 1, 1)
    assert half.changes["action"] is not None and half.changes["action"].value < -0.5
    assert exact.changes["action"] == Interval(0, 0, 0)
    assert half.seconds == pytest.approx(0.5 / 3)
    assert half.saved == Interval(0.5, 0.5, 0.5)
    assert exact.color_distance == Interval(0, 0, 0)
    assert half.color_distance is not None and half.color_distance.value > 1
    assert half.mask_overlap == Interval(1, 1, 1)


def result(way: Way, **changes: Interval | None) -> WayResult:
    one = Interval(0.1, -0.00004, 0.123456)
    names = ("identity", "action", "place")
    shares = {name: changes.get(name, one) for name in names}
    return WayResult(way, 1.5, one, shares, shares, one, one)


def test_costs_are_rounded_and_complete():
    results = [result(EXACT), result(HALF), result(Way("2 steps", Shortcuts(), 2))]
    (cost,) = shortcuts.costs(results, 20)
    assert (cost.name, cost.characters, cost.steps) == ("half-steps", 20, 4)
    assert cost.saved == cost.place == cost.color_distance == Interval(0.1, 0.0, 0.1235)
    assert "-0.0" not in repr(cost)
    assert shortcuts.costs([result(EXACT), result(HALF, place=None)], 20) == []


def test_the_command_renders_every_way_and_prints_a_table(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(shortcuts, "find_model", lambda name: SPEC)
    monkeypatch.setattr(shortcuts, "load_pipeline", lambda spec: tiny_pipeline())
    sheet = tmp_path / "sheet.png"
    options = ["--characters", "1", "--prompts", "2", "--steps", "3", "--sheet", str(sheet)]
    monkeypatch.setattr(shortcuts, "COSTS_FILE", tmp_path / "costs.json")
    shortcuts.main([*options, "--out", str(tmp_path), "--save"])
    saved = COSTS_FORMAT.validate_json((tmp_path / "costs.json").read_bytes())
    assert saved.keys() == shortcut_costs().keys()
    costs = saved[SPEC.name]
    assert [cost.name for cost in costs] == [shortcut.name for shortcut in SHORTCUTS[1:]]
    assert {(cost.characters, cost.steps) for cost in costs} == {(1, 4)}
    printed = capsys.readouterr()
    lines = [line for line in printed.out.splitlines() if line.startswith("|")]
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        *(shortcut.title for shortcut in SHORTCUTS),
        "Banks in 8 bits",
        "3 steps",
    ]
    assert len({line.count("|") for line in lines}) == 1
    assert "| Exact |" in lines[2] and "1.000 (1.000 to 1.000) | 0.00 (0.00 to 0.00)" in lines[2]
    assert "0.00 (0.00 to 0.00) |" not in lines[4]  # half of the steps: not the same pictures
    assert "1 of 1 characters" in printed.err
    with Image.open(sheet) as drawn:
        assert drawn.width > 2 * 256 and drawn.height > 6 * 256
    assert (tmp_path / "shortcuts-miniature.md").read_text() in printed.out
