"""Foreground masks, from the attention of image tokens to the text (CharaConsist).

CharaConsist: in every single-stream block the image queries attend to the tokens of the prompt; a
token of the picture is foreground where the words of the character and its action get
at least as much weight as those of the background.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class TextLengths:
    """Text tokens of the parts of a prompt.

    Attributes:
        background: tokens of the background part, which comes first.
        real: tokens of the whole prompt without the end token and padding; those from
            `background` on belong to the character and its action.
    """

    background: int
    real: int

    def __post_init__(self) -> None:
        if not 0 <= self.background <= self.real:
            raise ValueError(f"background={self.background} is not in [0, real={self.real}]")


@dataclass(frozen=True)
class AttentionMaps:
    """Mean weight of the background's words and of the character's, each of shape (tokens,)."""

    background: Tensor
    foreground: Tensor


def token_attention(query: Tensor, key: Tensor, text: TextLengths) -> AttentionMaps:
    """Compute one block's attention maps.

    The logits are not scaled by 1/sqrt(head_dim) and the softmax runs over the real text tokens
    alone, in float16, as published.

    Args:
        query: image queries after RoPE, shape (tokens, heads, head_dim).
        key: text keys after RoPE, shape (at least text.real, heads, head_dim).
        text: lengths of the prompt's parts; both parts must have tokens.

    Returns:
        float16 maps, summed over heads and averaged over the words of each part.
    """
    words = key[: text.real].permute(1, 2, 0)
    logits = torch.matmul(query.transpose(0, 1), words).to(torch.float16)
    weights = logits.softmax(dim=-1).sum(dim=0)
    return AttentionMaps(
        background=weights[:, : text.background].mean(dim=-1),
        foreground=weights[:, text.background :].mean(dim=-1),
    )


def mean_maps(maps: list[AttentionMaps]) -> AttentionMaps:
    """Average maps over blocks, added up in their order in float16."""
    background, foreground = maps[0].background, maps[0].foreground
    for one in maps[1:]:
        background = background + one.background
        foreground = foreground + one.foreground
    return AttentionMaps(background / len(maps), foreground / len(maps))


def raw_mask(maps: AttentionMaps) -> Tensor:
    """Return where the foreground weighs at least as much as the background, shape (tokens,)."""
    return maps.background <= maps.foreground


def clean_mask(mask: Tensor, erode: int = 3, dilate: int = 5) -> Tensor:
    """Erode a mask, then dilate it, once each; by default by the published 3x3 and 5x5.

    Outside of the grid counts as foreground for the erosion and as background for the dilation.

    Args:
        mask: bool, shape (rows, columns).
        erode: side of the square to erode by, in tokens, odd; 1 leaves the mask as it is.
        dilate: side of the square to dilate by, likewise.

    Returns:
        The cleaned mask, bool, shape (rows, columns).
    """
    grid = mask.to(torch.float32)[None]
    eroded = -F.max_pool2d(-grid, kernel_size=erode, stride=1, padding=erode // 2)
    dilated = F.max_pool2d(eroded, kernel_size=dilate, stride=1, padding=dilate // 2)
    return dilated[0] > 0.5
