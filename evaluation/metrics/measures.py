"""Measures of the frames of a row, from the judge's readings."""

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
_TOKEN = 16  # pixels a side

Sightings = Mapping[str, tuple[Sighting, ...]]
"""For each character, by name, the readings of its frames, in their order."""
Observe = Callable[[SuiteCharacter, int, Sequence[Sighting]], list[float]]
"""Observations of one frame, from the character, the frame's index, and the readings of all of the
character's frames in a row."""


def tally(
    observe: Observe, cases: Sequence[SuiteCharacter], row: Sightings, first: int = 1
) -> Tally:
    """Sum a measure over frames, by character.

    `first` is the index of the first frame that counts; by default the identity frame does not.
    """
    return Tally.of(
        [
            [x for i in range(first, len(row[case.name])) for x in observe(case, i, row[case.name])]
            for case in cases
        ]
    )


def identity_kept(case: SuiteCharacter, index: int, frames: Sequence[Sighting]) -> list[float]:
    """Compare each left-out attribute that both frames show with the identity frame's; 1 or 0."""
    seen, identity = frames[index], frames[0]
    return [
        float(seen.attributes[name] == identity.attributes[name])
        for name in case.left_out
        if name in seen.visible and name in identity.visible
    ]


def identity_distance(_case: SuiteCharacter, index: int, frames: Sequence[Sighting]) -> list[float]:
    """Compute the cosine distance to the identity frame's embedding; none without a figure."""
    seen, identity = frames[index], frames[0]
    if not (seen.foreground.any() and identity.foreground.any()):
        return []
    return [1 - float(F.cosine_similarity(seen.embedding, identity.embedding, dim=0))]


def place_distance(case: SuiteCharacter, index: int, frames: Sequence[Sighting]) -> list[float]:
    """Compute the colour distance to the frame whose place this one is in.

    Both foregrounds and a margin around them do not count. A frame in its own place gives nothing.
    """
    source = case.place_source(index)
    if source is None:
        return []
    pair = frames[index], frames[source]
    both = (pair[0].foreground | pair[1].foreground).float()[None, None]
    near = F.max_pool2d(both, 2 * _MARGIN + 1, stride=1, padding=_MARGIN)[0, 0] > 0
    images = torch.from_numpy(np.stack([sighting.image for sighting in pair]))
    distance = color_distance(images[0], images[1], ~near)
    return [] if distance is None else [distance]


def seams(_case: SuiteCharacter, index: int, frames: Sequence[Sighting]) -> list[float]:
    """Compute the contrast of neighbouring pixels across edges of tokens, by that inside tokens.

    Both are of the figure, as the mean absolute difference of neighbouring pixels. It is about 1 in
    a picture that nothing was merged in; where tokens of another pose were, they do not join. None
    without a figure or without any contrast.
    """
    image, figure = frames[index].image.astype(np.float64), frames[index].foreground.numpy()
    across, inside = [], []
    for axis in (0, 1):
        contrast = np.moveaxis(np.abs(np.diff(image, axis=axis)).mean(axis=2), axis, 0)
        shown = np.moveaxis(figure, axis, 0)
        shown = shown[1:] & shown[:-1]
        edge = (np.arange(len(contrast)) % _TOKEN == _TOKEN - 1)[:, None]
        across.append(contrast[shown & edge])
        inside.append(contrast[shown & ~edge])
    parts = [np.concatenate(values) for values in (across, inside)]
    if not all(part.size for part in parts) or not parts[1].any():
        return []
    return [float(parts[0].mean() / parts[1].mean())]


def followed(name: str) -> Observe:
    """Make the measure of an attribute against the prompt; nothing where it is not stated."""

    def observe(case: SuiteCharacter, index: int, frames: Sequence[Sighting]) -> list[float]:
        if name not in case.frames[index].stated:
            return []
        return [float(frames[index].attributes[name] == case.truth(index)[name])]

    return observe


def reference_kept(*names: str) -> Observe:
    """Make the measure of attributes that only the reference shows; without names of all of them.

    An attribute counts where it can be seen in the reference and in a drawing of the frame, and
    independently of the picture, so that nothing is gained by hiding it.
    """

    def observe(case: SuiteCharacter, index: int, frames: Sequence[Sighting]) -> list[float]:
        return [
            float(frames[index].attributes[name] == case.attributes[name])
            for name in case.frames[index].referred
            if not names or name in names
        ]

    return observe
