"""Models to measure with: the miniature, and random ones of any size that download nothing.

A random model has every network of a FLUX.1 pipeline, of diffusers' own classes, with weights made
on the device. Text encoders of one layer stand in for T5 and CLIP: their embeddings have the right
shape, and encoding takes almost no time, here and in a plain picture alike. The tokenizers are the
miniature's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from PIL import Image
from torch import Tensor
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from evaluation.fidelity.steering import SteeredPass, Steering
from evaluation.rows import own_request
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.loading.model import load_pipeline
from pipelines.models.catalog import FLUX1_DEV, MINIATURE
from pipelines.models.specs import ModelSpec
from pipelines.request import ConsistencySettings, FrameRequest, Prompt, RenderRequest

# Exactly half of the published 50: all step numbers are half of the published ones (the mask step,
# 5, sharing 1 to 21, the merge 1, 6, 16), but for the first, which is 1 in both.
STEPS = 25
_ASSETS = Path(MINIATURE.source)
CHARACTER = "a girl with long black hair, a green jacket and pink shorts,"
LOCATIONS = ("on the beach,", "in the forest,", "in the city,", "in the park,", "in the kitchen,")
ACTIONS = ("running", "waving", "sitting", "jumping", "reading a book", "standing")


@dataclass(frozen=True)
class Shape:
    """Sizes of a random model.

    Attributes:
        title: its name in tables.
        heads: attention heads.
        blocks: double-stream and single-stream blocks.
        text: channels of T5's embeddings.
        pooled: channels of CLIP's.
        text_tokens: length of the text sequence.
        side: of the square pictures, in pixels.
        decoder: channels of the autoencoder's blocks.
        layers: of each of its blocks.
        head_dim: channels of a head.
        axes: channels of a head by RoPE axis.
    """

    title: str
    heads: int
    blocks: tuple[int, int]
    text: int
    pooled: int
    text_tokens: int
    side: int
    decoder: tuple[int, int, int, int]
    layers: int = 1
    head_dim: int = 128
    axes: tuple[int, int, int] = (16, 56, 56)


SHAPES = {
    "tiny": Shape(
        "a tiny random FLUX", 2, (1, 2), 32, 32, 32, 64, (8,) * 4, head_dim=16, axes=(4, 6, 6)
    ),
    "middle": Shape("a mid-sized random FLUX", 4, (3, 6), 512, 256, 128, 512, (16, 16, 32, 96)),
    "flux-dev": Shape(
        "random weights of FLUX.1 [dev]'s size", 24, (19, 38), 4096, 768, 512, 1024,
        (128, 256, 512, 512), layers=2,
    ),
}  # fmt: skip
MODELS = ("miniature", *SHAPES)


class MeasuredPipeline(FluxStoryboardPipeline):
    """Pipeline that keeps the final latents of the frames that it decodes."""

    @cached_property
    def decoded(self) -> list[Tensor]:
        """Packed latents of the frames that were decoded, in their order."""
        return []

    def decode(self, latents: Tensor, height: int, width: int) -> Image.Image:
        """Decode packed latents, and keep them."""
        self.decoded.append(latents)
        return super().decode(latents, height, width)


@dataclass(frozen=True)
class Model:
    """Loaded model and its settings.

    Attributes:
        title: its name in tables.
        pipeline: ready to render.
        device: where it computes.
        text_tokens: length of the text sequence.
        frame: a request of one frame with its settings.
        steering: the foreground that its passes are given; None where it finds its own.
    """

    title: str
    pipeline: MeasuredPipeline
    device: torch.device
    text_tokens: int
    frame: RenderRequest
    steering: Steering | None = None

    def story(
        self,
        frames: int = 5,
        *,
        steps: int | None = None,
        side: int | None = None,
        share_location: bool = False,
    ) -> RenderRequest:
        """Make the request of a storyboard of one character.

        Args:
            frames: how many, the identity frame included.
            steps: denoising steps; None for the model's own.
            side: of the pictures, in pixels; None for the model's own.
            share_location: whether all frames are in the identity frame's location.
        """
        pixels = side or self.frame.frames[0].width
        made = []
        for index in range(frames):
            location = LOCATIONS[0 if share_location else index % len(LOCATIONS)]
            prompt = Prompt(location, CHARACTER, ACTIONS[index % len(ACTIONS)])
            source = "f0" if index else None
            shared = source if share_location else None
            made.append(FrameRequest(f"f{index}", prompt, index, pixels, pixels, source, shared))
        targets = tuple(frame.frame_id for frame in made)
        steps = steps or self.frame.steps
        return replace(self.frame, frames=tuple(made), targets=targets, steps=steps)


def open_model(
    name: str,
    device: torch.device,
    dtype: torch.dtype,
    foreground: float = Steering.foreground,
) -> Model:
    """Load the miniature, or make another one of `MODELS` at random.

    The foreground is the share of the tokens in the masks that a random model is given.
    """
    if name == MINIATURE.name:
        loaded = load_pipeline(MINIATURE, str(device), str(dtype).removeprefix("torch."))
        pipeline = MeasuredPipeline(**loaded.components)
        pipeline.set_progress_bar_config(disable=True)
        tokens = MINIATURE.max_sequence_length
        return Model(MINIATURE.title, pipeline, device, tokens, _one_frame(MINIATURE))
    shape, steering = SHAPES[name], Steering(foreground)
    request = _one_frame(replace(FLUX1_DEV, width=shape.side, height=shape.side))
    request = replace(request, steps=STEPS, consistency=ConsistencySettings())
    pipeline = random_pipeline(shape, device, dtype)
    pipeline.new_pass = partial(SteeredPass, steering)
    return Model(shape.title, pipeline, device, shape.text_tokens, request, steering)


def random_pipeline(shape: Shape, device: torch.device, dtype: torch.dtype) -> MeasuredPipeline:
    """Make a pipeline of random weights; those of the transformer are made on the device."""
    torch.manual_seed(0)
    with _made_on(device, dtype):
        transformer = FluxTransformer2DModel(
            patch_size=1,
            in_channels=64,
            num_layers=shape.blocks[0],
            num_single_layers=shape.blocks[1],
            attention_head_dim=shape.head_dim,
            num_attention_heads=shape.heads,
            joint_attention_dim=shape.text,
            pooled_projection_dim=shape.pooled,
            guidance_embeds=True,
            axes_dims_rope=shape.axes,
        )
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=shape.decoder,
            layers_per_block=shape.layers,
            latent_channels=16,
            norm_num_groups=min(32, shape.decoder[0]),
            use_quant_conv=False,
            use_post_quant_conv=False,
            shift_factor=0.1159,
            scaling_factor=0.3611,
        )
    tokenizer = CLIPTokenizer.from_pretrained(_ASSETS / "tokenizer")
    tokenizer_2 = T5Tokenizer.from_pretrained(_ASSETS / "tokenizer_2")
    clip = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.pooled,
            intermediate_size=shape.pooled,
            num_hidden_layers=1,
            num_attention_heads=2,
            projection_dim=shape.pooled,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    sizes = {"d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2}
    t5 = T5EncoderModel(T5Config(vocab_size=len(tokenizer_2), d_model=shape.text, **sizes))
    pipeline = MeasuredPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(_ASSETS / "scheduler"),
        vae=vae.eval(),
        text_encoder=clip.to(device, dtype).eval(),
        tokenizer=tokenizer,
        text_encoder_2=t5.to(device, dtype).eval(),
        tokenizer_2=tokenizer_2,
        transformer=transformer.eval(),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _one_frame(spec: ModelSpec) -> RenderRequest:
    prompt = Prompt("", CHARACTER, "")
    return own_request(spec, (FrameRequest("f0", prompt, 0, spec.width, spec.height),))


@contextmanager
def _made_on(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Make the weights of new modules on a device, in a number format."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(before)
