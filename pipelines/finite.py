"""Values that are no numbers (NaN or infinity): found where they come up, and their cause named.

A check waits for the device, so it belongs where the render waits anyway: once for all prompts,
once for a reference picture, and twice for a pass of a frame. Knows networks, but no model family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from pipelines.errors import ModelError

_STOPS = "so the frame cannot be rendered."
_LARGER_FORMAT = "Choose bfloat16 or float32 (THROUGHLINE_DTYPE)."


class NotFinite(ValueError):
    """A tensor that holds a NaN or an infinity.

    Args:
        source: the networks that computed it, as a sentence begins with them.
    """

    def __init__(self, source: str) -> None:
        super().__init__(f"{source} computed values that are no numbers")
        self.source = source


def check_finite(source: str, *tensors: Tensor) -> None:
    """Check tensors of one device; waits for it once.

    Raises:
        NotFinite: if one of them holds a NaN or an infinity.
    """
    if not torch.stack([tensor.isfinite().all() for tensor in tensors]).all():
        raise NotFinite(source)


def explain(
    fault: NotFinite, networks: Mapping[str, nn.Module], styles: Sequence[str]
) -> ModelError:
    """Find the cause in the weights of the networks that were at work.

    Args:
        fault: the fault.
        networks: those that may be at fault, by their titles, as a sentence begins with them.
        styles: sources of the LoRAs that are loaded, whose own values are sound.

    Returns:
        The message for a person. Sound weights leave two causes: a number format that is too
        small, and a LoRA that is too strong.
    """
    for title, network in networks.items():
        found = _unsound(network)
        if found is None:
            continue
        name, values = found
        if values.dtype == torch.float16 and not values.isnan().any():
            return ModelError(
                f"{title} has weights that are too large for float16, such as {name}, {_STOPS}",
                _LARGER_FORMAT,
            )
        return ModelError(
            f"{title} has weights that are no numbers (NaN or infinity), such as {name}, {_STOPS}",
            "Get the files of this network again; the model's other files can stay.",
            "broken",
        )
    half = any(_computes_in_half(network) for network in networks.values())
    growth = "beyond what float16 holds" if half else "beyond all numbers"
    remedies = [_LARGER_FORMAT] if half else []
    if styles:
        remedies.append(f"Leave out the LoRA {', '.join(styles)}, or make it weaker.")
    return ModelError(
        f"{fault.source} computed values that grew {growth}, {_STOPS}",
        " ".join(remedies) or "Use the guidance and the sizes that the model was made for.",
    )


def _unsound(module: nn.Module) -> tuple[str, Tensor] | None:
    """Return the first weight that holds a NaN or an infinity, with its name."""
    for name, weight in [*module.named_parameters(), *module.named_buffers()]:
        values = weight.data
        # Packed weights (GGUF, torchao) are tensors of their own kinds; others may be elsewhere.
        plain = type(values) is Tensor and values.is_floating_point() and not values.is_meta
        if plain and not values.isfinite().all():
            return name, values
    return None


def _computes_in_half(module: nn.Module) -> bool:
    return any(weight.dtype == torch.float16 for weight in module.parameters())
