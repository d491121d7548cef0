"""Batches for the training of the transformer: noisy latents, prompts and labels.

A batch depends on the number of its step alone, so that an interrupted run continues exactly.
All samples of a step are pictures of one shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miniature.model.latents import LatentData, pack, rows_as_tensor
from miniature.model.recipe import Recipe
from miniature.model.text_encoders import TextEncoders

_TIME_MEAN, _TIME_SPREAD, _UNIFORM_TIMES = 0.6, 1.1, 0.1
_SMALLEST_TIME = 1e-3
_TRAINING_SEED, _FIXED_SEED = 3, 4
_WHOLE = 255  # stored share of a part that covers all of a token


@dataclass(frozen=True)
class LatentBatch:
    """Batch of a step, on the training device.

    Attributes:
        tokens: noisy latents, shape (batch, tokens, 64).
        velocity: target without guidance, same shape.
        times: noise levels in (0, 1], shape (batch,).
        guidance: guidance of the target, shape (batch,); 1 is none.
        sequence: text embeddings, shape (batch, text tokens, width).
        pooled: pooled text embeddings, shape (batch, width).
        parts: share of each part in each token, shape (batch, tokens, parts).
        lengths: tokens of background and of all, shape (batch, 2); zeros without a prompt.
        positions: FLUX's ids of the tokens, shape (tokens, 3).
    """

    tokens: Tensor
    velocity: Tensor
    times: Tensor
    guidance: Tensor
    sequence: Tensor
    pooled: Tensor
    parts: Tensor
    lengths: Tensor
    positions: Tensor

    def select(self, chosen: Tensor) -> "LatentBatch":
        """Select samples, in the fields that the transformer takes."""
        names = ("tokens", "times", "guidance", "sequence", "pooled")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})


@dataclass(frozen=True)
class Samples:
    """Samples: indices of scenes and of their prompts, noise levels and guidance, (batch,) each."""

    scenes: NDArray[np.int64]
    prompts: NDArray[np.int64]
    times: NDArray[np.float64]
    guidance: NDArray[np.float64]
    noise_seed: int


def draw_levels(
    rng: np.random.Generator, count: int, most_guidance: float, guided_share: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw noise levels and strengths of guidance.

    Noise levels are sigmoid(N(0.6, 1.1)), a tenth of them uniform.

    Args:
        rng: source of randomness.
        count: number of samples.
        most_guidance: largest strength.
        guided_share: share of the samples that are guided; the others have strength 1.
    """
    normal = 1 / (1 + np.exp(-rng.normal(_TIME_MEAN, _TIME_SPREAD, count)))
    times = np.where(rng.random(count) < _UNIFORM_TIMES, rng.random(count), normal)
    strengths = rng.uniform(1, most_guidance, count)
    return times, np.where(rng.random(count) < guided_share, strengths, 1.0)


def token_positions(rows: int, columns: int) -> Tensor:
    """FLUX's ids of a grid of image tokens, shape (rows * columns, 3): nothing, row, column."""
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return torch.stack([torch.zeros_like(row), row, column], -1).reshape(-1, 3).float()


class BatchSource:
    """Source of batches of prepared scenes.

    Args:
        data: latents, parts and tokens of scenes, one entry for each shape of picture.
        encoders: frozen text encoders, on the device.
        device: device of the batches.
    """

    def __init__(
        self, data: Sequence[LatentData], encoders: TextEncoders, device: torch.device
    ) -> None:
        self.data, self.encoders, self.device = tuple(data), encoders, device
        counts = np.array([len(of_shape.latents) for of_shape in self.data])
        self._shares = counts / counts.sum()

    def training(
        self, step: int, recipe: Recipe, guided_share: float, rank: int, world_size: int
    ) -> LatentBatch:
        """Return this process's batch of a training step.

        Args:
            step: number of the step.
            recipe: size of the whole batch, share of empty prompts, largest guidance.
            guided_share: share of the samples that learn guidance.
            rank, world_size: number of this process, and of all that share the batch.
        """
        rng, size = np.random.default_rng((_TRAINING_SEED, step)), recipe.batch
        data = self.data[int(rng.choice(len(self.data), p=self._shares))]
        scenes = rng.integers(0, len(data.latents), size)
        wordings = rng.integers(0, data.wordings, size)
        empty = rng.random(size) < recipe.empty_prompts
        prompts = np.where(empty, len(data.t5_ids) - 1, scenes * data.wordings + wordings)
        times, guidance = draw_levels(rng, size, recipe.most_guidance, guided_share)
        mine = slice(rank, None, world_size)
        seed = int(rng.integers(2**62)) + rank
        samples = Samples(scenes[mine], prompts[mine], times[mine], guidance[mine], seed)
        return self.batch(data, samples)

    def at_noise_level(self, level: float) -> LatentBatch:
        """Return all scenes of the first shape at one noise level, always with the same noise."""
        data = self.data[0]
        scenes = np.arange(len(data.latents))
        times, guidance = np.full(len(scenes), level), np.ones(len(scenes))
        samples = Samples(scenes, scenes * data.wordings, times, guidance, _FIXED_SEED)
        return self.batch(data, samples)

    @torch.no_grad()
    def without_prompt(self) -> tuple[Tensor, Tensor]:
        """Return the empty prompt's embeddings, (1, text tokens, width) and pooled (1, width)."""
        data, last = self.data[0], np.array([len(self.data[0].t5_ids) - 1])
        return self.encoders.encode(
            rows_as_tensor(data.clip_ids, last).long().to(self.device),
            rows_as_tensor(data.t5_ids, last).long().to(self.device),
        )

    @torch.no_grad()
    def batch(self, data: LatentData, samples: Samples) -> LatentBatch:
        """Return a batch of samples, whose indices are into `data`, scenes of one shape."""
        device = self.device
        clean = pack(rows_as_tensor(data.latents, samples.scenes).float()).to(device)
        generator = torch.Generator(device).manual_seed(samples.noise_seed)
        noise = torch.randn(clean.shape, generator=generator, device=device)
        times = torch.from_numpy(samples.times).float().clamp(_SMALLEST_TIME, 1.0).to(device)
        sequence, pooled = self.encoders.encode(
            rows_as_tensor(data.clip_ids, samples.prompts).long().to(device),
            rows_as_tensor(data.t5_ids, samples.prompts).long().to(device),
        )
        parts = rows_as_tensor(data.parts, samples.scenes).to(device)
        return LatentBatch(
            tokens=torch.lerp(clean, noise, times[:, None, None]),
            velocity=noise - clean,
            times=times,
            guidance=torch.from_numpy(samples.guidance).float().to(device),
            sequence=sequence,
            pooled=pooled,
            parts=parts.float() / _WHOLE,
            lengths=rows_as_tensor(data.lengths, samples.prompts).long().to(device),
            positions=token_positions(*data.grid).to(device),
        )
