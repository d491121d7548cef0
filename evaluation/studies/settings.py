"""Effect of the settings of the consistency on a model's characters.

    python -m evaluation.studies.settings --out DIR [--characters 16] [--after 0] [--steps N]
        [--model miniature] [--workers 1] [--variant share_end=3/4,merge_weight=1] ...
    python -m evaluation.studies.settings --out DIR --references [--variant strength=0.8] ...

Renders characters plain, with the model's own settings and with every variant of them, and prints
a table with a line for each; with --references the tables of `python -m evaluation`. The characters
are made like those of the evaluation suite, but are none of them, so that settings chosen here can
be measured there; --after leaves out as many of them, for a search and its confirmation on
different characters. A variant names fields of `ConsistencySettings`, and `place=1` for the
identity frame's place; a value is a number, or a fraction such as 3/4: step 3 of 4. With
--references the characters have references, on which all rows but the plain one are conditioned;
then a variant may also name `strength`, that of the conditioning, and `alone=1` for no consistency,
and frames in one place always share it. A stopped command continues when it is run again.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

from evaluation.drawn.scenes import draw_references
from evaluation.drawn.suite import CHARACTERS, REFERENCES, make_reference_suite, make_suite
from evaluation.rendering import EvaluationFolder, EvaluationRun, render_missing, report_progress
from evaluation.report import tables
from evaluation.rows import OWN_CONDITIONING, REFERENCE_ROWS, ROWS, Conditioning, SuiteRow
from evaluation.studies.comparison import compare_folder, table
from evaluation.suite import Suite
from pipelines.errors import UserError
from pipelines.models.catalog import find_model
from pipelines.request import MAX_REFERENCE_STRENGTH, ConsistencySettings
from storyboard.board import MAX_STEPS
from storyboard.cli.arguments import whole
from storyboard.settings import Settings

OWN_SETTINGS = SuiteRow("own", "the model's own settings")
_PLACE, _STRENGTH, _ALONE = "place", "strength", "alone"


@dataclass(frozen=True)
class Variant:
    """Settings to try.

    Attributes:
        text: the option's text.
        name: for files.
        changes: settings of `ConsistencySettings` that differ from the model's own.
        place: whether frames take the place from the identity frame.
        strength: of the conditioning on references; None for the model's own.
        alone: whether references are used without consistency.
    """

    text: str
    name: str
    changes: dict[str, float]
    place: bool
    strength: float | None
    alone: bool

    @property
    def row(self) -> SuiteRow:
        """Row of characters without a reference."""
        row = SuiteRow(self.name, self.text, changes=self.changes)
        return replace(row, shares_place=self.place, sharers_only=self.place)

    @property
    def reference_row(self) -> SuiteRow:
        """Row of characters with a reference."""
        conditioning = OWN_CONDITIONING
        if self.strength is not None:
            conditioning = Conditioning(f"strength-{self.strength:g}", strength=self.strength)
        row = SuiteRow(self.name, self.text, changes=self.changes, conditioning=conditioning)
        return replace(row, consistent=not self.alone, shares_place=not self.alone)


def parse_variant(text: str) -> Variant:
    """Read the settings of a variant, such as "share_end=1,merge=0".

    Raises:
        ValueError: if a setting is not known or its value cannot be read.
    """
    kinds = {name: type(value) for name, value in asdict(ConsistencySettings()).items()}
    others = {_PLACE: bool, _STRENGTH: float, _ALONE: bool}
    known = kinds | others
    found: dict[str, float] = {}
    for change in text.split(","):
        name, _, value = change.partition("=")
        if name not in known:
            raise ValueError(f"{name!r} is none of {', '.join(known)}")
        found[name] = known[name](_number(value))
    file_name = ",".join(f"{name}={value:g}" for name, value in found.items())
    place, strength, alone = (found.pop(name, None) for name in others)
    ConsistencySettings(**found)  # type: ignore[arg-type]  # names what is out of range
    if strength is not None and not 0 <= strength <= MAX_REFERENCE_STRENGTH:
        raise ValueError(f"strength={strength:g} is not in [0, {MAX_REFERENCE_STRENGTH}]")
    return Variant(text, file_name, found, bool(place), strength, bool(alone))


def _number(text: str) -> float:
    """Read a number such as "0.8", or a fraction such as "3/4".

    Raises:
        ValueError: if it is neither.
    """
    try:
        return float(Fraction(text))
    except ZeroDivisionError as error:
        raise ValueError(f"{text!r} is no number") from error


def fresh_suite(characters: int, *, after: int = 0, references: bool = False) -> Suite:
    """Make a suite of characters that the evaluation's suite does not have.

    Args:
        characters: number of characters.
        after: number of such characters to leave out before the first.
        references: whether they have references.
    """
    if references:
        return make_reference_suite(characters=characters, first=REFERENCES + after)
    return make_suite(characters=characters, prompts=0, first=CHARACTERS + after)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study with the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.studies.settings")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--characters", type=whole(1, 1000), default=16)
    parser.add_argument("--after", type=whole(0, 1000), default=0)
    parser.add_argument("--steps", type=whole(1, MAX_STEPS))
    parser.add_argument("--model", default="miniature")
    parser.add_argument("--workers", type=whole(1, 64), default=1)
    parser.add_argument("--variant", type=parse_variant, action="append", default=[])
    parser.add_argument("--references", action="store_true")
    options = parser.parse_args(arguments)

    suite = fresh_suite(options.characters, after=options.after, references=options.references)
    spec = find_model(options.model)
    steps = options.steps or spec.steps
    rows = (ROWS[0], OWN_SETTINGS, *(variant.row for variant in options.variant))
    if options.references:
        rows = (*REFERENCE_ROWS, *(variant.reference_row for variant in options.variant))
    references = draw_references(suite.characters) if options.references else {}
    run = EvaluationRun(suite, suite.characters, rows, spec, steps, references)
    folder = EvaluationFolder(run, options.out)
    folder.open()
    render_missing(folder, Settings.from_environment(os.environ), options.workers)
    # Imports torch, whose threads the engine sets up before it is first imported.
    from evaluation.drawn.judge import JUDGE, JudgeReader
    from evaluation.metrics.scoring import score_with_judge
    from miniature.judge.reading import load_judge

    heading = f"{spec.title}, {steps} steps, {len(suite.characters)} characters"
    if options.references:
        rendered = [folder.row(row, suite.characters) for row in rows]
        scores = score_with_judge(suite, rendered, None, report_progress)
        print(tables(scores, rows, heading))
    else:
        ways = compare_folder(folder, suite.characters, JudgeReader(load_judge(JUDGE)))
        print(f"{heading}\n\n{table(ways)}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
