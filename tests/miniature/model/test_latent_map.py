"""The linear latent space, and the packing of latents into tokens."""

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline

from miniature.model.latent_map import as_values, fit_latent_map, load_latent_map
from miniature.model.latents import pack
from miniature.world.scene import draw_scene


@pytest.fixture(scope="module")
def images():
    return np.stack([draw_scene(seed).image for seed in range(24)])


@pytest.fixture(scope="module")
def latent_map(images):
    return fit_latent_map(images)


def test_latents_survive_decoding(latent_map):
    latents = torch.randn(2, 16, 6, 4, generator=torch.Generator().manual_seed(0))
    pictures = latent_map.decode(latents)
    assert pictures.shape == (2, 3, 48, 32)
    assert torch.allclose(latent_map.encode(pictures), latents, atol=1e-3)


def test_no_other_sixteen_numbers_say_more_of_a_block(latent_map, images):
    truth = as_values(images)
    error = (latent_map.decode(latent_map.encode(truth)) - truth).square().mean()
    blocks = torch.nn.functional.unfold(truth, 8, stride=8).transpose(1, 2).reshape(-1, 192)
    spread = torch.linalg.svdvals((blocks - blocks.mean(0)).double())
    assert error.item() == pytest.approx((spread[16:] ** 2).sum().item() / blocks.numel(), rel=1e-3)


def test_latents_have_unit_variance_on_average(latent_map, images):
    latents = latent_map.encode(as_values(images))
    variance = latents.var((0, 2, 3)).mean().item()
    assert variance == pytest.approx(1.0, abs=0.02)


def test_a_saved_map_is_the_same_map(latent_map, tmp_path):
    latent_map.save(tmp_path)
    loaded = load_latent_map(tmp_path)
    for name in ("matrix", "offset", "inverse", "mean"):
        assert torch.equal(getattr(loaded, name), getattr(latent_map, name))


def test_packing_is_what_the_pipeline_does():
    latents = torch.arange(2 * 16 * 8 * 4, dtype=torch.float32).view(2, 16, 8, 4)
    assert torch.equal(pack(latents), FluxPipeline._pack_latents(latents, 2, 16, 8, 4))
