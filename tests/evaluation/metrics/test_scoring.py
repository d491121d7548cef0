"""Scores of pictures whose truth is known, and of drawn pictures in place of rendered ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.drawn.judge import JudgeReader, Sighting, judge_accuracy
from evaluation.drawn.scenes import draw_frame
from evaluation.drawn.suite import make_reference_suite, make_suite
from evaluation.metrics.measures import (
    followed,
    identity_distance,
    identity_kept,
    place_distance,
    reference_kept,
)
from evaluation.metrics.scoring import DRAWN, score
from evaluation.scores import RenderedPicture, RenderedRow, RowScores
from evaluation.suite import Suite, SuiteCharacter
from miniature.judge.attributes import FIGURE_VALUES, SCENE_VALUES
from miniature.judge.network import JudgeNetwork, JudgeSizes, as_floats
from miniature.judge.reading import Judge
from miniature.world.scene import draw_scene
from miniature.world.vocabulary import Part

SIZES = JudgeSizes(finder=(8, 8, 8, 8), reader=(8, 8, 8, 8), mixed=8, crop=32, embedding=8)


@pytest.fixture(scope="module")
def judge() -> Judge:
    """A random judge, whose foreground is the brightest spots of a drawn picture."""
    torch.manual_seed(0)
    network = JudgeNetwork(SIZES, len(Part) - 1, SCENE_VALUES, FIGURE_VALUES).eval()
    with torch.no_grad():
        drawn = torch.from_numpy(draw_scene(1).image)[None]
        there = network.finder(as_floats(drawn)).foreground.quantile(0.98)
        network.finder.label.bias[4 * network.parts :] -= there
    return Judge(network)


@pytest.fixture(scope="module")
def suite() -> Suite:
    return make_suite(characters=4, prompts=3)


def picture(folder: Path, name: str, pixels: np.ndarray, seconds: float) -> RenderedPicture:
    path = folder / f"{name}.png"
    if not path.exists():
        Image.fromarray(pixels).save(path)
    return RenderedPicture(path, seconds)


@pytest.fixture(scope="module")
def rows(suite: Suite, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, RenderedRow]:
    """Drawn frames in place of rendered ones, and frames that repeat the identity frame."""
    folder = tmp_path_factory.mktemp("pictures")
    faithful = {
        case.name: tuple(
            picture(folder, f"{case.name}-{i}", draw_frame(case, i), seconds=i)
            for i in range(len(case.frames))
        )
        for case in suite.characters
    }
    singles = {
        case.name: (picture(folder, case.name, draw_frame(case, 0), 1.0),) for case in suite.prompts
    }
    frozen = {name: (frames[0],) * len(frames) for name, frames in faithful.items()}
    shared = {case.name: frozen[case.name] for case in suite.characters if case.shares_place}
    return {
        "faithful": RenderedRow("faithful", faithful),
        "frozen": RenderedRow("frozen", frozen),
        "shared": RenderedRow("shared", shared),
        "singles": RenderedRow("plain", singles),
    }


def seen(**changes: object) -> Sighting:
    sighting = Sighting(
        image=np.zeros((32, 32, 3), np.uint8),
        foreground=torch.ones(32, 32, dtype=torch.bool).tril(-24),
        attributes={"top": "coat", "top_color": "red", "skin": "tan", "action": "waving"},
        visible=frozenset({"top", "top_color", "skin", "action"}),
        embedding=torch.tensor([1.0, 0.0]),
        features=torch.zeros(2),
    )
    return replace(sighting, **changes)


@pytest.fixture
def case(suite: Suite) -> SuiteCharacter:
    shared = next(case for case in suite.characters if case.shares_place)
    return replace(shared, left_out=("top", "top_color"))


def test_kept_is_what_equals_the_identity_frame_and_not_the_truth(case: SuiteCharacter) -> None:
    blue = {**seen().attributes, "top_color": "blue", "skin": "dark"}
    other = seen(attributes=blue)
    assert identity_kept(case, 1, [seen(), seen()]) == [1.0, 1.0]
    assert identity_kept(case, 1, [seen(), other]) == [1.0, 0.0]
    assert identity_kept(case, 1, [other, other]) == [1.0, 1.0]


def test_what_cannot_be_seen_in_both_frames_does_not_count(case: SuiteCharacter) -> None:
    hidden = seen(visible=frozenset({"top"}))
    assert identity_kept(case, 1, [seen(), hidden]) == [1.0]
    assert identity_kept(case, 1, [hidden, seen()]) == [1.0]
    nobody = seen(visible=frozenset(), foreground=torch.zeros(32, 32, dtype=torch.bool))
    assert identity_kept(case, 1, [seen(), nobody]) == []
    assert identity_distance(case, 1, [seen(), nobody]) == []


def test_the_identity_distance_is_that_of_the_angle(case: SuiteCharacter) -> None:
    turned = seen(embedding=torch.tensor([0.6, 0.8]))
    assert identity_distance(case, 1, [seen(), turned]) == pytest.approx([0.4])


def test_a_place_is_compared_where_it_is_shared_and_nobody_stands(case: SuiteCharacter) -> None:
    marked = np.zeros((32, 32, 3), np.uint8)
    marked[24:, :8] = 255  # inside the foreground
    spot = seen(image=marked)
    assert place_distance(case, 1, [seen(), spot]) == pytest.approx([0], abs=1e-3)
    white = seen(image=np.full((32, 32, 3), 255, np.uint8))
    assert place_distance(case, 1, [seen(), white]) == pytest.approx([100], abs=0.01)
    assert place_distance(replace(case, shares_place=False), 1, [seen(), white]) == []
    everywhere = seen(foreground=torch.ones(32, 32, dtype=torch.bool))
    assert place_distance(case, 1, [seen(), everywhere]) == []


def test_followed_counts_frames_that_state_the_attribute(case: SuiteCharacter) -> None:
    action = case.frames[1].scene["action"]
    right = seen(attributes={**seen().attributes, "action": action})
    wrong = seen(attributes={**seen().attributes, "action": "something else"})
    assert followed("action")(case, 1, [seen(), right]) == [1.0]
    assert followed("action")(case, 1, [seen(), wrong]) == [0.0]
    assert followed("no such attribute")(case, 1, [seen(), right]) == []


def test_a_place_is_compared_with_the_frame_that_it_is_of(case: SuiteCharacter) -> None:
    frames = (*case.frames[:2], replace(case.frames[2], place_of=1))
    pair = replace(case, shares_place=False, frames=frames)
    white = seen(image=np.full((32, 32, 3), 255, np.uint8))
    assert place_distance(pair, 2, [seen(), white, white]) == pytest.approx([0], abs=1e-3)
    assert place_distance(pair, 2, [white, seen(), white]) == pytest.approx([100], abs=0.01)
    assert place_distance(pair, 1, [seen(), white, white]) == []


def test_kept_from_the_reference_is_what_equals_the_truth(case: SuiteCharacter) -> None:
    attributes = {**case.attributes, "top": "coat", "top_color": "red", "skin": "tan"}
    frames = (replace(case.frames[0], referred=("skin", "top_color")), *case.frames[1:])
    known = replace(case, attributes=attributes, frames=frames)
    blue = seen(attributes={**seen().attributes, "top_color": "blue"}, visible=frozenset())
    assert reference_kept()(known, 0, [seen()]) == [1.0, 1.0]
    assert reference_kept()(known, 0, [blue]) == [1.0, 0.0]  # hiding it does not help
    assert reference_kept("skin")(known, 0, [blue]) == [1.0]
    assert reference_kept("top")(known, 0, [seen()]) == []


def test_a_row_of_drawn_pictures_scores_as_the_drawn_ones_do(
    suite: Suite,
    judge: Judge,
    rows: Mapping[str, RenderedRow],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("evaluation.metrics.scoring.DRAWN_PICTURES", 6)
    messages: list[str] = []
    scores = score(
        suite,
        [rows["faithful"], rows["frozen"], rows["shared"]],
        rows["singles"],
        judge,
        {"place": 0.99},
        messages.append,
    )
    faithful, frozen, drawn = scores.rows
    assert [row.name for row in scores.rows] == ["faithful", "frozen", DRAWN]
    assert [row.name for row in scores.shared] == ["faithful", "frozen", "shared", DRAWN]
    assert (faithful.characters, faithful.frames) == (4, 16)
    assert (scores.shared[0].characters, scores.shared[0].frames) == (2, 8)
    assert faithful.seconds == 2.5
    assert drawn.seconds is None
    assert numbers(faithful) == pytest.approx(numbers(drawn), abs=1e-4)
    assert numbers(faithful) != pytest.approx(numbers(frozen), abs=1e-4)

    assert frozen.identity_kept is not None and frozen.identity_kept.low == 1.0
    assert frozen.identity_distance is not None and frozen.identity_distance.high < 1e-6
    assert frozen.place_distance is not None and frozen.place_distance.high < 1e-3
    assert faithful.identity_gain is None and drawn.identity_gain is not None
    assert drawn.identity_gain.value == drawn.identity_gain.high == 0
    assert frozen.identity_gain is not None and faithful.identity_kept is not None
    assert frozen.identity_gain.value == pytest.approx(1 - faithful.identity_kept.value)

    assert all(agreement.painted == agreement.drawn for agreement in scores.prompts)
    place = next(agreement for agreement in scores.prompts if agreement.name == "place")
    assert (place.prompts, place.judge) == (3, 0.99)
    assert len(scores.readings) == 4 * 5 + 3
    assert set(next(iter(scores.readings.values()))) == {*SCENE_VALUES, *FIGURE_VALUES}
    assert any("6 drawn pictures" in message for message in messages)


def test_references_are_scored_over_all_frames_and_in_pairs(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluation.metrics.scoring.DRAWN_PICTURES", 6)
    suite = make_reference_suite(characters=3)
    drawn = {
        case.name: tuple(
            picture(tmp_path, f"{case.name}-{i}", draw_frame(case, i), seconds=i)
            for i in range(len(case.frames))
        )
        for case in suite.characters
    }
    others = dict(zip(drawn, (*list(drawn.values())[1:], drawn["r01"]), strict=True))
    rows = [RenderedRow("other", others), RenderedRow("faithful", drawn)]
    scores = score(suite, rows, None, judge, {}, lambda _: None)
    assert scores.rows == scores.shared == scores.prompts == ()
    other, faithful, truth = scores.references
    assert (other.name, faithful.name, truth.name) == ("other", "faithful", DRAWN)
    assert (faithful.characters, faithful.frames) == (3, 15)
    assert (faithful.seconds, truth.seconds) == (2.5, None)
    assert faithful.kept is not None and truth.kept is not None and other.kept is not None
    assert faithful.kept.value == pytest.approx(truth.kept.value, abs=0.02)
    assert set(faithful.kept_over) == set(faithful.action_over) == {"other", DRAWN}
    over = faithful.kept_over["other"]
    assert over.value == pytest.approx(faithful.kept.value - other.kept.value)
    assert over.value == pytest.approx(-other.kept_over["faithful"].value)
    referred = {n for case in suite.characters for frame in case.frames for n in frame.referred}
    assert set(faithful.attributes) == referred
    assert len(scores.readings) == 15


def test_single_prompts_can_be_scored_alone(
    suite: Suite, judge: Judge, rows: Mapping[str, RenderedRow]
) -> None:
    scores = score(suite, [], rows["singles"], judge, {}, lambda _: None)
    assert scores.rows == scores.shared == ()
    assert {agreement.judge for agreement in scores.prompts} == {None}


def test_each_file_is_read_once(judge: Judge, rows: Mapping[str, RenderedRow]) -> None:
    reader = JudgeReader(judge)
    first = reader.read_row(rows["faithful"])
    again = reader.read_row(rows["frozen"])
    assert len(reader.seen) == 20
    name = next(iter(first))
    assert again[name][3] is first[name][0]


def test_the_judges_accuracy_is_read_from_its_folder(tmp_path: Path) -> None:
    measured = {"drawn": {"attributes": {"place": {"accuracy": 0.5, "judged": 10}}}}
    (tmp_path / "accuracy.json").write_text(json.dumps(measured), encoding="utf-8")
    assert judge_accuracy(tmp_path) == {"place": 0.5}


def numbers(row: RowScores) -> dict[str, float]:
    """All numbers of a row but its gains and its time."""
    named = {
        "kept": row.identity_kept,
        "distance": row.identity_distance,
        "action": row.action_followed,
        "place": row.place_followed,
        "color": row.place_distance,
        "frechet": row.frechet,
        **row.stated,
    }
    return {
        f"{name}.{end}": getattr(interval, end)
        for name, interval in named.items()
        if interval is not None
        for end in ("value", "low", "high")
    }
