"""Colour distances of two pictures, over all pixels or those of a mask."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Linear sRGB to CIE XYZ, each row divided by the white point D65.
_TO_XYZ = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)
_CUBE_ROOT_FROM = (6 / 29) ** 3


def lab(images: Tensor) -> Tensor:
    """Convert sRGB pictures to CIELAB.

    Args:
        images: uint8, shape (..., 3).

    Returns:
        L* in [0, 100], a* and b*; float32, shape (..., 3).
    """
    srgb = images.float() / 255
    linear = torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = linear @ torch.tensor(_TO_XYZ).T
    near_black = xyz * (29 / 6) ** 2 / 3 + 4 / 29
    f = torch.where(xyz > _CUBE_ROOT_FROM, xyz.clamp(min=_CUBE_ROOT_FROM) ** (1 / 3), near_black)
    x, y, z = f.unbind(-1)
    return torch.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), dim=-1)


def pixel_distance(first: Tensor, second: Tensor) -> float:
    """Compute the mean CIE76 distance of two pictures, sRGB, uint8, shape (height, width, 3)."""
    one, other = lab(torch.stack((first, second)))
    return float((one - other).square().sum(-1).sqrt().mean())


def color_distance(
    first: Tensor, second: Tensor, outside: Tensor, blur: float = 3.0
) -> float | None:
    """Compute the mean CIE76 distance of two pictures over some of their pixels.

    Both are blurred alike, so that a shift by a pixel counts little. Pixels that do not take part
    add nothing to the blur of the others.

    Args:
        first: sRGB, uint8, shape (height, width, 3).
        second: likewise.
        outside: bool, shape (height, width): the pixels that take part.
        blur: standard deviation of the Gaussian blur in pixels.

    Returns:
        The distance; None where no pixel takes part.
    """
    if not outside.any():
        return None
    weight = outside.float()
    shown = torch.stack((lab(first), lab(second))) * weight[..., None]
    shares = _blurred(weight[None], blur)[0]
    channels = _blurred(shown.permute(0, 3, 1, 2).flatten(0, 1), blur) / shares.clamp(min=1e-6)
    apart = channels[:3] - channels[3:]
    return float(apart.square().sum(0).sqrt()[outside].mean())


def _blurred(maps: Tensor, sigma: float) -> Tensor:
    """Blur maps of shape (maps, height, width) by a Gaussian; zeros beyond the edges."""
    reach = math.ceil(3 * sigma)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-steps.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    maps = F.conv2d(maps[:, None], kernel.view(1, 1, -1, 1), padding=(reach, 0))
    return F.conv2d(maps, kernel.view(1, 1, 1, -1), padding=(0, reach))[:, 0]
