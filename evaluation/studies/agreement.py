"""Numbers of the mask benchmark: how masks and matches agree with what a picture shows.

All in image tokens, squares of 16 pixels for FLUX. It knows nothing of models, prompts or files.
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
        Part.TORSO,
        Part.LEFT_UPPER_ARM,
        Part.LEFT_FOREARM,
        Part.RIGHT_UPPER_ARM,
        Part.RIGHT_FOREARM,
        Part.HAND,
        Part.NECK,
        Part.SCARF,
    ),
    "bottom": (
        Part.LEFT_THIGH,
        Part.LEFT_SHIN,
        Part.RIGHT_THIGH,
        Part.RIGHT_SHIN,
        Part.SKIRT,
        Part.TAIL,
    ),
    "shoes": (Part.SHOE,),
    "prop": (Part.PROP, Part.BACKPACK, Part.BAG),
}
_MIRRORED = {
    Part.RIGHT_UPPER_ARM: Part.LEFT_UPPER_ARM,
    Part.RIGHT_FOREARM: Part.LEFT_FOREARM,
    Part.RIGHT_THIGH: Part.LEFT_THIGH,
    Part.RIGHT_SHIN: Part.LEFT_SHIN,
}


def _table(renamed: Mapping[Part, int]) -> Labels:
    """What every part counts as, shape (parts,)."""
    return np.array([renamed.get(part, part) for part in Part], np.uint8)


_GROUPED = {part: int(members[0]) for members in _GROUPS.values() for part in members}

# What two parts must have in common to count as the same, by the name of the table's row.
LABELS: dict[str, Labels] = {
    "head, top, bottom, shoes, prop": _table(
        _GROUPED | {part: int(Part.FACE) for part in _GROUPS["hair"]}
    ),
    "head, hair, top, bottom, shoes, prop": _table(_GROUPED),
    "parts, left and right limbs alike": _table(_MIRRORED),
    "parts": _table({}),
}


@dataclass(frozen=True)
class TokenTruth:
    """What the tokens of a picture show.

    Attributes:
        foreground: whether somebody covers more than half of a token, shape (rows, columns).
        parts: the `Part` that covers most of what a token shows of somebody, shape
            (rows, columns); BACKGROUND where it shows nobody.
    """

    foreground: BoolGrid
    parts: Labels


def token_truth(foreground: BoolGrid, parts: Labels, grid: tuple[int, int]) -> TokenTruth:
    """Reduce a picture's labels to tokens.

    Args:
        foreground: pixels that belong to somebody, shape (height, width).
        parts: a `Part` for each pixel, shape (height, width).
        grid: rows and columns of tokens; must divide the picture's size.
    """
    shown = np.where(foreground, parts, Part.BACKGROUND)
    counts = np.stack([_per_token(shown == part, grid) for part in Part if part])
    most = np.where(counts.any(0), counts.argmax(0) + 1, Part.BACKGROUND)
    covered = _per_token(foreground, grid) * 2 > foreground.size // (grid[0] * grid[1])
    return TokenTruth(covered, most.astype(np.uint8))


def _per_token(pixels: BoolGrid, grid: tuple[int, int]) -> NDArray[np.int64]:
    """How many pixels of each token are set."""
    rows, columns = grid
    height, width = pixels.shape
    if height % rows or width % columns:
        raise ValueError(f"{rows}x{columns} tokens do not divide a picture of {height}x{width}")
    cells = pixels.reshape(rows, height // rows, columns, width // columns)
    counts: NDArray[np.int64] = cells.sum((1, 3), dtype=np.int64)
    return counts


def intersection_over_union(mask: BoolGrid, truth: BoolGrid) -> float:
    """Intersection over union of two masks of one shape; 1 where both are empty."""
    union = int((mask | truth).sum())
    return int((mask & truth).sum()) / union if union else 1.0


@dataclass(frozen=True)
class MatchCount:
    """The tokens of one frame whose match shows the same part of the body.

    Attributes:
        same: tokens whose match does.
        chance: tokens whose match would, if it were any foreground token of the identity frame.
        tokens: tokens that were looked at.
    """

    same: float
    chance: float
    tokens: int


def count_matches(
    matches: TokenMatches,
    looked_at: BoolGrid,
    truth: TokenTruth,
    identity: TokenTruth,
    labels: Labels,
) -> MatchCount:
    """Compare the parts at both ends of matches.

    A match that is background in the identity frame counts as wrong, as does a token of which no
    part is known.

    Args:
        matches: of the frame.
        looked_at: which tokens of the frame count, foreground by the truth, shape (rows, columns).
        truth: of the frame.
        identity: of the identity frame.
        labels: one of `LABELS`.
    """
    ours = labels[truth.parts[looked_at]]
    found = matches.identity_index[looked_at]
    theirs = labels[identity.parts.ravel()]
    there = identity.foreground.ravel()
    same = (ours == theirs[found]) & there[found] & (ours != Part.BACKGROUND)
    shares = np.bincount(theirs[there], minlength=len(labels)) / max(int(there.sum()), 1)
    shares[Part.BACKGROUND] = 0
    return MatchCount(float(same.sum()), float(shares[ours].sum()), int(looked_at.sum()))
