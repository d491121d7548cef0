"""The weights in assets/miniature: small enough to ship, opened by diffusers, and rendering."""

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from PIL import Image

from miniature.model import sample
from miniature.model.latent_map import as_values, load_latent_map
from miniature.model.tokens import sample_prompts
from miniature.world.scene import draw_scene

LARGEST = 40 * 2**20


@pytest.fixture(scope="module")
def pipeline():
    opened = FluxPipeline.from_pretrained(
        sample.DEFAULT_MODEL, dtype=torch.float32, local_files_only=True
    )
    opened.set_progress_bar_config(disable=True)
    return opened


def test_the_weights_are_small_and_in_half_precision():
    files = [path for path in sample.DEFAULT_MODEL.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= LARGEST
    half = FluxPipeline.from_pretrained(sample.DEFAULT_MODEL, dtype=torch.float16)
    assert half.transformer.dtype == torch.float16


def test_it_renders_a_finite_picture_of_the_requested_size(pipeline):
    image = pipeline(
        "on a sunny beach, a girl with long red hair, waving",
        height=256,
        width=256,
        num_inference_steps=2,
        max_sequence_length=64,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    ).images[0]
    assert image.shape == (256, 256, 3)
    assert np.isfinite(image).all()
    assert image.std() > 0.02


def test_the_autoencoder_decodes_its_latent_space(pipeline):
    truth = as_values(np.stack([draw_scene(20_000_000 + seed).image for seed in range(2)]))
    latents = load_latent_map(sample.DEFAULT_MODEL / "vae").encode(truth)
    with torch.no_grad():
        decoded = pipeline.vae.decode(latents).sample.clamp(-1, 1)
    error = (decoded - truth).square().mean().item()
    assert 10 * np.log10(4 / error) > 25  # decibels; a gray picture has about 11


def test_a_sheet_has_a_picture_and_a_caption_for_each_prompt(tmp_path):
    out = tmp_path / "sheet.png"
    sample.main(["--out", str(out), "--prompts", "2", "--steps", "1"])
    with Image.open(out) as sheet:
        assert sheet.width == 6 * 256
        pixels = np.asarray(sheet.convert("L"))
    assert pixels[:256, :512].std() > 5
    captions = pixels[256:]
    assert (captions[:, :256] < 128).any()
    assert (captions[:, 256:512] < 128).any()
    assert (captions[:, 512:] == 255).all()


def test_the_prompts_of_a_sheet_are_always_the_same():
    assert sample_prompts(5, seed=1) == sample_prompts(5, seed=1)
