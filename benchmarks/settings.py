"""Which settings of the consistency keep a model's characters best.

    python -m benchmarks.settings --out DIR [--characters 16] [--model miniature] [--workers 1]
        [--variant share_end=1,merge_weight=1] [--variant similarity_threshold=0.3] ...

Paints characters plain, with the model's own settings and with every variant of them, and prints
the tables of `python -m storyboard evaluate`. The characters are made like those of the evaluation
suite, but are none of them: settings that were chosen here can be measured there. A variant
names fields of `ConsistencySettings`, and `place=1` for the identity frame's place. The same
command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from pipelines.miniature.suite import CHARACTERS, make_suite
from pipelines.registry import find_model
from pipelines.request import ConsistencySettings
from pipelines.suite import Suite
from storyboard import engine
from storyboard.errors import UserError
from storyboard.evaluation.command import paint_missing
from storyboard.evaluation.gallery import Gallery, Run
from storyboard.evaluation.page import tables
from storyboard.evaluation.rows import Row
from storyboard.settings import Settings

PLAIN = Row("plain", "plain", consistent=False)
OWN = Row("own", "the model's own settings")
_PLACE = "place"


def parse_variant(text: str) -> Row:
    """A row from the settings that it changes, "share_end=1,merge=0".

    Raises:
        ValueError: if a setting is not known or its value cannot be read.
    """
    kinds = {name: type(value) for name, value in asdict(ConsistencySettings()).items()}
    changes: dict[str, float] = {}
    for change in text.split(","):
        name, _, value = change.partition("=")
        if name != _PLACE and name not in kinds:
            raise ValueError(f"{name!r} is none of {', '.join((*kinds, _PLACE))}")
        number = float(value)
        changes[name] = number if name == _PLACE else kinds[name](number)
    shares_place = bool(changes.pop(_PLACE, 0))
    ConsistencySettings(**changes)  # type: ignore[arg-type]  # says what is out of range
    return Row(text, text, shares_place=shares_place, sharers_only=shares_place, changes=changes)


def fresh_suite(characters: int) -> Suite:
    """A suite of characters that the evaluation's suite does not have."""
    made = make_suite(characters=CHARACTERS + characters, prompts=0)
    return replace(made, characters=made.characters[CHARACTERS:])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.settings")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--characters", type=int, default=16)
    parser.add_argument("--model", default="miniature")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--variant", type=parse_variant, action="append", default=[])
    options = parser.parse_args(arguments)

    suite, spec = fresh_suite(options.characters), find_model(options.model)
    rows = (PLAIN, OWN, *options.variant)
    gallery = Gallery(Run(suite, suite.characters, rows, spec, spec.steps), options.out)
    gallery.open()
    paint_missing(gallery, Settings.from_environment(os.environ), options.workers)
    painted = [gallery.row(row, suite.characters) for row in rows]
    scores = engine.evaluate(suite, painted, None, lambda words: print(words, file=sys.stderr))
    print(tables(scores, rows, f"{spec.title}, {len(suite.characters)} characters"))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
