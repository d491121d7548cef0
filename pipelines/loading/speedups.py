"""Faster code for a model's transformer: attention kernels of other libraries, and compilation."""

from __future__ import annotations

from diffusers import FluxTransformer2DModel
from diffusers.models.attention_dispatch import AttentionBackendName

from pipelines.errors import ModelError


def use_attention(transformer: FluxTransformer2DModel, backend: str) -> None:
    """Let attention be computed by one of diffusers' backends.

    Frames that share take the same backend: no group of queries needs an attention mask.

    Args:
        transformer: the transformer.
        backend: its name in diffusers, such as "flash", "_flash_3_hub", "sage" or "_native_cudnn".

    Raises:
        ModelError: if there is no such backend, or this machine lacks what it needs.
    """
    known = sorted(name.value for name in AttentionBackendName)
    if backend not in known:
        raise ModelError(
            f"diffusers knows no attention backend {backend!r}.",
            f"THROUGHLINE_ATTENTION can be {', '.join(known)}, or be left out.",
            "missing",
        )
    try:
        transformer.set_attention_backend(backend)
    except (ImportError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"The attention backend {backend!r} cannot be used here: {error}",
            "Install what it names, or leave THROUGHLINE_ATTENTION out.",
            "missing",
        ) from error


def compile_blocks(transformer: FluxTransformer2DModel) -> None:
    """Compile the transformer's blocks, once for all blocks of a kind, when they first run.

    Compilation takes a minute or more, and again where frames have another size; after that every
    step is faster. What differs between blocks and frames is left outside of the compiled code.
    """
    transformer.compile_repeated_blocks()
