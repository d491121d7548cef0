"""Scores of characters with reference pictures.

All frames count, the first one too, since frames are compared with the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from evaluation.metrics.measures import (
    Sightings,
    followed,
    identity_distance,
    place_distance,
    reference_kept,
    tally,
)
from evaluation.metrics.statistics import Gaussian, Tally, difference, frechet, mean
from evaluation.scores import ReferenceScores
from evaluation.suite import SuiteCharacter
from pipelines.models.measured import Interval


def reference_table(
    cases: Sequence[SuiteCharacter],
    rows: Mapping[str, Sightings],
    seconds: Mapping[str, float],
    drawn: Gaussian,
) -> tuple[ReferenceScores, ...]:
    """Score rows on the same characters, each of which has a reference.

    Args:
        cases: the characters.
        rows: the readings of the rows' pictures, by the rows' names.
        seconds: median time of a frame, by row, where there is one.
        drawn: features of other drawn pictures.
    """
    kept, acted = (
        {name: tally(observe, cases, row, first=0) for name, row in rows.items()}
        for observe in (reference_kept(), followed("action"))
    )
    known = dict.fromkeys(name for case in cases for name in case.attributes)
    referred = {name for case in cases for frame in case.frames for name in frame.referred}
    found = []
    for name, row in rows.items():
        by_attribute = {
            attribute: mean(tally(reference_kept(attribute), cases, row, first=0))
            for attribute in known
            if attribute in referred
        }
        features = [torch.stack([s.features for s in row[case.name]]) for case in cases]
        found.append(
            ReferenceScores(
                name=name,
                characters=len(cases),
                frames=sum(len(case.frames) for case in cases),
                kept=mean(kept[name]),
                kept_over=_differences(name, kept),
                action_followed=mean(acted[name]),
                action_over=_differences(name, acted),
                place_followed=mean(tally(followed("place"), cases, row, first=0)),
                identity_distance=mean(tally(identity_distance, cases, row)),
                place_distance=mean(tally(place_distance, cases, row)),
                frechet=frechet(features, drawn),
                seconds=seconds.get(name),
                attributes={a: value for a, value in by_attribute.items() if value is not None},
            )
        )
    return tuple(found)


def _differences(name: str, tallies: Mapping[str, Tally]) -> dict[str, Interval]:
    """Subtract each other row from a row, in pairs, where there are observations."""
    over = {
        other: difference(tallies[name], base) for other, base in tallies.items() if other != name
    }
    return {other: value for other, value in over.items() if value is not None}
