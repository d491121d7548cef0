"""Load a transformer from a GGUF file, which is checked first."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import torch
from diffusers import FluxTransformer2DModel

from pipelines.errors import ModelError
from pipelines.loading.faults import Origin, explained_files, model_origin
from pipelines.loading.networks import check_complete
from pipelines.models.specs import ModelSpec
from pipelines.models.weight_files import FileFault, check_file

_ANOTHER = "Choose the GGUF file of a transformer of FLUX.1."
_AGAIN = "Get this file again, or choose another."
# A double-stream block of FLUX.1, as Black Forest Labs and as diffusers name its first layers.
_BLOCKS = ("double_blocks.0.img_attn.", "transformer_blocks.0.attn.to_q.")


def packed_transformer(spec: ModelSpec, dtype: torch.dtype) -> FluxTransformer2DModel:
    """Load the transformer in a model's GGUF file, with the model's own configuration.

    Raises:
        ModelError: if the file is damaged, lacks a weight or holds another model.
    """
    from diffusers import GGUFQuantizationConfig

    path, model = Path(spec.transformer_file), model_origin(spec)
    check_gguf(path)
    origin = replace(model, title=path.name, source=str(path), kind="folder", folder=_AGAIN)
    with explained_files(origin if spec.kind != "hub" else _hub(model, path)):
        transformer: FluxTransformer2DModel = FluxTransformer2DModel.from_single_file(
            spec.transformer_file,
            config=spec.source,
            subfolder="transformer",
            quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
            dtype=dtype,
            local_files_only=spec.kind != "hub",
        )
    check_complete(transformer, "transformer", [], origin)
    return transformer


def check_gguf(path: Path) -> None:
    """Check that a file is a whole GGUF file with the transformer of a FLUX.1.

    Raises:
        ModelError: if it is not.
    """
    from gguf import GGUFReader

    try:
        check_file(path)
    except FileFault as fault:
        raise ModelError(str(fault), fault.remedy or _AGAIN, fault.reason) from fault
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(f"{path} is no GGUF file.", _ANOTHER, "broken")
    try:
        reader = GGUFReader(path)
    except (ValueError, LookupError, TypeError, OverflowError, struct.error) as error:
        raise ModelError(
            f"{path} is damaged or not completely downloaded: {error}.", _AGAIN, "broken"
        ) from error
    if not any(block in tensor.name for tensor in reader.tensors for block in _BLOCKS):
        field = reader.get_field("general.architecture")
        kind = field.contents() if field is not None else "another model"
        raise ModelError(f"{path} holds {kind!r}, not the transformer of a FLUX.1.", _ANOTHER)


def _hub(origin: Origin, path: Path) -> Origin:
    """Return the origin of a file whose configuration comes from the hub."""
    return replace(origin, title=f"{path.name} with {origin.title}")
