"""Golden vectors: comparisons of tensors, weights that follow from a seed, and time frequencies.

Large random weights are not stored: they are a pure function of seed, name and shape. SplitMix64 in
counter mode gives 24-bit fractions, which float64 holds exactly; a weight is computed from them and
rounded once, to float32. No random generator of a library is involved.

FLUX turns timestep and guidance into cos(x f) and sin(x f), x up to 3,500, with frequencies
f = exp(-ln(10000) i / n) in float32. Where such a number lies about halfway between two float32
numbers, processors round it differently, which moves a picture's latents by 2e-5. `TimeWaves`
finds the recorded rounding from recorded results of stock FluxPipeline. None of our code takes part
in these, so it can hide no fault of ours.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.sampling.prompt import EncodedPrompt

_EMBEDDINGS = ("cls_token", "mask_token", "probe", "latents")
# Error of `exp` on any processor, in units in the last place.
_ACCURACY = 0.54
# A frequency counts as rounded otherwise if that explains this share of the distance.
_EXPLAINS = 0.1


@dataclass(frozen=True)
class Comparison:
    """Comparison of one tensor with its recorded values.

    Attributes:
        name: its name in the vectors.
        error: distance of ours from the recorded tensor.
        tolerance: the stated tolerance.
        floor: error of stock diffusers alone on this processor; 0 where that is exact.
        note: a remark about the comparison.
    """

    name: str
    error: float
    tolerance: float
    floor: float = 0.0
    note: str = ""

    @property
    def holds(self) -> bool:
        """True where the error is within the stated tolerance."""
        return self.error <= self.tolerance

    @property
    def holds_with_floor(self) -> bool:
        """True where the error is within the tolerance plus the processor's own error."""
        return self.error <= self.tolerance + self.floor

    @property
    def verdict(self) -> str:
        """Verdict in the printed table."""
        if self.holds:
            return "ok"
        return "floor" if self.holds_with_floor else "FAILED"


def relative(ours: Tensor, theirs: Tensor) -> float:
    """Return the relative L2 distance."""
    return float((ours - theirs).norm() / theirs.norm())


def largest(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest absolute difference; infinite where shapes differ."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float((ours.float() - theirs.float()).abs().max()) if ours.numel() else 0.0


def differing(ours: Tensor, theirs: Tensor) -> float:
    """Count the numbers that differ; infinite where shapes differ."""
    return float((ours != theirs).sum()) if ours.shape == theirs.shape else float("inf")


def pipeline_of(
    transformer: FluxTransformer2DModel, scheduler: FlowMatchEulerDiscreteScheduler
) -> FluxStoryboardPipeline:
    """Make our pipeline with a transformer and a scheduler alone."""
    others = ("vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    pipeline = FluxStoryboardPipeline(
        scheduler, transformer=transformer.eval(), **dict.fromkeys(others)
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def stock_latents(
    pipeline: FluxPipeline,
    prompt: EncodedPrompt,
    latents: Tensor,
    size: tuple[int, int],
    steps: int,
    guidance: float,
    **more: Any,
) -> Tensor:
    """Render a picture, `size` is (height, width), by FluxPipeline's own call alone."""
    rendered: Tensor = pipeline(
        prompt_embeds=prompt.prompt_embeds,
        pooled_prompt_embeds=prompt.pooled_prompt_embeds,
        latents=latents,
        height=size[0],
        width=size[1],
        num_inference_steps=steps,
        guidance_scale=guidance,
        output_type="latent",
        return_dict=False,
        **more,
    )[0]
    return rendered


def uniform(seed: int, name: str, count: int) -> NDArray[np.float64]:
    """Return numbers in [0, 1), multiples of 2**-24."""
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
    """Make the parameter of a name: norms near 1, small biases, matrices of variance 1/fan_in."""
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
    """Fill a module of floating point with the weights named by `prefix` and its own names."""
    with torch.no_grad():
        for name, parameter in module.state_dict().items():
            parameter.copy_(torch.from_numpy(weight(seed, prefix + name, tuple(parameter.shape))))


def fingerprint(module: nn.Module) -> str:
    """Return the SHA-256 of all names and float32 weights, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.numpy().astype("<f4")).tobytes())
    return digest.hexdigest()


class TimeWaves:
    """Frequencies of a transformer's time embedding, which can be rounded otherwise.

    The transformer keeps these waves.

    Attributes:
        frequencies: the frequencies in use; at first this processor's.
        changed: indices of the frequencies that differ from this processor's.
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
        """Return, by index, the other float32 number that a processor may round a frequency to."""
        zero = torch.zeros_like(self.frequencies)
        below, above = self.frequencies.nextafter(zero), self.frequencies.nextafter(zero + 2)
        other = torch.where(exact < self.frequencies.double(), below, above)
        unit = (other.double() - self.frequencies.double()).abs()
        possible = (other.double() - exact).abs() <= _ACCURACY * unit
        return {int(index): other[index] for index in possible.nonzero().flatten()}

    def _waves(self, module: object, inputs: tuple[Tensor], stock: Tensor) -> Tensor:
        """Compute the waves of FLUX's time embedding, cosines first."""
        angles = inputs[0][:, None].float() * self.frequencies
        return torch.cat([angles.cos(), angles.sin()], dim=-1)

    def fit(self, run: Callable[[], Tensor], recorded: Tensor) -> None:
        """Round frequencies so that a stock result is as near to the recorded one as possible.

        The stock result with the current frequencies is computed by `run`.
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
