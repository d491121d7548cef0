"""Load the networks, tokenizers and scheduler of a model's folder, strictly.

The libraries would initialise missing weights at random, or leave them out; here they are an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxTransformer2DModel
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel, T5Tokenizer

from pipelines.errors import ModelError
from pipelines.loading.faults import Origin, explained_files, remedy_for_files
from pipelines.models.weight_files import find_weights

_KINDS: Mapping[str, Any] = {
    "transformer": FluxTransformer2DModel,
    "text_encoder_2": T5EncoderModel,
    "text_encoder": CLIPTextModel,
    "vae": AutoencoderKL,
}


def load_components(
    folder: Path,
    origin: Origin,
    dtype: torch.dtype,
    quantised: Mapping[str, object],
    transformer: nn.Module | None = None,
) -> dict[str, Any]:
    """Load everything that a `FluxPipeline` is made of.

    Args:
        folder: a model that passed `pipelines.loading.folder.check_folder`.
        origin: its name and its remedies.
        dtype: number format of the weights.
        quantised: quantisation settings by the names of the networks that are quantised.
        transformer: the transformer, where it is loaded already.

    Returns:
        The components by the names of `FluxPipeline`'s arguments.

    Raises:
        ModelError: if one cannot be loaded, or lacks a weight.
    """
    components: dict[str, Any] = {}
    for name, kind in _KINDS.items():
        if name == "transformer" and transformer is not None:
            components[name] = transformer
            continue
        part = replace(origin, source=str(folder / name)) if origin.kind != "hub" else origin
        with explained_files(part):
            components[name] = _network(kind, folder / name, part, dtype, quantised.get(name))
    for name, kind in (
        ("tokenizer", CLIPTokenizer),
        ("tokenizer_2", T5Tokenizer),
        ("scheduler", FlowMatchEulerDiscreteScheduler),
    ):
        part = replace(origin, source=str(folder / name)) if origin.kind != "hub" else origin
        with explained_files(part):
            components[name] = kind.from_pretrained(str(folder / name), local_files_only=True)
    for name in ("", "_2"):
        _check_vocabulary(components[f"tokenizer{name}"], components[f"text_encoder{name}"], origin)
    return components


def check_complete(network: nn.Module, name: str, missing: list[str], origin: Origin) -> None:
    """Check that a network has all its weights.

    Args:
        network: the network; weights that were not loaded may be on the meta device.
        name: its name in the model.
        missing: weights that the loader missed.
        origin: its files.

    Raises:
        ModelError: if one is missing.
    """
    unloaded = [key for key, weight in network.named_parameters() if weight.is_meta]
    lacking = sorted({*missing, *unloaded})
    if lacking:
        raise ModelError(
            f"The {name} of {origin.title} ({origin.source}) lacks {len(lacking)} of its weights, "
            f"such as {lacking[0]}.",
            remedy_for_files(origin),
            "broken",
        )


def _network(
    kind: Any, folder: Path, origin: Origin, dtype: torch.dtype, quantised: object
) -> nn.Module:
    weights = find_weights(folder, check=False)
    options = {} if quantised is None else {"quantization_config": quantised}
    network, report = kind.from_pretrained(
        folder,
        dtype=dtype,
        variant=weights.variant,
        use_safetensors=weights.safetensors,
        local_files_only=True,
        output_loading_info=True,
        **options,
    )
    check_complete(network, folder.name, report["missing_keys"], origin)
    loaded: nn.Module = network.eval()
    return loaded


def _check_vocabulary(tokenizer: Any, encoder: Any, origin: Origin) -> None:
    words, known = len(tokenizer), encoder.config.vocab_size
    if words > known:
        raise ModelError(
            f"A tokenizer of {origin.title} has {words} words, and its text encoder "
            f"{type(encoder).__name__} knows {known}.",
            "Get the tokenizers again from the model that the text encoders are of.",
            "broken",
        )
