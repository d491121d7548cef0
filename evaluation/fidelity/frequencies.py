"""The time embedding's frequencies as they were on the processor that recorded golden vectors.

FLUX turns timestep and guidance into cos(x f) and sin(x f), x up to 3,500, with frequencies
f = exp(-ln(10000) i / n) in float32. Where such a number lies about halfway between two float32
numbers, processors round it to different ones, which moves a picture's latents by 2e-5. Which of
both it was is found from what stock FluxPipeline gave when the vectors were recorded. None of our
code takes part in that, so it can hide no fault of ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor

# `exp` of any processor is accurate to so many units in the last place.
_ACCURACY = 0.54
# A frequency is taken for rounded otherwise if that explains so much of the distance.
_EXPLAINS = 0.1


class TimeWaves:
    """Gives a transformer's time embedding frequencies that can be rounded otherwise.

    Args:
        transformer: the transformer; it keeps these waves.

    Attributes:
        frequencies: what it computes with; at first this processor's.
        changed: indices of the frequencies that are not this processor's any more.
    """

    def __init__(self, transformer: FluxTransformer2DModel) -> None:
        embedder = transformer.time_text_embed.time_proj
        count = embedder.num_channels // 2
        exponents = -math.log(10000) * torch.arange(count, dtype=torch.float32) / count
        self.frequencies = torch.exp(exponents)
        self.changed: list[int] = []
        self._others = self._other_roundings(torch.exp(exponents.double()))
        embedder.register_forward_hook(self._waves)

    def _other_roundings(self, exact: Tensor) -> dict[int, Tensor]:
        """By index, the other float32 number that a processor may round a frequency to."""
        zero = torch.zeros_like(self.frequencies)
        below, above = self.frequencies.nextafter(zero), self.frequencies.nextafter(zero + 2)
        other = torch.where(exact < self.frequencies.double(), below, above)
        unit = (other.double() - self.frequencies.double()).abs()
        possible = (other.double() - exact).abs() <= _ACCURACY * unit
        return {int(index): other[index] for index in possible.nonzero().flatten()}

    def _waves(self, module: object, taken: tuple[Tensor], stock: Tensor) -> Tensor:
        """The waves of FLUX's time embedding, cosines first."""
        angles = taken[0][:, None].float() * self.frequencies
        return torch.cat([angles.cos(), angles.sin()], dim=-1)

    def fit(self, run: Callable[[], Tensor], recorded: Tensor) -> None:
        """Round frequencies so that a stock result is as near to the recorded one as it gets.

        Args:
            run: gives the stock result with the frequencies as they now are.
            recorded: that result when the vectors were recorded.
        """
        start = run()
        effects: dict[int, Tensor] = {}
        for index, other in self._others.items():
            kept = self.frequencies[index].clone()
            self.frequencies[index] = other
            effects[index] = run() - start
            self.frequencies[index] = kept
        distance = recorded - start
        while effects:
            index = min(effects, key=lambda index: float((distance - effects[index]).norm()))
            rest = distance - effects.pop(index)
            if rest.norm() > (1 - _EXPLAINS) * distance.norm():
                return
            distance = rest
            self.frequencies[index] = self._others[index]
            self.changed.append(index)
