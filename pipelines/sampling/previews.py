"""Previews: pictures of frames that are still being rendered, from their estimated clean latents.

After every step the model's velocity gives an estimate of the clean latents; a decoder that costs
next to nothing beside a step shows it. `pipelines.loading.previews` finds a decoder for a model.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from diffusers import AutoencoderTiny
from PIL import Image
from torch import Tensor

from pipelines.events import StepDone

# A card of the page is hardly wider.
LARGEST_SIDE = 384
# Previews of a schedule of few steps, at least.
_FEWEST_PREVIEWS = 4


# Shows latents (1, channels, rows, columns) roughly and at once: values around [-1, 1], shape
# (1, 3, height, width).
LatentDecoder = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Previews:
    """Settings of previews.

    Attributes:
        decoder: makes the pictures.
        every: steps of a frame's render pass from one picture to the next; fewer where the whole
            schedule is short.
        seconds: time that passes at least between two pictures of a frame.
    """

    decoder: LatentDecoder
    every: int = 4
    seconds: float = 1.0

    def picture(self, latents: Tensor) -> Image.Image:
        """Decode latents to an RGB picture, at most `LARGEST_SIDE` pixels wide and high."""
        values = self.decoder(latents)[0].float()
        # Rounded as FluxPipeline rounds its pictures.
        values = ((values / 2 + 0.5).clamp(0, 1) * 255).round()
        image = Image.fromarray(values.to(torch.uint8).permute(1, 2, 0).cpu().numpy())
        image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.BILINEAR)
        return image


class RenderPreviews:
    """Previews of some frames of one render, and the steps after which they are due."""

    def __init__(self, previews: Previews, frames: Collection[str]) -> None:
        self.picture = previews.picture
        self._previews = previews
        self._frames = set(frames)
        self._shown: dict[str, tuple[int, float]] = {}

    def due(self, step: StepDone) -> bool:
        """Return whether a preview is due after this step, and count it as shown.

        None is due in a probe pass, at a step that is run once more for other frames, or after the
        last step, when the rendered frame itself is next.
        """
        frame_id = step.frame_id
        if frame_id not in self._frames or step.phase == "probe":
            return False
        if step.step == step.steps:
            self._frames.remove(frame_id)  # a later pass of it serves its readers alone
            return False
        every = max(1, min(self._previews.every, step.steps // _FEWEST_PREVIEWS))
        now = time.monotonic()
        last, then = self._shown.get(frame_id, (0, -math.inf))
        if step.step <= last or step.step % every or now - then < self._previews.seconds:
            return False
        self._shown[frame_id] = (step.step, now)
        return True


def tiny_decoder(autoencoder: AutoencoderTiny) -> LatentDecoder:
    """Return the decoder of a distilled autoencoder of the model's latents, such as TAEF1."""

    def decode(latents: Tensor) -> Tensor:
        config = autoencoder.config
        latents = latents.to(autoencoder.device, autoencoder.dtype)
        latents = latents / config.scaling_factor + config.shift_factor
        decoded: Tensor = autoencoder.decode(latents, return_dict=False)[0]
        return decoded

    return decode


def linear_decoder(
    inverse: Tensor, mean: Tensor, scaling_factor: float, shift_factor: float
) -> LatentDecoder:
    """Return a linear map from each latent to its block of pixels; it runs on the CPU.

    Args:
        inverse: the block's values by the latent's, shape (3 * side * side, channels).
        mean: the block of the latent 0, shape (3 * side * side,).
        scaling_factor: of the model's autoencoder.
        shift_factor: likewise.
    """
    side = int((len(mean) // 3) ** 0.5)

    def decode(latents: Tensor) -> Tensor:
        latents = latents.float().cpu() / scaling_factor + shift_factor
        blocks = torch.einsum("vc,bcij->bvij", inverse, latents) + mean[:, None, None]
        return torch.nn.functional.pixel_shuffle(blocks, side)

    return decode
