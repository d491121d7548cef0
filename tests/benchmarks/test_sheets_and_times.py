"""The contact sheet's layout, and the parts of a frame's time."""

import time
from dataclasses import replace

import pytest
from PIL import Image

from benchmarks.frame_time import PARTS, timed_frames
from evaluation.studies.contact_sheet import (
    GAP,
    TITLE,
    ReferenceModel,
    SheetRow,
    compose,
    main,
    reference_rows,
    shown_frames,
    stacked,
    story_requests,
)
from evaluation.suite import SUITE_VERSION, Suite, SuiteCharacter, SuiteFrame, SuiteReference
from pipelines.models.catalog import INSTANT_CHARACTER, MINIATURE
from pipelines.pictures import Reference
from pipelines.request import Prompt
from storyboard.board import Character, Frame, RenderSettings, Storyboard
from tests.pipelines.tiny import SEQUENCE, tiny_pipeline
from tests.pipelines.tiny_character import tiny_bundle

BOARD = Storyboard(
    character=Character(description="a girl in a red hat"),
    frames=tuple(Frame(location="on the beach", action=a, seed=3) for a in ("runs", "waves")),
    settings=RenderSettings(width=96, height=64, steps=4),
)


def test_every_picture_is_on_the_sheet():
    colours = [[(200, 0, 0), (0, 200, 0)], [(0, 0, 200), (90, 90, 90)]]
    rows = [SheetRow("row", [Image.new("RGB", (96, 64), c) for c in row]) for row in colours]
    sheet = compose(rows, ["one caption", "another caption that is a good deal longer"])
    for number, row in enumerate(colours):
        for column, colour in enumerate(row):
            x = GAP + column * (96 + GAP) + 48
            y = GAP + number * (64 + TITLE + GAP) + TITLE + 30
            assert sheet.getpixel((x, y)) == colour


def test_a_reference_stands_before_the_frames_conditioned_on_it():
    pipeline = tiny_pipeline()
    spec = replace(
        MINIATURE, steps=1, max_sequence_length=SEQUENCE, character_adapter=INSTANT_CHARACTER
    )
    model = ReferenceModel(spec, pipeline, tiny_bundle(pipeline.transformer))
    prompts = [Prompt("the beach,", "a girl,", action) for action in ("runs", "waves", "sits")]
    frames = [SuiteFrame(prompt, seed, {}, ()) for seed, prompt in enumerate(prompts)]
    frames.insert(2, replace(frames[1], seed=9, place_of=1))
    case = SuiteCharacter("r01", {}, (), False, tuple(frames), SuiteReference(1, {}))
    suite = Suite(SUITE_VERSION, 64, 64, {}, (case,), ())
    red = Image.new("RGB", (40, 40), "red")
    reference = Reference(red, red, Image.new("L", red.size, 255))

    assert shown_frames(case) == [1, 2, 0, 3]
    following, neither = reference_rows(model, suite, case, reference)
    assert len(following.pictures) == len(neither.pictures) == 5
    assert {picture.size for picture in (*following.pictures, *neither.pictures)} == {(64, 64)}
    assert following.pictures[0].getpixel((30, 30)) == (255, 0, 0)
    assert neither.pictures[0].getpixel((30, 30)) == (255, 255, 255)
    for one, other in zip(following.pictures[1:], neither.pictures[1:], strict=True):
        assert one.tobytes() != other.tobytes()


def test_a_character_that_the_suite_lacks_is_named():
    with pytest.raises(SystemExit, match="There is no character 'r99'; there are r01, r02"):
        main(["--reference", "r99"])


def test_sheets_are_stacked():
    sheets = [Image.new("RGB", (30, height), "red") for height in (10, 20)]
    assert stacked(sheets).size == (30, 30)


def test_the_same_story_with_and_without_consistency():
    both = story_requests(BOARD)
    assert [f.identity_from is None for f in both["consistent"].frames] == [True, False]
    assert all(f.identity_from is None for f in both["plain"].frames)
    for one, other in zip(both["consistent"].frames, both["plain"].frames, strict=True):
        assert (one.prompt, one.seed) == (other.prompt, other.seed)


def test_the_parts_of_a_frame_add_up_to_no_more_than_it_took():
    pipeline = tiny_pipeline()
    started = time.perf_counter()
    first, second = timed_frames(pipeline, story_requests(BOARD)["consistent"], SEQUENCE)
    elapsed = time.perf_counter() - started
    assert "probe" not in first
    assert set(second) == set(PARTS)
    for parts in (first, second):
        assert all(seconds > 0 for seconds in parts.values())
        assert abs(sum(parts.values()) - 2 * parts["frame"]) < 1e-9
    assert first["frame"] + second["frame"] <= elapsed
