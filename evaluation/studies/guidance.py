"""How guidance makes the miniature follow its prompts.

    python -m evaluation.studies.guidance [--prompts 144] [--batch 6] [--setting 2,2] [--setting
    4,1] ...

Paints single prompts, made like those of the evaluation suite but none of them, with every setting
"learnt guidance,classifier-free guidance" from the same seeds, and prints how many of those that
state an attribute show it, as the judge sees it. Without settings it compares the miniature's own
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
from evaluation.suite import SuiteCharacter
from miniature.judge.reading import Judge, load_judge
from miniature.model.sample import GUIDANCE, TRUE_GUIDANCE, render
from pipelines.models.catalog import MINIATURE

ATTRIBUTES = ("place", "action", "hair_color", "top_color")
SETTINGS = ((GUIDANCE, TRUE_GUIDANCE), (1.0, 1.0), (4.0, 1.0), (6.0, 1.0), (1.0, 3.0))

Setting = tuple[float, float]


@dataclass(frozen=True)
class Outcome:
    """What a setting gave.

    Attributes:
        right: for each attribute, whether each picture whose prompt states it shows it.
        seconds: median seconds a picture, several side by side.
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
        raise ValueError(f"{text!r}: guidance begins at 1, which is none")
    return learnt, free


def fresh_prompts(count: int) -> tuple[SuiteCharacter, ...]:
    """Single prompts that the evaluation's suite does not have."""
    return make_suite(characters=0, prompts=PROMPTS + count).prompts[PROMPTS:]


def try_setting(
    pipeline: FluxPipeline,
    judge: Judge,
    cases: Sequence[SuiteCharacter],
    setting: Setting,
    batch: int,
) -> Outcome:
    """Paint all prompts with a setting and let the judge look.

    Args:
        pipeline: the miniature.
        judge: the judge.
        cases: what to paint; the first frame of each.
        setting: learnt guidance, classifier-free guidance.
        batch: pictures painted side by side.
    """
    right: dict[str, list[bool]] = defaultdict(list)
    seconds = []
    for first in range(0, len(cases), batch):
        some = cases[first : first + batch]
        started = time.perf_counter()
        pictures = render(
            pipeline,
            [case.frames[0].prompt.text for case in some],
            text_tokens=MINIATURE.max_sequence_length,
            guidance=setting[0],
            true_guidance=setting[1],
            seed=first,
        )
        seconds.append((time.perf_counter() - started) / len(some))
        for case, seen in zip(some, judge.read(pictures).attributes, strict=True):
            for name in case.frames[0].stated:
                right[name].append(seen[name] == case.truth(0)[name])
    return Outcome(right, statistics.median(seconds))


def table(outcomes: dict[Setting, Outcome]) -> str:
    """The numbers as Markdown."""
    heads = " | ".join(name.replace("_", " ") for name in ATTRIBUTES)
    lines = [
        f"| learnt | classifier-free | {heads} | s a picture |",
        "|" + " ---: |" * (len(ATTRIBUTES) + 3),
    ]
    for (learnt, free), outcome in outcomes.items():
        shares = [_share(outcome.right.get(name, [])) for name in ATTRIBUTES]
        lines.append(f"| {learnt:g} | {free:g} | {' | '.join(shares)} | {outcome.seconds:.2f} |")
    return "\n".join(lines)


def _share(right: Sequence[bool]) -> str:
    return f"{100 * np.mean(right):.0f} % of {len(right)}" if right else "none stated"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.studies.guidance")
    parser.add_argument("--prompts", type=int, default=144, help="how many")
    parser.add_argument("--batch", type=int, default=6, help="pictures painted side by side")
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
