"""Cross-attention adapters to the subject tokens, and the subject that attention processors call.

The weights lie in one list in the order of `transformer.attn_processors`, double-stream blocks
first, and outside the processors: that order is the published checkpoint's index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import FluxTransformer2DModel
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn
from torch import Tensor, nn

from pipelines.instant_character.encoders import SubjectFeatures
from pipelines.instant_character.projector import SubjectProjector

TokenSource = Callable[[Tensor], Tensor]


class HeadNorm(nn.Module):
    """RMS norm of a head's channels, with the epsilon added to the root: `x / (rms(x) + eps)`.

    It differs from `torch.nn.RMSNorm`, whose epsilon is inside the root, where inputs are tiny;
    and it stays in the input's type.
    """

    def __init__(self, head_dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(head_dim))
        self.eps = eps

    def forward(self, heads: Tensor) -> Tensor:
        """Norm the last dimension of a tensor (..., head_dim)."""
        root = heads.norm(dim=-1, keepdim=True) * heads.shape[-1] ** -0.5
        return self.scale * heads / (root + self.eps)


@dataclass(frozen=True)
class SubjectKeysValues:
    """Normed keys and values of a subject in one block, each (batch, tokens, heads, head_dim)."""

    key: Tensor
    value: Tensor


class SubjectAdapter(nn.Module):
    """Cross-attention of one block to the subject tokens (InstantCharacter, eq. 3)."""

    def __init__(self, heads: int, head_dim: int, token_width: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.norm_ip_q = HeadNorm(head_dim)
        self.to_k_ip = nn.Linear(token_width, heads * head_dim)
        self.norm_ip_k = HeadNorm(head_dim)
        self.to_v_ip = nn.Linear(token_width, heads * head_dim)

    def keys_values(self, tokens: Tensor) -> SubjectKeysValues:
        """Project subject tokens (batch, tokens, token_width) on the device of the weights."""
        tokens = tokens.to(self.to_k_ip.weight.device)
        key, value = (
            projected.unflatten(-1, (-1, self.head_dim))
            for projected in (self.to_k_ip(tokens), self.to_v_ip(tokens))
        )
        return SubjectKeysValues(self.norm_ip_k(key), value)

    def attend(
        self, query: Tensor, seen: SubjectKeysValues, backend: AttentionBackendName | None = None
    ) -> Tensor:
        """Compute the attention of image tokens to the subject tokens.

        Args:
            query: image queries of the block's own `to_q`, neither normed nor rotated, shape
                (batch, tokens, heads, head_dim).
            seen: the subject's keys and values; one picture serves a whole batch.
            backend: diffusers' attention backend, None for the active one.

        Returns:
            Shape (batch, tokens, heads * head_dim).

        Raises:
            ValueError: if there are several pictures, but not one for each of the batch.
        """
        batch, pictures = query.shape[0], seen.key.shape[0]
        if pictures not in (1, batch):
            raise ValueError(f"{pictures} subject pictures for a batch of {batch}")
        attended: Tensor = dispatch_attention_fn(
            self.norm_ip_q(query),
            seen.key.expand(batch, -1, -1, -1),
            seen.value.expand(batch, -1, -1, -1),
            backend=backend,
        )
        return attended.flatten(2, 3).to(query.dtype)


class SubjectAdapters(nn.ModuleList):
    """Adapters of all blocks of a transformer, double-stream blocks first."""

    @classmethod
    def of_size(cls, blocks: int, heads: int, head_dim: int, token_width: int) -> SubjectAdapters:
        """Make new adapters for so many attentions."""
        return cls(SubjectAdapter(heads, head_dim, token_width) for _ in range(blocks))

    @classmethod
    def for_transformer(
        cls, transformer: FluxTransformer2DModel, token_width: int
    ) -> SubjectAdapters:
        """Make new adapters that fit a transformer."""
        config = transformer.config
        return cls.of_size(
            config.num_layers + config.num_single_layers,
            config.num_attention_heads,
            config.attention_head_dim,
            token_width,
        )


class SubjectTokens:
    """Subject tokens of a picture, computed once per timestep for all its frames.

    Args:
        projector: the projector.
        features: the picture's features; on the projector's device, in its type.
    """

    def __init__(self, projector: SubjectProjector, features: SubjectFeatures) -> None:
        self._projector = projector
        self._prepared = projector.prepare(features)
        self._tokens: dict[tuple[float, ...], Tensor] = {}

    def __call__(self, timestep: Tensor) -> Tensor:
        """Return tokens at a timestep (or one per picture), (pictures, queries, token width)."""
        timed = self._projector.config.use_time
        key = tuple(timestep.flatten().tolist()) if timed else ()
        if key not in self._tokens:
            self._tokens[key] = self._projector.tokens(self._prepared, timestep)
        return self._tokens[key]


class Subject:
    """Character that every block of a transformer is conditioned on.

    One subject serves all frames that show its character with one strength, and both branches of
    classifier-free guidance: keys and values are computed once per step and block.

    Args:
        adapters: the transformer's adapters.
        tokens: gives the subject tokens at a timestep; usually `SubjectTokens`, which subjects of
            different strengths may share.
        scale: strength; at 0 it adds nothing.
    """

    def __init__(self, adapters: SubjectAdapters, tokens: TokenSource, scale: float = 0.8) -> None:
        self.adapters, self.scale, self._source = adapters, scale, tokens
        self._timestep: Tensor | None = None
        self._tokens: Tensor | None = None
        self._keys_values: dict[int, SubjectKeysValues] = {}

    def begin_step(self, timestep: Tensor) -> None:
        """Enter a step by the scheduler's timestep, 0 to 1000: one number, or one per picture."""
        if self._timestep is not None and torch.equal(self._timestep, timestep):
            return
        self._timestep = timestep
        self._tokens = None
        self._keys_values.clear()

    def attend(
        self, block: int, query: Tensor, backend: AttentionBackendName | None = None
    ) -> Tensor:
        """Compute the subject's term for the attention of a block's image tokens.

        Args:
            block: index of the block in `transformer.attn_processors`.
            query: raw queries of the image tokens, shape (batch, tokens, heads, head_dim).
            backend: diffusers' attention backend, None for the active one.

        Returns:
            The subject's attention times the scale, shape (batch, tokens, heads * head_dim).

        Raises:
            RuntimeError: if no step has begun.
        """
        adapter = self.adapters[block]
        assert isinstance(adapter, SubjectAdapter)
        if block not in self._keys_values:
            self._keys_values[block] = adapter.keys_values(self._current_tokens())
        return self.scale * adapter.attend(query, self._keys_values[block], backend)

    def _current_tokens(self) -> Tensor:
        if self._timestep is None:
            raise RuntimeError("the subject is used before its first step has begun")
        if self._tokens is None:
            self._tokens = self._source(self._timestep)
        return self._tokens
