"""The contact sheet's layout, and that a frame's parts are told apart and add up."""

import time

from PIL import Image

from benchmarks.contact_sheet import GAP, TITLE, Row, compose
from benchmarks.frame_time import PARTS, requests, timed_frames
from storyboard.board import Character, Frame, RenderSettings, Storyboard
from tests.pipelines.tiny import SEQUENCE, tiny_pipeline

BOARD = Storyboard(
    character=Character(description="a girl in a red hat"),
    frames=tuple(Frame(location="on the beach", action=a, seed=3) for a in ("runs", "waves")),
    settings=RenderSettings(width=96, height=64, steps=4),
)


def test_every_picture_is_on_the_sheet():
    colours = [[(200, 0, 0), (0, 200, 0)], [(0, 0, 200), (90, 90, 90)]]
    rows = [Row("row", [Image.new("RGB", (96, 64), c) for c in row]) for row in colours]
    sheet = compose(rows, ["one caption", "another caption that is a good deal longer"])
    for number, row in enumerate(colours):
        for column, colour in enumerate(row):
            x = GAP + column * (96 + GAP) + 48
            y = GAP + number * (64 + TITLE + GAP) + TITLE + 30
            assert sheet.getpixel((x, y)) == colour


def test_the_same_story_with_and_without_consistency():
    both = requests(BOARD)
    assert [f.identity_from is None for f in both["consistent"].frames] == [True, False]
    assert all(f.identity_from is None for f in both["plain"].frames)
    for one, other in zip(both["consistent"].frames, both["plain"].frames, strict=True):
        assert (one.prompt, one.seed) == (other.prompt, other.seed)


def test_the_parts_of_a_frame_add_up_to_no_more_than_it_took():
    pipeline = tiny_pipeline()
    started = time.perf_counter()
    first, second = timed_frames(pipeline, requests(BOARD)["consistent"], SEQUENCE)
    elapsed = time.perf_counter() - started
    assert "probe" not in first
    assert set(second) == set(PARTS)
    for parts in (first, second):
        assert all(seconds > 0 for seconds in parts.values())
        assert abs(sum(parts.values()) - 2 * parts["frame"]) < 1e-9
    assert first["frame"] + second["frame"] <= elapsed
