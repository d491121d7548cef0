"""Folder of golden vectors of InstantCharacter: its tensors, pictures and models.

Tiny random encoders, projector, adapters and FLUX. Every size comes from the folder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from diffusers import FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from evaluation.fidelity.vectors import Comparison, fill, fingerprint, largest, pipeline_of
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.instant_character.checkpoint import InstantCharacter, load_instant_character
from pipelines.instant_character.config import EncoderConfig, ProjectorConfig
from pipelines.instant_character.encoders import SubjectEncoders, SubjectFeatures

# Tolerances: largest absolute differences.
FEATURES, TOKENS, UNITS, LATENTS = 1e-4, 2e-5, 1e-5, 2e-5
# Of the sines and cosines of timesteps, for which no tolerance is stated: float32 `exp` gives
# frequencies whose last bit differs between processors, which is 6e-5 at timestep 1000.
WAVES = 1e-4


class Vectors:
    """Folder of vectors, its models, and a record of which of its tensors have been read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
        self._unread: dict[str, set[str]] = {}

    def names(self, file: str) -> list[str]:
        """Return the names of all tensors of a file."""
        with safe_open(self.folder / f"{file}.safetensors", "pt") as tensors:
            names = list(tensors.keys())
        self._unread.setdefault(file, set(names))
        return names

    def matching(self, file: str, pattern: re.Pattern[str] | str) -> list[re.Match[str]]:
        """Match the names of a file's tensors; those that do not match are left out."""
        return [*filter(None, (re.fullmatch(pattern, name) for name in self.names(file)))]

    def read(self, file: str, name: str) -> Tensor:
        """Read a tensor of a file."""
        self.names(file)
        self._unread[file].discard(name)
        with safe_open(self.folder / f"{file}.safetensors", "pt") as tensors:
            tensor: Tensor = tensors.get_tensor(name)
        return tensor

    def error(self, file: str, name: str, ours: Tensor) -> float:
        """Return the largest difference of our tensor from a recorded one."""
        return largest(ours, self.read(file, name))

    def row(self, file: str, name: str, ours: Tensor, tolerance: float) -> Comparison:
        """Compare our tensor with a recorded one."""
        return Comparison(f"{file}/{name}", self.error(file, name, ours), tolerance)

    def unread(self, file: str) -> Iterator[Comparison]:
        """Yield a failing row for every tensor of a file that was not compared."""
        for name in sorted(self._unread[file]):
            yield Comparison(f"{file}/{name}", float("inf"), 0.0, note="not known here")

    @cached_property
    def pictures(self) -> dict[str, Image.Image]:
        """Pictures by name."""
        names = self.manifest["images"]
        return {name: Image.open(self.folder / "images" / f"{name}.png") for name in names}

    @cached_property
    def encoders(self) -> SubjectEncoders:
        """Tiny encoders, with the published choice of layers."""
        siglip = json.loads((self.folder / "siglip" / "config.json").read_text("utf-8"))
        config = EncoderConfig(side=siglip["image_size"])
        folders = self.folder / "siglip", self.folder / "dinov2"
        return SubjectEncoders.from_pretrained(*folders, config=config)

    @cached_property
    def features(self) -> dict[str, SubjectFeatures]:
        """Features of every picture; all are encoded in one call."""
        together = self.encoders(list(self.pictures.values()))
        parts = (together.low_shallow, together.low_deep, together.high_deep)
        return {
            name: SubjectFeatures(*(part[i : i + 1] for part in parts))
            for i, name in enumerate(self.pictures)
        }

    @cached_property
    def transformer(self) -> FluxTransformer2DModel:
        """Tiny FLUX, whose weights follow from the seed."""
        config = FluxTransformer2DModel.load_config(self.folder / "transformer")
        transformer = FluxTransformer2DModel.from_config(config)
        fill(transformer, self.manifest["seed"], "transformer.")
        if fingerprint(transformer) != self.manifest["transformer"]["state_dict_sha256"]:
            raise ValueError("the transformer's weights do not follow from the seed")
        return transformer.eval()

    @cached_property
    def pipeline(self) -> FluxStoryboardPipeline:
        """Our pipeline with the tiny FLUX."""
        scheduler = FlowMatchEulerDiscreteScheduler.from_pretrained(self.folder / "scheduler")
        return pipeline_of(self.transformer, scheduler)

    @cached_property
    def weights(self) -> InstantCharacter:
        """Projector and adapters, from the checkpoint in the published form."""
        return self.load_weights("bin")

    def load_weights(self, suffix: str) -> InstantCharacter:
        """Load the projector and the adapters from the checkpoint with this suffix."""
        folder = self.folder / "adapter"
        config = projector_config(json.loads((folder / "projector_config.json").read_text("utf-8")))
        file = folder / f"instantcharacter_ip-adapter.{suffix}"
        return load_instant_character(file, self.transformer, config=config)


def projector_config(published: dict[str, Any]) -> ProjectorConfig:
    """Convert the arguments of the published projector to our configuration.

    Raises:
        ValueError: if our projector cannot have them.
    """
    widths = {published[key] for key in ("inner_dim", "cross_attention_dim", "embedding_dim")}
    waves = published["timestep_flip_sin_to_cos"], published["timestep_freq_shift"]
    if len(widths) > 1 or waves != (True, 0):
        raise ValueError(f"a projector of widths {widths} and time waves {waves}")
    return ProjectorConfig(
        width=published["inner_dim"],
        blocks=published["num_layers"],
        heads=published["num_attention_heads"],
        head_dim=published["attention_head_dim"],
        resampler_width=published["dim"],
        resampler_layers=published["depth"],
        resampler_heads=published["heads"],
        resampler_head_dim=published["dim_head"],
        resampler_expansion=published["ff_mult"],
        time_channels=published["timestep_in_dim"],
        queries=published["num_queries"],
        token_width=published["output_dim"],
    )
