"""Fit the weights of `pipelines.reference.saliency` to drawn scenes, and print them.

    python -m tests.pipelines.reference.fit_saliency

It also prints how well the masks of the built-in matting agree with the drawn ones, on scenes that
the weights have not seen. Two minutes on one core.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from miniature.world.scene import Scene
from pipelines.reference.matting import grab_cut_mask
from pipelines.reference.saliency import (
    Features,
    Reduced,
    Weights,
    own_features,
    reduce,
    sigmoid,
    surrounding_features,
)
from tests.pipelines.reference.drawn import overlap, single_figures

SHOTS = ("full", "full", "full", "full", "medium", "close")
FIRST_FITTED, FIRST_UNSEEN = 500_000, 600_000
SHRINKAGE = 1e-5


def logistic_regression(
    features: Features, shares: NDArray[np.float64], importance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weights of the features by Newton's method, with a little shrinkage.

    Args:
        features: of shape (patches, features).
        shares: how much of each patch belongs to the figure, in [0, 1], of shape (patches,).
        importance: of each patch, of shape (patches,).
    """
    shrinkage = SHRINKAGE * len(shares)
    weights = np.zeros(features.shape[1])
    for _ in range(25):
        guess = sigmoid(features @ weights)
        curvature = (features.T * (importance * guess * (1 - guess))) @ features
        slope = features.T @ (importance * (shares - guess)) - shrinkage * weights
        weights += np.linalg.solve(curvature + shrinkage * np.eye(len(weights)), slope)
    return weights


def figure_shares(scene: Scene, reduced: Reduced) -> NDArray[np.float64]:
    """Return the drawn figure's share of each patch."""
    height, width = reduced.picture.shape[:2]
    mask = cv2.resize(
        scene.foreground.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA
    )
    return reduced.regions.mean(mask)


def fit(scenes: list[Scene]) -> Weights:
    """Fit both rounds, the second on the probabilities of the first."""
    reduced = [reduce(scene.image) for scene in scenes]
    shares = np.concatenate([figure_shares(*pair) for pair in zip(scenes, reduced, strict=True)])
    areas = np.concatenate([one.regions.areas for one in reduced])
    importance = 0.5 + 0.5 * areas / areas.mean()
    own = [own_features(one) for one in reduced]
    first = logistic_regression(np.concatenate(own), shares, importance)
    around = [
        surrounding_features(one, sigmoid(features @ first))
        for one, features in zip(reduced, own, strict=True)
    ]
    second = logistic_regression(np.concatenate(around), shares, importance)
    return Weights(tuple(first.round(2).tolist()), tuple(second.round(2).tolist()))


def agreement(weights: Weights, scenes: list[Scene]) -> NDArray[np.float64]:
    """Overlap of the built-in matting's mask with the drawn one, for each scene."""
    masks = [grab_cut_mask(Image.fromarray(scene.image), weights) > 128 for scene in scenes]
    pairs = zip(masks, scenes, strict=True)
    return np.array([overlap(mask, scene.foreground) for mask, scene in pairs])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=400, help="how many to fit to")
    parser.add_argument("--unseen", type=int, default=40, help="how many of a shot to measure on")
    arguments = parser.parse_args()
    weights = fit(single_figures(arguments.scenes, FIRST_FITTED, SHOTS))
    print(weights)
    for shot in ("full", "medium", "close", "wide"):
        found = agreement(weights, single_figures(arguments.unseen, FIRST_UNSEEN, (shot,)))
        low, middle, high = np.percentile(found, (25, 50, 75))
        print(f"{shot}: overlap {middle:.2f} (quartiles {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
