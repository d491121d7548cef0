"""`python -m storyboard evaluate`: paint a suite, score it, write the tables."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

from pipelines.registry import UnknownModelError, find_model
from pipelines.scores import Scores
from pipelines.suite import SuiteCharacter, SuiteError, read_suite
from storyboard.errors import UserError
from storyboard.evaluation.gallery import Gallery, Run, paint_side_by_side
from storyboard.evaluation.page import tables, update_page
from storyboard.evaluation.rows import ROWS, Row
from storyboard.files import DocumentKind
from storyboard.settings import ROOT, Settings

SUITE = ROOT / "assets" / "evaluation" / "suite-v1.json"
RESULTS_FILE = DocumentKind("throughline evaluation results")
_SINGLE = Row("plain", "plain", consistent=False)


def parse_rows(text: str) -> tuple[Row, ...]:
    """The rows of these names, "plain,merge", in the order of `ROWS`.

    Raises:
        ValueError: if there is no row of one of the names.
    """
    names = text.split(",")
    known = [row.name for row in ROWS]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"there is no row {unknown[0]!r}; there are {', '.join(known)}")
    return tuple(row for row in ROWS if row.name in names)


def evaluate(arguments: argparse.Namespace) -> None:
    """Run the command.

    Args:
        arguments: out, page, characters, prompts, rows, model, steps, workers.

    Raises:
        UserError: if something cannot be loaded, painted or written. What is painted is kept.
    """
    from storyboard import engine

    settings = Settings.from_environment(os.environ)
    run = _run(arguments, settings)
    gallery = Gallery(run, arguments.out)
    gallery.open()
    paint_missing(gallery, settings, arguments.workers)
    characters, prompts = _split(run)
    rows = [gallery.row(row, characters) for row in run.rows] if characters else []
    singles = gallery.row(_SINGLE, prompts) if prompts else None
    scores = engine.evaluate(run.suite, rows, singles, _say)
    heading = _heading(run, arguments, len(characters), len(prompts))
    text = tables(scores, run.rows, heading)
    gallery.write("results.json", RESULTS_FILE.dump(_results(run, scores, arguments.out)))
    gallery.write("tables.md", text.encode())
    print(text, end="")
    if arguments.page is not None:
        update_page(arguments.page, text)


def _run(arguments: argparse.Namespace, settings: Settings) -> Run:
    try:
        suite = read_suite(SUITE)
        spec = find_model(arguments.model or settings.model)
    except (SuiteError, UnknownModelError) as error:
        raise UserError(str(error)) from error
    characters = suite.characters[: arguments.characters]
    prompts = suite.prompts[: arguments.prompts]
    if not characters and not prompts:
        raise UserError("There is nothing to evaluate.", "Ask for --characters or --prompts.")
    return Run(suite, (*characters, *prompts), arguments.rows, spec, arguments.steps or spec.steps)


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


def _heading(run: Run, arguments: argparse.Namespace, characters: int, prompts: int) -> str:
    spec = run.spec
    command = ["python -m storyboard evaluate --out DIR"]
    suite = run.suite
    if arguments.page is not None:
        page: Path = arguments.page
        command.append(f"--page {page.name if page.is_absolute() else page.as_posix()}")
    if arguments.model is not None:
        command.append(f"--model {'DIR' if spec.kind == 'folder' else spec.name}")
    if arguments.steps is not None:
        command.append(f"--steps {arguments.steps}")
    if run.rows != ROWS:
        command.append(f"--rows {','.join(row.name for row in run.rows)}")
    if characters < len(suite.characters):
        command.append(f"--characters {characters}")
    if prompts < len(suite.prompts):
        command.append(f"--prompts {prompts}")
    if arguments.workers > 1:
        command.append(f"--workers {arguments.workers}")
    workers = "one process" if arguments.workers == 1 else f"{arguments.workers} processes"
    return (
        f"Suite version {suite.version}, {suite.width} x {suite.height} pixels; {spec.title}, "
        f"{run.steps} steps, guidance {spec.guidance_scale:g}, true guidance "
        f"{spec.true_cfg_scale:g}; torch {version('torch')}, {os.cpu_count()} processors, "
        f"{workers}. Intervals are 95 %, over characters. Written by\n\n    {' '.join(command)}"
    )


def _results(run: Run, scores: Scores, out: Path) -> dict[str, object]:
    readings = {
        path.relative_to(out / "pictures").with_suffix("").as_posix(): dict(attributes)
        for path, attributes in scores.readings.items()
    }
    return {**run.record(), **asdict(replace(scores, readings={})), "readings": readings}


def _say(words: str) -> None:
    print(words, file=sys.stderr)
