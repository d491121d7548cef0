"""Identity and actions in schedules of few and of many steps.

    python -m evaluation.studies.steps --out DIR [--steps 4 8 20] [--characters 50]
        [--fresh N] [--model miniature] [--page FILE] [--workers 1]

Renders the characters of the evaluation suite plain and with the model's settings for each number
of steps and, where these are not its settings for many steps, with those too. With --fresh N the
characters are those that `evaluation.studies.settings --after N` begins with. The table goes to
stdout and, with --page, into a page between the lines

    <!-- steps: begin -->
    <!-- steps: end -->

DIR has a folder for each number of steps; a stopped command continues when it is run again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

from evaluation.drawn.suite import CHARACTERS
from evaluation.rendering import EvaluationFolder, EvaluationRun, render_missing, report_progress
from evaluation.results import put_on_page
from evaluation.rows import ROWS, SuiteRow
from evaluation.studies.comparison import WayScores, compare_folder, table
from evaluation.studies.settings import OWN_SETTINGS, fresh_suite
from evaluation.suite import SUITE, Suite, read_suite
from pipelines.errors import UserError
from pipelines.models.catalog import find_model
from pipelines.models.specs import ModelSpec
from storyboard.board import MAX_STEPS
from storyboard.cli.arguments import whole
from storyboard.settings import Settings

PLAIN = ROWS[0]
_STEPS, _MODEL = (4, 8, 20), "miniature"


def rows_for(spec: ModelSpec, steps: int) -> tuple[SuiteRow, ...]:
    """Return the ways to render in a number of steps, the plain one first."""
    if spec.consistency_for(steps) == spec.consistency:
        return PLAIN, OWN_SETTINGS
    many = SuiteRow("many", "settings for many steps", changes=asdict(spec.consistency))
    return PLAIN, many, OWN_SETTINGS


def _measure(
    suite: Suite, spec: ModelSpec, numbers: Sequence[int], out: Path, workers: int
) -> list[WayScores]:
    """Render what is missing of all numbers of steps, then score all of it."""
    settings = Settings.from_environment(os.environ)
    folders = []
    for steps in numbers:
        run = EvaluationRun(suite, suite.characters, rows_for(spec, steps), spec, steps)
        folders.append(EvaluationFolder(run, out / str(steps)))
        folders[-1].open()
        render_missing(folders[-1], settings, workers)
    # Imports torch, whose threads the engine sets up before it is first imported.
    from evaluation.drawn.judge import JUDGE, JudgeReader
    from miniature.judge.reading import load_judge

    report_progress("judging the pictures")
    reader = JudgeReader(load_judge(JUDGE))
    compared = (compare_folder(folder, suite.characters, reader) for folder in folders)
    return [way for ways in compared for way in ways]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study with the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.studies.steps")
    add = parser.add_argument
    add("--out", type=Path, required=True, help="a folder for the pictures")
    add("--steps", type=whole(1, MAX_STEPS), nargs="+", default=_STEPS, help="numbers of steps")
    add("--characters", type=whole(1, 1000), default=CHARACTERS, help="number of characters")
    add("--fresh", type=whole(0, 1000), metavar="N", help="characters of no suite, after N of them")
    add("--model", default=_MODEL)
    add("--page", type=Path, help="also put the table into this page")
    add("--workers", type=whole(1, 64), default=1, help="processes that render side by side")
    options = parser.parse_args(arguments)

    spec, count = find_model(options.model), options.characters
    if options.fresh is None:
        suite = read_suite(SUITE)
        suite = replace(suite, characters=suite.characters[:count], prompts=())
    else:
        suite = fresh_suite(count, after=options.fresh)
    rows = _measure(suite, spec, options.steps, options.out, options.workers)
    text = f"{_heading(suite, spec, options)}\n\n{table(rows)}\n"
    print(text, end="")
    if options.page is not None:
        put_on_page(options.page, "steps", text, append=False)


def _heading(suite: Suite, spec: ModelSpec, options: argparse.Namespace) -> str:
    """Describe the characters, the model and the command, in Markdown."""
    cases = suite.characters
    frames = sum(len(case.frames) - 1 for case in cases)
    command = ["python -m evaluation.studies.steps --out DIR --steps", *map(str, options.steps)]
    command += ["--characters", str(len(cases))]
    if spec.name != _MODEL:
        command += ["--model", "DIR" if spec.kind == "folder" else spec.name]
    if options.fresh is not None:
        command += ["--fresh", str(options.fresh)]
    if options.workers > 1:
        command += ["--workers", str(options.workers)]
    if options.page is not None:  # without the folders of this machine
        absolute = options.page.is_absolute()
        command += ["--page", options.page.name if absolute else options.page.as_posix()]
    return (
        f"{spec.title}, {len(cases)} characters, {frames} frames a line; torch {version('torch')}, "
        f"{os.cpu_count()} processors. Intervals are 95 %, over characters. Written by\n\n"
        f"    {' '.join(command)}"
    )


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
