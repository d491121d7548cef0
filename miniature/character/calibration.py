"""Bounds of familiar references, fitted to drawn ones and measured on generated outsiders."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from miniature.character.cast import Cast
from miniature.character.outsiders import KINDS, draw_outsider
from miniature.character.recipe import CharacterRecipe
from miniature.character.references import cut_out
from miniature.character.views import encode_views, views_of
from pipelines.instant_character.encoders import SubjectEncoders, SubjectFeatures
from pipelines.instant_character.familiarity import Familiarity, fit_familiarity, summary

_STREAM = 16
_AT_ONCE = 32


@dataclass(frozen=True)
class Calibration:
    """Result of a calibration.

    Attributes:
        familiarity: the distribution of references and its bound.
        shares: share of references, and of each kind of outsider, that counts as familiar.
    """

    familiarity: Familiarity
    shares: dict[str, float]


def calibrate(
    encoders: SubjectEncoders, cast: Cast, held_out: Cast, recipe: CharacterRecipe
) -> Calibration:
    """Fit the bounds of familiar references.

    Args:
        encoders: trained encoders; kept on their device.
        cast: training characters, which give the distribution.
        held_out: other characters; half of them give the bound, the others are measured.
        recipe: numbers of pictures, and the share of references that counts as familiar.
    """
    known = _summaries(encoders, _references(cast, range(recipe.calibrating)))
    rows = len(held_out.specs)
    bounding = _references(held_out, range(rows // 2))
    measured = _references(held_out, range(rows // 2, rows))
    unbounded = fit_familiarity(known, float("inf"))
    distances = unbounded.distance(_summaries(encoders, bounding))
    found = fit_familiarity(known, float(distances.quantile(recipe.familiar)))

    def share(pictures: Sequence[NDArray[np.uint8]]) -> float:
        near = found.distance(_summaries(encoders, pictures)) <= found.bound
        return round(near.float().mean().item(), 4)

    shares = {"reference": share(measured)}
    for kind in KINDS:
        outsiders = [
            draw_outsider(kind, k, held_out.images[k % rows], held_out.parts[k % rows])
            for k in range(recipe.outsiders)
        ]
        shares[kind] = share(outsiders)
    return Calibration(found, shares)


def _references(cast: Cast, rows: range) -> list[NDArray[np.uint8]]:
    """Cut rough references from a cast's pictures; rows beyond the last start again."""
    return [
        cut_out(
            cast.images[row % len(cast.specs)],
            cast.parts[row % len(cast.specs)],
            np.random.default_rng((_STREAM, cast.first_seed, row)),
        ).picture
        for row in rows
    ]


@torch.no_grad()
def _summaries(encoders: SubjectEncoders, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Return the feature statistics of pictures, shape (pictures, channels)."""
    device = encoders.siglip.device
    found: list[Tensor] = []
    for first in range(0, len(pictures), _AT_ONCE):
        views = views_of(pictures[first : first + _AT_ONCE], encoders.config).to(device)
        features: SubjectFeatures = encode_views(encoders, views)
        found.append(summary(features).cpu())
    return torch.cat(found)
