"""Scores of an evaluation: the judge reads every picture, and its readings are counted.

The judge is a classifier and segmenter trained on drawn pictures (`miniature.judge`). Drawn
pictures of the same scenes are scored beside the rendered ones, so that every number stands next to
the best that this judge could give.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from evaluation.drawn.judge import JUDGE, JudgeReader, judge_accuracy
from evaluation.drawn.scenes import draw_frame
from evaluation.drawn.suite import draw_others
from evaluation.metrics.measures import (
    Sightings,
    followed,
    identity_distance,
    identity_kept,
    place_distance,
    tally,
)
from evaluation.metrics.references import reference_table
from evaluation.metrics.statistics import Gaussian, Tally, difference, frechet, mean
from evaluation.scores import Agreement, RenderedRow, RowScores, Scores
from evaluation.sighting import Sighting
from evaluation.suite import Suite, SuiteCharacter
from miniature.judge.reading import Judge, load_judge
from pipelines.errors import ModelError
from pipelines.models.measured import Interval

DRAWN = "drawn"
DRAWN_PICTURES = 1000  # the reference set of the Fréchet distance
_DRAWN_BATCH = 25


def score(
    suite: Suite,
    rows: Sequence[RenderedRow],
    prompts: RenderedRow | None,
    judge: Judge,
    accuracy: Mapping[str, float],
    report: Callable[[str], None],
) -> Scores:
    """Score rendered pictures of a suite.

    Args:
        suite: gives the truth of the pictures.
        rows: the rendered rows of its characters; gains are over the first.
        prompts: the pictures of its single prompts, or None.
        judge: reads the pictures.
        accuracy: of the judge on drawn pictures, by attribute.
        report: is called with a message before each long step.
    """
    reader = JudgeReader(judge)
    report("judging the pictures")
    seen: dict[str, Sightings] = {row.name: reader.read_row(row) for row in rows}
    agreements = _agreements(suite.prompts, prompts, reader, accuracy) if prompts else ()
    readings = {path: sighting.attributes for path, sighting in reader.seen.items()}
    if not rows:
        return Scores((), (), agreements, readings)

    cases = [case for case in suite.characters if case.name in seen[rows[0].name]]
    report(f"judging {DRAWN_PICTURES} drawn pictures")
    others = _others(suite, reader, DRAWN_PICTURES)
    drawn = {
        case.name: reader.read([draw_frame(case, index) for index in range(len(case.frames))])
        for case in cases
    }
    seconds = {row.name: _median_seconds(row) for row in rows}
    whole = {name: row for name, row in seen.items() if all(case.name in row for case in cases)}
    if suite.has_references:
        table = reference_table(cases, {**whole, DRAWN: drawn}, seconds, others)
        return Scores((), (), agreements, readings, table)
    sharing = [case for case in cases if case.shares_place]
    return Scores(
        rows=_table(cases, {**whole, DRAWN: drawn}, seconds, others),
        shared=_table(sharing, {**seen, DRAWN: drawn}, seconds, others) if sharing else (),
        prompts=agreements,
        readings=readings,
    )


def _table(
    cases: Sequence[SuiteCharacter],
    rows: Mapping[str, Sightings],
    seconds: Mapping[str, float],
    others: Gaussian,
) -> tuple[RowScores, ...]:
    """Score rows on the same characters; gains are over the first row."""
    kept, acted = (
        {name: tally(observe, cases, row) for name, row in rows.items()}
        for observe in (identity_kept, followed("action"))
    )
    base, names = next(iter(rows)), _stated_names(cases)
    found = []
    for name, row in rows.items():
        stated = {n: mean(tally(followed(n), cases, row)) for n in names}
        features = [torch.stack([s.features for s in row[case.name][1:]]) for case in cases]
        found.append(
            RowScores(
                name=name,
                characters=len(cases),
                frames=sum(len(case.frames) - 1 for case in cases),
                identity_kept=mean(kept[name]),
                identity_distance=mean(tally(identity_distance, cases, row)),
                action_followed=mean(acted[name]),
                place_followed=mean(tally(followed("place"), cases, row)),
                place_distance=mean(tally(place_distance, cases, row)),
                frechet=frechet(features, others),
                seconds=seconds.get(name),
                identity_gain=None if name == base else difference(kept[name], kept[base]),
                action_gain=None if name == base else difference(acted[name], acted[base]),
                stated={n: value for n, value in stated.items() if value is not None},
            )
        )
    return tuple(found)


def _agreements(
    cases: Sequence[SuiteCharacter],
    row: RenderedRow,
    reader: JudgeReader,
    accuracy: Mapping[str, float],
) -> tuple[Agreement, ...]:
    """Score single prompts by attribute, beside drawn pictures of the same scenes."""
    cases = [case for case in cases if case.name in row.pictures]
    rendered = [sightings[0] for sightings in reader.read_row(row).values()]
    drawn = reader.read([draw_frame(case, 0) for case in cases])

    def share(sightings: Sequence[Sighting], name: str) -> Interval | None:
        observe, pairs = followed(name), zip(cases, sightings, strict=True)
        return mean(Tally.of([observe(case, 0, [seen]) for case, seen in pairs]))

    found = []
    for name in _stated_names(cases):
        of_rendered, of_drawn = share(rendered, name), share(drawn, name)
        assert of_rendered is not None and of_drawn is not None  # some prompt states it
        stating = sum(name in case.frames[0].stated for case in cases)
        found.append(Agreement(name, stating, of_rendered, of_drawn, accuracy.get(name)))
    return tuple(found)


def _stated_names(cases: Sequence[SuiteCharacter]) -> list[str]:
    """Return the attributes that any prompt states, those of the scene first."""
    stated = {name for case in cases for frame in case.frames for name in frame.stated}
    known = dict.fromkeys(
        name for case in cases for name in (*case.frames[0].scene, *case.attributes)
    )
    return [name for name in known if name in stated]


def _others(suite: Suite, reader: JudgeReader, count: int) -> Gaussian:
    features: list[Tensor] = []
    for first in range(0, count, _DRAWN_BATCH):
        pictures = draw_others(suite, range(first, min(count, first + _DRAWN_BATCH)))
        features += [sighting.features for sighting in reader.read(pictures)]
    return Gaussian.of(torch.stack(features))


def _median_seconds(row: RenderedRow) -> float:
    """Return the median time of the frames after the identity frame."""
    return statistics.median(
        picture.seconds for case in row.pictures.values() for picture in case[1:]
    )


def score_with_judge(
    suite: Suite,
    rows: Sequence[RenderedRow],
    prompts: RenderedRow | None,
    report: Callable[[str], None],
) -> Scores:
    """Score the pictures of a suite with the judge of the repository; see `score`.

    Raises:
        ModelError: if the judge cannot be loaded.
    """
    try:
        judge, accuracy = load_judge(JUDGE), judge_accuracy(JUDGE)
    except (OSError, ValueError) as error:
        raise ModelError(f"The judge in {JUDGE} cannot be loaded: {error}.") from error
    return score(suite, rows, prompts, judge, accuracy, report)
