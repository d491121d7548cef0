"""The attention processor: plain FLUX attention, plus what a frame pass and a subject ask of it.

One processor per block, with up to two collaborators. A frame pass shares keys, values and outputs
among frames in single-stream blocks (CharaConsist); a subject adds its attention to the image
tokens of every block (InstantCharacter). Where neither asks anything of a block it takes the very
path of diffusers' own processor. `frame_attention` and `subject_attention` install it, and put
back what they found.

Where both meet in a block, the frame pass records, compares and merges the attention's own output,
and the subject's term is added after that. So each method stays what it is alone: matches compare
what they were made to compare, a bank serves frames with and without a subject, and a merge moves
no frame's subject term, and with it its strength, into another frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from diffusers import FluxTransformer2DModel
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxAttention, FluxAttnProcessor
from torch import Tensor

from .consistency import FramePass, Shared
from .instant_character import Subject

RotaryTables = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class BlockSubject:
    """A subject as one block sees it.

    Attributes:
        subject: the subject.
        block: the block's place in `transformer.attn_processors`, double-stream blocks first.
        image_tokens: how many of the last tokens are the image's, in a single-stream block.
    """

    subject: Subject
    block: int
    image_tokens: int


class StoryboardAttnProcessor(FluxAttnProcessor):
    """Attention of one block with CharaConsist's sharing and InstantCharacter's subject.

    Sharing: text queries see the block's own keys. Background queries also see the shared place's
    keys, foreground queries the matched keys of the identity frame. The keys lie in one buffer
    [shared place | own | identity], so that what a group of queries sees is one contiguous slice
    and no attention mask is needed.

    Args:
        block: what the frame pass calls this block.
        frame_pass: the pass that this single-stream block takes part in, or None.
        subject: the subject that its image tokens look at, or None.
    """

    def __init__(
        self,
        block: int,
        frame_pass: FramePass | None = None,
        subject: BlockSubject | None = None,
    ) -> None:
        super().__init__()
        self._block = block
        self._pass = frame_pass
        self._subject = subject

    def __call__(
        self,
        attn: FluxAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: RotaryTables | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Attend.

        Args:
            attn: the block's attention module.
            hidden_states: image tokens in a double-stream block, text and image tokens in a
                single-stream one, shape (batch, tokens, channels). A frame pass takes a batch
                of one.
            encoder_hidden_states: text tokens in a double-stream block, None in a single-stream
                one.
            attention_mask: must be None where a frame pass takes part.
            image_rotary_emb: cosines and sines, each (text + image, head_dim).

        Returns:
            The attention output, of the shape of `hidden_states`; in a double-stream block that
            of the image tokens and that of the text tokens.
        """
        frame_pass, subject = self._pass, self._subject
        if frame_pass is not None and not frame_pass.observes(self._block):
            frame_pass = None
        if subject is not None and not subject.subject.scale:
            subject = None
        if encoder_hidden_states is not None and subject is not None:
            return self._double(
                attn,
                hidden_states,
                encoder_hidden_states,
                attention_mask,
                image_rotary_emb,
                subject,
            )
        if encoder_hidden_states is None and (frame_pass is not None or subject is not None):
            return self._single(
                attn, hidden_states, attention_mask, image_rotary_emb, frame_pass, subject
            )
        plain: Tensor | tuple[Tensor, Tensor] = super().__call__(
            attn, hidden_states, encoder_hidden_states, attention_mask, image_rotary_emb
        )
        return plain

    def _double(
        self,
        attn: FluxAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        mask: Tensor | None,
        rotary: RotaryTables | None,
        subject: BlockSubject,
    ) -> tuple[Tensor, Tensor]:
        """Image and text output of a double-stream block; the subject's term passes `to_out`."""
        raw, key, value = project(attn, hidden_states)
        text_query, text_key, text_value = project_text(attn, encoder_hidden_states)
        output = self._plain_attention(
            torch.cat([text_query, attn.norm_q(raw)], dim=1),
            torch.cat([text_key, key], dim=1),
            torch.cat([text_value, value], dim=1),
            mask,
            rotary,
        )
        text, image = output.split([text_query.shape[1], raw.shape[1]], dim=1)
        image = image + subject.subject.attend(subject.block, raw, self._attention_backend)
        for layer in attn.to_out:
            image = layer(image)
        return image, attn.to_add_out(text.contiguous())

    def _single(
        self,
        attn: FluxAttention,
        hidden_states: Tensor,
        mask: Tensor | None,
        rotary: RotaryTables | None,
        frame_pass: FramePass | None,
        subject: BlockSubject | None,
    ) -> Tensor:
        """Text and image output of a single-stream block, shape (batch, tokens, channels)."""
        raw, key, value = project(attn, hidden_states)
        query = attn.norm_q(raw)
        if frame_pass is None:
            output = self._plain_attention(query, key, value, mask, rotary)
        else:
            if hidden_states.shape[0] != 1 or mask is not None or rotary is None:
                raise ValueError(
                    "a frame pass takes one frame without attention mask, not "
                    f"{hidden_states.shape[0]}"
                )
            output = self._shared_attention(frame_pass, query, key, value, rotary)
        if subject is None:
            return output
        # Joined anew instead of written to in place: training differentiates through `output`.
        text = output.shape[1] - subject.image_tokens
        term = subject.subject.attend(subject.block, raw[:, text:], self._attention_backend)
        return torch.cat([output[:, :text], output[:, text:] + term], dim=1)

    def _plain_attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        rotary: RotaryTables | None,
    ) -> Tensor:
        """The stock attention of all tokens, shape (batch, tokens, channels)."""
        if rotary is not None:
            query = apply_rotary_emb(query, rotary, sequence_dim=1)
            key = apply_rotary_emb(key, rotary, sequence_dim=1)
        return self._attend(query, key, value, mask).flatten(2, 3).to(query.dtype)

    def _shared_attention(
        self,
        frame_pass: FramePass,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        rotary: RotaryTables,
    ) -> Tensor:
        """A single-stream block's attention as the frame pass has it, (1, tokens, channels)."""
        block = self._block
        text = query.shape[1] - frame_pass.grid[0] * frame_pass.grid[1]
        frame_pass.read_keys(block, key[0, text:], value[0, text:])
        query = apply_rotary_emb(query, rotary, sequence_dim=1)
        rotated = apply_rotary_emb(key, rotary, sequence_dim=1)
        frame_pass.read_attention(query[0, text:], rotated[0, :text])

        output = self._grouped_attention(query, rotated, value, rotary, text)
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
        assert self._pass is not None
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

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        attended: Tensor = dispatch_attention_fn(
            query,
            key,
            value,
            attn_mask=mask,
            backend=self._attention_backend,
            parallel_config=self._parallel_config,
        )
        return attended


def project(attn: FluxAttention, hidden_states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Raw queries, normed keys and values of a block's own stream, before RoPE.

    Args:
        attn: the block's attention module, its projections fused or not.
        hidden_states: shape (batch, tokens, channels).

    Returns:
        Query, key and value, each (batch, tokens, heads, head_dim). The query is not normed:
        a subject norms it in its own way.
    """
    if attn.fused_projections:
        parts = attn.to_qkv(hidden_states).chunk(3, dim=-1)
    else:
        parts = (attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states))
    query, key, value = (part.unflatten(-1, (-1, attn.head_dim)) for part in parts)
    return query, attn.norm_k(key), value


def project_text(
    attn: FluxAttention, encoder_hidden_states: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Normed queries and keys, and values, of a double-stream block's text, before RoPE.

    Args:
        attn: the block's attention module, its projections fused or not.
        encoder_hidden_states: shape (batch, tokens, channels).

    Returns:
        Query, key and value, each (batch, tokens, heads, head_dim).
    """
    if attn.fused_projections:
        parts = attn.to_added_qkv(encoder_hidden_states).chunk(3, dim=-1)
    else:
        layers = (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
        parts = tuple(layer(encoder_hidden_states) for layer in layers)
    query, key, value = (part.unflatten(-1, (-1, attn.head_dim)) for part in parts)
    return attn.norm_added_q(query), attn.norm_added_k(key), value


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
def frame_attention(
    transformer: FluxTransformer2DModel, frame_pass: FramePass, subject: Subject | None = None
) -> Iterator[None]:
    """Let a transformer's single-stream blocks take part in a frame pass.

    On leaving, also by an exception or a closed generator, the processors that were there before
    are there again.

    Args:
        transformer: the transformer.
        frame_pass: the pass.
        subject: what all blocks, double-stream ones too, look at besides; None for no subject.
    """
    singles = [block.attn for block in transformer.single_transformer_blocks]
    subjects: Mapping[FluxAttention, BlockSubject] = {}
    if subject is not None:
        subjects = _block_subjects(transformer, subject, frame_pass.grid[0] * frame_pass.grid[1])
    processors = {
        attn: StoryboardAttnProcessor(block, frame_pass, subjects.get(attn))
        for block, attn in enumerate(singles)
    }
    for attn, seen in subjects.items():
        processors.setdefault(attn, StoryboardAttnProcessor(seen.block, subject=seen))
    with _installed(processors):
        yield


@contextmanager
def subject_attention(
    transformer: FluxTransformer2DModel, subject: Subject, image_tokens: int
) -> Iterator[None]:
    """Let all blocks of a transformer look at a subject, in batches of any size.

    On leaving, also by an exception or a closed generator, the processors that were there before
    are there again.

    Args:
        transformer: the transformer.
        subject: the subject; tell it of each step with `begin_step`.
        image_tokens: tokens of one picture, rows times columns.
    """
    subjects = _block_subjects(transformer, subject, image_tokens)
    with _installed(
        {attn: StoryboardAttnProcessor(seen.block, subject=seen) for attn, seen in subjects.items()}
    ):
        yield


def _block_subjects(
    transformer: FluxTransformer2DModel, subject: Subject, image_tokens: int
) -> dict[FluxAttention, BlockSubject]:
    """The subject as every attention sees it, in the order of `transformer.attn_processors`."""
    blocks = [*transformer.transformer_blocks, *transformer.single_transformer_blocks]
    if len(blocks) != len(subject.adapters):
        raise ValueError(
            f"{len(subject.adapters)} subject adapters for a transformer of {len(blocks)} blocks"
        )
    return {
        block.attn: BlockSubject(subject, place, image_tokens) for place, block in enumerate(blocks)
    }


@contextmanager
def _installed(processors: Mapping[FluxAttention, StoryboardAttnProcessor]) -> Iterator[None]:
    """Give attentions our processors, with the backends of those before, for a while."""
    before = {attn: attn.processor for attn in processors}
    try:
        for attn, processor in processors.items():
            processor._attention_backend = getattr(attn.processor, "_attention_backend", None)
            processor._parallel_config = getattr(attn.processor, "_parallel_config", None)
            attn.set_processor(processor)
        yield
    finally:
        for attn, processor in before.items():
            attn.set_processor(processor)
