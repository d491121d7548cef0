"""InstantCharacter's weights: strict loading of the published file or one of its form.

The published file is a pickle of two groups of tensors: `ip_adapter`, the adapters of all
attentions, and `image_proj`, the projector. The same tensors in a safetensors file have the group
before their names: `ip_adapter.0.norm_ip_q.scale`.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipelines.instant_character.adapters import Subject, SubjectAdapters, SubjectTokens
from pipelines.instant_character.config import ProjectorConfig
from pipelines.instant_character.encoders import SubjectFeatures
from pipelines.instant_character.projector import SubjectProjector

GROUPS = ("ip_adapter", "image_proj")
_NAMED_AT_MOST = 3


class CheckpointError(ValueError):
    """A file whose weights are not those that are needed, with the difference."""


@dataclass(frozen=True)
class InstantCharacter:
    """Projector and adapters of a FLUX transformer.

    Attributes:
        projector: from features to subject tokens.
        adapters: every attention's look at the subject tokens.
    """

    projector: SubjectProjector
    adapters: SubjectAdapters

    def tokens(self, features: SubjectFeatures) -> SubjectTokens:
        """Make the subject tokens of pictures, for subjects of any strength."""
        weight = self.projector.resampler.proj_in.weight
        with torch.no_grad():
            return SubjectTokens(self.projector, features.to(weight.device, weight.dtype))

    def subject(self, features: SubjectFeatures, scale: float = 0.8) -> Subject:
        """Make a subject from the features of its picture."""
        return Subject(self.adapters, self.tokens(features), scale)


def load_instant_character(
    path: str | PathLike[str],
    transformer: FluxTransformer2DModel,
    *,
    config: ProjectorConfig | None = None,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> InstantCharacter:
    """Load projector and adapters from one file.

    Args:
        path: a `.safetensors` file, or else a pickle as published, read without running code.
        transformer: the model that the adapters must fit; it is not changed.
        config: sizes of the projector.
        device: where to put the weights; None for the transformer's device.
        dtype: their type; None for the transformer's.

    Raises:
        CheckpointError: if the file cannot be read, or a tensor is missing, left over or of
            another shape.
        OSError: if there is no such file.
    """
    groups = read_groups(Path(path))
    with torch.device("meta"):
        projector = SubjectProjector(config)
        adapters = SubjectAdapters.for_transformer(transformer, projector.config.token_width)
    for group, module in zip(GROUPS, (adapters, projector), strict=True):
        assign_strictly(module, groups[group], f"{path}: {group}")
        module.to(device or transformer.device, dtype or transformer.dtype)
        module.eval().requires_grad_(False)
    return InstantCharacter(projector, adapters)


def save_instant_character(path: str | PathLike[str], weights: InstantCharacter) -> None:
    """Write the weights as one safetensors file that `load_instant_character` reads."""
    modules = zip(GROUPS, (weights.adapters, weights.projector), strict=True)
    tensors = {
        f"{group}.{name}": tensor.contiguous()
        for group, module in modules
        for name, tensor in module.state_dict().items()
    }
    save_file(tensors, path)


def read_groups(path: Path) -> dict[str, dict[str, Tensor]]:
    """Read the two groups of tensors of a file, `ip_adapter` and `image_proj`.

    Raises:
        CheckpointError: if it is not such a file.
        OSError: if there is no such file.
    """
    if path.suffix == ".safetensors":
        return _split(path, _read_safetensors(path))
    loaded = _read_pickle(path)
    if not isinstance(loaded, Mapping) or set(loaded) != set(GROUPS):
        held = sorted(map(str, loaded)) if isinstance(loaded, Mapping) else type(loaded).__name__
        raise CheckpointError(f"{path} should hold {' and '.join(GROUPS)}; it holds {held}")
    for group in GROUPS:
        tensors = loaded[group]
        if not isinstance(tensors, Mapping) or not all(
            isinstance(tensor, Tensor) for tensor in tensors.values()
        ):
            raise CheckpointError(f"{path}: {group} is not a group of named tensors")
    return {group: dict(loaded[group]) for group in GROUPS}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as fault:
        raise CheckpointError(f"{path} is not a readable safetensors file: {fault}") from fault


def _read_pickle(path: Path) -> object:
    try:
        mapped = zipfile.is_zipfile(path)  # files written before torch 1.6 cannot be mapped
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as fault:
        reason = str(fault).strip().splitlines() or [type(fault).__name__]
        raise CheckpointError(f"{path} is not a readable file of weights: {reason[0]}") from fault


def _split(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in GROUPS}
    for name, tensor in tensors.items():
        group, _, rest = name.partition(".")
        if group not in groups:
            raise CheckpointError(f"{path}: {name} begins with neither of {', '.join(GROUPS)}")
        groups[group][rest] = tensor
    return groups


def assign_strictly(module: nn.Module, tensors: Mapping[str, Tensor], name: str) -> None:
    """Make tensors the parameters of a module, which may be on the meta device, without a copy.

    Raises:
        CheckpointError: if a tensor is missing, left over or of another shape.
    """
    wanted = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    kinds = {
        "missing": [key for key in wanted if key not in found],
        "left over": [key for key in found if key not in wanted],
        "of another shape": [
            f"{key} is {found[key]}, not {shape}"
            for key, shape in wanted.items()
            if found.get(key, shape) != shape
        ],
    }
    faults = [f"{len(keys)} {kind} ({_some(keys)})" for kind, keys in kinds.items() if keys]
    if faults:
        raise CheckpointError(f"{name}: {'; '.join(faults)}")
    module.load_state_dict(dict(tensors), assign=True)


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_NAMED_AT_MOST])
    return shown if len(names) <= _NAMED_AT_MOST else f"{shown}, ..."
