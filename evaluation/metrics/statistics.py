"""Estimates with confidence intervals, over characters. Knows nothing of pictures.

Frames of one character are not independent, so whole characters are resampled: an interval shows
how much a number would move with other characters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.models.measured import Interval

_RESAMPLES = 10_000
_SEED = 0
_TAIL = 0.025  # of each side of a 95 % interval
_NORMAL_QUANTILE = 1.96


@dataclass(frozen=True)
class Tally:
    """Sums and counts of a measure, by character.

    Attributes:
        totals: float64, shape (characters,).
        counts: number of observations in each sum, float64, shape (characters,).
    """

    totals: Tensor
    counts: Tensor

    def __post_init__(self) -> None:
        if self.totals.shape != self.counts.shape or self.totals.ndim != 1:
            raise ValueError(
                f"totals {tuple(self.totals.shape)} and counts {tuple(self.counts.shape)} are not "
                "two vectors of the same length"
            )

    @classmethod
    def of(cls, observations: list[list[float]]) -> Tally:
        """Sum observations, a list for each character."""
        return cls(
            torch.tensor([sum(values) for values in observations], dtype=torch.float64),
            torch.tensor([len(values) for values in observations], dtype=torch.float64),
        )


def mean(tally: Tally) -> Interval | None:
    """Compute the mean of all observations, with a bootstrap interval over characters.

    Returns:
        The percentile interval; None where nothing was observed.
    """
    if not tally.counts.sum():
        return None
    chosen = _resamples(len(tally.counts))
    value = tally.totals.sum() / tally.counts.sum()
    return _interval(value, _ratios(tally, chosen))


def difference(tally: Tally, base: Tally) -> Interval | None:
    """Compute the mean of a tally minus that of another on the same characters, in pairs.

    Returns:
        The percentile interval; None where one of them observed nothing.

    Raises:
        ValueError: if the tallies are not of the same number of characters.
    """
    if len(tally.counts) != len(base.counts):
        raise ValueError(f"{len(tally.counts)} characters cannot be paired with {len(base.counts)}")
    if not tally.counts.sum() or not base.counts.sum():
        return None
    chosen = _resamples(len(tally.counts))
    value = tally.totals.sum() / tally.counts.sum() - base.totals.sum() / base.counts.sum()
    return _interval(value, _ratios(tally, chosen) - _ratios(base, chosen))


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of features.

    Attributes:
        mean: float64, shape (features,).
        covariance: float64, shape (features, features).
    """

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Gaussian:
        """Compute the sample's mean and unbiased covariance.

        Args:
            features: shape (samples, features), at least two samples.

        Raises:
            ValueError: if there are fewer than two samples.
        """
        if len(features) < 2:
            raise ValueError(f"{len(features)} samples have no covariance; two are needed")
        features = features.double()
        return cls(features.mean(0), torch.cov(features.T).reshape(features.shape[1], -1))


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """Compute |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), the Fréchet distance of Gaussians."""
    root = _square_root(first.covariance)
    product = root @ second.covariance @ root
    cross = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
    apart = (first.mean - second.mean).square().sum()
    distance = apart + first.covariance.trace() + second.covariance.trace() - 2 * cross
    return max(0.0, float(distance))


def frechet(features: list[Tensor], reference: Gaussian) -> Interval | None:
    """Compute the Fréchet distance of pictures to a reference, with a jackknife interval.

    A bootstrap would count pictures twice, which by itself raises this distance; the jackknife
    leaves out one character at a time.

    Args:
        features: for each character, the features of its pictures, shape (pictures, features).
        reference: of drawn pictures.

    Returns:
        The normal interval from the jackknife's variance; None below three characters.
    """
    characters = len(features)
    if characters < 3:
        return None
    value = frechet_distance(reference, Gaussian.of(torch.cat(features)))
    without = torch.tensor(
        [
            frechet_distance(reference, Gaussian.of(torch.cat(features[:i] + features[i + 1 :])))
            for i in range(characters)
        ],
        dtype=torch.float64,
    )
    variance = (characters - 1) / characters * (without - without.mean()).square().sum()
    reach = _NORMAL_QUANTILE * float(variance.sqrt())
    return Interval(value, max(0.0, value - reach), value + reach)


def _resamples(characters: int) -> Tensor:
    """Choose the characters of each resample, shape (resamples, characters)."""
    generator = torch.Generator().manual_seed(_SEED)
    return torch.randint(characters, (_RESAMPLES, characters), generator=generator)


def _ratios(tally: Tally, chosen: Tensor) -> Tensor:
    """Compute the mean in every resample; not a number without observations."""
    return tally.totals[chosen].sum(1) / tally.counts[chosen].sum(1)


def _interval(value: Tensor, resampled: Tensor) -> Interval:
    ends = torch.tensor([_TAIL, 1 - _TAIL], dtype=torch.float64)
    low, high = torch.nanquantile(resampled, ends).tolist()
    return Interval(float(value), low, high)


def _square_root(matrix: Tensor) -> Tensor:
    """Compute the square root of a symmetric matrix without negative eigenvalues."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
