"""What one frame of a row adds to each measure, from what the judge sees in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F

from evaluation.metrics.color import color_distance
from evaluation.metrics.statistics import Tally
from evaluation.sighting import Sighting
from evaluation.suite import SuiteCharacter

_MARGIN = 9  # pixels around a foreground whose colours outlines may have touched

Sightings = Mapping[str, tuple[Sighting, ...]]
"""For each character, by name, what is seen in its frames, in their order."""
Observe = Callable[[SuiteCharacter, int, Sequence[Sighting]], list[float]]
"""What one frame adds to a measure, from the character, the frame's index, and what is seen in all
of the character's frames in a row."""


def tally(
    observe: Observe, cases: Sequence[SuiteCharacter], row: Sightings, first: int = 1
) -> Tally:
    """A measure over frames, by character.

    Args:
        observe: the measure.
        cases: whom to measure.
        row: what is seen of them.
        first: index of the first frame that counts; by default the identity frame does not.
    """
    return Tally.of(
        [
            [
                value
                for index in range(first, len(row[case.name]))
                for value in observe(case, index, row[case.name])
            ]
            for case in cases
        ]
    )


def identity_kept(case: SuiteCharacter, index: int, frames: Sequence[Sighting]) -> list[float]:
    """Whether each left-out attribute that both frames show is as in the identity frame."""
    seen, identity = frames[index], frames[0]
    return [
        float(seen.attributes[name] == identity.attributes[name])
        for name in case.left_out
        if name in seen.visible and name in identity.visible
    ]


def identity_distance(_case: SuiteCharacter, index: int, frames: Sequence[Sighting]) -> list[float]:
    """Cosine distance of the embeddings to the identity frame's; none where one shows nobody."""
    seen, identity = frames[index], frames[0]
    if not (seen.foreground.any() and identity.foreground.any()):
        return []
    return [1 - float(F.cosine_similarity(seen.embedding, identity.embedding, dim=0))]


def place_distance(case: SuiteCharacter, index: int, frames: Sequence[Sighting]) -> list[float]:
    """Colour distance to the frame whose place this one is in, outside both foregrounds and a
    margin around them; nothing in a place of its own."""
    source = case.place_source(index)
    if source is None:
        return []
    pair = frames[index], frames[source]
    both = (pair[0].foreground | pair[1].foreground).float()[None, None]
    near = F.max_pool2d(both, 2 * _MARGIN + 1, stride=1, padding=_MARGIN)[0, 0] > 0
    images = torch.from_numpy(np.stack([sighting.image for sighting in pair]))
    distance = color_distance(images[0], images[1], ~near)
    return [] if distance is None else [distance]


def followed(name: str) -> Observe:
    """Whether an attribute is as the prompt states it; nothing where it does not."""

    def observe(case: SuiteCharacter, index: int, frames: Sequence[Sighting]) -> list[float]:
        if name not in case.frames[index].stated:
            return []
        return [float(frames[index].attributes[name] == case.truth(index)[name])]

    return observe


def reference_kept(*names: str) -> Observe:
    """Whether attributes that only the reference tells are as it shows them.

    What counts does not depend on the picture, so that nothing is gained by hiding it: each
    attribute that can be seen in the reference and in a drawing of the frame.

    Args:
        names: which attributes; none for all.
    """

    def observe(case: SuiteCharacter, index: int, frames: Sequence[Sighting]) -> list[float]:
        return [
            float(frames[index].attributes[name] == case.attributes[name])
            for name in case.frames[index].referred
            if not names or name in names
        ]

    return observe
