"""Changes of a LoRA file to a model's layers, computed from each layer's tensors.

    LoRA: scale * B A    LoHa: scale * (A1 B1) * (A2 B2), by elements    LoKr: scale * W1 (x) W2

A LoHa of rank r is exactly a LoRA of rank r^2. A LoKr stays two factors, because its product mostly
has full rank. What one layer of the file changes may be several layers of the model: then the rows
are divided. It knows nothing of names and files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft.utils.other import get_pattern_key
from torch import Tensor


@dataclass(frozen=True)
class LayerChange:
    """Two matrices whose product changes a layer's weight, and what changes its bias.

    Attributes:
        down: A, shape (rank, inputs of the layer).
        up: B with the scale multiplied in, shape (outputs of the layer, rank).
        bias: added to the layer's bias, shape (outputs of the layer,); None if it does not change.
    """

    down: Tensor
    up: Tensor
    bias: Tensor | None = None

    @property
    def rank(self) -> int:
        """Columns of B."""
        return int(self.up.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """Inputs and outputs of the layer."""
        return int(self.down.shape[1]), int(self.up.shape[0])

    def parts(self, outputs: Sequence[int]) -> list[LayerChange]:
        """Divide it between layers of so many outputs, without ranks that a part does not use.

        Trainers that train the parts by themselves join them into one matrix full of zeros.
        """
        biases = [None] * len(outputs) if self.bias is None else self.bias.split(list(outputs))
        parts = []
        for up, bias in zip(self.up.split(list(outputs)), biases, strict=True):
            used = up.any(0) if up.any() else torch.arange(self.rank) == 0
            parts.append(LayerChange(self.down[used], up[:, used], bias))
        return parts

    def swapped(self) -> LayerChange:
        """Return it with the halves of the outputs the other way round."""
        half = self.up.shape[0] // 2
        bias = None if self.bias is None else self.bias.roll(half)
        return LayerChange(self.down, self.up.roll(half, 0), bias)

    def with_bias(self, bias: Tensor) -> LayerChange:
        """Return it with this added to its change of the bias.

        Raises:
            ValueError: if the layer has another number of outputs.
        """
        if bias.shape != self.up.shape[:1]:
            raise ValueError(
                f"its bias has shape {tuple(bias.shape)}, its outputs are {self.size[1]}"
            )
        return replace(self, bias=bias if self.bias is None else self.bias + bias)

    def product(self) -> Tensor:
        """Return the change of the weight, shape (outputs, inputs)."""
        return self.up @ self.down

    def to(self, dtype: torch.dtype) -> LayerChange:
        """Return it in another number format."""
        bias = None if self.bias is None else self.bias.to(dtype)
        return LayerChange(self.down.to(dtype), self.up.to(dtype), bias)

    def is_finite(self) -> bool:
        """Return False if it holds NaN or infinity."""
        tensors = (self.down, self.up, *([] if self.bias is None else [self.bias]))
        return all(bool(tensor.isfinite().all()) for tensor in tensors)


@dataclass(frozen=True)
class KroneckerChange:
    """Two matrices whose Kronecker product changes a layer's weight, by some of its rows.

    Attributes:
        left: with the scale multiplied in.
        right: the matrix that stands in the place of each of the values of `left`.
        first_row: first row of the product that belongs to the layer.
        rows: number of rows that do: the layer's outputs.
    """

    left: Tensor
    right: Tensor
    first_row: int
    rows: int

    @property
    def size(self) -> tuple[int, int]:
        """Inputs and outputs of the layer."""
        return int(self.left.shape[1] * self.right.shape[1]), self.rows

    def parts(self, outputs: Sequence[int]) -> list[KroneckerChange]:
        """Divide it between layers of so many outputs."""
        parts, block = [], self.right.shape[0]
        start = self.first_row
        for rows in outputs:
            first, last = start // block, math.ceil((start + rows) / block)
            left = self.left[first:last]
            parts.append(KroneckerChange(left, self.right, start - first * block, rows))
            start += rows
        return parts

    def swapped(self) -> KroneckerChange:
        """Return it with the halves of the outputs the other way round."""
        return replace(self, left=torch.cat([self.left, self.left]), first_row=self.rows // 2)

    def product(self) -> Tensor:
        """Return the change of the weight, shape (outputs, inputs)."""
        return torch.kron(self.left, self.right)[self.first_row : self.first_row + self.rows]

    def to(self, dtype: torch.dtype) -> KroneckerChange:
        """Return it in another number format."""
        return replace(self, left=self.left.to(dtype), right=self.right.to(dtype))

    def is_finite(self) -> bool:
        """Return False if it holds NaN or infinity."""
        return bool(self.left.isfinite().all() and self.right.isfinite().all())


Change = LayerChange | KroneckerChange


def changes_of(tensors: Mapping[str, Tensor], scales: Scales, inputs: int) -> list[Change]:
    """Return the changes that a layer's tensors make, in float32.

    Args:
        tensors: the tensors by kind, as `split_name` calls them.
        scales: what is known of the layer's scale.
        inputs: number of the layer's inputs.

    Returns:
        None, one, or for a LoKr with a bias two.

    Raises:
        ValueError: if a tensor is missing or does not fit the others.
    """
    for kind, tensor in tensors.items():
        if kind != "alpha" and not tensor.is_floating_point():
            raise ValueError(f"its tensor {kind} holds no fractions, but {tensor.dtype}")
    floats = {kind: tensor.to(torch.float32) for kind, tensor in tensors.items()}
    kinds = floats.keys() - {"alpha", "diff_b"}
    bias = floats.get("diff_b")
    changes: list[Change] = []
    if kinds - {"up_bias"} == {"down", "up"}:
        changes = [_lora(floats, scales)]
    elif kinds == {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}:
        changes = [_loha(floats, scales)]
    elif kinds in _LOKR:
        changes = [_lokr(floats, scales)]
    elif kinds:
        found = ", ".join(sorted(kinds))
        raise ValueError(f"it has {found}, but not all the matrices that belong to these")
    if bias is None or not bias.any():
        return changes
    for index, change in enumerate(changes):
        if isinstance(change, LayerChange):
            changes[index] = change.with_bias(bias)
            return changes
    nothing = LayerChange(torch.zeros(1, inputs), torch.zeros(bias.numel(), 1))
    return [*changes, nothing.with_bias(bias)]


@dataclass(frozen=True)
class Scales:
    """Scale of a layer's change: alpha/rank, or 1 where the file has no alpha.

    Attributes:
        layer: the layer's name as PEFT's settings write it.
        alpha: the file's alpha of this layer; None without one.
        settings: PEFT's settings, which count where the file has no alpha.
    """

    layer: str
    alpha: Tensor | None
    settings: Mapping[str, Any]

    def of(self, rank: int) -> float:
        """Return the scale of matrices of this rank.

        Raises:
            ValueError: if the alpha is no finite number.
        """
        alpha: Any = self.alpha
        if alpha is None:
            alpha = self._setting("alpha_pattern", "lora_alpha", "alpha")
        if alpha is None:
            return 1.0
        if isinstance(alpha, Tensor):
            if alpha.numel() != 1:
                raise ValueError(f"its alpha is no number, but {alpha.numel()} of them")
            alpha = alpha.item()
        if not isinstance(alpha, int | float) or not math.isfinite(alpha):
            raise ValueError(f"its alpha is no number, but {alpha!r}")
        stabilised = self.alpha is None and bool(self.settings.get("use_rslora"))
        return alpha / (math.sqrt(rank) if stabilised else rank)

    def of_full_factors(self) -> float:
        """Return the scale of a LoKr whose factors are no products themselves, so have no rank.

        LyCORIS ignores the alpha then; PEFT divides its own by the rank of its settings.
        """
        rank = self._setting("rank_pattern", "r")
        return self.of(rank) if self.alpha is None and isinstance(rank, int) and rank else 1.0

    def _setting(self, patterns: str, *names: str) -> Any:
        by_layer = self.settings.get(patterns) or {}
        if not isinstance(by_layer, Mapping):
            raise ValueError(f"{patterns} in its settings cannot be read: {by_layer!r}")
        try:
            key = get_pattern_key(list(by_layer), self.layer)
        except re.error as error:
            raise ValueError(f"{patterns} in its settings cannot be read: {error}") from error
        if key in by_layer:
            return by_layer[key]
        return next((self.settings[name] for name in names if name in self.settings), None)


def _lora(tensors: Mapping[str, Tensor], scales: Scales) -> LayerChange:
    down, up = tensors["down"], tensors["up"]
    if down.ndim != 2 or up.ndim != 2 or down.shape[0] != up.shape[1] or not up.shape[1]:
        raise ValueError(
            f"its matrices do not fit each other: {tuple(down.shape)} and {tuple(up.shape)}"
        )
    scale = scales.of(up.shape[1])
    change = LayerChange(down, up * scale)
    return change.with_bias(tensors["up_bias"] * scale) if "up_bias" in tensors else change


def _loha(tensors: Mapping[str, Tensor], scales: Scales) -> LayerChange:
    a1, b1, a2, b2 = (tensors[f"hada_w{n}_{side}"] for n in (1, 2) for side in "ab")
    fits = all(
        a.ndim == b.ndim == 2 and a.shape[1] == b.shape[0] != 0 for a, b in ((a1, b1), (a2, b2))
    )
    if not fits or len(a1) != len(a2) or b1.shape[1] != b2.shape[1]:
        raise ValueError("its four matrices do not fit each other")
    # Each value of (A1 B1) * (A2 B2) is a sum over pairs of ranks.
    up = (a1[:, :, None] * a2[:, None]).flatten(1)
    down = (b1[:, None] * b2[None]).flatten(0, 1)
    return LayerChange(down, up * scales.of(b1.shape[0]))


_LOKR = [
    {*left, *right}
    for left in (("lokr_w1",), ("lokr_w1_a", "lokr_w1_b"))
    for right in (("lokr_w2",), ("lokr_w2_a", "lokr_w2_b"))
]


def _lokr(tensors: Mapping[str, Tensor], scales: Scales) -> KroneckerChange:
    left, right = (_factor(tensors, f"lokr_w{n}") for n in (1, 2))
    # The rank is that of the last factor that is a product, as in LyCORIS.
    product = tensors.get("lokr_w2_b", tensors.get("lokr_w1_b"))
    scale = scales.of_full_factors() if product is None else scales.of(product.shape[0])
    return KroneckerChange(left * scale, right, 0, left.shape[0] * right.shape[0])


def _factor(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """Return a factor of a Kronecker product, which may be a product of two matrices itself."""
    if name in tensors:
        factor = tensors[name]
    else:
        a, b = tensors[f"{name}_a"], tensors[f"{name}_b"]
        if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or not b.shape[0]:
            raise ValueError("the matrices of one of its factors do not fit each other")
        factor = a @ b
    if factor.ndim != 2 or not factor.numel():
        raise ValueError("one of its factors is no matrix")
    return factor
