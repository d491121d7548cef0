"""Training of the miniature's AutoencoderKL, which is fitted to the latent map.

The decoder learns pictures from noisy latents of the map, so that it tolerates small errors of the
transformer. Knows nothing of text or diffusion.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from miniature.model.latent_map import BLOCK, CHANNELS, LatentMap, as_values
from miniature.model.recipe import ModelSizes, Recipe
from training.loop import Trainer, train_until_done
from training.weights import TrainedWeights

_PEAK_RATE, _COOLDOWN, _EMA_DECAY = 2e-3, 0.6, 0.998
_DECODER_SHARE = 0.85  # of the budget; the rest fits the encoder
_CROP_SHARE = 0.7  # of the decoder's part is trained on crops; then on whole pictures
_CROP = 128
_MOST_NOISE = 0.3
_EDGE_WEIGHT = 0.5
_SEED = 1


def build_autoencoder(sizes: ModelSizes) -> AutoencoderKL:
    """Build an autoencoder with FLUX's layout: 16 latent channels at an eighth of the size."""
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=sizes.autoencoder_channels,
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=8,
        sample_size=256,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=1.0,
        shift_factor=0.0,
        force_upcast=False,
    )
    with torch.no_grad():
        for name, parameter in vae.named_parameters():
            if "conv2." in name or "to_out" in name:  # residual branches start small
                parameter.mul_(0.1)
        vae.encoder.conv_out.weight[CHANNELS:].mul_(0.1)
        vae.encoder.conv_out.bias[CHANNELS:].fill_(-6.0)  # next to no variance
    return vae


class AutoencoderTrainer(Trainer):
    """Training of the decoder, then of the encoder.

    Args:
        vae: the autoencoder in training, on the training device.
        images: uint8 of shape (n, 256, 256, 3).
        latent_map, recipe, device: as for `train_autoencoder`.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        images: NDArray[np.uint8],
        latent_map: LatentMap,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        self._vae, self._images, self._latent_map, self._device = vae, images, latent_map, device
        adam = torch.optim.AdamW(vae.parameters(), _PEAK_RATE, (0.9, 0.99), weight_decay=0)
        schedule = replace(
            recipe,
            minutes=recipe.autoencoder_minutes,
            steps=recipe.autoencoder_steps,
            batch=recipe.autoencoder_batch,
            cooldown=_COOLDOWN,
            log_every=4 * recipe.log_every,
            ema_decay=_EMA_DECAY,
        )
        super().__init__(schedule, TrainedWeights(vae.state_dict(), [adam], vae.parameters()))

    def step_losses(self) -> dict[str, Tensor]:
        """Compute the loss of a step, which is named after the part that it trains."""
        rng, batch = np.random.default_rng((_SEED, self.budget.step)), self.schedule.batch
        torch.manual_seed(int(rng.integers(2**62)))
        progress = self.budget.progress
        crop = _CROP if progress < _DECODER_SHARE * _CROP_SHARE else None
        count = batch if crop else max(1, batch // 3)
        chosen = np.sort(rng.integers(0, len(self._images), count))
        pictures = as_values(self._images[chosen]).to(self._device)
        latents = self._latent_map.encode(pictures)
        if progress < _DECODER_SHARE:
            return {"decoder": _decoder_loss(self._vae, pictures, latents, crop, rng)}
        return {"encoder": _encoder_loss(self._vae, pictures, latents)}


def train_autoencoder(
    images: NDArray[np.uint8],
    latent_map: LatentMap,
    recipe: Recipe,
    device: torch.device,
    folder: Path,
    initial: AutoencoderKL | None = None,
) -> AutoencoderKL:
    """Fit an autoencoder to a latent map; an interrupted training continues exactly.

    Args:
        images: uint8 of shape (n, 256, 256, 3).
        latent_map: map that gives the latents of pictures.
        recipe: sizes, batch and budget.
        device: training device.
        folder: gets the metrics log (autoencoder.jsonl) and the checkpoint (autoencoder.pt).
        initial: autoencoder of the same sizes to start from; None starts from new weights.

    Returns:
        The average of the trained weights, in float32 on the CPU.
    """
    torch.manual_seed(_SEED)
    vae = build_autoencoder(recipe.sizes)
    if initial is not None:
        vae.load_state_dict(initial.state_dict())
    trainer = AutoencoderTrainer(vae.to(device), images, latent_map, recipe, device)
    train_until_done(trainer, folder, "autoencoder")
    trainer.weights.copy_average_to(vae)
    result: AutoencoderKL = vae.to("cpu").eval()
    return result


def _decoder_loss(
    vae: AutoencoderKL,
    pictures: Tensor,
    latents: Tensor,
    crop: int | None,
    rng: np.random.Generator,
) -> Tensor:
    if crop is not None:
        y, x = rng.integers(0, (pictures.shape[-1] - crop) // BLOCK + 1, 2)
        pictures = pictures[..., y * BLOCK : y * BLOCK + crop, x * BLOCK : x * BLOCK + crop]
        side = crop // BLOCK
        latents = latents[..., y : y + side, x : x + side]
    noise = torch.rand(len(latents), 1, 1, 1, device=latents.device) * _MOST_NOISE
    noisy = latents + noise * torch.randn_like(latents)
    with torch.autocast(pictures.device.type, torch.bfloat16):
        rendered = vae.decode(noisy.contiguous()).sample
    return picture_loss(rendered.float(), pictures)


def picture_loss(rendered: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error of pixels and of the steps between neighbouring pixels."""
    across = F.l1_loss(rendered.diff(dim=-1), truth.diff(dim=-1))
    down = F.l1_loss(rendered.diff(dim=-2), truth.diff(dim=-2))
    return F.l1_loss(rendered, truth) + _EDGE_WEIGHT * (across + down)


def _encoder_loss(vae: AutoencoderKL, pictures: Tensor, latents: Tensor) -> Tensor:
    with torch.autocast(pictures.device.type, torch.bfloat16):
        found = vae.encode(pictures).latent_dist
    certainty = (found.logvar.float() + 6).square().mean()
    return F.l1_loss(found.mean.float(), latents) + 1e-3 * certainty
