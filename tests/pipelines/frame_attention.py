"""Attention of a transformer with one frame's pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from diffusers import FluxTransformer2DModel

from pipelines.consistency.frame_pass import FramePass
from pipelines.flux1.attention import StoryboardAttention
from pipelines.instant_character.adapters import Subject


@contextmanager
def frame_attention(
    transformer: FluxTransformer2DModel, frame_pass: FramePass, subject: Subject | None = None
) -> Iterator[StoryboardAttention]:
    """Let one frame's pass and its subject, which have begun a step, take part in it."""
    with StoryboardAttention(transformer) as attention:
        attention.begin([frame_pass], [subject], frame_pass.grid[0] * frame_pass.grid[1])
        yield attention
