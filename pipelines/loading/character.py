"""Open what a model follows reference pictures with: picture encoders, projector and adapters.

From the folder `subject` beside a model, or from the Hugging Face hub. Every way in which this can
fail becomes a `ModelError`. It knows nothing of pictures and frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from huggingface_hub import hf_hub_download

from pipelines.devices import free_memory, quiet_libraries
from pipelines.errors import ModelError
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
from pipelines.loading.faults import Origin, explain, remedy_for_files
from pipelines.loading.model import FAULTS, HEADROOM, too_little
from pipelines.loading.placement import Placement
from pipelines.models.presets import Workload
from pipelines.models.specs import CharacterAdapterSpec, ModelSpec

if TYPE_CHECKING:
    from pipelines.flux1.pipeline import FluxStoryboardPipeline

_PUBLISHED_ENCODERS, _PUBLISHED_PROJECTOR = EncoderConfig(), ProjectorConfig()
_ENCODER_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")
_BUNDLE_FILES = (
    CONFIGURATION,
    ADAPTER,
    *(f"{encoder}/{name}" for encoder in (SIGLIP, DINO) for name in _ENCODER_FILES),
)
# Projector and adapters hold 64.1 % of InstantCharacter's weights, the picture encoders the rest.
_ADAPTER_PART = 0.642


@dataclass(frozen=True)
class Sizes:
    """Sizes of weights in bytes, in the number format that is used.

    Attributes:
        subject: of what follows pictures.
        transformer: of the model's transformer, as far as it comes to the GPU for a step.
        model: of all the model's parts.
    """

    subject: int
    transformer: int
    model: int


def load_subject(
    spec: ModelSpec, pipeline: FluxStoryboardPipeline, placement: Placement | None = None
) -> SubjectBundle:
    """Load what a model follows pictures with, in the model's number format.

    It is placed where the model computes. Where a GPU holds the model but not both, the model's
    parts wait in host memory from now on until they are needed; then the picture encoders, which
    work once a render, wait there too.

    Args:
        spec: a model that can follow pictures.
        pipeline: that model.
        placement: how it was placed; None for whole, or with its parts taking turns.

    Raises:
        ModelError: if it cannot be loaded; `reason` says which way, the text what to do.
        ValueError: if the model cannot follow pictures.
    """
    subject = spec.character_adapter
    if subject is None:
        raise ValueError(f"{spec.title} cannot follow pictures")
    device: torch.device = pipeline._execution_device
    offloads = _offloads(spec, subject, pipeline, placement)
    with quiet_libraries():
        if spec.kind == "hub":
            bundle = _from_hub(spec, subject, pipeline, device)
        else:
            bundle = _from_folder(spec, subject, pipeline, device)
        with _explained(_origin(spec, subject, subject.adapter)):
            bundle.encoders.to("cpu" if offloads else device)
            if placement is not None and placement.blocks:
                _join_blocks(bundle, pipeline)
    return bundle


def _join_blocks(bundle: SubjectBundle, pipeline: FluxStoryboardPipeline) -> None:
    """Put the adapters of double-stream blocks that are spread over GPUs where those lie."""
    blocks = pipeline.transformer.transformer_blocks
    for block, adapter in zip(blocks, bundle.weights.adapters, strict=False):
        adapter.to(next(block.parameters()).device)


def _from_folder(
    spec: ModelSpec,
    subject: CharacterAdapterSpec,
    pipeline: FluxStoryboardPipeline,
    device: torch.device,
) -> SubjectBundle:
    """A bundle; see `pipelines.instant_character.bundle`."""
    folder, origin = Path(subject.adapter), _origin(spec, subject, subject.adapter)
    for name in _BUNDLE_FILES:
        if not (folder / name).is_file():
            raise ModelError(
                f"The folder {folder} lacks {name}.", remedy_for_files(origin), "missing"
            )
    with _explained(origin):
        return load_bundle(folder, pipeline.transformer, device=device)


def _from_hub(
    spec: ModelSpec,
    subject: CharacterAdapterSpec,
    pipeline: FluxStoryboardPipeline,
    device: torch.device,
) -> SubjectBundle:
    """InstantCharacter in its published sizes, downloaded where it is not in the hub's cache."""
    adapter, siglip, dino = (
        _origin(spec, subject, source) for source in (subject.adapter, subject.siglip, subject.dino)
    )
    with _explained(adapter):
        weights_file = hf_hub_download(subject.adapter, subject.adapter_file)
    with _explained(siglip):
        siglip_folder = _fetch_encoder(subject.siglip)
    with _explained(dino):
        dino_folder = _fetch_encoder(subject.dino)

    dtype = pipeline.transformer.dtype
    with _explained(adapter):
        weights = load_instant_character(
            weights_file,
            pipeline.transformer,
            config=_PUBLISHED_PROJECTOR,
            device=device,
            dtype=dtype,
        )
    with _explained(siglip):
        siglip_model, siglip_processor = load_siglip(siglip_folder, dtype)
    with _explained(dino):
        dino_model, dino_processor = load_dino(dino_folder, dtype)
    with _explained(adapter):
        encoders = SubjectEncoders(
            siglip_model, dino_model, siglip_processor, dino_processor, _PUBLISHED_ENCODERS
        )
    return SubjectBundle(encoders.eval().requires_grad_(False), weights, familiarity=None)


def _fetch_encoder(repository: str) -> Path:
    """The folder on this disk that holds a picture encoder's files."""
    files = [Path(hf_hub_download(repository, name)) for name in _ENCODER_FILES]
    return files[0].parent


def plan_offloading(origin: Origin, device: torch.device, sizes: Sizes, offloads: bool) -> bool:
    """Whether a model's parts must wait in host memory, so that there is room for the subject.

    Args:
        origin: the subject, as the messages speak of it.
        device: where the model computes.
        sizes: of the weights.
        offloads: whether the model's parts wait there already.

    Raises:
        ModelError: if memory does not suffice, with the numbers.
    """
    free, needed = free_memory(device), int(sizes.subject * HEADROOM)
    if free is None:
        return offloads
    if not offloads:
        if needed <= free:
            return False
        if device.type != "cuda":
            raise too_little(origin, "memory", needed, free)
        free += sizes.model
    at_once = int((sizes.transformer + sizes.subject * _ADAPTER_PART) * HEADROOM)
    if at_once > free:
        raise too_little(origin, f"memory on {device}, the transformer's with it,", at_once, free)
    host = free_memory(torch.device("cpu"))
    waiting = int(sizes.subject * (1 - _ADAPTER_PART)) + (0 if offloads else sizes.model)
    if host is not None and waiting > host:
        raise too_little(origin, "host memory beside the GPU's", waiting, host)
    return True


def _offloads(
    spec: ModelSpec,
    subject: CharacterAdapterSpec,
    pipeline: FluxStoryboardPipeline,
    placement: Placement | None,
) -> bool:
    """See that there is memory, make room if need be, and tell whether the model's parts wait."""
    device: torch.device = pipeline._execution_device
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what earlier renders left there counts as taken
    transformer = _bytes_of(pipeline.transformer)
    already = pipeline.device.type != device.type
    if placement is not None and device.type == "cuda" and placement.preset.offload != "none":
        already = True
        work = Workload.of(spec, placement.dtype.itemsize)
        transformer = transformer if work is None else placement.preset.visiting(work)
    models = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    sizes = Sizes(
        # The spec counts 16 bits a parameter.
        subject=subject.weights_bytes * pipeline.transformer.dtype.itemsize // 2,
        transformer=transformer,
        model=sum(map(_bytes_of, models)),
    )
    origin = _origin(spec, subject, subject.adapter)
    offloads = plan_offloading(origin, device, sizes, already)
    if offloads and not already:
        pipeline.enable_model_cpu_offload(device=device)
    return offloads


def _bytes_of(model: torch.nn.Module) -> int:
    return sum(parameter.nbytes for parameter in model.parameters())


def _origin(spec: ModelSpec, subject: CharacterAdapterSpec, source: str) -> Origin:
    """A part of what follows pictures, as the messages speak of it."""
    return Origin(
        title=subject.title,
        source=source,
        kind=spec.kind,
        licence=subject.licence,
        download_bytes=subject.download_bytes,
        weights_bytes=subject.weights_bytes,
        repository=f"See https://huggingface.co/{source}, whether its files have other names now.",
        folder="Put the whole folder there again, or remove it: the model paints without it, too.",
        memory="Close what else uses the memory, or paint without reference pictures.",
        network="Frames without a reference picture need no download.",
    )


@contextmanager
def _explained(origin: Origin) -> Iterator[None]:
    """Turn what foreign files and services raise into a `ModelError`."""
    try:
        yield
    except FAULTS as error:
        raise explain(error, origin) from error
