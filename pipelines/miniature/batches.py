"""Samples for the transformer's training: noisy latents, prompts and truth, on the device.

What a step trains on depends on its number alone, so that an interrupted run goes on exactly.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.miniature.dataset import TOKEN_GRID
from pipelines.miniature.latents import LatentData, pack, rows_as_tensor
from pipelines.miniature.recipe import Recipe
from pipelines.miniature.text_encoders import TextEncoders

_TIME_MEAN, _TIME_SPREAD, _UNIFORM_TIMES = 0.3, 1.1, 0.1
_SMALLEST_TIME = 1e-3
_TRAINING_SEED, _FIXED_SEED = 3, 4
_WHOLE = 255  # how the stored shares of parts say "all of the token"


@dataclass(frozen=True)
class Batch:
    """Samples of one step, on the training device.

    Attributes:
        tokens: noisy latents, shape (batch, kept tokens, 64).
        velocity: what to predict for them, same shape.
        times: noise levels in (0, 1], shape (batch,).
        sequence: text embeddings, shape (batch, text tokens, width).
        pooled: pooled text embeddings, shape (batch, width).
        parts: share of each part in each token, shape (batch, kept tokens, parts).
        lengths: tokens of background and of all, shape (batch, 2); zeros without a prompt.
        positions: FLUX's ids of the kept tokens, shape (kept tokens, 3).
    """

    tokens: Tensor
    velocity: Tensor
    times: Tensor
    sequence: Tensor
    pooled: Tensor
    parts: Tensor
    lengths: Tensor
    positions: Tensor


@dataclass(frozen=True)
class Samples:
    """Which samples make a batch, each array of shape (batch,) but for `kept`.

    Attributes:
        scenes: numbers of scenes.
        prompts: rows of their prompts' tokens.
        times: noise levels.
        kept: numbers of the image tokens that all samples keep, ascending.
        noise_seed: decides the noise.
    """

    scenes: NDArray[np.int64]
    prompts: NDArray[np.int64]
    times: NDArray[np.float64]
    kept: NDArray[np.int64]
    noise_seed: int


def token_positions(device: torch.device) -> Tensor:
    """FLUX's ids of all image tokens, shape (tokens, 3): nothing, row, column."""
    row, column = torch.meshgrid(torch.arange(TOKEN_GRID), torch.arange(TOKEN_GRID), indexing="ij")
    ids = torch.stack([torch.zeros_like(row), row, column], -1)
    return ids.reshape(-1, 3).float().to(device)


class BatchSource:
    """Makes batches of prepared scenes.

    Args:
        data: latents, parts and tokens of scenes.
        encoders: frozen text encoders, on the device.
        device: where batches shall be.
    """

    def __init__(self, data: LatentData, encoders: TextEncoders, device: torch.device) -> None:
        self.data, self.encoders, self.device = data, encoders, device

    def training(
        self, step: int, recipe: Recipe, kept_tokens: int, rank: int, world_size: int
    ) -> Batch:
        """One process's samples of a training step.

        Args:
            step: the number that decides everything.
            recipe: size of the whole batch, share of empty prompts.
            kept_tokens: how many image tokens a sample keeps.
            rank: this process, among `world_size` that share the batch.
            world_size: number of processes.
        """
        rng, size = np.random.default_rng((_TRAINING_SEED, step)), recipe.batch
        scenes = rng.integers(0, len(self.data.latents), size)
        wordings = rng.integers(0, self.data.wordings, size)
        empty_prompt = len(self.data.t5_ids) - 1
        silent = rng.random(size) < recipe.empty_prompts
        prompts = np.where(silent, empty_prompt, scenes * self.data.wordings + wordings)
        normal = 1 / (1 + np.exp(-rng.normal(_TIME_MEAN, _TIME_SPREAD, size)))
        times = np.where(rng.random(size) < _UNIFORM_TIMES, rng.random(size), normal)
        mine = slice(rank, None, world_size)
        return self._batch(
            Samples(
                scenes=scenes[mine],
                prompts=prompts[mine],
                times=times[mine],
                kept=np.sort(rng.permutation(TOKEN_GRID**2)[:kept_tokens]),
                noise_seed=int(rng.integers(2**62)) + rank,
            )
        )

    def at_noise_level(self, level: float) -> Batch:
        """All scenes with their first prompts at one noise level, always with the same noise."""
        scenes = np.arange(len(self.data.latents))
        return self._batch(
            Samples(
                scenes=scenes,
                prompts=scenes * self.data.wordings,
                times=np.full(len(scenes), level),
                kept=np.arange(TOKEN_GRID**2),
                noise_seed=_FIXED_SEED,
            )
        )

    @torch.no_grad()
    def _batch(self, samples: Samples) -> Batch:
        data, device, kept = self.data, self.device, samples.kept
        clean = pack(rows_as_tensor(data.latents, samples.scenes).float())[:, kept].to(device)
        generator = torch.Generator(device).manual_seed(samples.noise_seed)
        noise = torch.randn(clean.shape, generator=generator, device=device)
        times = torch.from_numpy(samples.times).float().clamp(_SMALLEST_TIME, 1.0).to(device)
        sequence, pooled = self.encoders.encode(
            rows_as_tensor(data.clip_ids, samples.prompts).long().to(device),
            rows_as_tensor(data.t5_ids, samples.prompts).long().to(device),
        )
        parts = rows_as_tensor(data.parts, samples.scenes)[:, kept].to(device)
        return Batch(
            tokens=torch.lerp(clean, noise, times[:, None, None]),
            velocity=noise - clean,
            times=times,
            sequence=sequence,
            pooled=pooled,
            parts=parts.float() / _WHOLE,
            lengths=rows_as_tensor(data.lengths, samples.prompts).long().to(device),
            positions=token_positions(device)[torch.from_numpy(kept).to(device)],
        )
