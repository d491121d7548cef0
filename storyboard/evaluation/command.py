"""`python -m storyboard evaluate`: paint a suite, score it, write the tables."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

from pipelines.models.catalog import UnknownModelError, find_model
from pipelines.scores import Scores
from pipelines.suite import SuiteCharacter, SuiteError, read_suite
from storyboard.errors import UsageError, UserError
from storyboard.evaluation.gallery import Gallery, Run, paint_side_by_side
from storyboard.evaluation.page import tables, update_page
from storyboard.evaluation.rows import REFERENCE_ROWS, ROWS, Row
from storyboard.files import DocumentKind
from storyboard.references import Reference
from storyboard.settings import ROOT, Settings

SUITE = ROOT / "assets" / "evaluation" / "suite-v1.json"
REFERENCE_SUITE = ROOT / "assets" / "evaluation" / "references-v1.json"
RESULTS_FILE = DocumentKind("throughline evaluation results")
_SINGLE = Row("plain", "plain", consistent=False)


def parse_rows(text: str) -> frozenset[str]:
    """The names in "plain,merge".

    Raises:
        ValueError: if there is no row of one of the names.
    """
    names = text.split(",")
    usual, referring = ([row.name for row in rows] for rows in (ROWS, REFERENCE_ROWS))
    for name in names:
        if name not in (*usual, *referring):
            raise ValueError(
                f"there is no row {name!r}; there are {', '.join(usual)}, and with --references "
                f"{', '.join(referring)}"
            )
    return frozenset(names)


def evaluate(arguments: argparse.Namespace) -> None:
    """Run the command.

    Args:
        arguments: out, page, characters, prompts, rows, model, memory, steps, workers, references,
            ablation.

    Raises:
        UsageError: if the options do not go together.
        UserError: if something cannot be loaded, painted or written. What is painted is kept.
    """
    from storyboard import engine

    settings = Settings.from_environment(os.environ)
    settings = replace(settings, memory=arguments.memory or settings.memory)
    run = _run(arguments, settings)
    gallery = Gallery(run, arguments.out)
    gallery.open()
    paint_missing(gallery, settings, arguments.workers)
    characters, prompts = _split(run)
    rows = [gallery.row(row, characters) for row in run.rows] if characters else []
    singles = gallery.row(_SINGLE, prompts) if prompts else None
    scores = engine.evaluate(run.suite, rows, singles, _say)
    heading = _heading(gallery, arguments, len(characters), len(prompts))
    text = tables(scores, run.rows, heading)
    gallery.write("results.json", RESULTS_FILE.dump(_results(gallery, scores)))
    gallery.write("tables.md", text.encode())
    print(text, end="")
    if arguments.page is not None:
        update_page(arguments.page, text)


def _run(arguments: argparse.Namespace, settings: Settings) -> Run:
    try:
        suite = read_suite(REFERENCE_SUITE if arguments.references else SUITE)
        spec = find_model(arguments.model or settings.model)
    except (SuiteError, UnknownModelError) as error:
        raise UserError(str(error)) from error
    rows = _rows(arguments)
    characters = suite.characters[: arguments.characters]
    prompts = suite.prompts[: arguments.prompts]
    if not characters and not prompts:
        raise UserError("There is nothing to evaluate.", "Ask for --characters or --prompts.")
    steps = arguments.steps or spec.steps
    run = Run(suite, (*characters, *prompts), rows, spec, steps)
    return replace(run, references=_references(run)) if run.followings else run


def _rows(arguments: argparse.Namespace) -> tuple[Row, ...]:
    """The rows that the options ask for, ablations last.

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


def _references(run: Run) -> dict[str, Reference]:
    """The references that a run's cases are known from.

    Raises:
        UserError: if the model cannot follow any.
    """
    from storyboard.engine import draw_references

    if run.spec.subject is None and any(following.bundle is None for following in run.followings):
        raise UserError(
            f"{run.spec.title} cannot follow references.",
            "Choose another model, or only rows that need none: --rows none,consistency.",
        )
    return draw_references(run.cases)


def _split(run: Run) -> tuple[Sequence[SuiteCharacter], Sequence[SuiteCharacter]]:
    """The characters and the single prompts of a run."""
    singles = {case.name for case in run.suite.prompts}
    return (
        [case for case in run.cases if case.name not in singles],
        [case for case in run.cases if case.name in singles],
    )


def paint_missing(gallery: Gallery, settings: Settings, workers: int) -> None:
    """Paint what a gallery lacks, and say how far it is and how long it will take.

    Args:
        gallery: an open gallery.
        settings: on which device and in which number format to paint.
        workers: how many processes paint.

    Raises:
        UserError: if something cannot be loaded, painted or written. What is painted is kept.
    """
    from storyboard.engine import Engine

    total = sum(len(gallery.missing(case)) for case in gallery.run.cases)
    if not total:
        return
    _say(f"painting {total} pictures with {gallery.run.spec.title}")
    painting: Iterator[str]
    if workers > 1:
        painting = paint_side_by_side(gallery, settings, workers)
    else:
        painting = gallery.paint(Engine(settings), gallery.run.cases)
    started = time.monotonic()
    for done, name in enumerate(painting, start=1):
        left = (time.monotonic() - started) / done * (total - done)
        _say(f"{done} of {total} pictures ({name}), about {left / 60:.0f} min left")


def _heading(gallery: Gallery, arguments: argparse.Namespace, characters: int, prompts: int) -> str:
    """What was painted, with what and by which command, in Markdown."""
    run = gallery.run
    spec, suite = run.spec, run.suite
    workers = "one process" if arguments.workers == 1 else f"{arguments.workers} processes"
    doubts = ""
    painted = f"{spec.title}, {run.steps} steps, guidance {spec.guidance_scale:g}"
    if run.followings and spec.subject is not None:
        painted += f", strength of references {spec.subject.strength:g}"
        doubts = f" The model doubts {len(gallery.doubted())} of the {characters} references."
    kind = "Suite of references," if suite.has_references else "Suite"
    return (
        f"{kind} version {suite.version}, {suite.width} x {suite.height} pixels; {painted}, true "
        f"guidance {spec.true_cfg_scale:g}; torch {version('torch')}, {os.cpu_count()} "
        f"processors, {workers}.{doubts} Intervals are 95 %, over characters. Written by\n\n"
        f"    {_command_line(run, arguments, characters, prompts)}"
    )


def _command_line(run: Run, arguments: argparse.Namespace, characters: int, prompts: int) -> str:
    """The command that was typed, without the paths of this machine."""
    command = ["python -m storyboard evaluate"]
    if arguments.references:
        command.append("--references")
    command += [f"--ablation {shlex.quote(given.name)}=DIR" for given in arguments.ablation]
    command.append("--out DIR")
    if arguments.page is not None:
        page: Path = arguments.page
        command.append(f"--page {page.name if page.is_absolute() else page.as_posix()}")
    if arguments.model is not None:
        command.append(f"--model {'DIR' if run.spec.kind == 'folder' else run.spec.name}")
    if arguments.memory is not None:
        command.append(f"--memory {arguments.memory}")
    if arguments.steps is not None:
        command.append(f"--steps {arguments.steps}")
    if arguments.rows is not None:
        chosen = [row.name for row in run.rows if row.name in arguments.rows]
        command.append(f"--rows {','.join(chosen)}")
    if characters < len(run.suite.characters):
        command.append(f"--characters {characters}")
    if prompts < len(run.suite.prompts):
        command.append(f"--prompts {prompts}")
    if arguments.workers > 1:
        command.append(f"--workers {arguments.workers}")
    return " ".join(command)


def _results(gallery: Gallery, scores: Scores) -> dict[str, object]:
    run = gallery.run
    following = {"subjects": run.subjects(), "doubted": gallery.doubted()}
    readings = {
        path.relative_to(gallery.out / "pictures").with_suffix("").as_posix(): dict(attributes)
        for path, attributes in scores.readings.items()
    }
    return {
        **run.record(),
        **(following if run.followings else {}),
        **asdict(replace(scores, readings={})),
        "readings": readings,
    }


def _say(words: str) -> None:
    print(words, file=sys.stderr)
