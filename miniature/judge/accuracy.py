"""Accuracy of a judge on held-out drawn pictures."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from miniature.dataset import HELD_OUT_SEED
from miniature.judge.attributes import (
    FIGURE_VALUES,
    SCENE_VALUES,
    true_attributes,
    visible_attributes,
)
from miniature.judge.degrade import degrade
from miniature.judge.groups import draw_group
from miniature.judge.reading import Judge, Reading
from miniature.world.scene import Scene, draw_scene
from miniature.world.vocabulary import Part

_SHAPES = ("square", "square", "square", "landscape", "portrait")
_GROUP_SEED = HELD_OUT_SEED + 5_000_000
_DEGRADING_STREAM = 9


@dataclass
class _Tally:
    right: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    judged: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    foreground: list[float] = field(default_factory=list)
    common: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(Part), np.int64))
    either: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(Part), np.int64))
    hits: int = 0
    pixels: int = 0

    def count_values(self, truth: dict[str, str], read: dict[str, str], seen: set[str]) -> None:
        for name in seen:
            self.judged[name] += 1
            self.right[name] += read[name] == truth[name]

    def count_pixels(self, truth: NDArray[np.uint8], read: NDArray[np.uint8]) -> None:
        if truth.any():
            union = (truth > 0) | (read > 0)
            self.foreground.append(float(((truth > 0) & (read > 0)).sum() / union.sum()))
        kinds = len(Part)
        pairs = np.bincount(
            truth.ravel().astype(np.int64) * kinds + read.ravel(), minlength=kinds**2
        )
        table = pairs.reshape(kinds, kinds)
        self.common += table.diagonal()
        self.either += table.sum(0) + table.sum(1) - table.diagonal()
        self.hits += int(table.diagonal()[1:].sum())
        self.pixels += int(table[1:].sum())

    def summary(self) -> dict[str, object]:
        known = self.either > 0
        part_ious = {
            part.name.lower(): _rounded(self.common[part] / self.either[part])
            for part in Part
            if known[part]
        }
        return {
            "attributes": {
                name: {"accuracy": _rounded(self.right[name] / count), "judged": count}
                for name in (*SCENE_VALUES, *FIGURE_VALUES)
                if (count := self.judged[name])
            },
            "foreground_iou": _rounded(float(np.mean(self.foreground or [0.0]))),
            "part_agreement": _rounded(self.hits / max(1, self.pixels)),
            "part_iou": part_ious,
        }


def _rounded(share: float) -> float:
    return round(float(share), 4)


def measure_accuracy(
    judge: Judge, pictures: int, groups: int, first_seed: int = HELD_OUT_SEED
) -> dict[str, object]:
    """Compare a judge's readings with the truth of held-out pictures.

    A single figure is described from the foreground that the judge finds; one of two from its true
    mask. Attributes count where they are visible (`visible_attributes`).

    Args:
        judge: the judge.
        pictures: number of scenes, from `first_seed` on; three of five are square.
        groups: number of pairs of look-alikes that the embedding has to distinguish.
        first_seed: seed of the first scene.

    Returns:
        Plain values: for "drawn" pictures and for the same ones "degraded" as training does it:
        accuracy of each attribute and how many were judged, mean IoU of the foreground, share of
        the foreground's pixels with the right part, and IoU of each part over all pictures. And
        "identity": the share of pictures that are nearer to another one of their character than
        to one of a look-alike.
    """
    drawn, degraded = _Tally(), _Tally()
    for number in range(pictures):
        seed = first_seed + number
        scene = draw_scene(seed, shape=_SHAPES[number % len(_SHAPES)])
        _judge_scene(judge, scene, scene.image, drawn)
        rng = np.random.default_rng((seed, _DEGRADING_STREAM))
        _judge_scene(judge, scene, degrade(scene.image, rng), degraded)
    return {
        "pictures": pictures,
        "first_seed": first_seed,
        "drawn": drawn.summary(),
        "degraded": degraded.summary(),
        "identity": _rounded(_share_nearer(judge, groups)),
    }


def _judge_scene(judge: Judge, scene: Scene, image: NDArray[np.uint8], tally: _Tally) -> None:
    figures = len(scene.spec.figures)
    masks = None
    if figures == 2:
        masks = torch.from_numpy(np.stack([scene.mask(1), scene.mask(2)]))
    reading = judge.read(np.stack([image] * max(1, figures)), masks)
    tally.count_pixels(scene.parts, reading.parts[0].numpy())
    scene_truth = true_attributes(scene.spec, figures)
    tally.count_values(scene_truth, reading.attributes[0], set(SCENE_VALUES))
    for number in range(figures):
        truth = true_attributes(scene.spec, number)
        seen = visible_attributes(truth, scene.parts * scene.mask(number + 1))
        figure_seen = set(seen) - set(SCENE_VALUES)
        tally.count_values(truth, reading.attributes[number], figure_seen)


def _share_nearer(judge: Judge, groups: int) -> float:
    """Share of characters whose two pictures are nearer to each other than to a look-alike's."""
    nearer = []
    for group in range(groups):
        scenes = draw_group(_GROUP_SEED + 4 * group, "square")
        if not all(scene.spec.figures for scene in scenes):
            continue
        reading = _read_first_figures(judge, scenes)
        likeness = reading.embedding @ reading.embedding.T
        nearer.append(float(likeness[0, 1] > likeness[0, 2]))
    return float(np.mean(nearer or [0.0]))


def _read_first_figures(judge: Judge, scenes: list[Scene]) -> Reading:
    images = np.stack([scene.image for scene in scenes])
    return judge.read(images, torch.from_numpy(np.stack([scene.mask(1) for scene in scenes])))
