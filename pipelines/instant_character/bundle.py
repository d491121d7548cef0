"""Bundle: a folder with all that a reference picture needs: encoders, projector, adapters.

It holds `siglip` and `dinov2` (as `save_pretrained` writes them), `adapter.safetensors` (with the
published checkpoint's keys), `config.json` (sizes) and, where the weights know which pictures they
can follow, `familiarity.safetensors`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import FluxTransformer2DModel

from pipelines.instant_character.checkpoint import (
    CheckpointError,
    InstantCharacter,
    load_instant_character,
    save_instant_character,
)
from pipelines.instant_character.config import EncoderConfig, ProjectorConfig
from pipelines.instant_character.encoders import SubjectEncoders, SubjectFeatures
from pipelines.instant_character.familiarity import Familiarity, load_familiarity

Config = TypeVar("Config", EncoderConfig, ProjectorConfig)

SIGLIP, DINO = "siglip", "dinov2"
ADAPTER, CONFIGURATION = "adapter.safetensors", "config.json"
FAMILIARITY = "familiarity.safetensors"


@dataclass(frozen=True)
class SubjectBundle:
    """Encoders, projector and adapters that condition a transformer on reference pictures.

    Attributes:
        encoders: see the picture.
        weights: the projector, and the transformer's adapters.
        familiarity: which pictures can be followed; None where any can.
    """

    encoders: SubjectEncoders
    weights: InstantCharacter
    familiarity: Familiarity | None

    def doubt(self, features: SubjectFeatures) -> str:
        """Say why a picture may not work as a reference; empty where nothing is wrong."""
        if self.familiarity is None or self.familiarity.knows(features).all():
            return ""
        return (
            "This picture is unlike the drawings that this small model has learnt to follow, so "
            "the frames will probably show somebody else. It follows drawn characters of its own "
            "kind; for other pictures choose a larger model."
        )


def save_bundle(folder: Path, bundle: SubjectBundle) -> None:
    """Write a bundle, whose weights become half precision in place, into a new or old folder."""
    folder.mkdir(parents=True, exist_ok=True)
    encoders, weights = bundle.encoders, bundle.weights
    for name, model, processor in (
        (SIGLIP, encoders.siglip, encoders.siglip_processor),
        (DINO, encoders.dino, encoders.dino_processor),
    ):
        model.half().save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
    weights.projector.half()
    weights.adapters.half()
    save_instant_character(folder / ADAPTER, weights)
    sizes = {"encoders": asdict(encoders.config), "projector": asdict(weights.projector.config)}
    (folder / CONFIGURATION).write_text(json.dumps(sizes, indent=1) + "\n", encoding="utf-8")
    if bundle.familiarity is not None:
        bundle.familiarity.save(folder / FAMILIARITY)


def load_bundle(
    folder: Path,
    transformer: FluxTransformer2DModel,
    *,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> SubjectBundle:
    """Load a bundle that `save_bundle` wrote.

    Args:
        folder: the bundle.
        transformer: the model that its adapters must fit; it is not changed.
        device: where to put everything; None for the transformer's device.
        dtype: the weights' type; None for the transformer's.

    Raises:
        CheckpointError: if the sizes cannot be read, or the adapter's file does not fit them or
            the transformer.
        ValueError: if the encoders lack a weight or do not fit the sizes.
        OSError: if a file is missing.
    """
    device, dtype = device or transformer.device, dtype or transformer.dtype
    encoder_config, projector_config = _read_sizes(folder / CONFIGURATION)
    encoders = SubjectEncoders.from_pretrained(
        folder / SIGLIP, folder / DINO, config=encoder_config, dtype=dtype
    )
    weights = load_instant_character(
        folder / ADAPTER, transformer, config=projector_config, device=device, dtype=dtype
    )
    known = folder / FAMILIARITY
    return SubjectBundle(
        encoders.to(device).requires_grad_(False),
        weights,
        load_familiarity(known) if known.exists() else None,
    )


def _read_sizes(path: Path) -> tuple[EncoderConfig, ProjectorConfig]:
    text = path.read_text(encoding="utf-8")
    try:
        values = json.loads(text)
        return (
            _config(EncoderConfig, values["encoders"]),
            _config(ProjectorConfig, values["projector"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise CheckpointError(f"{path} does not hold a bundle's sizes: {fault}") from fault


def _config(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """Read a configuration from JSON, where tuples are lists."""
    known: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return kind(**known)
