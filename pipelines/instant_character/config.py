"""Sizes of the subject encoders and of the projector; the defaults are the published ones."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the two picture encoders, and the layers that are taken from them.

    A layer index counts hidden states: 0 is the embeddings, k the output of layer k.

    Attributes:
        siglip_layers: SigLIP's hidden states that make up its low-level features.
        dino_layers: DINOv2's, as many as SigLIP's.
        side: side of the square picture that an encoder sees, in pixels.
        regions: crops along one side of the larger picture, which is `regions * side` wide.
    """

    siglip_layers: tuple[int, ...] = (7, 13, 26)
    dino_layers: tuple[int, ...] = (9, 19, 29)
    side: int = 384
    regions: int = 2

    def __post_init__(self) -> None:
        if len(self.siglip_layers) != len(self.dino_layers) or not self.siglip_layers:
            raise ValueError(
                f"{len(self.siglip_layers)} layers of SigLIP are joined one to one with "
                f"{len(self.dino_layers)} of DINOv2"
            )
        if min(self.side, self.regions) < 1:
            raise ValueError(f"side {self.side} and regions {self.regions} must be positive")


@dataclass(frozen=True)
class ProjectorConfig:
    """Sizes of the projector, and switches of its parts.

    Attributes:
        width: channels of the features, SigLIP's and DINOv2's together.
        blocks: transformer blocks of the cross-layer encoder, and of the cross-scale encoder.
        heads: attention heads of such a block.
        head_dim: channels of such a head.
        resampler_width: channels inside the resampler.
        resampler_layers: its layers.
        resampler_heads: attention heads of a layer.
        resampler_head_dim: channels of such a head.
        resampler_expansion: its feed-forward layers' inner channels, times `resampler_width`.
        time_channels: sines and cosines that a timestep becomes, an even number.
        queries: subject tokens that come out.
        token_width: channels of a subject token.
        use_low_level: whether there is a cross-layer encoder, which reads low-level features.
        use_region: whether there is a cross-scale encoder, which reads region-level features.
        use_time: whether the resampler knows the timestep; without it, subject tokens are the
            same at every step.
    """

    width: int = 2688
    blocks: int = 4
    heads: int = 42
    head_dim: int = 64
    resampler_width: int = 1280
    resampler_layers: int = 4
    resampler_heads: int = 20
    resampler_head_dim: int = 64
    resampler_expansion: int = 4
    time_channels: int = 320
    queries: int = 1024
    token_width: int = 4096
    use_low_level: bool = True
    use_region: bool = True
    use_time: bool = True

    def __post_init__(self) -> None:
        if self.time_channels % 2:
            raise ValueError(f"time_channels {self.time_channels} is odd")
