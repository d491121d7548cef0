"""Savings and losses of the shortcuts.

    python -m evaluation.studies.shortcuts [--characters 20] [--prompts 5] [--steps N ...]
        [--model miniature] [--sheet FILE] [--out DIR] [--save]

Renders characters exactly and with every shortcut, from the same prompts and seeds, in one process
and in turns, every other turn in reverse order, and reads the pictures with the judge. The
characters are made like those of the evaluation suite, but are none of them; --prompts takes fewer
than all of the prompts of each. Two ways are no shortcuts: banks in 8 bits, and with --steps fewer
steps. The table goes to benchmarks/RESULTS.md or, with --out, into a folder; --save writes the
costs that pages show to assets/measured/shortcuts.json. --sheet draws the first character, a row
for each way.

Identity, actions and places count without the identity frame, as in `python -m
evaluation`; masks and colours with it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from evaluation.drawn.judge import JUDGE, JudgeReader
from evaluation.drawn.suite import FRAMES
from evaluation.metrics.color import pixel_distance
from evaluation.metrics.measures import Observe, Sightings, followed, identity_kept, tally
from evaluation.metrics.statistics import Tally, difference, mean
from evaluation.rendering import report_progress
from evaluation.results import Results, Section, describe_machine, interval_text
from evaluation.rows import frame_ids, requests
from evaluation.studies import contact_sheet
from evaluation.studies.agreement import BoolGrid, intersection_over_union
from evaluation.studies.settings import OWN_SETTINGS, fresh_suite
from evaluation.suite import Suite, SuiteCharacter
from miniature.judge.reading import load_judge
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.loading.model import load_pipeline
from pipelines.models.catalog import find_model
from pipelines.models.measured import (
    COSTS_FILE,
    COSTS_FORMAT,
    Interval,
    ShortcutCost,
    shortcut_costs,
)
from pipelines.models.shortcuts import SHORTCUTS, ShortcutName
from pipelines.models.specs import ModelSpec
from pipelines.request import RenderBudget, RenderRequest, Shortcuts
from pipelines.sampling.context import RenderContext
from storyboard.board import MAX_STEPS
from storyboard.cli.arguments import whole

WARM_STEPS = 2
_MEASURES: dict[str, Observe] = {
    "identity": identity_kept,
    "action": followed("action"),
    "place": followed("place"),
}
_COST_DIGITS = 4


@dataclass(frozen=True)
class Way:
    """Way to render.

    Attributes:
        title: for the table.
        shortcuts: the shortcuts of the request.
        steps: denoising steps.
        name: of the shortcut; None for another way.
        budget: of memory, for the banks.
    """

    title: str
    shortcuts: Shortcuts
    steps: int
    name: ShortcutName | None = None
    budget: RenderBudget = RenderBudget()


@dataclass(frozen=True)
class RenderedCharacter:
    """Pictures of a character in one way.

    Attributes:
        seconds: time of all frames, encoding and decoding included.
        pictures: RGB, uint8, shape (height, width, 3) each, in the order of the frames.
        masks: their foreground masks, shape (rows, columns) each.
    """

    seconds: float
    pictures: tuple[NDArray[np.uint8], ...]
    masks: tuple[BoolGrid, ...]


Renderings = Mapping[str, Sequence[RenderedCharacter]]
"""For each way, by its title, the renderings of all characters in their order."""


@dataclass(frozen=True)
class WayResult:
    """Results of a way; changes are over the exact one. None where nothing was observed.

    Attributes:
        way: the way.
        seconds: median seconds of a frame.
        saved: saved share of the time of a storyboard.
        shares: identity kept, action and place followed, by their names.
        changes: the same minus those of the exact way.
        mask_overlap: intersection over union with the exact masks.
        color_distance: mean CIELAB distance to the exact pictures.
    """

    way: Way
    seconds: float
    saved: Interval | None
    shares: Mapping[str, Interval | None]
    changes: Mapping[str, Interval | None]
    mask_overlap: Interval | None
    color_distance: Interval | None


def ways(spec: ModelSpec, fewer: Sequence[int] = ()) -> list[Way]:
    """List the exact way, the shortcuts, banks in 8 bits, and some with fewer steps."""
    own = [Way(s.title, s.shortcuts, spec.steps, s.name) for s in SHORTCUTS]
    small = RenderBudget(order="bank", bank_dtype="fp8")
    packed = Way("Banks in 8 bits", Shortcuts(), spec.steps, budget=small)
    return [*own, packed, *(Way(f"{steps} steps", Shortcuts(), steps) for steps in fewer)]


def shortened(suite: Suite, prompts: int) -> Suite:
    """Cut the characters of a suite to a number of prompts."""
    cases = tuple(replace(case, frames=case.frames[:prompts]) for case in suite.characters)
    return replace(suite, characters=cases)


def story(suite: Suite, case: SuiteCharacter, spec: ModelSpec) -> RenderRequest:
    """Make the request of a character's frames with the model's own settings."""
    rows = [OWN_SETTINGS]
    (request,) = requests(suite, case, rows, spec, spec.steps, frame_ids(case, rows))
    return request


def render(
    pipeline: FluxStoryboardPipeline, request: RenderRequest, context: RenderContext
) -> RenderedCharacter:
    """Render a request and measure the time."""
    begun = time.perf_counter()
    done = contact_sheet.render_frames(pipeline, request, context)
    seconds = time.perf_counter() - begun
    frames = [done[name] for name in request.targets]
    pictures = tuple(np.asarray(frame.image) for frame in frames)
    return RenderedCharacter(seconds, pictures, tuple(frame.mask for frame in frames))


def render_all(
    pipeline: FluxStoryboardPipeline,
    stories: Sequence[RenderRequest],
    chosen: Sequence[Way],
    spec: ModelSpec,
) -> Renderings:
    """Render every story in every way, in turns, so that other load affects all ways."""
    first = replace(stories[0], steps=WARM_STEPS, targets=stories[0].targets[:1])
    render(pipeline, first, RenderContext(spec.max_sequence_length))
    found: dict[str, list[RenderedCharacter]] = {way.title: [] for way in chosen}
    for number, request in enumerate(stories):
        for way in chosen if number % 2 == 0 else reversed(chosen):
            changed = replace(
                request,
                shortcuts=way.shortcuts,
                steps=way.steps,
                consistency=spec.consistency_for(way.steps),
            )
            context = RenderContext(spec.max_sequence_length, budget=way.budget)
            found[way.title].append(render(pipeline, changed, context))
        seconds = sum(renderings[-1].seconds for renderings in found.values())
        report_progress(f"{number + 1} of {len(stories)} characters, the last took {seconds:.0f} s")
    return found


def compare(
    cases: Sequence[SuiteCharacter],
    chosen: Sequence[Way],
    renderings: Renderings,
    reader: JudgeReader,
) -> list[WayResult]:
    """Compare all ways with the first, which is the exact one."""
    seen: dict[str, Sightings] = {
        title: {
            case.name: reader.read(rendering.pictures)
            for case, rendering in zip(cases, rendered, strict=True)
        }
        for title, rendered in renderings.items()
    }
    exact = chosen[0].title
    base = {name: tally(observe, cases, seen[exact]) for name, observe in _MEASURES.items()}
    results = []
    for way in chosen:
        pairs = list(zip(renderings[way.title], renderings[exact], strict=True))
        own = {n: tally(observe, cases, seen[way.title]) for n, observe in _MEASURES.items()}
        results.append(
            WayResult(
                way,
                statistics.median(p.seconds / len(p.pictures) for p, _ in pairs),
                saved_time(pairs),
                {name: mean(found) for name, found in own.items()},
                {name: difference(found, base[name]) for name, found in own.items()},
                mean(Tally.of([mask_overlaps(*pair) for pair in pairs])),
                mean(Tally.of([color_distances(*pair) for pair in pairs])),
            )
        )
    return results


def saved_time(pairs: Sequence[tuple[RenderedCharacter, RenderedCharacter]]) -> Interval | None:
    """Compute the saved share of the time, of renderings beside their exact ones."""
    mine, exact = (
        torch.tensor([pair[side].seconds for pair in pairs], dtype=torch.float64) for side in (0, 1)
    )
    ratio = mean(Tally(mine, exact))
    return ratio and Interval(1 - ratio.value, 1 - ratio.high, 1 - ratio.low)


def mask_overlaps(rendering: RenderedCharacter, exact: RenderedCharacter) -> list[float]:
    """Compute intersection over union of each frame's mask with the exact one."""
    masks = zip(rendering.masks, exact.masks, strict=True)
    return [intersection_over_union(mask, truth) for mask, truth in masks]


def color_distances(rendering: RenderedCharacter, exact: RenderedCharacter) -> list[float]:
    """Compute the mean distance in CIELAB (CIE76) of each picture to the exact one."""
    pictures = zip(rendering.pictures, exact.pictures, strict=True)
    return [pixel_distance(torch.tensor(one), torch.tensor(two)) for one, two in pictures]


HEAD = (
    "way", "s a frame", "less time, %",
    "identity kept, %", "minus exact, points",
    "action followed, %", "minus exact, points",
    "place followed, %", "minus exact, points",
    "mask IoU to exact", "CIELAB distance to exact",
)  # fmt: skip


def rows(results: Sequence[WayResult]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table."""
    for number, result in enumerate(results):
        cells = [interval_text(result.saved if number else None, "+.1f", 100)]
        for name in _MEASURES:
            cells.append(interval_text(result.shares[name], ".1f", 100))
            cells.append(interval_text(result.changes[name] if number else None, "+.1f", 100))
        cells.append(interval_text(result.mask_overlap, ".3f"))
        cells.append(interval_text(result.color_distance, ".2f"))
        yield result.way.title, f"{result.seconds:.2f}", *cells


def costs(results: Sequence[WayResult], characters: int) -> list[ShortcutCost]:
    """Return the costs of the shortcuts with all observations."""
    found = []
    for result in results[1:]:
        measured = (
            result.saved,
            *(result.changes[name] for name in _MEASURES),
            result.mask_overlap,
            result.color_distance,
        )
        observed = [_rounded(interval) for interval in measured if interval is not None]
        way = result.way
        if way.name is not None and len(observed) == len(measured):
            found.append(ShortcutCost(way.name, characters, way.steps, *observed))
    return found


def _rounded(interval: Interval) -> Interval:
    # Adding 0 turns -0.0 into 0.0.
    return Interval(*(round(value, _COST_DIGITS) + 0.0 for value in astuple(interval)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study with the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation.studies.shortcuts")
    add = parser.add_argument
    add("--characters", type=whole(1, 1000), default=20, help="number of characters")
    add("--prompts", type=whole(2, FRAMES), help="of each character; all if left out")
    add("--steps", type=whole(1, MAX_STEPS), nargs="*", default=[], help="further ways")
    add("--model", default="miniature")
    add("--sheet", type=Path, help="a picture of the first character, PNG")
    add("--out", type=Path, help="a folder for the table, instead of RESULTS.md")
    add("--save", action="store_true", help=f"write the costs to {COSTS_FILE.name}")
    options = parser.parse_args(arguments)

    spec = find_model(options.model)
    suite = fresh_suite(options.characters)
    suite = suite if options.prompts is None else shortened(suite, options.prompts)
    cases, chosen = suite.characters, ways(spec, options.steps)
    stories = [story(suite, case, spec) for case in cases]

    renderings = render_all(load_pipeline(spec), stories, chosen, spec)
    if options.sheet is not None:
        shown = [
            contact_sheet.SheetRow(title, [*map(Image.fromarray, rendered[0].pictures)])
            for title, rendered in renderings.items()
        ]
        captions = [frame.prompt.text for frame in cases[0].frames]
        contact_sheet.compose(shown, captions).save(options.sheet)
    results = compare(cases, chosen, renderings, JudgeReader(load_judge(JUDGE)))
    frames = sum(len(case.frames) for case in cases)
    notes = (
        f"{spec.steps} steps, {len(cases)} characters, {frames} frames a way; 95 % intervals, over "
        "characters; identity, actions and places without the identity frame",
        "banks in 8 bits take half of the memory; they do not save time",
        describe_machine(torch.device("cpu")),
    )
    name, title = f"shortcuts-{spec.name}", f"{spec.title}: what shortcuts save and lose"
    Results(options.out).put(Section(name, title, notes, HEAD, tuple(rows(results))))
    if options.save:
        known = {**shortcut_costs(), spec.name: tuple(costs(results, len(cases)))}
        COSTS_FILE.write_bytes(COSTS_FORMAT.dump_json(known, indent=2) + b"\n")


if __name__ == "__main__":
    main()
