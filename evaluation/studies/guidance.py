"""Effect of guidance on how the miniature follows its prompts.

    python -m evaluation.studies.guidance [--prompts 144] [--batch 6] [--setting 2,2] [--setting
    4,1] ...

Renders single prompts, made like those of the evaluation suite but none of them, with every setting
"learnt guidance,classifier-free guidance" from the same seeds, and prints the share that shows an
attribute, by the judge, of those that state it. Without settings it compares the miniature's own
with some others.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import FluxPipeline

from evaluation.drawn.judge import JUDGE
from evaluation.drawn.suite import PROMPTS, make_suite
from evaluation.results import grid
from evaluation.suite import SuiteCharacter
from miniature.judge.reading import Judge, load_judge
from miniature.model.sample import GUIDANCE, TRUE_GUIDANCE, render
from pipelines.models.catalog import MINIATURE

ATTRIBUTES = ("place", "action", "hair_color", "top_color")
SETTINGS = ((GUIDANCE, TRUE_GUIDANCE), (1.0, 1.0), (4.0, 1.0), (6.0, 1.0), (1.0, 3.0))

Setting = tuple[float, float]


@dataclass(frozen=True)
class Outcome:
    """Results of a setting.

    Attributes:
        right: for each attribute, whether the pictures whose prompts state it show it.
        seconds: median seconds a picture.
    """

    right: dict[str, list[bool]]
    seconds: float


def parse_setting(text: str) -> Setting:
    """Read "learnt,classifier-free".

    Raises:
        ValueError: if it is not two numbers of at least 1.
    """
    learnt, free = (float(number) for number in text.split(","))
    if not (learnt >= 1 and free >= 1):
        raise ValueError(f"{text!r}: guidance begins at 1, which is no guidance")
    return learnt, free


def fresh_prompts(count: int) -> tuple[SuiteCharacter, ...]:
    """Make single prompts that the evaluation's suite does not have."""
    return make_suite(characters=0, prompts=PROMPTS + count).prompts[PROMPTS:]


def try_setting(
    pipeline: FluxPipeline,
    judge: Judge,
    cases: Sequence[SuiteCharacter],
    setting: Setting,
    batch: int,
) -> Outcome:
    """Render the prompts of the first frame of each case with a setting, and read the pictures."""
    right: dict[str, list[bool]] = defaultdict(list)
    seconds = []
    for first in range(0, len(cases), batch):
        chunk = cases[first : first + batch]
        started = time.perf_counter()
        pictures = render(
            pipeline,
            [case.frames[0].prompt.text for case in chunk],
            text_tokens=MINIATURE.max_sequence_length,
            guidance=setting[0],
            true_guidance=setting[1],
            seed=first,
        )
        seconds.append((time.perf_counter() - started) / len(chunk))
        for case, seen in zip(chunk, judge.read(pictures).attributes, strict=True):
            for name in case.frames[0].stated:
                right[name].append(seen[name] == case.truth(0)[name])
    return Outcome(right, statistics.median(seconds))


def table(outcomes: dict[Setting, Outcome]) -> str:
    """Format the numbers as Markdown."""
    names = (name.replace("_", " ") for name in ATTRIBUTES)
    rows = []
    for (learnt, free), outcome in outcomes.items():
        shares = [_share(outcome.right.get(name, [])) for name in ATTRIBUTES]
        rows.append([f"{learnt:g}", f"{free:g}", *shares, f"{outcome.seconds:.2f}"])
    return grid(["learnt", "classifier-free", *names, "s a picture"], rows)


def _share(right: Sequence[bool]) -> str:
    return f"{100 * np.mean(right):.0f} % of {len(right)}" if right else "none stated"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study with the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.studies.guidance")
    parser.add_argument("--prompts", type=int, default=144, help="number of prompts")
    parser.add_argument("--batch", type=int, default=6, help="pictures in a batch")
    parser.add_argument("--setting", type=parse_setting, action="append", default=[])
    options = parser.parse_args(arguments)
    pipeline = FluxPipeline.from_pretrained(MINIATURE.source, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    cases = fresh_prompts(options.prompts)
    judge = load_judge(JUDGE)
    outcomes = {
        setting: try_setting(pipeline, judge, cases, setting, options.batch)
        for setting in options.setting or SETTINGS
    }
    print(table(outcomes))


if __name__ == "__main__":
    main()
