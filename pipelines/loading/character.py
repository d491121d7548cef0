"""Load a model's character adapter: image encoders, projector and adapters.

It comes from the folder `subject` beside a model, or from the Hugging Face hub. Every failure
becomes a `ModelError`. It knows nothing of pictures and frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from huggingface_hub import hf_hub_download

from pipelines.devices import free_memory, quiet_libraries
from pipelines.errors import ModelError, OutOfMemoryError
from pipelines.instant_character.bundle import (
    ADAPTER,
    CONFIGURATION,
    DINO,
    SIGLIP,
    SubjectBundle,
    load_bundle,
)
from pipelines.instant_character.checkpoint import load_instant_character
from pipelines.instant_character.config import EncoderConfig, ProjectorConfig
from pipelines.instant_character.encoders import SubjectEncoders, load_dino, load_siglip
from pipelines.loading.faults import Origin, explained, explained_files, remedy_for_files
from pipelines.loading.placement import Placement
from pipelines.models.presets import Workload, too_little
from pipelines.models.specs import CharacterAdapterSpec, ModelSpec, remedy_for_file
from pipelines.models.weight_files import FileFault, check_file

if TYPE_CHECKING:
    from pipelines.flux1.pipeline import FluxStoryboardPipeline

_PUBLISHED_ENCODERS, _PUBLISHED_PROJECTOR = EncoderConfig(), ProjectorConfig()
_ENCODER_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
_BUNDLE_FILES = (
    CONFIGURATION,
    ADAPTER,
    *(f"{encoder}/{name}" for encoder in (SIGLIP, DINO) for name in _ENCODER_FILES),
)
# Activations and the allocator's slack, as a share of the adapter's weights.
_HEADROOM = 1.1
# Projector and adapters hold 64.1 % of InstantCharacter's weights, the image encoders the rest.
_ADAPTER_PART = 0.642


@dataclass(frozen=True)
class WeightSizes:
    """Sizes of weights in bytes, in the number format that is used.

    Attributes:
        adapter: of the character adapter with its image encoders.
        transformer: of the part of the transformer that is on the GPU during a step.
        model: of all networks of the model.
    """

    adapter: int
    transformer: int
    model: int


def load_character_adapter(
    spec: ModelSpec, pipeline: FluxStoryboardPipeline, placement: Placement | None = None
) -> SubjectBundle:
    """Load a model's character adapter in the model's number format, to the model's device.

    Where the GPU does not hold both, the model's networks wait in host memory from now on until
    they are needed; so do the image encoders, which run once a render. A placement of None stands
    for "full" or "model-offload".

    Raises:
        ModelError: if it cannot be loaded.
        ValueError: if the model has no character adapter.
    """
    adapter = spec.character_adapter
    if adapter is None:
        raise ValueError(f"{spec.title} has no character adapter")
    device: torch.device = pipeline._execution_device
    offloads = _offloads(spec, adapter, pipeline, placement)
    load = _from_hub if spec.kind == "hub" else _from_folder
    with quiet_libraries():
        bundle = load(spec, adapter, pipeline, device)
        with explained(_origin(spec, adapter, adapter.adapter)):
            bundle.encoders.to("cpu" if offloads else device)
            if placement is not None and placement.blocks:
                # Double-stream blocks are spread over GPUs, and their adapters with them.
                blocks = pipeline.transformer.transformer_blocks
                for block, weights in zip(blocks, bundle.weights.adapters, strict=False):
                    weights.to(next(block.parameters()).device)
    return bundle


def _from_folder(
    spec: ModelSpec,
    adapter: CharacterAdapterSpec,
    pipeline: FluxStoryboardPipeline,
    device: torch.device,
) -> SubjectBundle:
    """Load a bundle; see `pipelines.instant_character.bundle`."""
    folder, origin = Path(adapter.adapter), _origin(spec, adapter, adapter.adapter)
    for name in _BUNDLE_FILES:
        if not (folder / name).is_file():
            raise ModelError(
                f"The folder {folder} lacks {name}.", remedy_for_files(origin), "missing"
            )
        _check(folder / name, origin)
    with explained_files(origin):
        return load_bundle(folder, pipeline.transformer, device=device)


def _from_hub(
    spec: ModelSpec,
    adapter: CharacterAdapterSpec,
    pipeline: FluxStoryboardPipeline,
    device: torch.device,
) -> SubjectBundle:
    """Load InstantCharacter in its published sizes, downloaded if it is not in the cache."""
    published, siglip, dino = (
        _origin(spec, adapter, source) for source in (adapter.adapter, adapter.siglip, adapter.dino)
    )
    with explained(published):
        weights_file = hf_hub_download(adapter.adapter, adapter.adapter_file)
    _check(Path(weights_file), published)
    with explained(siglip):
        siglip_folder = _fetch_encoder(adapter.siglip)
    _check(siglip_folder / _ENCODER_FILES[-1], siglip)
    with explained(dino):
        dino_folder = _fetch_encoder(adapter.dino)
    _check(dino_folder / _ENCODER_FILES[-1], dino)

    transformer, dtype = pipeline.transformer, pipeline.transformer.dtype
    with explained_files(published):
        weights = load_instant_character(
            weights_file, transformer, config=_PUBLISHED_PROJECTOR, device=device, dtype=dtype
        )
    with explained_files(siglip):
        siglip_model, siglip_processor = load_siglip(siglip_folder, dtype)
    with explained_files(dino):
        dino_model, dino_processor = load_dino(dino_folder, dtype)
    with explained(published):
        encoders = SubjectEncoders(
            siglip_model, dino_model, siglip_processor, dino_processor, _PUBLISHED_ENCODERS
        )
    return SubjectBundle(encoders.eval().requires_grad_(False), weights, familiarity=None)


def _check(file: Path, origin: Origin) -> None:
    """Check a file; see `check_file`. The model renders without the adapter, too."""
    try:
        check_file(file)
    except FileFault as fault:
        remedy = remedy_for_file(origin.kind, fault)
        if origin.kind == "folder":
            remedy = fault.remedy or origin.folder
        raise ModelError(str(fault), remedy, fault.reason) from fault


def _fetch_encoder(repository: str) -> Path:
    """Return the folder of an image encoder's files, downloaded if they are not in the cache."""
    files = [Path(hf_hub_download(repository, name)) for name in _ENCODER_FILES]
    return files[0].parent


def plan_offloading(
    origin: Origin, device: torch.device, sizes: WeightSizes, offloads: bool
) -> bool:
    """Return whether the model's networks must wait in host memory to make room for the adapter.

    Args:
        origin: the adapter's files.
        device: the device that computes.
        sizes: of the weights.
        offloads: whether the model's networks wait there already.

    Raises:
        OutOfMemoryError: if memory does not suffice.
    """

    def check(where: str, needed: int, free: int) -> None:
        if needed > free:
            raise OutOfMemoryError(
                f"Not enough memory for {origin.title}: it {too_little(where, needed, free)}.",
                origin.memory,
            )

    free, needed = free_memory(device), int(sizes.adapter * _HEADROOM)
    if not offloads:
        if needed <= free:
            return False
        if device.type != "cuda":
            check("memory", needed, free)
        free += sizes.model
    at_once = int((sizes.transformer + sizes.adapter * _ADAPTER_PART) * _HEADROOM)
    check(f"memory on {device} together with the transformer", at_once, free)
    waiting = int(sizes.adapter * (1 - _ADAPTER_PART)) + (0 if offloads else sizes.model)
    check("host memory beside the GPU's", waiting, free_memory(torch.device("cpu")))
    return True


def _offloads(
    spec: ModelSpec,
    adapter: CharacterAdapterSpec,
    pipeline: FluxStoryboardPipeline,
    placement: Placement | None,
) -> bool:
    """Make room for the adapter; return whether the model's networks wait in host memory."""
    device: torch.device = pipeline._execution_device
    if device.type == "cuda":
        torch.cuda.empty_cache()  # the cache of earlier renders counts as taken
    transformer = _bytes_of(pipeline.transformer)
    already = pipeline.device.type != device.type
    if placement is not None and device.type == "cuda" and placement.preset.offload != "none":
        already = True
        work = Workload.of(spec, placement.dtype.itemsize)
        transformer = transformer if work is None else placement.preset.visiting(work)
    models = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    sizes = WeightSizes(
        # The specification counts 16 bits a parameter.
        adapter=adapter.weights_bytes * pipeline.transformer.dtype.itemsize // 2,
        transformer=transformer,
        model=sum(map(_bytes_of, models)),
    )
    origin = _origin(spec, adapter, adapter.adapter)
    offloads = plan_offloading(origin, device, sizes, already)
    if offloads and not already:
        pipeline.enable_model_cpu_offload(device=device)
    return offloads


def _bytes_of(model: torch.nn.Module) -> int:
    return sum(parameter.nbytes for parameter in model.parameters())


def _origin(spec: ModelSpec, adapter: CharacterAdapterSpec, source: str) -> Origin:
    """Return the origin of the adapter's files, or of those of an image encoder."""
    return Origin(
        title=adapter.title,
        source=source,
        kind=spec.kind,
        licence=adapter.licence,
        download_bytes=adapter.download_bytes,
        weights_bytes=adapter.weights_bytes,
        missing_file=f"See at https://huggingface.co/{source} whether its files have new names.",
        folder="Copy its files again, or remove the folder: the model renders without it, too.",
        memory="Close other programs that use the memory, or render without reference pictures.",
        offline="Frames without a reference picture need no download.",
    )
