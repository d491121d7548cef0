"""The attention processor: plain FLUX attention, plus what a frame pass asks of a block.

One processor per single-stream block. Where nothing is asked of a block it takes the very path of
diffusers' own processor. It is installed by `frame_attention`, which puts back what it found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxAttention, FluxAttnProcessor
from torch import Tensor

from .consistency import FramePass, Shared

RotaryTables = tuple[Tensor, Tensor]


class StoryboardAttnProcessor(FluxAttnProcessor):
    """Attention of one single-stream block with CharaConsist's point-tracking attention.

    Text queries see the block's own keys. Background queries also see the shared place's keys,
    foreground queries the matched keys of the identity frame. The keys lie in one buffer
    [shared place | own | identity], so that what a group of queries sees is one contiguous slice
    and no attention mask is needed.

    Args:
        block: what the frame pass calls this block.
        frame_pass: the pass that this block takes part in.
    """

    def __init__(self, block: int, frame_pass: FramePass) -> None:
        super().__init__()
        self._block = block
        self._pass = frame_pass

    def __call__(
        self,
        attn: FluxAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: RotaryTables | None = None,
    ) -> Tensor:
        """Attend.

        Args:
            attn: the block's attention module.
            hidden_states: text and image tokens, shape (1, text + image, channels).
            encoder_hidden_states: must be None, as single-stream blocks have it.
            attention_mask: must be None where the pass takes part.
            image_rotary_emb: cosines and sines, each (text + image, head_dim).

        Returns:
            The attention output, shape (1, text + image, channels).
        """
        if not self._pass.observes(self._block):
            plain: Tensor = super().__call__(
                attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb
            )
            return plain
        if hidden_states.shape[0] != 1 or attention_mask is not None or image_rotary_emb is None:
            raise ValueError(
                f"a frame pass takes one frame without attention mask, not {hidden_states.shape[0]}"
            )
        block, frame_pass = self._block, self._pass
        text = hidden_states.shape[1] - frame_pass.grid[0] * frame_pass.grid[1]
        query, key, value = project(attn, hidden_states)

        frame_pass.read_keys(block, key[0, text:], value[0, text:])
        query = apply_rotary_emb(query, image_rotary_emb, sequence_dim=1)
        rotated = apply_rotary_emb(key, image_rotary_emb, sequence_dim=1)
        frame_pass.read_attention(query[0, text:], rotated[0, :text])

        output = self._grouped_attention(query, rotated, value, image_rotary_emb, text)
        output = output.flatten(2, 3).to(query.dtype)
        frame_pass.read_output(block, output[0, text:])
        frame_pass.merge(block, output[0, text:])
        return output

    def _grouped_attention(
        self, query: Tensor, key: Tensor, value: Tensor, rotary: RotaryTables, text: int
    ) -> Tensor:
        """Attention of every group of queries over its slice of the key buffer.

        All tensors are (1, tokens, heads, head_dim).
        """
        place = self._pass.shared_background(self._block)
        identity = self._pass.shared_foreground(self._block)
        if place is None and identity is None:
            return self._attend(query, key, value)

        own, before = key.shape[1], 0
        keys, values = [key], [value]
        if place is not None:
            before = place.positions.shape[0]
            keys.insert(0, rotate_shared(place, rotary, text))
            values.insert(0, place.keys_values.value[None])
        if identity is not None:
            keys.append(rotate_shared(identity, rotary, text))
            values.append(identity.keys_values.value[None])
        key, value = torch.cat(keys, dim=1), torch.cat(values, dim=1)

        output = torch.empty_like(query)
        plain = torch.ones(query.shape[1], dtype=torch.bool, device=query.device)
        for shared, first, last in (
            (place, 0, before + own),
            (identity, before, key.shape[1]),
        ):
            if shared is None:
                continue
            rows = shared.queries + text
            plain[rows] = False
            output[:, rows] = self._attend(query[:, rows], key[:, first:last], value[:, first:last])
        rows = plain.nonzero().flatten()
        span = slice(before, before + own)
        output[:, rows] = self._attend(query[:, rows], key[:, span], value[:, span])
        return output

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        attended: Tensor = dispatch_attention_fn(
            query,
            key,
            value,
            backend=self._attention_backend,
            parallel_config=self._parallel_config,
        )
        return attended


def project(attn: FluxAttention, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A single-stream block's queries, keys and values, normed, before RoPE.

    Args:
        attn: the block's attention module, its projections fused or not.
        hidden_states: shape (batch, tokens, channels).

    Returns:
        Query, key and value, each (batch, tokens, heads, head_dim).
    """
    if attn.fused_projections:
        parts = attn.to_qkv(hidden_states).chunk(3, dim=-1)
    else:
        parts = (attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states))
    query, key, value = (part.unflatten(-1, (-1, attn.head_dim)) for part in parts)
    return attn.norm_q(query), attn.norm_k(key), value


def rotate_shared(shared: Shared, rotary: RotaryTables, text: int) -> Tensor:
    """Shared keys turned to the positions that they stand for, (1, keys, heads, head_dim).

    A matched key of the identity frame takes the position of the token that it matches
    (CharaConsist's point tracking); a key of the shared place keeps its own.
    """
    rows = shared.positions + text
    tables = (rotary[0][rows], rotary[1][rows])
    rotated: Tensor = apply_rotary_emb(shared.keys_values.key[None], tables, sequence_dim=1)
    return rotated


@contextmanager
def frame_attention(transformer: FluxTransformer2DModel, frame_pass: FramePass) -> Iterator[None]:
    """Let a transformer's single-stream blocks take part in a frame pass.

    On leaving, also by an exception or a closed generator, the processors that were there before
    are there again.
    """
    attentions = [block.attn for block in transformer.single_transformer_blocks]
    before: list[Any] = [attn.processor for attn in attentions]
    try:
        for block, attn in enumerate(attentions):
            processor = StoryboardAttnProcessor(block, frame_pass)
            processor._attention_backend = getattr(attn.processor, "_attention_backend", None)
            processor._parallel_config = getattr(attn.processor, "_parallel_config", None)
            attn.set_processor(processor)
        yield
    finally:
        for attn, processor in zip(attentions, before, strict=True):
            attn.set_processor(processor)
