"""Training data of the transformer on disk: latents and tokens of every drawn scene.

For every shape of picture a folder holds a folder with `latents.npy` (n, 16, rows, columns)
float16, `parts.npy` and, for n scenes in v wordings, `t5.npy` (n * v + 1, text tokens), `clip.npy`
(n * v + 1, 77) and `lengths.npy` (n * v + 1, 2), int16: the wordings of scene i are rows i * v and
on, and the last row is the empty prompt. The folder `held_out` has the same of other scenes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miniature.dataset import DrawnData
from miniature.model.latent_map import LatentMap, as_values
from miniature.model.tokens import Tokenizers
from miniature.world.prompts import ScenePrompt
from miniature.world.scene import prompt_for
from miniature.world.spec import SceneSpec
from training.files import write_whole

_BATCH = 64

PromptWriter = Callable[[SceneSpec, int, int], ScenePrompt]


@dataclass(frozen=True)
class LatentData:
    """Training data of the transformer, from pictures of one shape.

    Attributes:
        latents: normalised, float16 of shape (n, 16, rows, columns).
        parts: share of parts in tokens, in 255ths, uint8 of shape (n, tokens, parts).
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

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        return self.latents.shape[2] // 2, self.latents.shape[3] // 2


def pack(latents: Tensor) -> Tensor:
    """Turn latents (batch, 16, rows, columns) into tokens (batch, rows * columns / 4, 64)."""
    batch, channels, rows, columns = latents.shape
    tiles = latents.view(batch, channels, rows // 2, 2, columns // 2, 2)
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns // 4, channels * 4)


def prepare_latents(
    folder: Path,
    drawn: DrawnData,
    latent_map: LatentMap,
    tokenizers: Tokenizers,
    wordings: int,
    write: PromptWriter = prompt_for,
) -> None:
    """Write latents and tokens of scenes of one shape, unless they exist already.

    Args:
        folder: destination.
        drawn: the pictures.
        latent_map, tokenizers: of the pipeline.
        wordings: prompts for each scene.
        write: writes the prompt of a scene from its seed and the number of the wording.
    """
    if (folder / "latents.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    prompts = [
        write(spec, drawn.first_seed + number, variant)
        for number, spec in enumerate(drawn.specs)
        for variant in range(wordings)
    ] + [ScenePrompt("")]
    texts = [prompt.text for prompt in prompts]
    _save(folder / "parts.npy", np.asarray(drawn.parts))
    _save(folder / "t5.npy", tokenizers.t5_ids(texts).astype(np.int16))
    _save(folder / "clip.npy", tokenizers.clip_ids(texts).astype(np.int16))
    _save(folder / "lengths.npy", tokenizers.group_lengths(prompts).astype(np.int16))
    batches = [
        latent_map.encode(as_values(drawn.images[first : first + _BATCH])).half().numpy()
        for first in range(0, len(drawn.images), _BATCH)
    ]
    _save(folder / "latents.npy", np.concatenate(batches))


def load_latents(folder: Path) -> LatentData:
    """Load into memory what `prepare_latents` wrote."""
    latents = np.load(folder / "latents.npy")
    t5_ids = np.load(folder / "t5.npy")
    return LatentData(
        latents,
        np.load(folder / "parts.npy"),
        t5_ids,
        np.load(folder / "clip.npy"),
        np.load(folder / "lengths.npy"),
        (len(t5_ids) - 1) // len(latents),
    )


def rows_as_tensor(values: NDArray[np.generic], rows: NDArray[np.int64]) -> Tensor:
    """Copy some rows of an array into a tensor."""
    return torch.from_numpy(np.array(values[rows]))


def _save(path: Path, values: NDArray[np.generic]) -> None:
    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.save(file, values)

    write_whole(path, write)
