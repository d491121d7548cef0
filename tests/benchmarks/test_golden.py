"""The published method, number by number, and that the comparison can fail."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from benchmarks import golden
from pipelines.consistency import FramePass

FOLDER = Path(__file__).resolve().parents[1] / "data" / "characonsist"


@pytest.mark.parametrize("setting", ["A", "D2", "F"])
def test_every_recorded_tensor_is_within_its_tolerance(setting):
    rows = list(golden.golden_rows(FOLDER, [setting]))
    compared = {row.name for row in rows if row.name.startswith(f"{setting}/")}
    assert compared == set(golden.Golden(FOLDER).names(f"{setting}/"))
    assert [row for row in rows if not row.holds] == []


def test_a_wrong_implementation_is_noticed(monkeypatch, capsys):
    monkeypatch.setattr(FramePass, "merge", lambda self, block, output: None)
    assert golden.main([str(FOLDER), "--setting", "F"]) == 1
    assert "F/f0.run/latents" in capsys.readouterr().out


@pytest.mark.parametrize("fault", ["missing", "format", "tensor"])
def test_an_unreadable_folder_is_one_line(fault, tmp_path, capsys):
    folder = tmp_path / "vectors"
    if fault != "missing":
        shutil.copytree(FOLDER, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        if fault == "format":
            manifest["format"] = "something else"
        else:
            del manifest["tensors"]["inputs/sq/0/latents"]
        (folder / "manifest.json").write_text(json.dumps(manifest))
    assert golden.main([str(folder)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_distances():
    ones = torch.ones(4)
    assert golden.relative(ones * 1.5, ones) == pytest.approx(0.5)
    assert golden.largest(ones, ones[:2]) == float("inf")
    assert golden.differing(torch.tensor([1, 2]), torch.tensor([1, 3])) == 1
