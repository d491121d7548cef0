"""FLUX.1's transformer as the sampler evaluates it."""

from __future__ import annotations

import copy

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline
from diffusers.pipelines.flux.pipeline_flux import calculate_shift, retrieve_timesteps
from torch import Tensor

from pipelines.flux1.attention import StoryboardAttention


class FluxVelocity(StoryboardAttention):
    """The `VelocityModel` of FLUX.1; as a context manager, with its attention processors."""

    def __init__(self, pipeline: FluxPipeline) -> None:
        super().__init__(pipeline.transformer)
        self._transformer, self._scheduler = pipeline.transformer, pipeline.scheduler
        self._image_ids = pipeline._prepare_latent_image_ids
        config = self._transformer.config
        self.single_blocks: int = config.num_single_layers
        self.width: int = config.num_attention_heads * config.attention_head_dim
        self.itemsize: int = self._transformer.dtype.itemsize
        self.device: torch.device = pipeline._execution_device

    def schedule(self, image_tokens: int, steps: int) -> FlowMatchEulerDiscreteScheduler:
        """See `VelocityModel.schedule`."""
        set_timesteps(self._scheduler, image_tokens, steps, self.device)
        return copy.deepcopy(self._scheduler)

    def velocity(
        self,
        latents: Tensor,
        timestep: Tensor,
        prompt_embeds: Tensor,
        pooled_prompt_embeds: Tensor,
        grid: tuple[int, int],
        guidance_scale: float,
        branch: str,
    ) -> Tensor:
        """See `VelocityModel.velocity`."""
        guidance = None
        if self._transformer.config.guidance_embeds:
            guidance = torch.full(
                [len(latents)], guidance_scale, device=latents.device, dtype=torch.float32
            )
        with self._transformer.cache_context(branch):
            predicted: Tensor = self._transformer(
                hidden_states=latents,
                timestep=timestep / 1000,
                guidance=guidance,
                pooled_projections=pooled_prompt_embeds,
                encoder_hidden_states=prompt_embeds,
                txt_ids=latents.new_zeros(prompt_embeds.shape[1], 3),
                img_ids=self._image_ids(1, *grid, latents.device, latents.dtype),
                return_dict=False,
            )[0]
        return predicted


def set_timesteps(
    scheduler: FlowMatchEulerDiscreteScheduler, tokens: int, steps: int, device: torch.device
) -> Tensor:
    """Reset a scheduler to FluxPipeline's schedule, shifted for the number of image tokens.

    Returns:
        The timesteps, shape (steps,).
    """
    config = scheduler.config
    shift = calculate_shift(
        tokens,
        config.get("base_image_seq_len", 256),
        config.get("max_image_seq_len", 4096),
        config.get("base_shift", 0.5),
        config.get("max_shift", 1.15),
    )
    own = config.get("use_flow_sigmas", False)
    sigmas = None if own else np.linspace(1.0, 1 / steps, steps)
    timesteps: Tensor
    timesteps, _ = retrieve_timesteps(scheduler, steps, device, sigmas=sigmas, mu=shift)
    scheduler.set_begin_index(0)
    return timesteps
