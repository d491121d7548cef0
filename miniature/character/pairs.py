"""Batches for the training of the adapters: references, and pictures that show their characters.

A batch depends on the number of its step alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miniature.character.cast import Cast
from miniature.character.recipe import CharacterRecipe
from miniature.character.references import STRONG, USUAL, cut_out
from miniature.character.views import PictureViews, views_of
from miniature.model.batches import BatchSource, LatentBatch, Samples, draw_levels
from miniature.model.latents import LatentData
from miniature.model.text_encoders import TextEncoders
from pipelines.instant_character.config import EncoderConfig
from training.parallel import mapped

Resolution = Literal["low", "full"]

_PAIR_STREAM, _FIXED_SEED = 13, 14
_FIRST_SCENE = 0.5  # share of references that show the character as an upload would


@dataclass(frozen=True)
class Phase:
    """Phase of the adapters' training; the paper has three.

    Attributes:
        name: "unpaired", "paired" or "mixed".
        resolution: resolution of the target pictures.
        own_share: share of the references that are cut from the target picture.
    """

    name: str
    resolution: Resolution
    own_share: float


def phase_at(progress: float, recipe: CharacterRecipe) -> Phase:
    """Return the phase of a training, from the share of its budget that is used."""
    if progress < recipe.paired_from:
        return Phase("unpaired", "low", 1.0)
    if progress < recipe.mixed_from:
        return Phase("paired", "low", 0.0)
    return Phase("mixed", "full", recipe.own_share)


@dataclass(frozen=True)
class PairBatch:
    """Batch of a step, on the training device.

    Attributes:
        batch: target pictures and prompts.
        views: views of the references.
        reference: index of each sample's reference, int64 of shape (batch,).
    """

    batch: LatentBatch
    views: PictureViews
    reference: Tensor


class PairSource:
    """Source of batches of a cast.

    Args:
        cast: the characters.
        data: latents and tokens of their pictures, by resolution; row i is the cast's picture i.
        text_encoders: frozen, on the device.
        config: the reference encoders' side and crops.
        device: device of the batches.
        threads: number of threads that prepare references.
    """

    def __init__(
        self,
        cast: Cast,
        data: Mapping[Resolution, LatentData],
        text_encoders: TextEncoders,
        config: EncoderConfig,
        device: torch.device,
        threads: int = 1,
    ) -> None:
        self.cast, self._config, self._device = cast, config, device
        self._threads = threads
        self._data = dict(data)
        self._sources = {
            name: BatchSource([of_size], text_encoders, device) for name, of_size in data.items()
        }

    def training(
        self,
        step: int,
        recipe: CharacterRecipe,
        phase: Phase,
        guided_share: float,
        rank: int = 0,
        world_size: int = 1,
    ) -> PairBatch:
        """Return this process's batch of a training step.

        Args:
            step: number of the step.
            recipe: size of the whole batch, share of empty prompts, largest guidance.
            phase: source of the references, and resolution of the pictures.
            guided_share: share of the samples that learn guidance.
            rank, world_size: number of this process, and of all that share the batch.
        """
        rng = np.random.default_rng((_PAIR_STREAM, step))
        size, shared = recipe.batch, recipe.targets
        data = self._data[phase.resolution]
        reference_rows, target_rows, own = self._choose(rng, size // shared, shared, phase)
        empty = rng.random(size) < recipe.miniature.empty_prompts
        wordings = target_rows * data.wordings + rng.integers(0, data.wordings, size)
        times, guidance = draw_levels(rng, size, recipe.miniature.most_guidance, guided_share)
        noise_seed = int(rng.integers(2**62)) + rank
        references = np.arange(rank, len(reference_rows), world_size)
        mine = np.arange(size).reshape(-1, shared)[references].ravel()
        prompts = np.where(empty, len(data.t5_ids) - 1, wordings)
        chosen = Samples(target_rows[mine], prompts[mine], times[mine], guidance[mine], noise_seed)
        batch = self._sources[phase.resolution].batch(data, chosen)

        def cut(k: int) -> NDArray[np.uint8]:
            generator = np.random.default_rng((_PAIR_STREAM, step, k))
            row, defects = reference_rows[k], STRONG if own[k] else USUAL
            return cut_out(self.cast.images[row], self.cast.parts[row], generator, defects).picture

        pictures = mapped(cut, references.tolist(), self._threads)
        numbers = torch.arange(len(references)).repeat_interleave(shared)
        return self._pair(batch, pictures, numbers)

    def _choose(
        self, rng: np.random.Generator, count: int, targets: int, phase: Phase
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Choose the references and the target pictures.

        Returns:
            Rows of the references, shape (count,); rows of the targets, shape (count * targets,);
            and True where a reference is cut from its target, shape (count,).
        """
        scenes = self.cast.scenes
        first = rng.integers(0, self.cast.characters, count) * scenes
        own = rng.random(count) < phase.own_share
        reference_rows = np.zeros(count, np.int64)
        target_rows = np.zeros((count, targets), np.int64)
        for k in range(count):
            anywhere = int(rng.integers(scenes))
            scene = 0 if rng.random() < _FIRST_SCENE and not own[k] else anywhere
            others = rng.permutation([other for other in range(scenes) if other != scene])
            chosen = np.full(targets, scene) if own[k] else np.resize(others, targets)
            reference_rows[k], target_rows[k] = first[k] + scene, first[k] + chosen
        return reference_rows, target_rows.ravel(), own

    def held_out(self, level: float, count: int) -> PairBatch:
        """Return second scenes of the first characters, with their first scenes as references.

        They are always the same, at full size; the prompts state the kind of character only.

        Args:
            level: noise level.
            count: number of characters, at most as many as there are.
        """
        cast, data = self.cast, self._data["full"]
        first = np.arange(min(count, cast.characters)) * cast.scenes
        times, guidance = np.full(len(first), level), np.ones(len(first))
        samples = Samples(first + 1, (first + 1) * data.wordings, times, guidance, _FIXED_SEED)
        batch = self._sources["full"].batch(data, samples)
        pictures = [cut_out(cast.images[row], cast.parts[row]).picture for row in first]
        return self._pair(batch, pictures, torch.arange(len(first)))

    def _pair(
        self, batch: LatentBatch, pictures: Sequence[NDArray[np.uint8]], numbers: Tensor
    ) -> PairBatch:
        views = views_of(pictures, self._config, self._threads)
        return PairBatch(batch, views.to(self._device), numbers.to(self._device))
