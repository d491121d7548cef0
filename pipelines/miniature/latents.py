"""What the transformer trains on: latents and tokens of every drawn scene, on disk.

A folder holds `latents.npy` (n, 16, 32, 32) float16 and, for n scenes in v wordings, `t5.npy`
(n * v + 1, text tokens), `clip.npy` (n * v + 1, 77) and `lengths.npy` (n * v + 1, 2), int16: the
wordings of scene i are rows i * v and on, and the last row is the empty prompt. The same again,
with one wording, in `held_out`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.miniature.dataset import HELD_OUT_SEED, DrawnData, part_shares
from pipelines.miniature.files import write_whole
from pipelines.miniature.latent_map import LatentMap, as_values
from pipelines.miniature.tokens import Tokenizers
from pipelines.miniature.world import Prompt, draw_scene, prompt_for

_BATCH = 64
HELD_OUT_SCENES = 48


@dataclass(frozen=True)
class LatentData:
    """Training data of the transformer.

    Attributes:
        latents: normalised, float16 of shape (n, 16, 32, 32).
        parts: share of parts in tokens, in 255ths, uint8 of shape (n, 256, parts).
        t5_ids: tokens, int16 of shape (n * wordings + 1, text tokens); the last row is the
            empty prompt's.
        clip_ids: likewise, of shape (n * wordings + 1, 77).
        lengths: T5 tokens of background and of all, int16 of shape (n * wordings + 1, 2).
        wordings: prompts for each scene.
    """

    latents: NDArray[np.float16]
    parts: NDArray[np.uint8]
    t5_ids: NDArray[np.int16]
    clip_ids: NDArray[np.int16]
    lengths: NDArray[np.int16]
    wordings: int


def pack(latents: Tensor) -> Tensor:
    """Latents (batch, 16, rows, columns) as FLUX's tokens (batch, rows * columns / 4, 64)."""
    batch, channels, rows, columns = latents.shape
    tiles = latents.view(batch, channels, rows // 2, 2, columns // 2, 2)
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns // 4, channels * 4)


def prepare_latents(
    folder: Path, drawn: DrawnData, latent_map: LatentMap, tokenizers: Tokenizers, wordings: int
) -> None:
    """Write latents and tokens of all scenes and of the held-out ones.

    Args:
        folder: gets the files.
        drawn: the pictures.
        latent_map: gives their latents.
        tokenizers: give the tokens of their prompts.
        wordings: prompts for each scene.
    """
    held_out = folder / "held_out"
    held_out.mkdir(parents=True, exist_ok=True)
    scenes = [draw_scene(HELD_OUT_SEED + number) for number in range(HELD_OUT_SCENES)]
    unseen = DrawnData(
        np.stack([scene.image for scene in scenes]),
        np.stack([part_shares(scene.parts) for scene in scenes]),
        [scene.spec for scene in scenes],
    )
    np.save(held_out / "parts.npy", unseen.parts)
    _write(held_out, unseen, latent_map, tokenizers, 1, HELD_OUT_SEED)
    _write(folder, drawn, latent_map, tokenizers, wordings, 0)


def _write(
    folder: Path,
    drawn: DrawnData,
    latent_map: LatentMap,
    tokenizers: Tokenizers,
    wordings: int,
    first_seed: int,
) -> None:
    prompts = [
        prompt_for(spec, first_seed + number, variant)
        for number, spec in enumerate(drawn.specs)
        for variant in range(wordings)
    ] + [Prompt("")]
    texts = [prompt.text for prompt in prompts]
    _save(folder / "t5.npy", tokenizers.t5_ids(texts).astype(np.int16))
    _save(folder / "clip.npy", tokenizers.clip_ids(texts).astype(np.int16))
    _save(folder / "lengths.npy", tokenizers.group_lengths(prompts).astype(np.int16))
    batches = [
        latent_map.encode(as_values(drawn.images[first : first + _BATCH])).half().numpy()
        for first in range(0, len(drawn.images), _BATCH)
    ]
    _save(folder / "latents.npy", np.concatenate(batches))


def load_latents(folder: Path, parts: NDArray[np.uint8], wordings: int) -> LatentData:
    """Open what `prepare_latents` wrote."""
    return LatentData(
        np.load(folder / "latents.npy", mmap_mode="r"),
        parts,
        np.load(folder / "t5.npy"),
        np.load(folder / "clip.npy"),
        np.load(folder / "lengths.npy"),
        wordings,
    )


def load_held_out(folder: Path) -> LatentData:
    """Open the held-out scenes that `prepare_latents` wrote."""
    held_out = folder / "held_out"
    return load_latents(held_out, np.load(held_out / "parts.npy"), 1)


def rows_as_tensor(values: NDArray[np.generic], rows: NDArray[np.int64]) -> Tensor:
    """Some rows of an array, copied."""
    return torch.from_numpy(np.array(values[rows]))


def _save(path: Path, values: NDArray[np.generic]) -> None:
    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.save(file, values)

    write_whole(path, write)
