"""The benchmark of memory counts what is allocated."""

from __future__ import annotations

import sys

import pytest
import torch

from benchmarks import memory
from benchmarks.measuring import cost, our_way
from benchmarks.memory import MEASURED_HEAD, banks_watched, counted_rows
from benchmarks.random_models import open_model
from evaluation import results
from pipelines.request import RenderBudget
from tests.benchmarks.test_speed import TINY, cells

CPU = torch.device("cpu")


@pytest.fixture
def page(tmp_path, monkeypatch):
    path = tmp_path / "RESULTS.md"
    path.write_text("# Measured\n")
    monkeypatch.setattr(results, "PAGE", path)
    return path


def test_the_large_pictures_bank_is_as_published_and_as_ours():
    rows = {(row[0], row[1]): row[2:] for row in counted_rows(0.3)}
    # The golden vectors' README: keys and values 76.5 GB, the merge 14.3 GB; and the mask step.
    kept = float(rows["the published way, bf16", "character"][0])
    assert kept == pytest.approx(76.5 + 14.3 + 0.96, abs=0.1)
    # Of 19 blocks 40 steps of keys and values and 30 of outputs, 30 %; and 38 whole outputs.
    ours = float(rows["one after another, bf16", "character"][0])
    assert ours == pytest.approx(11.5 + 4.3 + 0.96, abs=0.1)
    assert float(rows["one after another, bf16", "character"][1]) == pytest.approx(15.6, abs=0.1)
    assert float(rows["one after another, fp8", "character"][0]) < 0.51 * ours
    nothing = [r for (n, _), r in rows.items() if n.startswith("side by side, nothing kept")]
    assert len(nothing) == 4
    assert all(float(row[0]) == 0 for row in nothing)


@pytest.mark.parametrize("share_location", [False, True])
def test_a_bank_holds_to_the_byte_what_is_counted(share_location):
    model = open_model("tiny", CPU, torch.float32)
    request = model.story(2, steps=10, share_location=share_location)
    with banks_watched(model) as seen:
        cost(model, our_way(model, RenderBudget(order="bank")), request)
    (bank,) = seen
    assert (bank.kept, bank.peak) == (bank.counted.kept, bank.counted.peak)
    assert bank.kept > 0


def test_side_by_side_nothing_is_left():
    model = open_model("tiny", CPU, torch.float32)
    alone = RenderBudget(order="lockstep", batch=2, device_bytes=0, host_bytes=0)
    with banks_watched(model) as seen:
        cost(model, our_way(model, alone), model.story(2, steps=10))
    assert all(bank.kept == bank.counted.kept == 0 for bank in seen)
    assert 0 < seen[0].peak <= seen[0].counted.peak


def test_every_section_has_its_table(page):
    everything = [option for section in memory.SECTIONS for option in ("--only", section)]
    assert memory.main([*TINY, *everything, "--batches", "2", "--presets", "full"]) == 0
    text = page.read_text()
    for section in memory.SECTIONS:
        begin, end = (
            f"<!-- memory-tiny-{section}: begin -->",
            f"<!-- memory-tiny-{section}: end -->",
        )
        table = cells(text.partition(begin)[2].partition(end)[0])
        assert len(table) > 1
        if section == "measured":
            assert table[0] == list(MEASURED_HEAD)
            assert [row[0].partition(",")[0] for row in table[1:]] == [
                "plain pictures", "one after another", "side by side", "side by side",
            ]  # fmt: skip
            assert table[2][1] == table[2][2] != "–"
        if section == "presets":
            assert [row[:2] for row in table[1:]] == [["full", "–"]]
            assert float(table[1][2]) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets the peak of a process")
def test_the_peak_of_the_process_is_seen():
    before = memory.forget_peak()
    assert before is not None
    taken = torch.ones(2**24)
    del taken
    peak = memory.peak_of_process()
    assert peak is not None
    assert peak - before > 3 * 2**24
