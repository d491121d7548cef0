"""Options and stages of the commands that train."""

import argparse
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TypeVar

from training.budget import TrainingSchedule

Schedule = TypeVar("Schedule", bound=TrainingSchedule)
Run = TypeVar("Run")


def with_options(recipe: Schedule, options: argparse.Namespace, *names: str) -> Schedule:
    """Replace the numbers of a recipe by those options that are given."""
    given = {name: getattr(options, name) for name in names}
    return replace(recipe, **{name: value for name, value in given.items() if value is not None})


def run_stages(
    stages: Mapping[str, Callable[[Run], None]], chosen: Collection[str], run: Run
) -> None:
    """Run the chosen stages in their order, and print their names."""
    for name, stage in stages.items():
        if name in chosen:
            print(f"{name} ...", flush=True)
            stage(run)
