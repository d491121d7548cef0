"""Check a model's folder before anything is loaded: its files, and what its configurations say.

The folder is one on this disk or the cache of a repository. Nothing but names, headers and JSON is
read; `pipelines.loading.networks` loads.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download, try_to_load_from_cache

from pipelines.errors import ModelError
from pipelines.loading.faults import (
    Origin,
    explained,
    explained_files,
    model_origin,
    remedy_for_files,
)
from pipelines.models.specs import ModelSpec
from pipelines.models.weight_files import (
    FileFault,
    check_file,
    component_class,
    find_weights,
    read_json,
)

_INDEX = "model_index.json"
_NETWORKS = {
    "transformer": "FluxTransformer2DModel",
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
    "text_encoder_2": "T5EncoderModel",
}
# Files of a tokenizer, of which any group suffices, and the beginning of the other one's class.
_TOKENIZERS = {
    "tokenizer": ((("tokenizer.json",), ("vocab.json", "merges.txt")), "T5"),
    "tokenizer_2": ((("tokenizer.json",), ("spiece.model",)), "CLIP"),
}
_COMPONENTS = (*_NETWORKS, *_TOKENIZERS, "scheduler")
_SCHEDULER = "FlowMatchEulerDiscreteScheduler"
# Settings that are numbers.
_NUMBERS = {
    "vae": ("scaling_factor", "shift_factor", "latent_channels", "sample_size"),
    "transformer": (
        *("in_channels", "num_layers", "num_single_layers", "num_attention_heads"),
        *("attention_head_dim", "joint_attention_dim", "pooled_projection_dim", "patch_size"),
    ),
    "scheduler": (
        *("shift", "base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len"),
        "num_train_timesteps",
    ),
    "text_encoder": ("hidden_size", "vocab_size"),
    "text_encoder_2": ("d_model", "vocab_size"),
}
_CHOOSE = "Choose FLUX.1 [dev], [schnell], or a model that was trained from one of them."


def fetch_folder(spec: ModelSpec) -> Path:
    """Return a model's folder; a repository's is downloaded if it is not in the cache.

    Its index is checked before its weights are downloaded.

    Raises:
        ModelError: if it cannot be fetched, or is another kind of model.
    """
    if spec.kind != "hub":
        return Path(spec.source)
    from pipelines.flux1.pipeline import FluxStoryboardPipeline

    with explained(model_origin(spec)):
        index = try_to_load_from_cache(spec.source, _INDEX)
        if not isinstance(index, str):
            index = hf_hub_download(spec.source, _INDEX)
        with explained_files(model_origin(spec)):
            _check_index(Path(index), model_origin(spec))
        # Components that are passed are not downloaded.
        passed = {"transformer": None} if spec.packed else {}
        return Path(FluxStoryboardPipeline.download(spec.source, **passed))


def check_files(spec: ModelSpec) -> None:
    """Check what can be checked of a model without loading or downloading it.

    Raises:
        ModelError: if its folder is not complete, or a package for its files is missing.
    """
    if spec.kind != "hub":
        check_folder(spec, Path(spec.source))
    check_packages(spec)


def check_packages(spec: ModelSpec) -> None:
    """Check that the packages are there that a model's files need."""
    if spec.packed and importlib.util.find_spec("gguf") is None:
        raise ModelError(
            f"{spec.title} needs a package for GGUF files.", "Run `pip install gguf`.", "missing"
        )


def check_folder(spec: ModelSpec, folder: Path) -> None:
    """Check that a folder holds every component of a FLUX.1 model, and nothing else in its place.

    diffusers would make empty tokenizers of missing ones, so their files are checked too.

    Raises:
        ModelError: if something is missing, damaged, or of another kind.
    """
    origin = model_origin(spec)
    with explained_files(origin):
        _check_index(folder / _INDEX, origin)
        for name in _COMPONENTS:
            if not (folder / name).is_dir():
                raise ModelError(
                    f"The folder {folder} has no {name!r} component.",
                    remedy_for_files(origin),
                    "missing",
                )
        read = {name: _configuration(folder, name) for name in _NUMBERS}
        for name in _NETWORKS:
            if name != "transformer" or not spec.packed:
                find_weights(folder / name)
        for name in _TOKENIZERS:
            _check_tokenizer(folder / name, origin)
    _check_scheduler(read["scheduler"], folder)
    _check_fit(read, origin)


def _check_index(path: Path, origin: Origin) -> None:
    """Check that an index names the components of a FLUX.1 pipeline."""
    if not path.exists() and not path.is_symlink():
        raise ModelError(
            f"The folder {path.parent} holds no model: it lacks {path.name}.",
            remedy_for_files(origin),
            "missing",
        )
    index = read_json(path)
    for name, wanted in (*_NETWORKS.items(), ("scheduler", _SCHEDULER)):
        found = component_class(index, name)
        if found == wanted:
            continue
        if name == "scheduler" and found is not None:
            raise _other_scheduler(path, found)
        kind = index.get("_class_name")
        raise ModelError(
            f"{origin.title} is no FLUX.1 model ({kind}): its {name} is {found or 'not there'}, "
            f"where FLUX.1 has a {wanted}.",
            _CHOOSE,
        )


def _configuration(folder: Path, name: str) -> dict[str, Any]:
    """Read a component's configuration, in which numbers are numbers."""
    path = folder / name / ("scheduler_config.json" if name == "scheduler" else "config.json")
    values = read_json(path)
    for key in _NUMBERS[name]:
        value = values.get(key, 0)  # left out, it has the library's default
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise FileFault(path, f"is damaged: {key} is {json.dumps(value)}, which is no number")
    return values


def _check_tokenizer(folder: Path, origin: Origin) -> None:
    groups, foreign = _TOKENIZERS[folder.name]
    found = next((g for g in groups if all(os.path.lexists(folder / name) for name in g)), None)
    if found is None:
        wanted = ", ".join(" with ".join(group) for group in groups)
        raise ModelError(
            f"The tokenizer {folder} holds none of {wanted}.", remedy_for_files(origin), "missing"
        )
    for name in found:
        check_file(folder / name)
    settings = folder / "tokenizer_config.json"
    kind = read_json(settings).get("tokenizer_class") if os.path.lexists(settings) else None
    if isinstance(kind, str) and kind.startswith(foreign):
        raise FileFault(folder, f"holds a {kind}, which is the other text encoder's")


def _check_scheduler(config: Mapping[str, Any], folder: Path) -> None:
    path = folder / "scheduler" / "scheduler_config.json"
    kind = config.get("_class_name", _SCHEDULER)
    if kind != _SCHEDULER:
        raise _other_scheduler(path, kind)
    if config.get("use_beta_sigmas") and importlib.util.find_spec("scipy") is None:
        raise ModelError(
            f"{path} asks for use_beta_sigmas, which needs a package.",
            "Run `pip install scipy`, or set use_beta_sigmas to false in this file.",
            "missing",
        )


def _other_scheduler(path: Path, found: object) -> ModelError:
    return ModelError(
        f"{path} names the scheduler {found}; frames are rendered with {_SCHEDULER}.",
        f"Write {_SCHEDULER} in its place, in scheduler_config.json and in model_index.json; the "
        "weights are the same.",
    )


def _check_fit(read: Mapping[str, Mapping[str, Any]], origin: Origin) -> None:
    """Check that the networks fit each other, and make pictures from text alone."""
    transformer = read["transformer"]
    axes, width = transformer.get("axes_dims_rope", (16, 56, 56)), "attention_head_dim"
    whole = isinstance(axes, list | tuple) and all(isinstance(axis, int) for axis in axes)
    if not whole or sum(axes) != transformer.get(width, 128):
        raise ModelError(
            f"The transformer of {origin.title} has axes_dims_rope {json.dumps(axes)}, which "
            f"should be numbers with the sum {transformer.get(width, 128)} of {width}.",
            remedy_for_files(origin),
            "broken",
        )
    channels = 4 * read["vae"].get("latent_channels", 4)
    inputs = transformer.get("in_channels", 64)
    if inputs != channels:
        raise ModelError(
            f"{origin.title} does not make pictures from text alone: its transformer takes "
            f"{inputs} channels where these have {channels}, as FLUX.1 Fill, Canny and Depth do.",
            _CHOOSE,
        )
    for name, key, taken in (
        ("text_encoder_2", "d_model", "joint_attention_dim"),
        ("text_encoder", "hidden_size", "pooled_projection_dim"),
    ):
        given, wanted = read[name].get(key), transformer.get(taken)
        if None not in (given, wanted) and given != wanted:
            raise ModelError(
                f"The parts of {origin.title} do not fit each other: {name} gives {given} "
                f"channels, and the transformer takes {wanted}.",
                f"Get {name} again from the model that the transformer is of.",
                "broken",
            )
