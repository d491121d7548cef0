"""Readings of pictures by the judge, once for each file. Knows nothing of their truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluation.scores import RenderedRow
from evaluation.sighting import Sighting
from miniature.judge.attributes import visible_attributes
from miniature.judge.reading import Judge
from pipelines.models.catalog import MINIATURE

# The weights of the judge in the repository.
JUDGE = Path(MINIATURE.source) / "judge"
_BATCH = 25  # pictures


class JudgeReader:
    """Reads pictures with the judge, each file once; `seen` has the readings of files so far."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.seen: dict[Path, Sighting] = {}

    def read(self, images: Sequence[NDArray[np.uint8]]) -> tuple[Sighting, ...]:
        """Read pictures of one size, uint8 of shape (height, width, 3) each."""
        found: list[Sighting] = []
        for first in range(0, len(images), _BATCH):
            batch = images[first : first + _BATCH]
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

    def read_row(self, row: RenderedRow) -> dict[str, tuple[Sighting, ...]]:
        """Read the pictures of a row; returns the readings by character."""
        paths = dict.fromkeys(picture.path for case in row.pictures.values() for picture in case)
        fresh = [path for path in paths if path not in self.seen]
        for first in range(0, len(fresh), _BATCH):
            batch = fresh[first : first + _BATCH]
            sightings = self.read([_pixels(path) for path in batch])
            self.seen.update(zip(batch, sightings, strict=True))
        return {
            name: tuple(self.seen[picture.path] for picture in pictures)
            for name, pictures in row.pictures.items()
        }


def judge_accuracy(folder: Path) -> dict[str, float]:
    """Load a judge's accuracy on held-out drawn pictures, by attribute, from its folder."""
    measured = json.loads((folder / "accuracy.json").read_text(encoding="utf-8"))
    return {name: found["accuracy"] for name, found in measured["drawn"]["attributes"].items()}


def _pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))
