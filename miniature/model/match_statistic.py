"""CharaConsist's point matching as a training loss that makes equal body parts similar.

The published matches pair a token of one picture with the token of another whose attention outputs
have the largest cosine similarity, averaged over the blocks. Here the same similarities are taken
between tokens of different pictures of a batch, and tokens of the same body part are pulled
together: the supervised contrastive loss of Khosla et al. 2020 (eq. 2, with the positives inside
the logarithm).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from miniature.world.vocabulary import Part

_TEMPERATURE = 0.1
_CHARACTER_TOKENS = 40  # of a picture, chosen at random; a figure has about fifty
_OTHER_TOKENS = 12
_NEVER = -1e4
_MIRRORED = {
    Part.RIGHT_UPPER_ARM: Part.LEFT_UPPER_ARM,
    Part.RIGHT_FOREARM: Part.LEFT_FOREARM,
    Part.RIGHT_THIGH: Part.LEFT_THIGH,
    Part.RIGHT_SHIN: Part.LEFT_SHIN,
}


def token_labels(parts: Tensor) -> Tensor:
    """Return the part that most of a token shows, right limbs counted as left ones.

    Args:
        parts: share of each part in each token, shape (batch, tokens, parts).

    Returns:
        int64 of shape (batch, tokens); BACKGROUND where the character covers half at most.
    """
    labels = parts[..., 1:].argmax(-1) + 1
    labels = labels.masked_fill(parts[..., Part.BACKGROUND] >= 0.5, int(Part.BACKGROUND))
    for right, left in _MIRRORED.items():
        labels = labels.masked_fill(labels == right, int(left))
    return labels


def match_loss(outputs: Sequence[Tensor], parts: Tensor) -> Tensor:
    """Compute the contrastive loss of the characters' tokens between pictures of a batch.

    Args:
        outputs: attention outputs of the image tokens, one entry for each block, each of shape
            (batch, tokens, channels).
        parts: share of each part in each token, shape (batch, tokens, parts).

    Returns:
        A scalar; 0 where no token has a counterpart.
    """
    labels = token_labels(parts)
    shown = labels != Part.BACKGROUND
    count, tokens = labels.shape
    order = torch.rand(labels.shape, device=labels.device)
    first = (order + shown).topk(min(_CHARACTER_TOKENS, tokens), 1).indices
    second = order.topk(min(_OTHER_TOKENS, tokens), 1).indices
    chosen = torch.cat([first, second], 1)
    picture = torch.arange(count, device=labels.device)[:, None].expand_as(chosen).flatten()
    label = labels.gather(1, chosen).flatten()
    similarity = torch.zeros((), device=labels.device)
    for output in outputs:
        rows = chosen[..., None].expand(-1, -1, output.shape[-1])
        unit = F.normalize(output.gather(1, rows).float(), dim=-1).flatten(0, 1)
        similarity = similarity + unit @ unit.T
    logits = similarity / (len(outputs) * _TEMPERATURE)
    elsewhere = picture[:, None] != picture
    same = elsewhere & (label[:, None] == label)
    counted = same.any(1) & (label != Part.BACKGROUND)
    among = logits.masked_fill(~elsewhere, _NEVER).logsumexp(1)
    alike = logits.masked_fill(~same, _NEVER).logsumexp(1)
    return ((among - alike) * counted).sum() / counted.sum().clamp(min=1)
