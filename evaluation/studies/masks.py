"""Masks and matches of a model of the drawn world, against the truth of its pictures.

    python -m evaluation.studies.masks [--pictures 200] [--model miniature] [--out FILE] [--sheet
    FILE]

Renders stories of two frames. The pipeline finds masks and matches at a fifth of the steps; the
judge, a segmenter trained on the drawn world, reads the finished pictures. A token is foreground
where a figure covers more than half of it, and shows the part that covers most of its foreground
pixels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from evaluation.drawn.judge import JUDGE
from evaluation.metrics.statistics import Tally, mean
from evaluation.results import grid, interval_text
from evaluation.studies.agreement import (
    LABELS,
    BoolGrid,
    count_matches,
    intersection_over_union,
    token_truth,
)
from evaluation.studies.match_sheet import match_sheet
from evaluation.studies.stories import (
    WORLD,
    JudgedPicture,
    RenderedStory,
    render_story,
    story_request,
)
from miniature.judge.reading import Judge, load_judge
from miniature.world.scene import draw_scene
from pipelines.consistency.masks import clean_mask
from pipelines.events import Phase, TokenMatches
from pipelines.loading.model import load_pipeline
from pipelines.models.catalog import find_model
from pipelines.models.measured import Interval
from pipelines.models.specs import ModelSpec

PHASES: tuple[Phase, ...] = ("probe", "render")
CLEANUPS = ((1, 1), (1, 3), (3, 3), (3, 5))
CLEANUP_NAMES = {(1, 1): "no cleanup", (3, 5): "erosion 3, dilation 5 (published)"}
SHEET_STORIES = 8
_DRAWN_SEED = 31_000_000  # of drawn pictures that the judge was not trained on


def cleaned(mask: BoolGrid, sizes: tuple[int, int]) -> BoolGrid:
    """Clean a mask by an erosion and a dilation of these sizes."""
    result: BoolGrid = clean_mask(torch.from_numpy(mask), *sizes).numpy()
    return result


def share(parts: Sequence[float], wholes: Sequence[float]) -> Interval | None:
    """Divide the sum of the parts of all stories by the sum of their wholes.

    Returns:
        The share with its 95 % interval over stories; None where nothing is counted.
    """
    return mean(Tally(torch.tensor(parts).double(), torch.tensor(wholes).double()))


def mask_rows(stories: Sequence[RenderedStory]) -> Iterator[tuple[str, Interval | None]]:
    """Compute the agreement of the masks with the truth; yields the rows of the table."""

    def total(measure: Callable[[JudgedPicture], float]) -> list[float]:
        return [sum(measure(picture) for picture in story.pictures) for story in stories]

    def overlap(
        mask: Callable[[JudgedPicture], BoolGrid], sizes: tuple[int, int] = (1, 1)
    ) -> Interval | None:
        pairs = total(
            lambda p: intersection_over_union(cleaned(mask(p), sizes), p.truth.foreground)
        )
        return share(pairs, [2] * len(stories))

    yield "IoU of the masks as the pipeline uses them", overlap(lambda p: p.mask)
    for sizes in CLEANUPS:
        yield f"IoU of the raw masks, {_sizes(sizes)}", overlap(lambda p: p.raw, sizes)
    for sizes in CLEANUPS[1:]:
        found = overlap(lambda p: p.truth.foreground, sizes)
        yield f"IoU of the true masks, {_sizes(sizes)}", found

    hits = total(lambda p: int((p.mask & p.truth.foreground).sum()))
    used = total(lambda p: int(p.mask.sum()))
    yield "precision of the masks in use, over tokens", share(hits, used)
    true = total(lambda p: int(p.truth.foreground.sum()))
    yield "recall of the masks in use, over tokens", share(hits, true)


def _sizes(sizes: tuple[int, int]) -> str:
    return CLEANUP_NAMES.get(sizes, f"erosion {sizes[0]}, dilation {sizes[1]}")


@dataclass(frozen=True)
class MatchRow:
    """Agreement of some matches.

    Attributes:
        phase: the pass that found them.
        tokens: name of the set of tokens that count.
        labels: name of the labels that two parts must share to count as the same.
        agreement: share of tokens whose match shows the same part.
        chance: likewise for a random foreground token of the identity frame.
        count: number of tokens.
    """

    phase: Phase
    tokens: str
    labels: str
    agreement: Interval | None
    chance: Interval | None
    count: int


def counted_tokens(
    story: RenderedStory, matches: TokenMatches, threshold: float
) -> dict[str, BoolGrid]:
    """Return sets of tokens of the second frame, by name."""
    foreground = story.second.mask & story.second.truth.foreground
    similar = foreground & (matches.similarity > threshold)
    ends = story.identity.mask.ravel()[matches.identity_index]
    return {
        "all foreground": foreground,
        f"similarity above {threshold:g}": similar,
        "shared: above it, match in the identity frame's mask": similar & ends,
    }


def match_rows(stories: Sequence[RenderedStory], threshold: float) -> Iterator[MatchRow]:
    """Compute the agreement of the matches with the truth; yields the rows of the table.

    The similarity that a match must exceed to be used is `threshold`.
    """
    for phase in PHASES:
        sets = [counted_tokens(s, s.second.matches[phase], threshold) for s in stories]
        for tokens in sets[0]:
            for name, labels in LABELS.items():
                counts = [
                    count_matches(
                        story.second.matches[phase],
                        chosen[tokens],
                        story.second.truth,
                        story.identity.truth,
                        labels,
                    )
                    for story, chosen in zip(stories, sets, strict=True)
                ]
                wholes = [c.tokens for c in counts]
                same = share([c.same for c in counts], wholes)
                chance = share([c.chance for c in counts], wholes)
                yield MatchRow(phase, tokens, name, same, chance, sum(wholes))


@dataclass(frozen=True)
class JudgeRow:
    """Accuracy of the judge on drawn pictures, whose truth is known.

    Attributes:
        pixels: mean IoU of the foreground in pixels.
        tokens: mean IoU of the foreground in tokens.
        parts: share of foreground tokens with the right part, by the labels that must agree.
    """

    pixels: Interval | None
    tokens: Interval | None
    parts: dict[str, Interval | None]


def judge_row(judge: Judge, count: int, grid: tuple[int, int]) -> JudgeRow:
    """Measure the judge on a number of drawn pictures; `grid` is rows and columns of tokens."""
    pixels, tokens, there = [], [], []
    right: dict[str, list[int]] = {name: [] for name in LABELS}
    for number in range(count):
        scene = draw_scene(_DRAWN_SEED + number, world=WORLD)
        reading = judge.read(scene.image[None])
        foreground, parts = reading.foreground[0].numpy(), reading.parts[0].numpy()
        pixels.append(intersection_over_union(foreground, scene.foreground))
        ours = token_truth(foreground, parts, grid)
        true = token_truth(scene.foreground, scene.parts, grid)
        tokens.append(intersection_over_union(ours.foreground, true.foreground))
        both = ours.foreground & true.foreground
        there.append(int(both.sum()))
        for name, labels in LABELS.items():
            right[name].append(int((labels[ours.parts] == labels[true.parts])[both].sum()))
    ones = [1] * count
    return JudgeRow(
        share(pixels, ones),
        share(tokens, ones),
        {name: share(hits, there) for name, hits in right.items()},
    )


def report(spec: ModelSpec, stories: Sequence[RenderedStory], judged: JudgeRow) -> str:
    """Format all numbers as Markdown."""
    settings = spec.consistency_for(spec.steps)
    nobody = sum(not p.truth.foreground.any() for story in stories for p in story.pictures)
    masks = [
        *((name, interval_text(value, ".3f")) for name, value in mask_rows(stories)),
        ("the judge's IoU on drawn pictures", interval_text(judged.tokens, ".3f")),
        ("the same in pixels", interval_text(judged.pixels, ".3f")),
    ]
    matches = [
        (
            f"{row.phase} pass",
            row.tokens,
            row.labels,
            interval_text(row.agreement, ".3f"),
            interval_text(row.chance, ".3f"),
            str(row.count),
        )
        for row in match_rows(stories, settings.similarity_threshold)
    ]
    matches += [
        ("the judge on drawn pictures", "all foreground", name, interval_text(value, ".3f"), "", "")
        for name, value in judged.parts.items()
    ]
    parts = [
        f"{2 * len(stories)} pictures of {len(stories)} stories, rendered by {spec.name}: "
        f"{spec.width}x{spec.height}, {spec.steps} steps, guidance "
        f"{spec.guidance_scale:g}, true guidance {spec.true_cfg_scale:g}; "
        f"masks and matches at {settings.mask_step:g} of the steps, cleanup by "
        f"erosion {settings.mask_erode}, dilation {settings.mask_dilate}. The judge sees nobody in "
        f"{nobody} of the pictures. In brackets: 95 % intervals, bootstrapped over stories.",
        grid(("masks", "in tokens"), masks),
        grid(("matches of", "tokens", "same", "agreement", "chance", "count"), matches),
    ]
    return "\n\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Render, count and print."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.studies.masks",
        description="Compare masks and matches with the truth.",
    )
    add = parser.add_argument
    add("--pictures", type=int, default=200, help="number of pictures, two a story")
    add("--model", default="miniature", help="a model of the drawn world")
    add("--judge", type=Path, default=JUDGE, help="the judge's weights")
    add("--out", type=Path, help="also write the tables there, as Markdown")
    add("--sheet", type=Path, help=f"draw the first {SHEET_STORIES} stories there, as PNG")
    options = parser.parse_args(arguments)
    if options.pictures < 2:
        parser.error(f"--pictures {options.pictures}: a story has two")
    spec, judge = find_model(options.model), load_judge(options.judge)
    pipeline = load_pipeline(spec)
    stories = []
    for number in range(options.pictures // 2):
        request = story_request(spec, number)
        stories.append(render_story(pipeline, request, judge, spec.max_sequence_length))
        print(f"\r{number + 1} of {options.pictures // 2} stories", end="", file=sys.stderr)
    print(file=sys.stderr)
    rows, columns = stories[0].identity.mask.shape
    text = report(spec, stories, judge_row(judge, len(stories) * 2, (rows, columns)))
    print(text)
    if options.out:
        options.out.write_text(f"{text}\n", encoding="utf-8")
    if options.sheet:
        sheet = match_sheet(
            stories[:SHEET_STORIES], spec.consistency_for(spec.steps).similarity_threshold
        )
        sheet.save(options.sheet, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
