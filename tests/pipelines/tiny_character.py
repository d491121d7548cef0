"""Random picture encoders, projector and adapters of a few thousand parameters."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel
from transformers import (
    BitImageProcessorPil,
    Dinov2Config,
    Dinov2Model,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from pipelines.instant_character.adapters import SubjectAdapters
from pipelines.instant_character.bundle import SubjectBundle, save_bundle
from pipelines.instant_character.checkpoint import InstantCharacter
from pipelines.instant_character.config import EncoderConfig, ProjectorConfig
from pipelines.instant_character.encoders import SubjectEncoders, SubjectFeatures
from pipelines.instant_character.projector import SubjectProjector
from tests.pipelines.tiny import tiny_pipeline

ENCODERS = EncoderConfig(siglip_layers=(1, 3), dino_layers=(2, 3), side=28)
PROJECTOR = ProjectorConfig(
    width=20,
    blocks=2,
    heads=2,
    head_dim=6,
    resampler_width=16,
    resampler_layers=2,
    resampler_heads=3,
    resampler_head_dim=4,
    time_channels=8,
    queries=5,
    token_width=12,
)


def tiny_encoders() -> SubjectEncoders:
    """Encoders of three and four layers that see 2 x 2 patches of pictures of 28 pixels."""
    torch.manual_seed(0)
    siglip = SiglipVisionConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    dino = Dinov2Config(
        hidden_size=12, num_hidden_layers=4, num_attention_heads=2, image_size=42, patch_size=14
    )
    half = [0.5, 0.5, 0.5]
    return SubjectEncoders(
        SiglipVisionModel(siglip),
        Dinov2Model(dino),
        SiglipImageProcessorPil(image_mean=half, image_std=half),
        BitImageProcessorPil(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]),
        ENCODERS,
    ).eval()


def tiny_features(pictures: int = 1, seed: int = 0) -> SubjectFeatures:
    """Random features of the widths that the tiny projector takes."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((pictures, tokens, PROJECTOR.width) for tokens in (8, 4, 16))
    return SubjectFeatures(*(torch.randn(shape, generator=generator) for shape in shapes))


def tiny_character(
    transformer: FluxTransformer2DModel, config: ProjectorConfig = PROJECTOR
) -> InstantCharacter:
    """Random weights that fit a transformer."""
    torch.manual_seed(4)
    projector = SubjectProjector(config)
    adapters = SubjectAdapters.for_transformer(transformer, config.token_width)
    for module in (projector, adapters):
        module.eval().requires_grad_(False)
    return InstantCharacter(projector, adapters)


def tiny_bundle(transformer: FluxTransformer2DModel) -> SubjectBundle:
    """Make random encoders and weights that any picture conditions."""
    return SubjectBundle(tiny_encoders(), tiny_character(transformer), familiarity=None)


def save_tiny_model(folder: Path) -> None:
    """The tiny pipeline as a model's folder, with a bundle, so that it can use references."""
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(folder)
    save_bundle(folder / "subject", tiny_bundle(pipeline.transformer))
