"""Run `python -m evaluation`: render a suite, score it, write the tables."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

from evaluation.ablation import parse_ablation
from evaluation.drawn.scenes import draw_references
from evaluation.rendering import EvaluationFolder, EvaluationRun, render_missing, report_progress
from evaluation.report import tables
from evaluation.results import put_on_page
from evaluation.rows import REFERENCE_ROWS, ROWS, SuiteRow
from evaluation.scores import Scores
from evaluation.suite import REFERENCE_SUITE, SUITE, read_suite
from pipelines.errors import UserError
from pipelines.models.catalog import find_model
from pipelines.pictures import Reference
from storyboard.board import MAX_STEPS
from storyboard.cli.arguments import argument, whole
from storyboard.errors import UsageError
from storyboard.settings import Settings, parse_memory
from storyboard.storage.files import DocumentKind

DONE, FAULT, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130

RESULTS_FILE = DocumentKind("throughline evaluation results")
_DESCRIPTION = """\
Render an evaluation suite in several ways and score the pictures.

The pictures stay in DIR, and a stopped command continues when it is run again. The tables go to
stdout and, with --page, into a page between the lines

    <!-- evaluation: begin -->
    <!-- evaluation: end -->
"""


def parse_rows(text: str) -> frozenset[str]:
    """Read names of rows, such as "plain,merge".

    Raises:
        ValueError: if there is no row of one of the names.
    """
    names = text.split(",")
    usual, with_reference = ([row.name for row in rows] for rows in (ROWS, REFERENCE_ROWS))
    for name in names:
        if name not in (*usual, *with_reference):
            raise ValueError(
                f"there is no row {name!r}; there are {', '.join(usual)}, and with --references "
                f"{', '.join(with_reference)}"
            )
    return frozenset(names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0 done, 1 a user error, 2 bad usage, 130 stopped by Ctrl-C.
    """
    try:
        evaluate(_parser().parse_args(arguments))
    except UserError as error:
        print(f"throughline: {error}", file=sys.stderr)
        return BAD_USAGE if isinstance(error, UsageError) else FAULT
    except KeyboardInterrupt:
        print("throughline: stopped", file=sys.stderr)
        return INTERRUPTED
    return DONE


def _parser() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(
        prog="python -m evaluation",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = command.add_argument
    add("--out", metavar="DIR", type=Path, required=True, help="folder for pictures and results")
    add("--page", metavar="FILE", type=Path, help="also put the tables into this page")
    for name, cases in (("--characters", "characters"), ("--prompts", "single prompts")):
        first = f"render the first N {cases}; all if left out"
        add(name, metavar="N", type=whole(0, 1000), help=first)
    add(
        "--rows",
        metavar="NAMES",
        type=argument(parse_rows),
        help=f"rows of the tables, as {','.join(row.name for row in ROWS)} (all); "
        f"with --references {','.join(row.name for row in REFERENCE_ROWS)}",
    )
    kept = "measure how characters with a reference picture are kept"
    add("--references", action="store_true", help=kept)
    add(
        "--ablation",
        metavar="NAME=FOLDER",
        type=argument(parse_ablation),
        action="append",
        default=[],
        help="with --references, also render with the subject folder FOLDER; may be repeated",
    )
    add("--model", metavar="NAME", help="as for `render`")
    add("--memory", metavar="NAME", type=argument(parse_memory), help="as for `render`")
    add("--steps", metavar="N", type=whole(1, MAX_STEPS), help="denoising steps, 1 to 200")
    together = "processes that render side by side"
    add("--workers", metavar="N", type=whole(1, 64), default=1, help=together)
    return command


def evaluate(arguments: argparse.Namespace) -> None:
    """Render, score and write the tables.

    Raises:
        UsageError: if the options do not go together.
        UserError: if something cannot be loaded, rendered or written. Rendered pictures are kept.
    """
    settings = Settings.from_environment(os.environ)
    settings = replace(settings, memory=arguments.memory or settings.memory)
    run = _run(arguments, settings)
    folder = EvaluationFolder(run, arguments.out)
    folder.open()
    render_missing(folder, settings, arguments.workers)
    # Imports torch, whose threads the engine sets up before it is first imported.
    from evaluation.metrics.scoring import score_with_judge

    rows = [folder.row(row, run.characters) for row in run.rows] if run.characters else []
    singles = folder.row(ROWS[0], run.prompts) if run.prompts else None
    scores = score_with_judge(run.suite, rows, singles, report_progress)
    text = tables(scores, run.rows, _heading(folder, arguments))
    folder.write("results.json", RESULTS_FILE.dump(_results(folder, scores)))
    folder.write("tables.md", text.encode())
    print(text, end="")
    if arguments.page is not None:
        put_on_page(arguments.page, "evaluation", text, append=False)


def _run(arguments: argparse.Namespace, settings: Settings) -> EvaluationRun:
    suite = read_suite(REFERENCE_SUITE if arguments.references else SUITE)
    spec = find_model(arguments.model or settings.model)
    rows = _rows(arguments)
    characters = suite.characters[: arguments.characters]
    prompts = suite.prompts[: arguments.prompts]
    if not characters and not prompts:
        raise UserError("There is nothing to evaluate.", "Ask for --characters or --prompts.")
    steps = arguments.steps or spec.steps
    run = EvaluationRun(suite, (*characters, *prompts), rows, spec, steps)
    return replace(run, references=_references(run)) if run.conditionings else run


def _rows(arguments: argparse.Namespace) -> tuple[SuiteRow, ...]:
    """Return the rows that the options name, ablations last.

    Raises:
        UsageError: if a row is of the other suite, or two rows have one name.
    """
    rows = REFERENCE_ROWS if arguments.references else ROWS
    names = {row.name for row in rows} if arguments.rows is None else arguments.rows
    for name in sorted(names - {row.name for row in rows}):
        without = "without" if arguments.references else "with"
        raise UsageError(f"--rows: there is a row {name!r} {without} --references alone.")
    chosen = [row for row in rows if row.name in names]
    models = arguments.out.resolve() / "models"
    for ablation in arguments.ablation:
        row = ablation.row(models)
        if not arguments.references:
            raise UsageError("--ablation is for --references alone.")
        if row.name in (known.name for known in (*rows, *chosen)):
            raise UsageError(f"--ablation: there are two rows {row.name!r}.", "Name one otherwise.")
        chosen.append(row)
    return tuple(chosen)


def _references(run: EvaluationRun) -> dict[str, Reference]:
    """Draw the references of a run's cases.

    Raises:
        UserError: if the model cannot be conditioned on any.
    """
    if run.spec.character_adapter is None and any(own.bundle is None for own in run.conditionings):
        raise UserError(
            f"{run.spec.title} cannot use references.",
            "Choose another model, or only rows that need none: --rows none,consistency.",
        )
    return draw_references(run.cases)


def _heading(folder: EvaluationFolder, arguments: argparse.Namespace) -> str:
    """Describe the suite, the model and the command, in Markdown."""
    run = folder.run
    spec, suite = run.spec, run.suite
    workers = "one process" if arguments.workers == 1 else f"{arguments.workers} processes"
    doubts = ""
    rendered = f"{spec.title}, {run.steps} steps, guidance {spec.guidance_scale:g}"
    if run.conditionings and spec.character_adapter is not None:
        rendered += f", strength of references {spec.character_adapter.strength:g}"
        count = len(run.characters)
        doubts = f" The model doubts {len(folder.doubted())} of the {count} references."
    kind = "Suite of references," if suite.has_references else "Suite"
    return (
        f"{kind} version {suite.version}, {suite.width} x {suite.height} pixels; {rendered}, true "
        f"guidance {spec.true_cfg_scale:g}; torch {version('torch')}, {os.cpu_count()} "
        f"processors, {workers}.{doubts} Intervals are 95 %, over characters. Written by\n\n"
        f"    {_command_line(run, arguments)}"
    )


def _command_line(run: EvaluationRun, arguments: argparse.Namespace) -> str:
    """Return the command line, without the paths of this machine."""
    page: Path | None = arguments.page
    chosen = arguments.rows and [row.name for row in run.rows if row.name in arguments.rows]
    characters, prompts = len(run.characters), len(run.prompts)
    options = {
        "--page": page and (page.name if page.is_absolute() else page.as_posix()),
        "--model": arguments.model and ("DIR" if run.spec.kind == "folder" else run.spec.name),
        "--memory": arguments.memory,
        "--steps": arguments.steps,
        "--rows": chosen and ",".join(chosen),
        "--characters": characters if characters < len(run.suite.characters) else None,
        "--prompts": prompts if prompts < len(run.suite.prompts) else None,
        "--workers": arguments.workers if arguments.workers > 1 else None,
    }
    command = ["python -m evaluation"]
    if arguments.references:
        command.append("--references")
    command += [f"--ablation {shlex.quote(given.name)}=DIR" for given in arguments.ablation]
    command.append("--out DIR")
    command += [f"{name} {value}" for name, value in options.items() if value is not None]
    return " ".join(command)


def _results(folder: EvaluationFolder, scores: Scores) -> dict[str, object]:
    run = folder.run
    conditioned = {"subjects": run.subjects(), "doubted": folder.doubted()}
    readings = {
        path.relative_to(folder.out / "pictures").with_suffix("").as_posix(): dict(attributes)
        for path, attributes in scores.readings.items()
    }
    return {
        **run.record(),
        **(conditioned if run.conditionings else {}),
        **asdict(replace(scores, readings={})),
        "readings": readings,
    }


if __name__ == "__main__":
    sys.exit(main())
