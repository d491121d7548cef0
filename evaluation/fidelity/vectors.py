"""One compared tensor of a folder of golden vectors: how far ours is off, and what is allowed."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Row:
    """One compared tensor.

    Attributes:
        name: its name in the vectors.
        error: how far ours is off.
        tolerance: the stated tolerance.
        floor: how far stock diffusers alone is off on this processor; 0 for what is exact there.
        note: what else is to be said of the row.
    """

    name: str
    error: float
    tolerance: float
    floor: float = 0.0
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the error is within the stated tolerance."""
        return self.error <= self.tolerance

    @property
    def holds_with_floor(self) -> bool:
        """Whether it is within the tolerance once the processor's own error is allowed for."""
        return self.error <= self.tolerance + self.floor

    @property
    def verdict(self) -> str:
        """The last column of the row."""
        if self.holds:
            return "ok"
        return "floor" if self.holds_with_floor else "FAILED"


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Relative L2 distance."""
    return float((ours - theirs).norm() / theirs.norm())


def largest(ours: Tensor, theirs: Tensor) -> float:
    """Largest absolute difference; infinite where shapes differ."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float((ours.float() - theirs.float()).abs().max()) if ours.numel() else 0.0


def differing(ours: Tensor, theirs: Tensor) -> float:
    """How many numbers differ; infinite where shapes differ."""
    return float((ours != theirs).sum()) if ours.shape == theirs.shape else float("inf")
