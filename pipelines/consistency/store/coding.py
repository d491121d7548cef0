"""Number formats of a bank: native, or eight bits with a scale for each row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

BankDtype = Literal["native", "fp8"]

FP8 = torch.float8_e4m3fn
FP8_LARGEST = torch.finfo(FP8).max


def row_bytes(channels: int, itemsize: int) -> int:
    """Count the bytes of one token's row; an itemsize of 1 is fp8, with its scale."""
    scale = torch.float32.itemsize if itemsize == FP8.itemsize else 0
    return channels * itemsize + scale


@dataclass(frozen=True)
class Coded:
    """A tensor as a bank keeps it.

    In fp8 (e4m3, three bits of mantissa) a number x of a row whose largest magnitude is m comes
    back with an error of at most |x| / 16, or m / (448 * 1024) where x is so small that it falls
    below the format's normal range, m / (448 * 64). That range is why one scale serves all heads of
    a row.

    Attributes:
        numbers: the tensor itself, or its fp8 codes as uint8, shape (tokens, ...).
        scale: float32 factor of each row's codes, shape (tokens,); None for the tensor itself.
        dtype: what `decoded` gives.
    """

    numbers: Tensor
    scale: Tensor | None
    dtype: torch.dtype

    @classmethod
    def encode(cls, tensor: Tensor, dtype: BankDtype) -> Coded:
        """Encode a tensor whose first dimension is tokens."""
        if dtype == "native":
            return cls(tensor, None, tensor.dtype)
        rows = tensor.flatten(1).float()
        largest = rows.abs().amax(dim=1)
        scale = (largest / FP8_LARGEST).clamp_min(torch.finfo(torch.float32).tiny)
        codes = (rows / scale[:, None]).to(FP8).view(torch.uint8).view(tensor.shape)
        return cls(codes, scale, tensor.dtype)

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """Tensors that it is made of."""
        return (self.numbers,) if self.scale is None else (self.numbers, self.scale)

    def with_parts(self, parts: tuple[Tensor, ...]) -> Coded:
        """Return the same tensor with its parts elsewhere."""
        return replace(self, numbers=parts[0], scale=parts[1] if len(parts) > 1 else None)

    @property
    def nbytes(self) -> int:
        """Bytes of its parts."""
        return sum(part.nbytes for part in self.parts)

    def rows(self, tokens: Tensor) -> Coded:
        """Return some rows of it, in the order of `tokens`, int64 on the same device."""
        return self.with_parts(tuple(part[tokens] for part in self.parts))

    def decoded(self) -> Tensor:
        """Decode the tensor to the dtype that it came in."""
        if self.scale is None:
            return self.numbers
        scale = self.scale.view(-1, *[1] * (self.numbers.dim() - 1))
        return (self.numbers.view(FP8).float() * scale).to(self.dtype)
