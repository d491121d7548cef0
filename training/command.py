"""Commands that train: their common options, settings and stages."""

import argparse
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from pipelines.threads import usable_cores
from training.budget import TrainingSchedule

Schedule = TypeVar("Schedule", bound=TrainingSchedule)


@dataclass(frozen=True)
class TrainingRun(Generic[Schedule]):
    """Settings of a training command that runs in stages.

    Attributes:
        folder: folder of the results.
        recipe: sizes and schedules.
        device: training device.
        processes: number of processes that train together.
        initial: folder of weights to start from; None starts from new weights.
    """

    folder: Path
    recipe: Schedule
    device: torch.device
    processes: int
    initial: Path | None

    def __post_init__(self) -> None:
        if self.processes > self.recipe.most_processes:
            raise ValueError(
                f"{self.processes} processes cannot share a batch; {self.recipe.most_processes} can"
            )


Run = TypeVar("Run", bound=TrainingRun[Any])


def training_parser(
    module: str,
    description: str | None,
    recipes: Collection[str],
    trained: str,
    stages: Collection[str] = (),
) -> argparse.ArgumentParser:
    """Return a parser with the options that training commands have in common.

    Args:
        module: name of the command's module.
        description: docstring of the module; its first line is shown.
        recipes: names of the recipes.
        trained: network that `--minutes`, `--steps` and `--batch` are for.
        stages: names of the stages; without any the command has no options for a `TrainingRun`.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", description=(description or "").splitlines()[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for all results")
    parser.add_argument("--recipe", choices=recipes, default="small", help="sizes and budgets")
    parser.add_argument("--minutes", type=float, help=f"time for {trained}")
    parser.add_argument("--steps", type=int, help=f"steps for {trained}, instead of time")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    if stages:
        parser.add_argument("--batch", type=int, help=f"samples in a step of {trained}")
        parser.add_argument("--init", type=Path, help="weights of the same sizes to start from")
        parser.add_argument("--processes", type=int, help="for training; all cores if on CPU")
        parser.add_argument("--stages", nargs="+", choices=stages, default=list(stages))
    return parser


def recipe_of(options: argparse.Namespace, recipes: Mapping[str, Schedule]) -> Schedule:
    """Return the chosen recipe; options of the same names, where given, replace its fields."""
    recipe, given = recipes[options.recipe], vars(options)
    names = [field.name for field in fields(recipe) if given.get(field.name) is not None]
    return replace(recipe, **{name: given[name] for name in names})


def run_settings(
    options: argparse.Namespace, recipes: Mapping[str, TrainingSchedule]
) -> dict[str, Any]:
    """Return the fields of a `TrainingRun` from its options."""
    device, recipe = torch.device(options.device), recipe_of(options, recipes)
    most = min(usable_cores(), recipe.most_processes) if device.type == "cpu" else 1
    return {
        "folder": options.out,
        "recipe": recipe,
        "device": device,
        "processes": options.processes or most,
        "initial": options.init,
    }


def run_stages(
    stages: Mapping[str, Callable[[Run], None]], chosen: Collection[str], run: Run
) -> None:
    """Run the chosen stages in their order, and print their names."""
    run.folder.mkdir(parents=True, exist_ok=True)
    for name, stage in stages.items():
        if name in chosen:
            print(f"{name} ...", flush=True)
            stage(run)
