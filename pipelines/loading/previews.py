"""Load the decoder for previews of a model's unfinished frames.

Rendering goes on without it: a failure leaves a warning in the log. It knows nothing of frames.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from diffusers import AutoencoderTiny
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from safetensors.torch import load_file

from pipelines.devices import quiet_libraries
from pipelines.errors import ModelError
from pipelines.loading.faults import Origin, explained
from pipelines.models.specs import ModelKind, ModelSpec
from pipelines.sampling.previews import LatentDecoder, Previews, linear_decoder, tiny_decoder

if TYPE_CHECKING:
    from pipelines.flux1.pipeline import FluxStoryboardPipeline

_FILES = ("config.json", "diffusion_pytorch_model.safetensors")
# Configuration of FLUX.1's autoencoder, whose latents TAEF1 decodes.
_FLUX_LATENTS = {"latent_channels": 16, "scaling_factor": 0.3611, "shift_factor": 0.1159}

_log = logging.getLogger(__name__)


def find_previews(spec: ModelSpec, pipeline: FluxStoryboardPipeline) -> Previews | None:
    """Load the preview decoder of a loaded model.

    A model of the hub downloads a tiny autoencoder if it is not in the cache; a folder downloads
    nothing.

    Returns:
        None where there is no decoder that is cheap beside a step, or it cannot be loaded.
    """
    if not spec.preview:
        return None
    linear = spec.preview.endswith(".safetensors")
    try:
        with explained(_origin(spec, spec.kind if linear else "hub")), quiet_libraries():
            decoder = (_linear if linear else _tiny)(spec, pipeline)
    except ModelError as error:
        _log.warning("No previews of frames: %s", error)
        return None
    return None if decoder is None else Previews(decoder)


def _linear(spec: ModelSpec, pipeline: FluxStoryboardPipeline) -> LatentDecoder:
    """Load the linear map that `miniature.model.latent_map` writes beside the autoencoder."""
    tensors, config = load_file(spec.preview), pipeline.vae.config
    return linear_decoder(
        tensors["inverse"], tensors["mean"], config.scaling_factor, config.shift_factor
    )


def _tiny(spec: ModelSpec, pipeline: FluxStoryboardPipeline) -> LatentDecoder | None:
    """Load a tiny autoencoder to the model's device; None for other latents than FLUX.1's."""
    config, device, folder = pipeline.vae.config, pipeline._execution_device, spec.preview
    if any(config[name] != value for name, value in _FLUX_LATENTS.items()):
        return None
    if spec.kind != "hub" and try_to_load_from_cache(folder, _FILES[0]) is None:
        return None
    if not Path(folder).is_dir():
        *_, last = [hf_hub_download(folder, name) for name in _FILES]
        folder = str(Path(last).parent)
    # 16 bits are slow on many CPUs.
    dtype = torch.float32 if device.type == "cpu" else pipeline.vae.dtype
    tiny = AutoencoderTiny.from_pretrained(folder, dtype=dtype, use_safetensors=True)
    return tiny_decoder(tiny.eval().to(device))


def _origin(spec: ModelSpec, kind: ModelKind) -> Origin:
    remedy = "Rendering goes on without."
    return Origin(
        title="The decoder of previews",
        source=spec.preview,
        kind=kind,
        licence="MIT",
        download_bytes=10_000_000,
        weights_bytes=5_000_000,
        missing_file=remedy,
        folder=remedy,
        memory=remedy,
        offline=remedy,
    )
