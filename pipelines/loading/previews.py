"""Find what shows a model's frames while they are painted.

Painting goes on without: whatever is missing leaves a note in the log. It knows nothing of frames.
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
from pipelines.flux1.previews import LatentDecoder, LinearDecoder, Previews, TinyDecoder
from pipelines.loading.faults import Origin, explain
from pipelines.loading.model import FAULTS
from pipelines.models.specs import ModelSpec

if TYPE_CHECKING:
    from pipelines.flux1.pipeline import FluxStoryboardPipeline

_FILES = ("config.json", "diffusion_pytorch_model.safetensors")
# Of FLUX.1's autoencoder, whose latents TAEF1 knows.
_FLUX_LATENTS = {"latent_channels": 16, "scaling_factor": 0.3611, "shift_factor": 0.1159}

_log = logging.getLogger(__name__)


def find_previews(spec: ModelSpec, pipeline: FluxStoryboardPipeline) -> Previews | None:
    """What shows the frames of a loaded model.

    A tiny autoencoder is downloaded for models of the hub, where it is not in its cache; for a
    folder only what is there is used.

    Args:
        spec: the model.
        pipeline: that model.

    Returns:
        None where there is nothing that costs little beside a step, or it cannot be loaded.
    """
    source = spec.preview
    if not source:
        return None
    try:
        with quiet_libraries():
            linear = Path(source).is_file()
            decoder = _linear(source, pipeline) if linear else _tiny(source, spec, pipeline)
    except FAULTS as error:
        _log.warning("No previews of frames: %s", explain(error, _origin(spec)))
        return None
    return None if decoder is None else Previews(decoder)


def _linear(file: str, pipeline: FluxStoryboardPipeline) -> LatentDecoder:
    """What `miniature.model.latent_map` wrote beside the autoencoder."""
    tensors, config = load_file(file), pipeline.vae.config
    return LinearDecoder(
        tensors["inverse"], tensors["mean"], config.scaling_factor, config.shift_factor
    )


def _tiny(source: str, spec: ModelSpec, pipeline: FluxStoryboardPipeline) -> LatentDecoder | None:
    """A tiny autoencoder where the model computes; None for other latents than FLUX.1's."""
    config, device = pipeline.vae.config, pipeline._execution_device
    if any(config[name] != value for name, value in _FLUX_LATENTS.items()):
        return None
    if spec.kind != "hub" and try_to_load_from_cache(source, _FILES[0]) is None:
        return None
    folder = source if Path(source).is_dir() else _fetched(source)
    # A CPU may be slow in the model's 16 bits.
    dtype = torch.float32 if device.type == "cpu" else pipeline.vae.dtype
    tiny = AutoencoderTiny.from_pretrained(folder, dtype=dtype, use_safetensors=True)
    return TinyDecoder(tiny.eval().to(device))


def _fetched(repository: str) -> str:
    """The folder of a repository's files, which are downloaded where they are not in the cache."""
    *_, last = [hf_hub_download(repository, name) for name in _FILES]
    return str(Path(last).parent)


def _origin(spec: ModelSpec) -> Origin:
    """The decoder as the messages speak of it."""
    return Origin(
        title="what shows frames while they are painted",
        source=spec.preview,
        kind=spec.kind if Path(spec.preview).is_file() else "hub",
        licence="MIT",
        download_bytes=10_000_000,
        weights_bytes=5_000_000,
        repository="Painting goes on without.",
        folder="Painting goes on without.",
        memory="Painting goes on without.",
        network="Painting goes on without.",
    )
