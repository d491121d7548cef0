"""Speed up a model's transformer by attention kernels of other libraries and by compilation."""

from __future__ import annotations

from diffusers import FluxTransformer2DModel
from diffusers.models.attention_dispatch import AttentionBackendName

from pipelines.errors import ModelError


def use_attention(transformer: FluxTransformer2DModel, backend: str) -> None:
    """Compute attention with one of diffusers' backends.

    It serves consistency sharing too: no group of queries needs an attention mask.

    Args:
        transformer: the transformer.
        backend: its name in diffusers, such as "flash", "_flash_3_hub", "sage" or "_native_cudnn".

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


def compile_blocks(transformer: FluxTransformer2DModel) -> None:
    """Compile the transformer's blocks, once for all blocks of a kind, when they first run.

    Compilation takes a minute or more for each size of frame, and makes every later step faster.
    Everything that differs between blocks or frames stays outside of the compiled code.
    """
    transformer.compile_repeated_blocks()
