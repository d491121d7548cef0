"""The judge: a small network that says what a picture of the drawn world shows.

The measuring instrument of every number about what the miniature paints; trained on drawn pictures
alone, whose truth is known.
"""

from pipelines.miniature.judge.attributes import (
    FIGURE_VALUES,
    SCENE_VALUES,
    true_attributes,
    visible_attributes,
)
from pipelines.miniature.judge.reading import Judge, Reading, load_judge

__all__ = [
    "FIGURE_VALUES",
    "SCENE_VALUES",
    "Judge",
    "Reading",
    "load_judge",
    "true_attributes",
    "visible_attributes",
]
