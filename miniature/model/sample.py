"""Render a contact sheet with the miniature: python -m miniature.model.sample --out FILE

The prompts come from the drawn world's generator with a fixed seed, in wordings that no training
uses. Nothing is chosen by hand.
"""

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import FluxPipeline
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from miniature.dataset import IMAGE_SIZE
from miniature.model.latent_map import BLOCK, LatentMap
from miniature.model.recipe import RECIPES
from miniature.model.tokens import sample_prompts
from pipelines.models.catalog import MINIATURE

STEPS = MINIATURE.steps
GUIDANCE, TRUE_GUIDANCE = MINIATURE.guidance_scale, MINIATURE.true_cfg_scale
_PROMPT_SEED = 24
_CAPTION_HEIGHT = 62  # pixels: four lines of the default font
_CAPTION_CHARACTERS = 42
DEFAULT_MODEL = Path(MINIATURE.source)


def render(
    pipeline: FluxPipeline,
    prompts: Sequence[str],
    *,
    text_tokens: int,
    steps: int = STEPS,
    guidance: float = GUIDANCE,
    true_guidance: float = TRUE_GUIDANCE,
    seed: int = 0,
    latent_map: LatentMap | None = None,
) -> NDArray[np.uint8]:
    """Render prompts in one batch, picture i from noise of seed + i.

    Args:
        pipeline: the miniature.
        prompts: the prompts.
        text_tokens: T5 tokens of a prompt.
        steps: denoising steps.
        guidance: learnt guidance; 1 is off.
        true_guidance: classifier-free guidance with the empty negative prompt; 1 is off.
        seed: seed of the first picture.
        latent_map: decodes instead of the autoencoder where given.

    Returns:
        RGB pictures, uint8 of shape (prompts, 256, 256, 3).
    """
    result = pipeline(
        list(prompts),
        negative_prompt=[""] * len(prompts) if true_guidance > 1 else None,
        true_cfg_scale=true_guidance,
        guidance_scale=guidance,
        height=IMAGE_SIZE,
        width=IMAGE_SIZE,
        num_inference_steps=steps,
        max_sequence_length=text_tokens,
        generator=[torch.Generator().manual_seed(seed + i) for i in range(len(prompts))],
        output_type="latent" if latent_map else "np",
    ).images
    if latent_map is not None:
        packed = result.float().cpu()
        latents = FluxPipeline._unpack_latents(packed, IMAGE_SIZE, IMAGE_SIZE, BLOCK)
        result = latent_map.decode(latents).clamp(-1, 1).permute(0, 2, 3, 1).numpy() / 2 + 0.5
    pictures: NDArray[np.uint8] = np.round(result * 255).astype(np.uint8)
    return pictures


def contact_sheet(
    pictures: NDArray[np.uint8], captions: Sequence[str], columns: int = 6
) -> Image.Image:
    """Arrange pictures in rows, each with its caption underneath.

    Args:
        pictures: RGB, uint8 of shape (n, height, width, 3).
        captions: n texts.
        columns: pictures in a row.
    """
    height, width = pictures.shape[1:3]
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * width, rows * (height + _CAPTION_HEIGHT)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        x = number % columns * width
        y = number // columns * (height + _CAPTION_HEIGHT)
        sheet.paste(Image.fromarray(picture), (x, y))
        lines = textwrap.fill(caption, _CAPTION_CHARACTERS)
        pen.multiline_text((x + 3, y + height + 2), lines, fill="black")
    return sheet


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m miniature.model.sample", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="where the sheet goes")
    parser.add_argument("--prompts", type=int, default=48, help="how many pictures")
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default="small",
        help="whose range of scenes the prompts are from",
    )
    parser.add_argument("--model", type=Path, default=DEFAULT_MODEL, help="a pipeline folder")
    parser.add_argument("--steps", type=int, default=STEPS, help="denoising steps")
    parser.add_argument("--guidance", type=float, default=GUIDANCE, help="learnt guidance")
    parser.add_argument(
        "--true-guidance", type=float, default=TRUE_GUIDANCE, help="classifier-free guidance"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first picture's noise")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    options = parser.parse_args(arguments)
    dtype = torch.float32 if options.device == "cpu" else torch.bfloat16
    pipeline = FluxPipeline.from_pretrained(options.model, dtype=dtype).to(options.device)
    pipeline.set_progress_bar_config(disable=True)
    world = RECIPES[options.recipe].world
    drawn = sample_prompts(options.prompts, _PROMPT_SEED, world, "held_out")
    prompts = [prompt.text for prompt in drawn]
    batches = [prompts[first : first + 6] for first in range(0, len(prompts), 6)]
    pictures = [
        render(
            pipeline,
            batch,
            text_tokens=pipeline.tokenizer_2.model_max_length,
            steps=options.steps,
            guidance=options.guidance,
            true_guidance=options.true_guidance,
            seed=options.seed + 6 * number,
        )
        for number, batch in enumerate(batches)
    ]
    contact_sheet(np.concatenate(pictures), prompts).save(options.out)


if __name__ == "__main__":
    main()
