"""Time resampler: turns features and a timestep into a fixed number of subject tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

from pipelines.instant_character.config import ProjectorConfig

Modulation = tuple[Tensor, Tensor]


class PerceiverAttention(nn.Module):
    """Attention of queries to the features and to themselves; no biases.

    Args:
        width: channels of features and queries.
        heads: attention heads.
        head_dim: channels of a head; `heads * head_dim` may differ from `width`.
    """

    def __init__(self, width: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, heads * head_dim, bias=False)
        self.to_kv = nn.Linear(width, 2 * heads * head_dim, bias=False)
        self.to_out = nn.Linear(heads * head_dim, width, bias=False)

    def forward(self, features: Tensor, queries: Tensor, modulation: Modulation | None) -> Tensor:
        """Compute the term of the queries (batch, queries, width) from features of that width.

        The normed queries are shifted and scaled by the modulation, if there is one.
        """
        queries = modulated(self.norm2(queries), modulation)
        seen = torch.cat([self.norm1(features), queries], dim=1)
        key, value = self.to_kv(seen).chunk(2, dim=-1)
        query, key, value = (
            part.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for part in (self.to_q(queries), key, value)
        )
        attended = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.to_out(attended.transpose(1, 2).flatten(2))
        return out


def modulated(normed: Tensor, modulation: Modulation | None) -> Tensor:
    """AdaLN: `normed * (1 + scale) + shift`, both (batch, 1, width); unchanged for None."""
    if modulation is None:
        return normed
    shift, scale = modulation
    return normed * (1 + scale) + shift


class ResamplerLayer(nn.ModuleList):
    """Attention, feed-forward layer and, where time is known, the modulation of both.

    Children are numbered, as in the published weights: 0 attention, 1 feed-forward, 2 modulation.
    """

    def __init__(self, config: ProjectorConfig) -> None:
        width, inner = config.resampler_width, config.resampler_width * config.resampler_expansion
        super().__init__()
        self.append(PerceiverAttention(width, config.resampler_heads, config.resampler_head_dim))
        self.append(
            nn.Sequential(
                nn.LayerNorm(width),
                nn.Linear(width, inner, bias=False),
                nn.GELU(),
                nn.Linear(inner, width, bias=False),
            )
        )
        if config.use_time:
            self.append(nn.Sequential(nn.SiLU(), nn.Linear(width, 4 * width)))

    def forward(self, features: Tensor, queries: Tensor, time: Tensor | None) -> Tensor:
        """Return the queries (batch, queries, width) after the layer, by features of that width.

        The timestep's embedding has shape (batch, width).
        """
        of_attention = of_feed_forward = None
        if time is not None:
            shift1, scale1, shift2, scale2 = self[2](time)[:, None].chunk(4, dim=-1)
            of_attention, of_feed_forward = (shift1, scale1), (shift2, scale2)
        queries = queries + self[0](features, queries, of_attention)
        norm, *others = self[1].children()
        hidden = modulated(norm(queries), of_feed_forward)
        for module in others:
            hidden = module(hidden)
        return queries + hidden


class TimeResampler(nn.Module):
    """A perceiver resampler whose layers are modulated by the timestep (InstantCharacter)."""

    def __init__(self, config: ProjectorConfig) -> None:
        super().__init__()
        width = config.resampler_width
        self.latents = nn.Parameter(torch.randn(1, config.queries, width) / width**0.5)
        self.proj_in = nn.Linear(config.width, width)
        self.layers = nn.ModuleList(ResamplerLayer(config) for _ in range(config.resampler_layers))
        self.proj_out = nn.Linear(width, config.token_width)
        self.norm_out = nn.LayerNorm(config.token_width)
        if config.use_time:
            self.time_proj = Timesteps(
                config.time_channels, flip_sin_to_cos=True, downscale_freq_shift=0
            )
            self.time_embedding = TimestepEmbedding(config.time_channels, width)
        self.use_time = config.use_time

    def embed_time(self, timestep: Tensor) -> Tensor:
        """Embed timesteps (batch,) on the scheduler's scale, 0 to 1000, as (batch, width)."""
        waves = self.time_proj(timestep).to(self.proj_in.weight.dtype)
        embedded: Tensor = self.time_embedding(waves)
        return embedded

    def forward(self, projected: Tensor, timestep: Tensor) -> Tensor:
        """Compute subject tokens at a timestep.

        Args:
            projected: features after `proj_in`, shape (batch, features, resampler width).
            timestep: shape (batch,), on the scheduler's scale, 0 to 1000; not looked at where
                the resampler does not know the time.

        Returns:
            Shape (batch, queries, token width).
        """
        time = None
        if self.use_time:
            time = self.embed_time(timestep)
            projected = projected + time[:, None]
        queries = self.latents.expand(projected.shape[0], -1, -1)
        for layer in self.layers:
            queries = layer(projected, queries, time)
        tokens: Tensor = self.norm_out(self.proj_out(queries))
        return tokens
