"""Attention processor: FLUX attention with CharaConsist's sharing and InstantCharacter's subject.

Each block has one processor, with up to two collaborators for every frame of the batch. A frame
pass shares keys, values and outputs among frames in single-stream blocks (CharaConsist); a subject
adds its cross-attention to the image tokens of every block (InstantCharacter). In forward passes
without either, diffusers' own processors are in place. `StoryboardAttention` installs
ours, and puts back the processors that it found.

Where both meet in a block, the frame pass records, compares and merges the attention's own output,
and the subject's term is added afterwards. So matches compare plain attention outputs, a bank
serves frames with and without a subject, and a merge moves no subject's term, and with it its
strength, into another frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import torch
from diffusers import FluxTransformer2DModel
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxAttention, FluxAttnProcessor
from torch import Tensor, nn

from pipelines.consistency.frame_pass import FramePass, Shared
from pipelines.flux1.rotary import BatchContext, RotaryTables
from pipelines.instant_character.adapters import Subject

# Query, key and value of all tokens, normed and not rotated, each (batch, tokens, heads, head_dim).
Projected = tuple[Tensor, Tensor, Tensor]


class StoryboardAttnProcessor(FluxAttnProcessor):
    """Attention of one block.

    Text queries see the block's own keys. Background queries also see the keys of the shared
    location, foreground queries the matched keys of the identity frame. Image tokens come in the
    pass's layout, background first, and the keys lie in one buffer [shared location | text,
    background, foreground | identity], so that every group of queries is a slice, the keys that it
    sees are one too, and no attention mask is needed.

    Code that differs from block to block and from frame to frame runs outside of compiled code.

    Args:
        batch: frames of the batch.
        index: index of the block in `transformer.attn_processors`, double-stream blocks first.
        block: index among the single-stream blocks; None for a double-stream block.
    """

    def __init__(self, batch: BatchContext, index: int, block: int | None) -> None:
        super().__init__()
        self._batch, self._index, self._block = batch, index, block

    def __call__(
        self,
        attn: FluxAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: RotaryTables | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Compute the attention of a block.

        Args:
            attn: the block's attention module.
            hidden_states: image tokens in a double-stream block, text and image tokens in a
                single-stream one, shape (batch, tokens, channels).
            encoder_hidden_states: text tokens in a double-stream block, None in a single-stream
                one.
            attention_mask: must be None where a frame pass takes part.
            image_rotary_emb: cosines and sines, each (text + image, head_dim).

        Returns:
            The attention output, of the shape of `hidden_states`; in a double-stream block those
            of the image tokens and of the text tokens.
        """
        raw, key, value = project(attn, hidden_states)
        query = attn.norm_q(raw)
        if encoder_hidden_states is None:
            own = (query, key, value)
            return self._single(raw, own, attention_mask, image_rotary_emb)
        text_query, text_key, text_value = project_text(attn, encoder_hidden_states)
        joined = (
            torch.cat([text_query, query], dim=1),
            torch.cat([text_key, key], dim=1),
            torch.cat([text_value, value], dim=1),
        )
        image, text = self._double(raw, joined, attention_mask, image_rotary_emb)
        for layer in attn.to_out:
            image = layer(image)
        return image, attn.to_add_out(text.contiguous())

    @torch.compiler.disable
    def _double(
        self, raw: Tensor, projected: Projected, mask: Tensor | None, rotary: RotaryTables | None
    ) -> tuple[Tensor, Tensor]:
        """Return the image output of a double-stream block, with subjects, and its text output."""
        output = self._plain_attention(projected, mask, rotary)
        text, image = output.split([output.shape[1] - raw.shape[1], raw.shape[1]], dim=1)
        return self._with_subjects(image, raw), text

    @torch.compiler.disable
    def _single(
        self, raw: Tensor, projected: Projected, mask: Tensor | None, rotary: RotaryTables | None
    ) -> Tensor:
        """Return the output of a single-stream block, shape (batch, tokens, channels)."""
        attention = self._frames_attention if self._batch.shares else self._plain_attention
        output = attention(projected, mask, rotary)
        if not self._batch.conditioned:
            return output
        text = output.shape[1] - self._batch.image_tokens
        image = self._with_subjects(output[:, text:], raw[:, text:])
        # Joined anew instead of written to in place: training differentiates through `output`.
        return torch.cat([output[:, :text], image], dim=1)

    def _with_subjects(self, image: Tensor, raw: Tensor) -> Tensor:
        """Add the terms of the frames' subjects to the image output."""
        for subject, rows in self._batch.rows_of_subjects():
            if not rows:
                image = image + subject.attend(self._index, raw, self._attention_backend)
                continue
            term = subject.attend(self._index, raw[rows], self._attention_backend)
            image = image.index_add(0, torch.tensor(rows, device=image.device), term)
        return image

    def _frames_attention(
        self, projected: Projected, mask: Tensor | None, rotary: RotaryTables | None
    ) -> Tensor:
        """Compute every frame's attention in turn: source frames come before their readers."""
        batch, block = self._batch, self._block
        assert block is not None
        frames, tokens = projected[0].shape[:2]
        if frames != len(batch.passes) or mask is not None or rotary is None:
            raise ValueError(
                f"{len(batch.passes)} frame passes take as many frames without attention mask, "
                f"not {frames}"
            )
        outputs = []
        for frame_pass, query, key, value in zip(
            batch.passes, *(one.split(1) for one in projected), strict=True
        ):
            tables = batch.tables(frame_pass, rotary, tokens - batch.image_tokens)
            own = (query, key, value)
            if frame_pass.observes(block):
                outputs.append(self._shared_attention(frame_pass, block, own, rotary, tables))
            else:
                outputs.append(self._plain_attention(own, None, tables))
        if batch.complete:
            for frame_pass in batch.passes:
                if frame_pass.record is not None:
                    frame_pass.record.forget(block)
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _plain_attention(
        self, projected: Projected, mask: Tensor | None, rotary: RotaryTables | None
    ) -> Tensor:
        """Compute the stock attention of all tokens, shape (batch, tokens, channels)."""
        query, key, value = projected
        if rotary is not None:
            query = apply_rotary_emb(query, rotary, sequence_dim=1)
            key = apply_rotary_emb(key, rotary, sequence_dim=1)
        return self.attend(query, key, value, mask).flatten(2, 3).to(query.dtype)

    def _shared_attention(
        self,
        frame_pass: FramePass,
        block: int,
        projected: Projected,
        rotary: RotaryTables,
        tables: RotaryTables,
    ) -> Tensor:
        """Compute one frame's attention with its pass, shape (1, tokens, channels).

        Args:
            frame_pass: the frame's pass.
            block: index of the single-stream block.
            projected: of the one frame.
            rotary: tables in the order of the grid.
            tables: tables in the order of the tokens.
        """
        query, key, value = projected
        text = query.shape[1] - frame_pass.grid[0] * frame_pass.grid[1]
        frame_pass.read_keys(block, key[0, text:], value[0, text:])
        query = apply_rotary_emb(query, tables, sequence_dim=1)
        rotated = apply_rotary_emb(key, tables, sequence_dim=1)
        frame_pass.read_attention(query[0, text:], rotated[0, :text])

        output = self.grouped_attention(frame_pass, block, query, rotated, value, rotary)
        output = output.flatten(2, 3).to(query.dtype)
        frame_pass.read_output(block, output[0, text:])
        frame_pass.merge(block, output[0, text:])
        return output

    def grouped_attention(
        self,
        frame_pass: FramePass,
        block: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        rotary: RotaryTables,
    ) -> Tensor:
        """Compute the attention of every group of queries over its slice of the key buffer.

        All tensors are (1, tokens, heads, head_dim).
        """
        location = frame_pass.shared_background(block)
        identity = frame_pass.shared_foreground(block)
        layout = frame_pass.layout
        if layout is None or (location is None and identity is None):
            return self.attend(query, key, value)

        tokens = query.shape[1]
        text = tokens - layout.order.shape[0]
        ground = text + layout.background
        before = 0
        keys, values = [key], [value]
        if location is not None:
            before = location.positions.shape[0]
            keys.insert(0, rotate_shared(location, rotary, text))
            values.insert(0, location.keys_values.value[None])
        if identity is not None:
            keys.append(rotate_shared(identity, rotary, text))
            values.append(identity.keys_values.value[None])
        key, value = torch.cat(keys, dim=1), torch.cat(values, dim=1)

        own = slice(before, before + tokens)
        with_location, with_identity = slice(0, own.stop), slice(before, key.shape[1])
        groups = [(slice(0, text), own), (slice(text, ground), with_location)]
        if location is None:  # the text and the background see the same keys
            groups = [(slice(0, ground), own)]
        groups.append((slice(ground, tokens), with_identity))
        return torch.cat(
            [
                self.attend(query[:, rows], key[:, seen], value[:, seen])
                for rows, seen in groups
                if rows.start < rows.stop
            ],
            dim=1,
        )

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Compute attention with the block's backend; all (batch, tokens, heads, head_dim)."""
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
    """Project a block's own stream, (batch, tokens, channels), to queries, normed keys and values.

    They are `Projected` but for the queries, which are not normed: a subject has its own norm.
    """
    if attn.fused_projections:
        parts = attn.to_qkv(hidden_states).chunk(3, dim=-1)
    else:
        parts = (attn.to_q(hidden_states), attn.to_k(hidden_states), attn.to_v(hidden_states))
    query, key, value = (part.unflatten(-1, (-1, attn.head_dim)) for part in parts)
    return query, attn.norm_k(key), value


def project_text(attn: FluxAttention, encoder_hidden_states: Tensor) -> Projected:
    """Project a double-stream block's text, shape (batch, tokens, channels)."""
    if attn.fused_projections:
        parts = attn.to_added_qkv(encoder_hidden_states).chunk(3, dim=-1)
    else:
        layers = (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
        parts = tuple(layer(encoder_hidden_states) for layer in layers)
    query, key, value = (part.unflatten(-1, (-1, attn.head_dim)) for part in parts)
    return attn.norm_added_q(query), attn.norm_added_k(key), value


def rotate_shared(shared: Shared, rotary: RotaryTables, text: int) -> Tensor:
    """Rotate shared keys to their positions in this frame, shape (1, keys, heads, head_dim).

    A matched key of the identity frame takes the position of the token that it matches
    (CharaConsist's point-tracking attention); a key of the shared location keeps its own.
    """
    rows = shared.positions + text
    tables = (rotary[0][rows], rotary[1][rows])
    rotated: Tensor = apply_rotary_emb(shared.keys_values.key[None], tables, sequence_dim=1)
    return rotated


class StoryboardAttention:
    """Context manager that installs our processors in a transformer while frames need them.

    On leaving, also by an exception or a closed generator, the processors that were there before
    are there again.
    """

    def __init__(self, transformer: FluxTransformer2DModel) -> None:
        self._doubles = [block.attn for block in transformer.transformer_blocks]
        self._singles = [block.attn for block in transformer.single_transformer_blocks]
        self._ends = (
            transformer.single_transformer_blocks[0],
            transformer.single_transformer_blocks[-1],
        )
        self._batch = BatchContext()
        attentions, doubles = [*self._doubles, *self._singles], len(self._doubles)
        self._stock = {attn: attn.processor for attn in attentions}
        self._ours = {
            attn: StoryboardAttnProcessor(
                self._batch, index, index - doubles if index >= doubles else None
            )
            for index, attn in enumerate(attentions)
        }
        self._hooks: list[torch.utils.hooks.RemovableHandle] = []

    def __enter__(self) -> Self:
        """Read the attention backends and register the hooks; `begin` installs the processors."""
        for attn, processor in self._ours.items():
            stock = self._stock[attn]
            processor._attention_backend = getattr(stock, "_attention_backend", None)
            processor._parallel_config = getattr(stock, "_parallel_config", None)
        first, last = self._ends
        self._hooks = [
            first.register_forward_pre_hook(self._lay_out, with_kwargs=True),
            last.register_forward_hook(self._put_back),
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put back the processors that were there before."""
        self.end()
        for hook in self._hooks:
            hook.remove()

    def begin(
        self,
        passes: Sequence[FramePass],
        subjects: Sequence[Subject | None],
        image_tokens: int,
        *,
        complete: bool = False,
    ) -> None:
        """See `VelocityModel.begin`; passes and subjects have begun their step.

        Raises:
            ValueError: if a subject's adapters are another model's.
        """
        blocks = len(self._ours)
        for subject in subjects:
            if subject is not None and len(subject.adapters) != blocks:
                raise ValueError(
                    f"{len(subject.adapters)} subject adapters for a transformer of {blocks} blocks"
                )
        batch = self._batch
        batch.set_frames(passes, subjects, image_tokens, complete=complete)
        self._use(doubles=batch.conditioned, singles=batch.conditioned or batch.shares)

    def end(self) -> None:
        """Return to the stock processors."""
        self._batch.set_frames((), (), 0, complete=False)
        self._use(doubles=False, singles=False)

    def _use(self, *, doubles: bool, singles: bool) -> None:
        for attentions, ours in ((self._doubles, doubles), (self._singles, singles)):
            for attn in attentions:
                wanted = self._ours[attn] if ours else self._stock[attn]
                if attn.processor is not wanted:
                    attn.set_processor(wanted)

    @torch.compiler.disable
    def _lay_out(
        self, block: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Reorder image tokens into their frames' layouts before the first single-stream block."""
        order = self._batch.orders(keywords["hidden_states"].device)
        if order is None:
            return None
        return arguments, {**keywords, "hidden_states": _ordered(keywords["hidden_states"], order)}

    @torch.compiler.disable
    def _put_back(
        self, block: nn.Module, arguments: tuple[Any, ...], output: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor] | None:
        """Reorder image tokens into the order of the grid after the last single-stream block."""
        order = self._batch.orders(output[1].device)
        return None if order is None else (output[0], _ordered(output[1], order.argsort(dim=1)))


def _ordered(tokens: Tensor, order: Tensor) -> Tensor:
    """Return tokens (frames, tokens, channels) in another order, given as (frames, tokens)."""
    rows = torch.arange(tokens.shape[0], device=tokens.device)[:, None]
    return tokens[rows, order]


@contextmanager
def subject_attention(
    transformer: FluxTransformer2DModel, subject: Subject, image_tokens: int
) -> Iterator[StoryboardAttention]:
    """Condition all blocks on a character, in batches of any size with so many image tokens.

    Each step begins with the subject's `begin_step`.
    """
    with StoryboardAttention(transformer) as attention:
        attention.begin([], [subject], image_tokens)
        yield attention
