"""Batches for the training of the judge: drawn groups with labels, many of them degraded."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miniature.judge.attributes import (
    FIGURE_VALUES,
    SCENE_VALUES,
    true_attributes,
    visible_attributes,
)
from miniature.judge.degrade import degrade, wobble
from miniature.judge.groups import GROUP, OWNER, SHAPE_SHARES, ShapeData
from miniature.world.spec import SceneSpec

UNKNOWN = -1  # index of a value that is not visible and not learnt
_BATCH_STREAM = 7
_WOBBLING, _DEGRADED = 0.4, 0.5  # shares of the pictures


@dataclass(frozen=True)
class GroupBatch:
    """Pictures of a training step with their labels, on the training device.

    Attributes:
        images: uint8 of shape (n, h, w, 3).
        parts: part labels, uint8 of shape (n, h, w).
        figures: pixels of the figure to describe, bool of shape (n, h, w).
        scene: index of each scene attribute's value, int64 of shape (n, scene attributes).
        figure: index of each figure attribute's value, int64 of shape (n, figure attributes);
            UNKNOWN where it is not visible.
        identity: equal for pictures of one character, int64 of shape (n,); UNKNOWN for nobody.
    """

    images: Tensor
    parts: Tensor
    figures: Tensor
    scene: Tensor
    figure: Tensor
    identity: Tensor


def scene_indices(spec: SceneSpec) -> list[int]:
    """Return the index of each scene attribute's true value."""
    return value_indices(true_attributes(spec, 0), SCENE_VALUES, frozenset(SCENE_VALUES))


def figure_indices(spec: SceneSpec, figure: int, parts: NDArray[np.uint8]) -> list[int]:
    """Return the index of each figure attribute's true value; UNKNOWN where it is not visible.

    `parts` labels the figure's pixels and is 0 elsewhere, shape (h, w).
    """
    if figure >= len(spec.figures):
        return [UNKNOWN] * len(FIGURE_VALUES)
    values = true_attributes(spec, figure)
    return value_indices(values, FIGURE_VALUES, visible_attributes(values, parts))


def value_indices(
    values: Mapping[str, str], names: Mapping[str, tuple[str, ...]], seen: Set[str]
) -> list[int]:
    """Return the index of each attribute's value; UNKNOWN where it is not seen."""
    return [
        allowed.index(values[name]) if name in seen else UNKNOWN for name, allowed in names.items()
    ]


class GroupSource:
    """Source of training batches; a batch depends on the number of its step alone."""

    def __init__(self, data: dict[str, ShapeData], device: torch.device) -> None:
        self._data, self._device = data, device

    def training(self, step: int, groups: int) -> GroupBatch:
        """Return the pictures of a step, in a number of groups of four, all of one shape."""
        rng = np.random.default_rng((_BATCH_STREAM, step))
        data = self._data[str(rng.choice(list(SHAPE_SHARES), p=list(SHAPE_SHARES.values())))]
        there = len(data.specs) // GROUP
        chosen = rng.choice(there, groups, replace=there < groups)
        images, labels, figures, scene, figure, identity = [], [], [], [], [], []
        for row in (chosen[:, None] * GROUP + np.arange(GROUP)).ravel().tolist():
            image, label = np.array(data.images[row]), np.array(data.labels[row])
            spec = data.specs[row]
            number = int(rng.integers(max(1, len(spec.figures))))
            parts = label % OWNER * (label // OWNER == number + 1)
            figure.append(figure_indices(spec, number, parts))
            scene.append(scene_indices(spec))
            identity.append(row // 2 if spec.figures and number == 0 else UNKNOWN)
            if rng.random() < _WOBBLING:
                image, label = wobble(image, label, rng, float(rng.uniform(0.3, 1.8)))
            if rng.random() < _DEGRADED:
                image = degrade(image, rng)
            images.append(image)
            labels.append(label)
            figures.append(label // OWNER == number + 1)
        return GroupBatch(
            images=self._tensor(np.stack(images)),
            parts=self._tensor(np.stack(labels) % OWNER),
            figures=self._tensor(np.stack(figures)),
            scene=self._tensor(np.array(scene)),
            figure=self._tensor(np.array(figure)),
            identity=self._tensor(np.array(identity)),
        )

    def _tensor(self, values: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(values).to(self._device)
