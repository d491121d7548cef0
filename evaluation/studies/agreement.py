"""Agreement of masks and matches with the truth of a picture.

All in image tokens, squares of 16 pixels for FLUX. Knows nothing of models, prompts or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miniature.world.vocabulary import Part
from pipelines.events import TokenMatches

BoolGrid = NDArray[np.bool_]
Labels = NDArray[np.uint8]

_GROUPS: dict[str, tuple[Part, ...]] = {
    "head": (Part.FACE, Part.HAT, Part.GLASSES, Part.BEARD, Part.EAR),
    "hair": (Part.HAIR,),
    "top": (
        Part.TORSO, Part.LEFT_UPPER_ARM, Part.LEFT_FOREARM, Part.RIGHT_UPPER_ARM,
        Part.RIGHT_FOREARM, Part.HAND, Part.NECK, Part.SCARF,
    ),
    "bottom": (
        Part.LEFT_THIGH, Part.LEFT_SHIN, Part.RIGHT_THIGH, Part.RIGHT_SHIN, Part.SKIRT, Part.TAIL,
    ),
    "shoes": (Part.SHOE,),
    "prop": (Part.PROP, Part.BACKPACK, Part.BAG),
}  # fmt: skip
_MIRRORED = {
    Part.RIGHT_UPPER_ARM: Part.LEFT_UPPER_ARM,
    Part.RIGHT_FOREARM: Part.LEFT_FOREARM,
    Part.RIGHT_THIGH: Part.LEFT_THIGH,
    Part.RIGHT_SHIN: Part.LEFT_SHIN,
}


def _table(renamed: Mapping[Part, int]) -> Labels:
    """Return the label of every part, shape (parts,)."""
    return np.array([renamed.get(part, part) for part in Part], np.uint8)


_GROUPED = {part: int(members[0]) for members in _GROUPS.values() for part in members}

# Labels by part: two parts with one label count as the same. By the name of the table's row.
LABELS: dict[str, Labels] = {
    "head, top, bottom, shoes, prop": _table(_GROUPED | {Part.HAIR: int(Part.FACE)}),
    "head, hair, top, bottom, shoes, prop": _table(_GROUPED),
    "parts, left and right limbs alike": _table(_MIRRORED),
    "parts": _table({}),
}


@dataclass(frozen=True)
class TokenTruth:
    """Truth of the tokens of a picture.

    Attributes:
        foreground: True where a figure covers more than half of a token, shape (rows, columns).
        parts: the `Part` that covers most of a token's foreground pixels, shape
            (rows, columns); BACKGROUND where it has none.
    """

    foreground: BoolGrid
    parts: Labels


def token_truth(foreground: BoolGrid, parts: Labels, grid: tuple[int, int]) -> TokenTruth:
    """Reduce a picture's labels to tokens.

    Args:
        foreground: pixels of a figure, shape (height, width).
        parts: a `Part` for each pixel, shape (height, width).
        grid: rows and columns of tokens; must divide the picture's size.
    """
    shown = np.where(foreground, parts, Part.BACKGROUND)
    counts = np.stack([_per_token(shown == part, grid) for part in Part if part])
    most = np.where(counts.any(0), counts.argmax(0) + 1, Part.BACKGROUND)
    covered = _per_token(foreground, grid) * 2 > foreground.size // (grid[0] * grid[1])
    return TokenTruth(covered, most.astype(np.uint8))


def _per_token(pixels: BoolGrid, grid: tuple[int, int]) -> NDArray[np.int64]:
    """Count the set pixels of each token."""
    rows, columns = grid
    height, width = pixels.shape
    if height % rows or width % columns:
        raise ValueError(f"{rows}x{columns} tokens do not divide a picture of {height}x{width}")
    cells = pixels.reshape(rows, height // rows, columns, width // columns)
    counts: NDArray[np.int64] = cells.sum((1, 3), dtype=np.int64)
    return counts


def intersection_over_union(mask: BoolGrid, truth: BoolGrid) -> float:
    """Compute intersection over union of two masks of one shape; 1 where both are empty."""
    union = int((mask | truth).sum())
    return int((mask & truth).sum()) / union if union else 1.0


@dataclass(frozen=True)
class MatchCount:
    """Counts of the tokens of one frame whose match shows the same part of the body.

    Attributes:
        same: tokens whose match shows the same part.
        chance: expected number of such tokens, if a match were a random foreground token of the
            identity frame.
        tokens: tokens that count.
    """

    same: float
    chance: float
    tokens: int


def count_matches(
    matches: TokenMatches,
    counted: BoolGrid,
    truth: TokenTruth,
    identity: TokenTruth,
    labels: Labels,
) -> MatchCount:
    """Compare the parts at both ends of a frame's matches.

    A match that is background in the identity frame counts as wrong, and so does a token without a
    part.

    Args:
        matches: of the frame.
        counted: the tokens that count, foreground by the truth, shape (rows, columns).
        truth: of the frame.
        identity: truth of the identity frame.
        labels: one of `LABELS`.
    """
    ours = labels[truth.parts[counted]]
    found = matches.identity_index[counted]
    theirs = labels[identity.parts.ravel()]
    there = identity.foreground.ravel()
    same = (ours == theirs[found]) & there[found] & (ours != Part.BACKGROUND)
    shares = np.bincount(theirs[there], minlength=len(labels)) / max(int(there.sum()), 1)
    shares[Part.BACKGROUND] = 0
    return MatchCount(float(same.sum()), float(shares[ours].sum()), int(counted.sum()))
