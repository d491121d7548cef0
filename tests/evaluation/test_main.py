"""The command: on a random model and a random judge, from options to tables and back."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluation import __main__ as command
from evaluation.__main__ import parse_rows
from evaluation.results import marks
from miniature.judge.attributes import FIGURE_VALUES, SCENE_VALUES
from miniature.judge.network import JudgeNetwork, JudgeSizes
from miniature.judge.reading import save_judge
from miniature.world.vocabulary import Part
from storyboard.settings import ROOT
from tests.pipelines.tiny import tiny_pipeline
from tests.pipelines.tiny_character import save_tiny_model

BEGIN, END = marks("evaluation")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def small_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A random judge, few drawn pictures, and the CPU."""
    torch.manual_seed(0)
    sizes = JudgeSizes((8, 8, 8, 8), (8, 8, 8, 8), mixed=8, crop=32, embedding=8)
    judge = tmp_path / "judge"
    save_judge(JudgeNetwork(sizes, len(Part) - 1, SCENE_VALUES, FIGURE_VALUES), judge)
    measured = {"drawn": {"attributes": {"place": {"accuracy": 0.987, "judged": 10}}}}
    (judge / "accuracy.json").write_text(json.dumps(measured), encoding="utf-8")
    monkeypatch.setattr("evaluation.metrics.scoring.JUDGE", judge)
    monkeypatch.setattr("evaluation.metrics.scoring.DRAWN_PICTURES", 6)
    monkeypatch.setenv("THROUGHLINE_DEVICE", "cpu")


def run(*arguments: object) -> int:
    return command.main([*map(str, arguments)])


@pytest.mark.parametrize("module", ["evaluation.__main__", "evaluation.studies.settings"])
def test_torch_is_left_to_the_engine_which_sets_up_its_threads_first(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_a_suite_is_rendered_scored_and_tabled(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n{BEGIN}\n{END}\n", encoding="utf-8")
    out = tmp_path / "out"
    options = ["--out", out, "--model", model, "--steps", 2, "--characters", 2, "--prompts", 2]
    options += ["--rows", "plain,place", "--page", page]
    assert run(*options) == command.DONE
    first = capsys.readouterr()
    assert "16 of 16 pictures" in first.err
    assert "with merge and shared place" in first.out
    assert "Suite version 1, 256 x 256 pixels" in first.out
    assert page.read_text("utf-8") == f"# Title\n{BEGIN}\n\n{first.out}\n{END}\n"
    assert (out / "tables.md").read_text("utf-8") == first.out

    results: dict[str, Any] = json.loads((out / "results.json").read_text("utf-8"))
    assert results["kind"] == "throughline evaluation results"
    assert len(results["readings"]) == 16
    assert {"c01/identity", "c01/place-5", "c02/plain-2", "p002/identity"} <= set(
        results["readings"]
    )
    assert [row["name"] for row in results["rows"]] == ["plain", "drawn"]
    assert [row["name"] for row in results["shared"]] == ["plain", "place", "drawn"]
    places = [found for found in results["prompts"] if found["name"] == "place"]
    assert places[0]["judge"] == 0.987

    assert run(*options) == command.DONE
    second = capsys.readouterr()
    assert "of 16 pictures" not in second.err  # nothing is rendered twice
    assert second.out == first.out


def test_the_tables_name_no_path_of_this_machine(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    options = ["--out", tmp_path / "out", "--model", model, "--steps", 1, "--page", page]
    assert run(*options, "--characters", 0, "--prompts", 1) == command.DONE
    printed = capsys.readouterr().out
    assert str(tmp_path) not in printed and str(model) not in printed
    assert "--out DIR --page page.md --model DIR --steps 1 --characters 0 --prompts 1" in printed


def test_references_are_rendered_scored_and_tabled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, page, out = tmp_path / "model", tmp_path / "page.md", tmp_path / "out"
    save_tiny_model(model)
    page.write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    options = ["--references", "--ablation", f"without time={model / 'subject'}", "--out", out]
    options += ["--model", model, "--steps", 2, "--characters", 1, "--rows", "none,both"]
    assert run(*options, "--page", page) == command.DONE
    first = capsys.readouterr()
    assert "15 of 15 pictures" in first.err
    assert page.read_text("utf-8") == f"{BEGIN}\n\n{first.out}\n{END}\n"
    assert "Suite of references, version 1" in first.out
    assert "strength of references 1" in first.out
    assert "The model doubts 0 of the 1 references." in first.out
    assert (
        "python -m evaluation --references --ablation 'without time'=DIR --out DIR "
        "--page page.md --model DIR --steps 2 --rows none,both --characters 1"
    ) in first.out
    assert "### 1 characters, 5 frames" in first.out
    assert "| reference, without time |" in first.out

    results: dict[str, Any] = json.loads((out / "results.json").read_text("utf-8"))
    names = [row["name"] for row in results["references"]]
    assert names == ["none", "both", "without-time", "drawn"]
    assert set(results["references"][1]["kept_over"]) == {"none", "without-time", "drawn"}
    assert results["rows"] == results["shared"] == []
    assert set(results["subjects"]) == {"reference", "reference-without-time"}

    pictures = out / "pictures" / "r01"
    record = json.loads((pictures / "both-2.json").read_text("utf-8"))
    assert (out / "references" / record["reference"]).is_file()
    assert "reference" not in json.loads((pictures / "none-2.json").read_text("utf-8"))
    own, plain, ablated = (
        (pictures / f"{name}.png").read_bytes()
        for name in ("identity-reference", "identity", "identity-reference-without-time")
    )
    assert own == ablated != plain  # the "ablation" is the model's own bundle

    assert run(*options, "--page", page) == command.DONE
    second = capsys.readouterr()
    assert "of 15 pictures" not in second.err  # nothing is rendered twice
    assert second.out == first.out


def test_a_model_without_a_bundle_cannot_use_references(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--references", "--out", tmp_path / "out", "--model", model, "--characters", 1]
    assert run(*options) == command.FAULT
    assert "cannot use references. Choose another model" in capsys.readouterr().err


def test_rows_are_chosen_by_name() -> None:
    assert parse_rows("merge,plain") == {"plain", "merge"}
    assert parse_rows("none") == {"none"}
    with pytest.raises(ValueError, match="no row 'best'; there are plain, sharing, merge, place"):
        parse_rows("plain,best")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--rows", "none"], "--rows: there is a row 'none' with --references alone"),
        (["--references", "--rows", "merge"], "there is a row 'merge' without --references alone"),
        (["--ablation", "no time=BUNDLE"], "--ablation is for --references alone"),
        (["--references", "--ablation", "none=BUNDLE"], "there are two rows 'none'"),
        (["--references", *2 * ["--ablation", "time=BUNDLE"]], "there are two rows 'time'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    options: list[str], fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "config.json").write_text("{}", encoding="utf-8")
    typed = [option.replace("BUNDLE", str(bundle)) for option in options]
    assert run("--out", tmp_path / "out", *typed) == command.BAD_USAGE
    assert fault in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--rows", "best"], r"--rows: there is no row 'best'"),
        (["--characters", "-1"], r"--characters: '-1' is not a whole number"),
        (["--workers", "0"], r"--workers: '0' is not a whole number"),
        (["--references", "--ablation", "time"], r"--ablation: 'time' is not NAME=FOLDER"),
    ],
)
def test_bad_options_are_refused(
    options: list[str], fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run("--out", tmp_path / "out", *options)
    assert caught.value.code == command.BAD_USAGE
    assert re.search(fault, capsys.readouterr().err)


def test_faults_are_one_line(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = ["--out", tmp_path / "out", "--characters", 0, "--prompts", 0]
    assert run(*nothing) == command.FAULT
    assert "There is nothing to evaluate." in capsys.readouterr().err
    assert run("--out", tmp_path / "out", "--model", "minature") == command.FAULT
    assert "Did you mean 'miniature'?" in capsys.readouterr().err

    monkeypatch.setattr("evaluation.metrics.scoring.JUDGE", tmp_path / "nobody")
    some = ["--out", tmp_path / "out", "--model", model, "--steps", 1, "--prompts", 1]
    assert run(*some, "--characters", 0) == command.FAULT
    assert "The judge in" in capsys.readouterr().err

    monkeypatch.setattr("evaluation.__main__.SUITE", tmp_path / "none.json")
    assert run("--out", tmp_path / "out") == command.FAULT
    assert "none.json cannot be read" in capsys.readouterr().err
