"""The benchmark of previews, at a tiny size with a decoder that is known."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from benchmarks import previews
from benchmarks.previews import apart
from pipelines.sampling.previews import Previews
from tests.benchmarks.test_speed import TINY, cells


class Grey:
    """Decoder that shows everything as the same grey."""

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        return torch.zeros(1, 3, 8 * latents.shape[2], 8 * latents.shape[3])


@pytest.fixture
def grey(monkeypatch):
    monkeypatch.setattr(previews, "find_previews", lambda spec, pipeline: Previews(Grey(), 1, 0))


def test_a_preview_is_compared_at_its_own_size():
    picture = Image.new("RGB", (40, 20), (255, 255, 255))
    assert apart(picture.resize((20, 10)), picture) == 0
    assert apart(Image.new("RGB", (20, 10)), picture) == pytest.approx(100, abs=0.1)


def test_both_tables_are_written(grey, tmp_path):
    assert previews.main([*TINY, "--out", str(tmp_path)]) == 0
    _, without, shown = cells((tmp_path / "previews-tiny-storyboard.md").read_text())
    # After 3 of 4 steps; the second frame's first is the probe's.
    assert [without[-1], shown[-1]] == ["0", "5"]
    _, *rows = cells((tmp_path / "previews-tiny-distance.md").read_text())
    assert [row[0] for row in rows] == ["1", "2", "3", "decoder alone"]
    assert [row[2] for row in rows] == ["1", "2", "2", "2"]
    # The same grey at all times is always as far from a frame.
    assert rows[1][1] == rows[2][1] == rows[3][1]
    assert float(rows[1][1].split()[0]) > 0


def test_a_model_that_shows_nothing_is_refused(monkeypatch):
    monkeypatch.setattr(previews, "find_previews", lambda spec, pipeline: None)
    with pytest.raises(SystemExit, match="Nothing was found"):
        previews.main(["--model", "tiny", "--device", "cpu"])
