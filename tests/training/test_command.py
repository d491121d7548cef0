"""Options, settings and stages of training commands."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from training.budget import TrainingSchedule
from training.command import TrainingRun, run_settings, run_stages, training_parser


@dataclass(frozen=True)
class Sized(TrainingSchedule):
    minutes: float = 5.0
    batch: int = 8
    warmup: int = 2
    cooldown: float = 0.5
    checkpoint_every: float = 60.0
    width: int = 16


RECIPES = {"small": Sized(), "large": Sized(width=32, steps=100)}


def settings(*arguments):
    parser = training_parser("some.train", "Train it.\n\nAt length.", RECIPES, "it", ["a", "b"])
    parser.add_argument("--width", type=int)
    parser.add_argument("--colour", default="red")
    return run_settings(parser.parse_args(["--out", "there", *arguments]), RECIPES)


def test_options_replace_the_numbers_of_the_chosen_recipe():
    assert settings()["recipe"] == RECIPES["small"]
    assert settings("--recipe", "large")["recipe"] == RECIPES["large"]
    given = settings("--recipe", "large", "--width", "4", "--batch", "2", "--minutes", "0.5")
    assert given["recipe"] == Sized(width=4, batch=2, minutes=0.5, steps=100)


def test_a_cpu_trains_in_as_many_processes_as_it_has_cores(monkeypatch):
    monkeypatch.setattr("training.command.usable_cores", lambda: 7)
    run = TrainingRun(**settings("--init", "old"))
    assert (run.folder, run.initial) == (Path("there"), Path("old"))
    assert (run.device, run.processes) == (torch.device("cpu"), 7)
    assert settings("--device", "cuda")["processes"] == 1
    assert settings("--device", "cuda", "--processes", "3")["processes"] == 3


def test_no_process_is_left_without_a_sample(monkeypatch):
    monkeypatch.setattr("training.command.usable_cores", lambda: 64)
    assert settings()["processes"] == Sized.batch
    with pytest.raises(ValueError, match="9 processes cannot share a batch; 8 can"):
        TrainingRun(**settings("--processes", "9"))


def test_stages_run_in_their_own_order(tmp_path, capsys):
    run, done = TrainingRun(tmp_path / "new" / "run", Sized(), torch.device("cpu"), 1, None), []

    def stage(name):
        return lambda run: done.append((name, run.folder.is_dir()))

    run_stages({name: stage(name) for name in "abc"}, ["c", "a"], run)
    assert done == [("a", True), ("c", True)]
    assert capsys.readouterr().out == "a ...\nc ...\n"


def test_help_names_what_is_trained(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit):
        settings("--help")
    text = capsys.readouterr().out
    assert "usage: python -m some.train" in text and "Train it." in text and "At length" not in text
    assert "steps for it, instead of time" in text
