"""The benchmark of scaling: its ratios, and every section at a tiny size."""

from __future__ import annotations

from contextlib import closing

import pytest

from benchmarks import scaling
from benchmarks.scaling import growth_cells, job_seconds, story_board
from evaluation.results import Spread
from storyboard.jobs.local import LocalRunner
from storyboard.storage.projects import Store
from tests.benchmarks.test_speed import TINY, cells
from tests.storyboard.fakes import FakeEngine


def test_ratios_are_to_the_plain_pictures():
    found = {"plain": Spread((2.0, 4.0)), "ours": Spread((3.0, 6.0))}
    assert growth_cells(found) == (
        "3.00 (2.00 to 4.00)",
        "4.50 (3.00 to 6.00)",
        "1.500 (1.500 to 1.500)",
    )


def test_frames_and_tokens_grow(tmp_path):
    arguments = [*TINY, "--repeats", "1", "--out", str(tmp_path), "--orders", "bank"]
    arguments += ["--only", "frames", "--only", "tokens", "--counts", "1,2", "--tokens", "16,25"]
    assert scaling.main(arguments) == 0
    for section, sizes in (("frames", ["1", "2"]), ("tokens", ["16", "25"])):
        head, *rows = cells((tmp_path / f"scaling-tiny-{section}.md").read_text())
        assert head[0] == section
        assert [row[0] for row in rows] == sizes
        assert len(head) == 4
    assert "80x80 pixels (25 image" in (tmp_path / "scaling-tiny-tokens.md").read_text()


def test_jobs_are_timed_one_by_one(tmp_path):
    board = story_board(3, 4, 64)
    assert len({frame.action for frame in board.frames}) == 3
    with closing(LocalRunner(FakeEngine())) as runner:
        seconds = list(job_seconds(runner, Store(tmp_path), board, 2))
    assert len(seconds) == 2
    assert min(seconds) > 0
    assert len(list(Store(tmp_path).projects())) == 2


def test_tokens_must_make_a_square(tmp_path):
    with pytest.raises(SystemExit, match="17 tokens are no square"):
        scaling.main([*TINY, "--out", str(tmp_path), "--only", "tokens", "--tokens", "17"])
