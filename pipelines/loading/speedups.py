"""Speed up a model's transformer by attention kernels of other libraries."""

from __future__ import annotations

from diffusers import FluxTransformer2DModel
from diffusers.models.attention_dispatch import AttentionBackendName

from pipelines.errors import ModelError


def use_attention(transformer: FluxTransformer2DModel, backend: str) -> None:
    """Compute attention with one of diffusers' backends, such as "flash", "sage" or "_flash_3_hub".

    It serves consistency sharing too: no group of queries needs an attention mask.

    Raises:
        ModelError: if there is no such backend, or it does not work on this machine.
    """
    known = sorted(name.value for name in AttentionBackendName)
    if backend not in known:
        raise ModelError(
            f"diffusers has no attention backend {backend!r}.",
            f"THROUGHLINE_ATTENTION can be {', '.join(known)}, or be left out.",
            "missing",
        )
    try:
        transformer.set_attention_backend(backend)
    except (ImportError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"The attention backend {backend!r} cannot be used here: {error}",
            "Install the package that the message names, or leave THROUGHLINE_ATTENTION out.",
            "missing",
        ) from error
