"""Identity, actions and time in schedules of few and of many steps.

    python -m evaluation.studies.steps --out DIR [--steps 4 8 20] [--characters 50]
        [--fresh N] [--model miniature] [--page FILE] [--workers 1]

Renders the characters of the evaluation suite plain and with the model's settings for each number
of steps and, where these are not its settings for many steps, with those too. With --fresh N the
characters are those that `evaluation.studies.settings --after N` begins with. The table
goes to stdout and, with --page, into a page between the lines

    <!-- steps: begin -->
    <!-- steps: end -->

DIR has a folder for each number of steps; a stopped command continues when it is run again.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.drawn.suite import CHARACTERS
from evaluation.rendering import EvaluationFolder, EvaluationRun, render_missing, report_progress
from evaluation.results import grid, interval_text, put_on_page
from evaluation.rows import ROWS, SuiteRow
from evaluation.scores import RenderedRow
from evaluation.studies.settings import OWN_SETTINGS, fresh_suite
from evaluation.suite import SUITE, Suite, SuiteCharacter, read_suite
from pipelines.errors import UserError
from pipelines.models.catalog import find_model
from pipelines.models.measured import Interval
from pipelines.models.specs import ModelSpec
from storyboard.board import MAX_STEPS
from storyboard.cli.arguments import whole
from storyboard.settings import Settings

if TYPE_CHECKING:
    from evaluation.metrics.measures import Sightings

PLAIN = ROWS[0]
_STEPS, _MODEL = (4, 8, 20), "miniature"


@dataclass(frozen=True)
class StepsRow:
    """Scores of a way to render in a number of steps. None stands where nothing was observed.

    Attributes:
        steps: denoising steps.
        title: the way.
        identity: share of the left-out attributes that equal the identity frame's.
        identity_gain: the same minus that of the plain frames in as many steps; None for these.
        action: share of the frames with the stated action.
        action_gain: the same minus that of the plain frames in as many steps; None for these.
        place: share of the frames in the stated place.
        seconds: median time of a frame.
    """

    steps: int
    title: str
    identity: Interval | None
    identity_gain: Interval | None
    action: Interval | None
    action_gain: Interval | None
    place: Interval | None
    seconds: float


def rows_for(spec: ModelSpec, steps: int) -> tuple[SuiteRow, ...]:
    """Return the ways to render in a number of steps, the plain one first."""
    if spec.consistency_for(steps) == spec.consistency:
        return PLAIN, OWN_SETTINGS
    many = SuiteRow("many", "settings for many steps", changes=asdict(spec.consistency))
    return PLAIN, many, OWN_SETTINGS


def compare(
    cases: Sequence[SuiteCharacter],
    steps: int,
    rows: Sequence[SuiteRow],
    seen: Mapping[str, Sightings],
    seconds: Mapping[str, float],
) -> list[StepsRow]:
    """Score the ways to render in one number of steps.

    Args:
        cases: the characters.
        steps: denoising steps.
        rows: the ways, the plain one first.
        seen: the judge's readings, by the name of the row.
        seconds: median time of a frame, likewise.
    """
    # Imports torch, whose threads the engine sets up before it is first imported.
    from evaluation.metrics.measures import followed, identity_kept, tally
    from evaluation.metrics.statistics import difference, mean

    kept = {row.name: tally(identity_kept, cases, seen[row.name]) for row in rows}
    acted = {row.name: tally(followed("action"), cases, seen[row.name]) for row in rows}
    base, found = rows[0].name, []
    for row in rows:
        plain = row.name == base
        found.append(
            StepsRow(
                steps=steps,
                title=row.title,
                identity=mean(kept[row.name]),
                identity_gain=None if plain else difference(kept[row.name], kept[base]),
                action=mean(acted[row.name]),
                action_gain=None if plain else difference(acted[row.name], acted[base]),
                place=mean(tally(followed("place"), cases, seen[row.name])),
                seconds=seconds[row.name],
            )
        )
    return found


def median_seconds(row: RenderedRow) -> float:
    """Compute the median time of the frames of a row, identity frames not counted."""
    frames = (picture for case in row.pictures.values() for picture in case[1:])
    return statistics.median(picture.seconds for picture in frames)


HEAD = (
    "steps", "row",
    "identity kept, %", "minus plain, points",
    "action followed, %", "minus plain, points",
    "place followed, %", "s a frame",
)  # fmt: skip


def table(rows: Sequence[StepsRow]) -> str:
    """Format a line for each number of steps and way, in Markdown."""
    return grid(
        HEAD,
        [
            [
                str(row.steps),
                row.title,
                interval_text(row.identity, ".1f", 100),
                interval_text(row.identity_gain, "+.1f", 100),
                interval_text(row.action, ".1f", 100),
                interval_text(row.action_gain, "+.1f", 100),
                interval_text(row.place, ".1f", 100),
                f"{row.seconds:.2f}",
            ]
            for row in rows
        ],
    )


def _measure(
    suite: Suite, spec: ModelSpec, numbers: Sequence[int], out: Path, workers: int
) -> list[StepsRow]:
    """Render what is missing of all numbers of steps, then score all of it."""
    settings = Settings.from_environment(os.environ)
    folders = {}
    for steps in numbers:
        run = EvaluationRun(suite, suite.characters, rows_for(spec, steps), spec, steps)
        folders[steps] = folder = EvaluationFolder(run, out / str(steps))
        folder.open()
        render_missing(folder, settings, workers)
    from evaluation.drawn.judge import JUDGE, JudgeReader
    from miniature.judge.reading import load_judge

    report_progress("judging the pictures")
    reader = JudgeReader(load_judge(JUDGE))
    found = []
    for steps, folder in folders.items():
        rows = folder.run.rows
        rendered = [folder.row(row, suite.characters) for row in rows]
        seen = {row.name: reader.read_row(row) for row in rendered}
        seconds = {row.name: median_seconds(row) for row in rendered}
        found += compare(suite.characters, steps, rows, seen, seconds)
    return found


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
