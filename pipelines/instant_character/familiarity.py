"""Familiarity: whether a picture's features are of the kind that the weights were trained on.

A small model serves the kind of pictures that it was trained on and, given another, renders
something plausible and wrong. So its weights come with the distribution of their training pictures'
features, and a bound on the distance from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines.instant_character.encoders import SubjectFeatures

_RIDGE = 0.05  # of the mean variance, added to all: directions that nobody varies in say little


@dataclass(frozen=True)
class Familiarity:
    """Normal distribution of pictures' summaries, with the largest distance that counts as
    familiar.

    Attributes:
        mean: of the summaries, shape (channels,).
        whitening: makes their deviations independent and of unit variance, shape (channels,
            channels).
        bound: the largest distance of a familiar picture.
    """

    mean: Tensor
    whitening: Tensor
    bound: float

    def distance(self, summaries: Tensor) -> Tensor:
        """Mahalanobis distances over the root of the number of channels; typically about 1.

        Summaries have shape (pictures, channels), distances (pictures,).
        """
        deviations = summaries - self.mean.to(summaries.device)
        return (deviations @ self.whitening.to(summaries.device)).square().mean(1).sqrt()

    def knows(self, features: SubjectFeatures) -> Tensor:
        """Return which pictures are familiar, bool of shape (pictures,)."""
        return self.distance(summary(features)) <= self.bound

    def save(self, path: str | PathLike[str]) -> None:
        """Write it as a safetensors file, in half precision but for the bound."""
        tensors = {
            "mean": self.mean.half(),
            "whitening": self.whitening.half(),
            "bound": torch.tensor(self.bound),
        }
        save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, path)


def summary(features: SubjectFeatures) -> Tensor:
    """Summarise the features of a picture as a whole.

    Returns:
        Means and deviations over the tokens of the deep and of the low-level features, float32 of
        shape (pictures, 4 * channels).
    """
    deep, shallow = features.low_deep.float(), features.low_shallow.float()
    return torch.cat([deep.mean(1), deep.std(1), shallow.mean(1), shallow.std(1)], dim=1)


def fit_familiarity(summaries: Tensor, bound: float) -> Familiarity:
    """Fit the distribution of familiar pictures to summaries of more pictures than channels."""
    mean = summaries.mean(0)
    deviations = (summaries - mean).double()
    covariance = deviations.T @ deviations / (len(summaries) - 1)
    variances, directions = torch.linalg.eigh(covariance)
    scales = (variances.clamp(min=0) + _RIDGE * variances.mean()).rsqrt()
    return Familiarity(mean.float(), (directions * scales).float(), bound)


def load_familiarity(path: str | PathLike[str]) -> Familiarity:
    """Load what `Familiarity.save` wrote.

    Raises:
        ValueError: if it holds a value that is no number.
    """
    tensors = load_file(path)
    if not all(tensors[name].isfinite().all() for name in ("mean", "whitening")):
        raise ValueError(f"{path} holds values that are no numbers (NaN or infinity)")
    return Familiarity(
        tensors["mean"].float(), tensors["whitening"].float(), tensors["bound"].item()
    )
