"""A picture as a reader of pictures sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Sighting:
    """One picture as the judge sees it.

    Attributes:
        image: RGB, uint8, shape (height, width, 3).
        foreground: where somebody is, bool, shape (height, width).
        attributes: the judge's reading of every attribute, by name.
        visible: names of those that can be seen there.
        embedding: who it is, of unit length, shape (embedding,).
        features: of the whole picture, shape (features,).
    """

    image: NDArray[np.uint8]
    foreground: Tensor
    attributes: Mapping[str, str]
    visible: frozenset[str]
    embedding: Tensor
    features: Tensor
