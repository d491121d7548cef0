"""CharaConsist's mask statistic as a training loss.

The published mask compares, for each image token, its attention to the background's words with
its attention to the character's and action's words in the single-stream blocks: logits of rotated
queries and keys, not divided by sqrt(head_dim), softmax over the real text tokens, summed over
heads, mean over each group of words, mean over blocks. Here the same numbers are computed during
training and compared with the drawn foreground.
"""

import torch
import torch.nn.functional as F
from diffusers import FluxTransformer2DModel
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor

_NEVER = -1e4  # logit of what cannot be attended to
_LEAST = 1e-30  # attention that float32 can still divide by


class RecordingProcessor:
    """Attention processor of a FLUX block that keeps the logits of image queries and text keys.

    Attributes:
        text_tokens: number of text tokens at the start of the sequence.
        logits: of the last call, unscaled, shape (batch, heads, image tokens, text tokens).
    """

    _attention_backend = None
    _parallel_config = None

    def __init__(self, text_tokens: int) -> None:
        self.text_tokens = text_tokens
        self.logits: Tensor | None = None

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Attend as diffusers' `FluxAttnProcessor` does."""

        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (-1, attn.head_dim))

        query = attn.norm_q(split(attn.to_q(hidden_states)))
        key = attn.norm_k(split(attn.to_k(hidden_states)))
        value = split(attn.to_v(hidden_states))
        if encoder_hidden_states is not None:
            added_query = attn.norm_added_q(split(attn.add_q_proj(encoder_hidden_states)))
            added_key = attn.norm_added_k(split(attn.add_k_proj(encoder_hidden_states)))
            query = torch.cat([added_query, query], 1)
            key = torch.cat([added_key, key], 1)
            value = torch.cat([split(attn.add_v_proj(encoder_hidden_states)), value], 1)
        query = apply_rotary_emb(query, image_rotary_emb, sequence_dim=1).transpose(1, 2)
        key = apply_rotary_emb(key, image_rotary_emb, sequence_dim=1).transpose(1, 2)
        value, text = value.transpose(1, 2), self.text_tokens
        if query.device.type == "cpu":  # at these sizes the fused kernel's backward is slower
            products = query @ key.transpose(-1, -2)
            self.logits = products[:, :, text:, :text]
            output = (products * attn.head_dim**-0.5).softmax(-1) @ value
        else:
            self.logits = query[:, :, text:] @ key[:, :, :text].transpose(-1, -2)
            output = F.scaled_dot_product_attention(query, key, value)
        output = output.transpose(1, 2).flatten(2)
        if encoder_hidden_states is None:
            return output
        image = attn.to_out[1](attn.to_out[0](output[:, text:]))
        return image, attn.to_add_out(output[:, :text])


def record_attention(model: FluxTransformer2DModel, text_tokens: int) -> list[RecordingProcessor]:
    """Set a recording processor in every block of a model.

    Returns:
        The processors of the single-stream blocks, in order.
    """
    for block in model.transformer_blocks:
        block.attn.set_processor(RecordingProcessor(text_tokens))
    processors = [RecordingProcessor(text_tokens) for _ in model.single_transformer_blocks]
    for block, processor in zip(model.single_transformer_blocks, processors, strict=True):
        block.attn.set_processor(processor)
    return processors


def foreground_scores(logits: list[Tensor], lengths: Tensor) -> Tensor:
    """Compare the attention to the character's and action's words with that to the background's.

    Args:
        logits: unscaled, of each single block, shape (batch, heads, image tokens, text tokens).
        lengths: tokens of the background and of the whole prompt, int64 of shape (batch, 2).

    Returns:
        log(foreground attention / background attention) of each block and, last, of all
        blocks together, shape (blocks + 1, batch, image tokens). Foreground is where it is >= 0.
    """
    index = torch.arange(logits[0].shape[-1], device=lengths.device)
    background_end, end = lengths[:, :1], lengths[:, 1:]
    real, background = index < end, index < background_end
    groups = torch.stack([real & ~background, background], -1).float()
    groups = groups / groups.sum(1, keepdim=True).clamp(min=1)
    means = torch.stack(
        [
            block.float().masked_fill(~real[:, None, None], _NEVER).softmax(-1).sum(1) @ groups
            for block in logits
        ]
    )
    both = torch.cat([means, means.sum(0, keepdim=True)]).clamp(min=_LEAST).log()
    return both[..., 0] - both[..., 1]


def attention_loss(
    logits: list[Tensor], lengths: Tensor, foreground: Tensor, used: Tensor
) -> Tensor:
    """Cross entropy of the mask statistic against the drawn foreground.

    Args:
        logits: as in `foreground_scores`.
        lengths: as in `foreground_scores`.
        foreground: share of each image token that the character covers, shape (batch, tokens).
        used: mask of the samples that count, those with words of both groups, bool of shape
            (batch,).

    Returns:
        A scalar; 0 where no sample counts.
    """
    scores = foreground_scores(logits, lengths)
    losses = F.binary_cross_entropy_with_logits(
        scores, foreground.expand_as(scores), reduction="none"
    )
    weights = used.float() / used.sum().clamp(min=1)
    return (losses.mean((0, 2)) * weights).sum()
