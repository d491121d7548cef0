"""Weights of golden models that are too large to store: a pure function of seed, name and shape.

SplitMix64 in counter mode gives 24-bit fractions, which float64 holds exactly; what is made of
them is rounded once, to float32. No random generator of a library is involved.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

_EMBEDDINGS = ("cls_token", "mask_token", "probe", "latents")


def uniform(seed: int, name: str, count: int) -> NDArray[np.float64]:
    """Numbers in [0, 1), multiples of 2**-24."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    key = np.uint64(int.from_bytes(digest[:8], "little"))
    with np.errstate(over="ignore"):
        state = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + key
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    fractions: NDArray[np.float64] = (state >> np.uint64(40)).astype(np.float64) / 2.0**24
    return fractions


def weight(seed: int, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The parameter of this name: norms near 1, small biases, matrices of variance 1/fan_in."""
    count = math.prod(shape)
    spread = 2.0 * uniform(seed, name, count) - 1.0
    last = name.rsplit(".", 1)[-1]
    if last == "lambda1":
        values = 0.4 + 0.2 * spread
    elif len(shape) == 1 and last in ("weight", "scale"):
        values = 1.0 + 0.25 * spread
    elif len(shape) == 1:
        values = 0.1 * spread
    elif last in _EMBEDDINGS or "position_embedding" in name:
        values = math.sqrt(0.75) * spread
    else:
        values = math.sqrt(3.0 / (count // shape[0])) * spread
    return values.astype(np.float32).reshape(shape)


def fill(module: nn.Module, seed: int, prefix: str) -> None:
    """Give a module, all of floating point, the weights of `prefix` and its own names."""
    with torch.no_grad():
        for name, parameter in module.state_dict().items():
            parameter.copy_(torch.from_numpy(weight(seed, prefix + name, tuple(parameter.shape))))


def fingerprint(module: nn.Module) -> str:
    """SHA-256 of all names and float32 weights, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.numpy().astype("<f4")).tobytes())
    return digest.hexdigest()
