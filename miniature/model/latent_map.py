"""The latent space: sixteen principal components of every 8 x 8 block of pixels.

The autoencoder is fitted to this linear map. So latents of drawn pictures cost one matrix product,
and a later training keeps the latent space of an earlier one.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.files import write_whole

BLOCK = 8  # pixels along the side of one latent
CHANNELS = 16
FILE_NAME = "latent_map.safetensors"
_WHITENING = -0.3  # between -0.5, all components alike, and 0, as they come


@dataclass(frozen=True)
class LatentMap:
    """Linear map between blocks of pixels and latents.

    Attributes:
        matrix: matrix from a block's values to a latent, shape (16, 192).
        offset: added to the product, shape (16,).
        inverse: matrix from a latent to the best block, shape (192, 16).
        mean: block of the latent 0, shape (192,).
    """

    matrix: Tensor
    offset: Tensor
    inverse: Tensor
    mean: Tensor

    def encode(self, images: Tensor) -> Tensor:
        """Return the latents of pictures, shape (batch, 16, height / 8, width / 8).

        Args:
            images: values in [-1, 1], shape (batch, 3, height, width), multiples of 8.
        """
        blocks = torch.nn.functional.unfold(images, BLOCK, stride=BLOCK)
        matrix, offset = self.matrix.to(images.device), self.offset.to(images.device)
        latents = matrix @ blocks + offset[:, None]
        rows, columns = images.shape[-2] // BLOCK, images.shape[-1] // BLOCK
        return latents.unflatten(-1, (rows, columns))

    def decode(self, latents: Tensor) -> Tensor:
        """Return the pictures of latents, as far as a linear map can give them.

        Latents (batch, 16, rows, columns) give values of shape (batch, 3, 8 * rows, 8 * columns).
        """
        blocks = self.inverse @ latents.flatten(2) + self.mean[:, None]
        size = (latents.shape[-2] * BLOCK, latents.shape[-1] * BLOCK)
        return torch.nn.functional.fold(blocks, size, BLOCK, stride=BLOCK)

    def save(self, folder: Path) -> None:
        """Write the map into the folder of its autoencoder."""
        tensors = {name: tensor.contiguous() for name, tensor in vars(self).items()}
        write_whole(folder / FILE_NAME, lambda path: save_file(tensors, path))


def load_latent_map(folder: Path) -> LatentMap:
    """Read what `LatentMap.save` wrote."""
    return LatentMap(**load_file(folder / FILE_NAME))


def as_values(images: NDArray[np.uint8]) -> Tensor:
    """Turn pictures of shape (batch, height, width, 3) into values in [-1, 1], channels first."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def fit_latent_map(images: NDArray[np.uint8]) -> LatentMap:
    """Fit the principal components of the blocks of pictures, partly whitened.

    Args:
        images: uint8 of shape (n, height, width, 3); some hundreds are enough.
    """
    columns = torch.nn.functional.unfold(as_values(images), BLOCK, stride=BLOCK)
    blocks = columns.transpose(1, 2).flatten(0, 1).double()
    mean = blocks.mean(0)
    centered = blocks - mean
    variances, vectors = torch.linalg.eigh(centered.T @ centered / len(blocks))
    variances, vectors = variances[-CHANNELS:].flip(0), vectors[:, -CHANNELS:].flip(1)
    scales = variances**_WHITENING
    scales = scales / (variances * scales**2).mean().sqrt()
    matrix = (vectors * scales).T
    return LatentMap(
        matrix.float(), (-matrix @ mean).float(), (vectors / scales).float(), mean.float()
    )
