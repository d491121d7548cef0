"""Adapter layer for LoKr files: adds some rows of a Kronecker product to a layer's weight.

PEFT's own adapter has the product's size fixed by its settings, one for the whole file, and takes
all of its rows. Files have factors of any size, and several layers of the model may be parts of one
layer of the file.
"""

from __future__ import annotations

from typing import Any

from peft.tuners.lokr.layer import Linear, LoKrLayer, make_kron
from torch import Tensor, nn

from pipelines.styles.changes import KroneckerChange


class KroneckerLayer(Linear):
    """A layer with changes by LoKr, as many as it has adapters."""

    other_param_names = (*LoKrLayer.other_param_names, "rows")  # type: ignore[assignment]

    def __init__(self, base_layer: nn.Module) -> None:
        LoKrLayer.__init__(self, base_layer)
        self.rows: dict[str, slice] = {}

    def add(self, adapter: str, change: KroneckerChange) -> None:
        """Add an adapter, which is at scale 1 and not active yet."""
        self.r[adapter], self.alpha[adapter], self.scaling[adapter] = 1, 1, 1.0
        self.rank_dropout[adapter], self.module_dropout[adapter] = 0.0, 0.0
        self.rank_dropout_scale[adapter] = False
        self.rows[adapter] = slice(change.first_row, change.first_row + change.rows)
        base: Any = self.get_base_layer()
        for name, factor in (("lokr_w1", change.left), ("lokr_w2", change.right)):
            getattr(self, name)[adapter] = nn.Parameter(
                factor.to(base.weight.device), requires_grad=False
            )

    def get_delta_weight(self, adapter: str, *, apply_rank_dropout: bool = False) -> Tensor:
        """Return the change of the weight, shape (outputs, inputs)."""
        left, right = self.lokr_w1[adapter], self.lokr_w2[adapter]
        product: Tensor = make_kron(left, right, self.scaling[adapter])
        return product[self.rows[adapter]]


def attach_kronecker(model: nn.Module, name: str, adapter: str, change: KroneckerChange) -> None:
    """Add an adapter to a layer of a model, around the adapters that it has."""
    parent_name, _, child = name.rpartition(".")
    parent = model.get_submodule(parent_name)
    layer = getattr(parent, child)
    if not isinstance(layer, KroneckerLayer):
        layer = KroneckerLayer(layer)
        setattr(parent, child, layer)
    layer.add(adapter, change)
