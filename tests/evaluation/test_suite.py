"""The suite as a file: what is written is read, and what is no suite is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from evaluation.suite import (
    SUITE_VERSION,
    Suite,
    SuiteCharacter,
    SuiteError,
    SuiteFrame,
    SuiteReference,
    read_suite,
)
from pipelines.request import Prompt

FRAME = SuiteFrame(
    Prompt("on a beach,", "a girl,", "waving"),
    seed=7,
    scene={"place": "beach", "action": "waving"},
    stated=("place", "action"),
)
MAYA = SuiteCharacter("c01", {"kind": "girl", "top": "coat"}, ("top",), True, (FRAME, FRAME))
SUITE = Suite(
    version=SUITE_VERSION,
    width=64,
    height=48,
    world={"places": ["beach"], "back": 0.25},
    characters=(MAYA,),
    prompts=(dataclasses.replace(MAYA, name="p001", frames=(FRAME,)),),
)


def test_a_suite_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "suite.json"
    path.write_text(SUITE.to_json(), encoding="utf-8")
    assert read_suite(path) == SUITE
    bare = dataclasses.replace(SUITE, characters=(), prompts=())
    assert Suite.from_json(bare.to_json()) == bare


def test_references_and_shared_places_come_back_too() -> None:
    known = dataclasses.replace(FRAME, referred=("top",), place_of=0)
    picture = SuiteReference(3, {"place": "farm"})
    case = dataclasses.replace(MAYA, shares_place=False, frames=(FRAME, known), reference=picture)
    suite = dataclasses.replace(SUITE, characters=(case,))
    assert Suite.from_json(suite.to_json()) == suite
    assert suite.has_references and not SUITE.has_references
    for name in ("reference", "referred", "place_of"):
        assert f'"{name}"' in suite.to_json()
        assert f'"{name}"' not in SUITE.to_json()  # files of suites without them stay as they are


def test_each_frame_knows_whose_place_it_is_in() -> None:
    assert [MAYA.place_source(i) for i in range(2)] == [None, 0]
    frames = (FRAME, FRAME, dataclasses.replace(FRAME, place_of=1))
    pair = dataclasses.replace(MAYA, shares_place=False, frames=frames)
    assert [pair.place_source(i) for i in range(3)] == [None, None, 1]
    for wrong in (2, 3, -1):
        late = (FRAME, FRAME, dataclasses.replace(FRAME, place_of=wrong))
        with pytest.raises(ValueError, match=f"place of frame {wrong}, which is not an earlier"):
            dataclasses.replace(pair, frames=late)


def test_each_character_has_a_line_of_its_own() -> None:
    lines = SUITE.to_json().splitlines()
    assert sum('"name": "c01"' in line for line in lines) == 1
    assert json.loads(next(line for line in lines if '"name": "c01"' in line).rstrip(","))


def test_the_truth_of_a_frame_is_the_character_in_its_scene() -> None:
    assert MAYA.truth(1) == {"kind": "girl", "top": "coat", "place": "beach", "action": "waving"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "is damaged"),
        ("[]", "is not an evaluation suite"),
        ('{"kind": "throughline storyboard", "version": 1}', "is not an evaluation suite"),
        (SUITE.to_json().replace('"version": 1', '"version": 2'), "has version 2; this release"),
        (SUITE.to_json().replace('"version": 1,', ""), "has version None; this release"),
        (SUITE.to_json().replace('"kind": "throughline', '"version_": 1, "kind": "x'), "is not an"),
        (
            SUITE.to_json().replace('"seed"', '"sead"'),
            r"damaged: \w+\.0\.\w+\.0\.seed: Field",
        ),
        (SUITE.to_json().replace('["top"]', '["hat"]'), "no attributes"),
        (SUITE.to_json().replace('"name": "p001"', '"name": "c01"'), "damaged: Value error, two"),
    ],
)
def test_what_is_no_suite_of_this_version_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "suite.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SuiteError, match=fault) as caught:
        read_suite(path)
    assert str(path) in str(caught.value)


def test_a_missing_suite_is_named(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="nowhere.json cannot be read"):
        read_suite(tmp_path / "nowhere.json")


def test_names_are_unique_and_characters_have_frames() -> None:
    with pytest.raises(ValueError, match="same name"):
        dataclasses.replace(SUITE, prompts=(MAYA,))
    with pytest.raises(ValueError, match="no frames"):
        dataclasses.replace(MAYA, frames=())
