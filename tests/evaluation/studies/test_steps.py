"""The study of the number of steps: its ways, its scores, and its command."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.results import marks
from evaluation.studies import steps
from evaluation.studies.settings import OWN_SETTINGS
from evaluation.suite import SUITE, read_suite
from pipelines.models.catalog import FLUX1_DEV
from pipelines.models.specs import FewSteps
from pipelines.request import ConsistencySettings
from storyboard.settings import ROOT
from tests.pipelines.tiny import tiny_pipeline

WEAK = ConsistencySettings(merge_weight=0.1)
SPEC = replace(FLUX1_DEV, few_steps=(FewSteps(8, WEAK),))


def test_settings_for_many_steps_are_a_row_where_others_hold() -> None:
    plain, many, own = steps.rows_for(SPEC, 8)
    assert (plain, own) == (steps.PLAIN, OWN_SETTINGS)
    assert many.settings(SPEC, 8) == SPEC.consistency
    assert own.settings(SPEC, 8) == WEAK
    assert steps.rows_for(SPEC, 9) == (steps.PLAIN, OWN_SETTINGS)


def test_torch_is_left_to_the_engine_which_sets_up_its_threads_first() -> None:
    code = "import sys, evaluation.studies.steps; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.slow
def test_the_command_renders_every_number_of_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THROUGHLINE_DEVICE", "cpu")
    model, out, page = tmp_path / "tiny", tmp_path / "out", tmp_path / "page.md"
    tiny_pipeline().save_pretrained(model)
    begin, end = marks("steps")
    page.write_text(f"# Title\n{begin}\n{end}\n", encoding="utf-8")
    options = ["--out", out, "--model", model, "--steps", "1", "2", "--characters", "1"]
    command = [*map(str, options), "--page", str(page)]
    steps.main(command)
    first = capsys.readouterr()
    known = read_suite(SUITE).characters[0]
    for number in ("1", "2"):
        pictures = out / number / "pictures" / known.name
        assert {f.stem for f in pictures.glob("*.png")} >= {"identity", "plain-2", "own-5"}
    assert "| 1 | plain |" in first.out and "| 2 | the model's own settings |" in first.out
    shown = "--out DIR --steps 1 2 --characters 1 --model DIR --page page.md"
    assert shown in first.out and str(tmp_path) not in first.out
    assert page.read_text("utf-8") == f"# Title\n{begin}\n\n{first.out}\n{end}\n"
