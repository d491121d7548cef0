"""Matches between the tokens of a frame and of its identity frame (CharaConsist)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class SimilarityMap:
    """Most similar token of the identity frame for each image token of a frame.

    Attributes:
        similarity: cosine similarity of the best match, shape (tokens,), in [-1, 1].
        identity_index: that match's token in the identity frame, shape (tokens,), int64.
    """

    similarity: Tensor
    identity_index: Tensor


@dataclass(frozen=True)
class Matches:
    """Pairs of matched tokens, in ascending order of the frame's tokens.

    Attributes:
        frame_index: tokens of the frame, shape (matches,), int64.
        identity_index: their tokens in the identity frame, shape (matches,), int64.
        similarity: their cosine similarities, shape (matches,).
    """

    frame_index: Tensor
    identity_index: Tensor
    similarity: Tensor

    def __len__(self) -> int:
        return self.frame_index.shape[0]


def unit_rows(outputs: Tensor) -> Tensor:
    """Scale attention outputs (tokens, channels) to length 1, in their own dtype."""
    return F.normalize(outputs.float(), dim=-1).to(outputs.dtype)


def add_cosines(total: Tensor | None, frame: Tensor, identity: Tensor) -> Tensor:
    """Add one block's cosine similarities to the running sum.

    Args:
        total: float32 sum so far, shape (frame tokens, identity tokens), or None.
        frame: the frame's attention outputs, shape (frame tokens, channels).
        identity: the identity frame's `unit_rows`, shape (identity tokens, channels).
    """
    cosines = torch.matmul(unit_rows(frame), identity.T).float()
    return cosines if total is None else total.add_(cosines)


def best_matches(total: Tensor, blocks: int) -> SimilarityMap:
    """Find the best match of every frame token, from the sum over `blocks` blocks."""
    similarity, index = (total / blocks).max(dim=-1)
    return SimilarityMap(similarity, index)


def find_matches(
    found: SimilarityMap, mask: Tensor, identity_mask: Tensor, threshold: float
) -> Matches:
    """Keep the matches whose both ends are foreground and whose similarity exceeds a threshold.

    Args:
        found: every token's best match.
        mask: the frame's foreground mask, bool, shape (tokens,).
        identity_mask: the identity frame's, bool, shape (identity tokens,).
        threshold: cosine similarity to exceed.
    """
    keep = mask & identity_mask[found.identity_index] & (found.similarity > threshold)
    frame_index = keep.nonzero().flatten()
    return Matches(frame_index, found.identity_index[frame_index], found.similarity[frame_index])
