"""Picture as the judge reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Sighting:
    """Judge's reading of one picture.

    Attributes:
        image: RGB, uint8, shape (height, width, 3).
        foreground: True where a figure is, bool, shape (height, width).
        attributes: the value of every attribute, by name.
        visible: names of those that can be seen.
        embedding: of the figure's identity, of unit length, shape (embedding,).
        features: of the whole picture, shape (features,).
    """

    image: NDArray[np.uint8]
    foreground: Tensor
    attributes: Mapping[str, str]
    visible: frozenset[str]
    embedding: Tensor
    features: Tensor
