"""Pictures with known masks: figures of the drawn world, and the overlap of masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from miniature.world.scene import Scene, draw_scene
from miniature.world.spec import WHOLE
from miniature.world.vocabulary import SHAPES


def single_figures(count: int, first_seed: int, shots: tuple[str, ...] = ("full",)) -> list[Scene]:
    """Scenes with one figure, in squares and both oblongs in turn.

    Args:
        count: how many.
        first_seed: the first scene's; the others have those after it.
        shots: names of `vocabulary.SHOTS`, more than once to be met more often.
    """
    world = replace(WHOLE, shots=shots, empty_share=0.0, pair_share=0.0)
    shapes = tuple(SHAPES)
    seeds = range(first_seed, first_seed + count)
    return [draw_scene(seed, world=world, shape=shapes[seed % len(shapes)]) for seed in seeds]


def overlap(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks of the same shape."""
    return float((mask & truth).sum() / (mask | truth).sum())
