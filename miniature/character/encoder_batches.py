"""Batches for the training of the encoders: references of the cast with their labels.

A batch depends on the number of its step alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miniature.character.cast import Cast
from miniature.character.references import USUAL, Defects, DrawnReference, cut_out
from miniature.character.views import views_of
from miniature.dataset import part_shares
from miniature.judge.attributes import LOOK_VALUES, true_attributes, visible_attributes
from miniature.judge.batches import value_indices
from miniature.model.match_statistic import token_labels
from miniature.world import vocabulary as v
from miniature.world.attributes import Values
from miniature.world.spec import SceneSpec
from miniature.world.vocabulary import Part
from pipelines.instant_character.config import EncoderConfig
from training.parallel import mapped

LOOKS: Values = {**LOOK_VALUES, "shoes": tuple(v.SHOE_COLORS)}
"""Attributes that a character has in every picture, and their values."""
_SMALLEST_SHOES = 0.003  # of a reference's pixels
_TRAINING_STREAM, _HELD_OUT_STREAM = 11, 12


@dataclass(frozen=True)
class EncoderBatch:
    """References of a step: the whole ones first, then a crop of each enlarged one.

    Attributes:
        pictures: uint8 of shape (2 n, side, side, 3).
        looks: index of each look's value, int64 of shape (2 n, looks); UNKNOWN where it is not
            visible.
        parts: the part that most of each patch shows, right limbs counted as left ones, int64 of
            shape (2 n, patches).
        identity: equal for references of one character, int64 of shape (n,).
    """

    pictures: Tensor
    looks: Tensor
    parts: Tensor
    identity: Tensor

    def to(self, device: torch.device) -> "EncoderBatch":
        """Move the tensors to a device."""
        return EncoderBatch(*(tensor.to(device) for tensor in vars(self).values()))


def look_indices(spec: SceneSpec, parts: NDArray[np.uint8]) -> list[int]:
    """Return the index of each look's value; UNKNOWN where the parts, (h, w), do not show it."""
    values = true_attributes(spec, 0)
    seen = set(visible_attributes(values, parts))
    if np.count_nonzero(parts == Part.SHOE) >= _SMALLEST_SHOES * parts.size:
        seen.add("shoes")
    values["shoes"] = spec.figures[0].character.shoes
    return value_indices(values, LOOKS, seen)


class EncoderBatchSource:
    """Source of batches of a cast's references, prepared in threads; `patch` in pixels."""

    def __init__(self, cast: Cast, config: EncoderConfig, patch: int, threads: int = 1) -> None:
        self.cast, self._config, self._patch = cast, config, patch
        self._threads = threads

    def training(
        self, step: int, references: int, rank: int = 0, world_size: int = 1
    ) -> EncoderBatch:
        """Return this process's batch of a step, with two pictures of each character.

        `references` is their number in the batch of all processes together.
        """
        rng = np.random.default_rng((_TRAINING_STREAM, step))
        chosen = rng.integers(0, self.cast.characters, references // 2)
        rows = [
            int(character) * self.cast.scenes + int(scene)
            for character in chosen
            for scene in rng.permutation(self.cast.scenes)[:2]
        ]
        mine = [k for k in range(len(rows)) if k // 2 % world_size == rank]
        generators = [np.random.default_rng((_TRAINING_STREAM, step, k)) for k in mine]
        return self._batch([rows[k] for k in mine], generators, USUAL)

    def held_out(self, scene: int, count: int, *, rough: bool) -> EncoderBatch:
        """Return references of one scene of each of the first characters, always the same ones.

        Args:
            scene: index of the scene.
            count: number of characters, at most as many as there are.
            rough: cut them out as roughly as in training, or exactly.
        """
        cast = self.cast
        rows = [k * cast.scenes + scene for k in range(min(count, cast.characters))]
        generators = [np.random.default_rng((_HELD_OUT_STREAM, k)) if rough else None for k in rows]
        return self._batch(rows, generators, Defects(closer=0.0))

    def _batch(
        self,
        rows: Sequence[int],
        generators: Sequence[np.random.Generator | None],
        defects: Defects,
    ) -> EncoderBatch:
        cast, side = self.cast, self._config.side

        def cut(k: int) -> DrawnReference:
            row = rows[k]
            return cut_out(cast.images[row], cast.parts[row], generators[k], defects)

        references = mapped(cut, range(len(rows)), self._threads)
        pictures = [reference.picture for reference in references]
        views = views_of(pictures, self._config, self._threads)
        pieces = [
            0 if generator is None else int(generator.integers(self._config.regions**2))
            for generator in generators
        ]
        whole = [_resized(reference, side) for reference in references]
        cropped = [
            self._crop(_resized(reference, self._config.regions * side), piece)
            for reference, piece in zip(references, pieces, strict=True)
        ]
        specs = [cast.specs[row] for row in rows]
        looks = [
            look_indices(spec, labels)
            for spec, labels in zip([*specs, *specs], [*whole, *cropped], strict=True)
        ]
        shares = np.stack([part_shares(labels, self._patch) for labels in [*whole, *cropped]])
        return EncoderBatch(
            pictures=torch.cat([views.low, views.crops[torch.arange(len(pieces)), pieces]]),
            looks=torch.tensor(looks),
            parts=token_labels(torch.from_numpy(shares).float() / 255),
            identity=torch.tensor([row // cast.scenes for row in rows]),
        )

    def _crop(self, labels: NDArray[np.uint8], piece: int) -> NDArray[np.uint8]:
        side = self._config.side
        row, column = divmod(piece, self._config.regions)
        return labels[row * side : (row + 1) * side, column * side : (column + 1) * side]


def _resized(reference: DrawnReference, side: int) -> NDArray[np.uint8]:
    """Resize the labels of a reference."""
    return np.asarray(
        cv2.resize(reference.parts, (side, side), interpolation=cv2.INTER_NEAREST), np.uint8
    )
