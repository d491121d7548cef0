"""Models to measure with: the miniature, and random ones of any size that download nothing.

A random model is every network of a FLUX.1 pipeline, of diffusers' own classes, with weights made
where they are used. Text encoders of one layer stand in for T5 and CLIP: their embeddings have the
right shape, and encoding takes no time to speak of, here and in a plain picture alike. The
tokenizers are the miniature's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

from evaluation.fidelity.steering import Steering
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
PLACES = ("on the beach,", "in the forest,", "in the city,", "in the park,", "in the kitchen,")
ACTIONS = ("running", "waving", "sitting", "jumping", "reading a book", "standing")


@dataclass(frozen=True)
class Shape:
    """A random model's sizes.

    Attributes:
        title: what tables call it.
        heads: attention heads.
        blocks: double-stream and single-stream blocks.
        text: channels of T5's embeddings.
        pooled: channels of CLIP's.
        words: text tokens.
        side: of the square pictures, in pixels.
        decoder: channels of the autoencoder's blocks.
        layers: of each of its blocks.
        head_dim: channels of a head.
        axes: how RoPE shares them out.
    """

    title: str
    heads: int
    blocks: tuple[int, int]
    text: int
    pooled: int
    words: int
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
        "random weights of FLUX.1 [dev]'s size",
        24,
        (19, 38),
        4096,
        768,
        512,
        1024,
        (128, 256, 512, 512),
        layers=2,
    ),
}
MODELS = ("miniature", *SHAPES)


@dataclass(frozen=True)
class Model:
    """A loaded model, and how it paints.

    Attributes:
        name: one of `MODELS`.
        title: what tables call it.
        pipeline: ready to paint.
        words: text tokens.
        painting: a request of one frame with its settings.
        steering: the foreground that its passes are given; None where it finds its own.
    """

    name: str
    title: str
    pipeline: FluxStoryboardPipeline
    words: int
    painting: RenderRequest
    steering: Steering | None = field(default=None)

    def story(
        self,
        frames: int = 5,
        *,
        steps: int | None = None,
        side: int | None = None,
        share_place: bool = False,
    ) -> RenderRequest:
        """A storyboard of one character.

        Args:
            frames: how many, the identity frame included.
            steps: denoising steps; None for the model's own.
            side: of the pictures, in pixels; None for the model's own.
            share_place: whether all frames are in the identity frame's place.
        """
        first = self.painting.frames[0]
        width = height = side or first.width
        made = []
        for index in range(frames):
            prompt = Prompt(
                PLACES[0 if share_place else index % len(PLACES)],
                CHARACTER,
                ACTIONS[index % len(ACTIONS)],
            )
            frame = FrameRequest(f"f{index}", prompt, seed=index, width=width, height=height)
            if index:
                frame = replace(
                    frame, identity_from="f0", background_from="f0" if share_place else None
                )
            made.append(frame)
        return replace(
            self.painting,
            frames=tuple(made),
            targets=tuple(frame.frame_id for frame in made),
            steps=steps or self.painting.steps,
        )


def open_model(
    name: str,
    device: torch.device,
    dtype: torch.dtype,
    foreground: float = Steering.foreground,
) -> Model:
    """Load the miniature, or make a random model.

    Args:
        name: one of `MODELS`.
        device: where it computes.
        dtype: what in.
        foreground: share of the tokens that a random model's masks are given.
    """
    if name == MINIATURE.name:
        pipeline = load_pipeline(MINIATURE, str(device), str(dtype).removeprefix("torch."))
        return Model(
            name, MINIATURE.title, pipeline, MINIATURE.max_sequence_length, _painting(MINIATURE)
        )
    shape = SHAPES[name]
    painting = replace(_painting(FLUX1_DEV), steps=STEPS, consistency=ConsistencySettings())
    frame = replace(painting.frames[0], width=shape.side, height=shape.side)
    return Model(
        name,
        shape.title,
        random_pipeline(shape, device, dtype),
        shape.words,
        replace(painting, frames=(frame,)),
        Steering(foreground),
    )


def random_pipeline(
    shape: Shape, device: torch.device, dtype: torch.dtype
) -> FluxStoryboardPipeline:
    """A pipeline of random weights; those of the transformer are made on the device."""
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
    t5 = T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer_2),
            d_model=shape.text,
            d_kv=16,
            d_ff=64,
            num_layers=1,
            num_heads=2,
        )
    )
    pipeline = FluxStoryboardPipeline(
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


def _painting(spec: ModelSpec) -> RenderRequest:
    frame = FrameRequest("f0", Prompt("", CHARACTER, ""), 0, spec.width, spec.height)
    return RenderRequest(
        model=spec.name,
        frames=(frame,),
        targets=("f0",),
        steps=spec.steps,
        guidance_scale=spec.guidance_scale,
        true_cfg_scale=spec.true_cfg_scale,
        consistency=spec.consistency,
    )


@contextmanager
def _made_on(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Have new modules' weights on a device, in a number format."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with device:
            yield
    finally:
        torch.set_default_dtype(before)
