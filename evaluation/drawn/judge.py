"""What the judge sees in pictures, looked at once each. Knows nothing of what they should show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluation.scores import PaintedRow
from evaluation.sighting import Sighting
from miniature.judge.attributes import visible_attributes
from miniature.judge.reading import Judge
from pipelines.models.catalog import MINIATURE

# The weights of the judge that ships.
JUDGE = Path(MINIATURE.source) / "judge"
_AT_ONCE = 25  # pictures


class JudgeReader:
    """Looks at pictures, at each file once.

    Args:
        judge: what looks.

    Attributes:
        seen: the files that were looked at.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.seen: dict[Path, Sighting] = {}

    def look(self, images: Sequence[NDArray[np.uint8]]) -> tuple[Sighting, ...]:
        """What is seen in pictures of one size, uint8 of shape (height, width, 3) each."""
        found: list[Sighting] = []
        for first in range(0, len(images), _AT_ONCE):
            batch = images[first : first + _AT_ONCE]
            reading = self._judge.read(np.stack(batch))
            found += [
                Sighting(
                    image=image,
                    foreground=reading.foreground[i],
                    attributes=reading.attributes[i],
                    visible=visible_attributes(reading.attributes[i], reading.parts[i].numpy()),
                    embedding=reading.embedding[i],
                    features=reading.features[i],
                )
                for i, image in enumerate(batch)
            ]
        return tuple(found)

    def look_at_row(self, row: PaintedRow) -> dict[str, tuple[Sighting, ...]]:
        """What is seen in the pictures of a row, by character."""
        self._open(picture.path for case in row.pictures.values() for picture in case)
        return {
            name: tuple(self.seen[picture.path] for picture in pictures)
            for name, pictures in row.pictures.items()
        }

    def _open(self, paths: Iterable[Path]) -> None:
        fresh = [path for path in dict.fromkeys(paths) if path not in self.seen]
        for first in range(0, len(fresh), _AT_ONCE):
            some = fresh[first : first + _AT_ONCE]
            sightings = self.look([_pixels(path) for path in some])
            self.seen.update(zip(some, sightings, strict=True))


def judge_accuracy(folder: Path) -> dict[str, float]:
    """The judge's accuracy on held-out drawn pictures, by attribute, as its training measured it.

    Args:
        folder: the judge's folder.
    """
    measured = json.loads((folder / "accuracy.json").read_text(encoding="utf-8"))
    return {name: found["accuracy"] for name, found in measured["drawn"]["attributes"].items()}


def _pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))
