"""Projector: turns a picture's features and a timestep into subject tokens.

What does not depend on the timestep is worked out once a picture (`prepare`), the rest at every
step (`tokens`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

from pipelines.instant_character.config import ProjectorConfig
from pipelines.instant_character.encoders import SubjectFeatures
from pipelines.instant_character.resampler import TimeResampler


class FeatureMlp(nn.Module):
    """Two linear layers, twice as wide between them, with the tanh form of GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, features: Tensor) -> Tensor:
        """Map features of shape (..., width)."""
        out: Tensor = self.fc2(F.gelu(self.fc1(features), approximate="tanh"))
        return out


class SubjectProjector(nn.Module):
    """InstantCharacter's projector: cross-layer and cross-scale encoders, then the resampler."""

    def __init__(self, config: ProjectorConfig | None = None) -> None:
        super().__init__()
        self.config = config or ProjectorConfig()
        width = self.config.width
        self.proj = FeatureMlp(width)
        if self.config.use_low_level:
            self.cross_layer_blocks = self._encoder()
            self.proj_cross_layer = FeatureMlp(width)
        if self.config.use_region:
            self.cross_scale_blocks = self._encoder()
            self.proj_cross_scale = FeatureMlp(width)
        self.resampler = TimeResampler(self.config)

    def _encoder(self) -> nn.ModuleList:
        """Blocks of self attention, cross attention to an unnormed context, and GEGLU."""
        config = self.config
        return nn.ModuleList(
            BasicTransformerBlock(
                config.width,
                config.heads,
                config.head_dim,
                cross_attention_dim=config.width,
                activation_fn="geglu",
                norm_eps=1e-6,
            )
            for _ in range(config.blocks)
        )

    def combine(self, features: SubjectFeatures) -> Tensor:
        """Combine features into the resampler's input, shape (pictures, tokens, width).

        First the whole picture's deep features with what their regions add, then the deep
        features as their low-level ones show them. An encoder that is left out adds nothing: its
        summand or its tokens are missing.
        """
        deep: Tensor = features.low_deep
        whole: Tensor = self.proj(deep)
        if self.config.use_region:
            regions = deep
            for block in self.cross_scale_blocks:
                regions = block(regions, encoder_hidden_states=features.high_deep)
            whole = whole + self.proj_cross_scale(regions)
        if not self.config.use_low_level:
            return whole
        layers = deep
        for block in self.cross_layer_blocks:
            layers = block(layers, encoder_hidden_states=features.low_shallow)
        return torch.cat([whole, self.proj_cross_layer(layers)], dim=1)

    def prepare(self, features: SubjectFeatures) -> Tensor:
        """Compute the part that is the same at all timesteps, (pictures, features, width)."""
        prepared: Tensor = self.resampler.proj_in(self.combine(features))
        return prepared

    def tokens(self, projected: Tensor, timestep: Tensor | float) -> Tensor:
        """Compute the subject tokens at a timestep, shape (pictures, queries, token width).

        Args:
            projected: result of `prepare`.
            timestep: the scheduler's timestep, 0 to 1000 (the transformer takes a thousandth of
                it): one number, or one per picture, shape (pictures,).

        Raises:
            ValueError: if there are several timesteps, but not one per picture.
        """
        pictures = projected.shape[0]
        timesteps = torch.as_tensor(timestep, device=projected.device).flatten()
        if timesteps.shape[0] not in (1, pictures):
            raise ValueError(f"{timesteps.shape[0]} timesteps for {pictures} pictures")
        tokens: Tensor = self.resampler(projected, timesteps.expand(pictures))
        return tokens

    def forward(self, features: SubjectFeatures, timestep: Tensor | float) -> Tensor:
        """Compute subject tokens from features at once; see `prepare` and `tokens`."""
        return self.tokens(self.prepare(features), timestep)
