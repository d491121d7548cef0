"""The judge: reads pictures of the drawn world, drawn or rendered.

    judge = load_judge(Path("assets/miniature/judge"))
    reading = judge.read(pictures)

A judge's folder holds `judge.safetensors` (half precision) and `config.json`: its sizes, and the
values of its attributes.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from miniature.judge.attributes import SMALLEST_SHARE
from miniature.judge.network import (
    FinderOutput,
    JudgeNetwork,
    JudgeSizes,
    ReaderOutput,
    as_floats,
    crop_figures,
    part_labels,
)
from training.files import load_json, save_json, write_whole

WEIGHTS, CONFIGURATION = "judge.safetensors", "config.json"
NOBODY = "none"  # value of a figure's attributes where there is no figure
_AT_ONCE = 16  # pictures


@dataclass(frozen=True)
class Reading:
    """Predictions of a judge for n pictures; all tensors are on the CPU.

    Attributes:
        parts: a `vocabulary.Part` for each pixel, 0 outside the foreground, uint8 of shape
            (n, h, w).
        foreground: pixels of all figures, bool of shape (n, h, w).
        attributes: of each picture, the value of each of the scene's and the figure's attributes;
            NOBODY for a figure's where there is none.
        confidence: of each picture, the probability of each of these values, in [0, 1]; 0 where
            there is no figure.
        embedding: embedding of the figure's identity, of unit length, shape (n, d); from its pixels
            alone.
        features: for a Fréchet distance between sets of pictures, shape (n, f).
    """

    parts: Tensor
    foreground: Tensor
    attributes: list[dict[str, str]]
    confidence: list[dict[str, float]]
    embedding: Tensor
    features: Tensor


class Judge:
    """Trained judge.

    Args:
        network: its networks; set to evaluation mode, and kept on their device.
    """

    def __init__(self, network: JudgeNetwork) -> None:
        self.network = network.eval()
        self._device = next(network.parameters()).device

    @torch.inference_mode()
    def read(self, images: Tensor | NDArray[np.uint8], masks: Tensor | None = None) -> Reading:
        """Read pictures.

        Args:
            images: uint8 of shape (n, h, w, 3), n at least 1, h and w multiples of 4.
            masks: the figure to describe in each, bool of shape (n, h, w). A rough mask is enough:
                where it overlaps with the predicted foreground, its outline is that of the
                foreground. None describes the whole foreground, as for a single figure.

        Raises:
            ValueError: if the images are not uint8 pictures, or the masks have another shape.
        """
        pictures = images if isinstance(images, Tensor) else torch.from_numpy(images)
        if pictures.dtype != torch.uint8 or pictures.dim() != 4 or pictures.shape[-1] != 3:
            raise ValueError(
                f"pictures are uint8 of shape (n, h, w, 3), not {pictures.dtype} of shape "
                f"{tuple(pictures.shape)}"
            )
        if masks is not None and masks.shape != pictures.shape[:3]:
            raise ValueError(
                f"masks of shape {tuple(masks.shape)} for pictures of {tuple(pictures.shape)}"
            )
        return _joined(list(self._read_in_turn(pictures, masks)))

    def _read_in_turn(self, pictures: Tensor, masks: Tensor | None) -> Iterator[Reading]:
        for first in range(0, len(pictures), _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            images = as_floats(pictures[some].to(self._device))
            found = self.network.finder(images)
            foreground = found.foreground > 0
            figures = foreground
            if masks is not None:
                figures = chosen_figures(foreground, masks[some].to(self._device).bool())
            parts = part_labels(found)
            crops, geometry = crop_figures(images, figures, parts, self.network.sizes.crop)
            described = self.network.reader(crops, geometry)
            present = figures.float().mean((1, 2)) >= SMALLEST_SHARE
            yield self._reading(found, parts, described, present)

    def _reading(
        self, found: FinderOutput, parts: Tensor, described: ReaderOutput, present: Tensor
    ) -> Reading:
        attributes: list[dict[str, str]] = [{} for _ in present]
        confidence: list[dict[str, float]] = [{} for _ in present]
        for values, logits in (
            (self.network.scene_values, found.scene),
            (self.network.figure_values, described.figure),
        ):
            for name, names in values.items():
                probabilities, numbers = logits[name].float().softmax(1).max(1)
                for row, (probability, number) in enumerate(
                    zip(probabilities.tolist(), numbers.tolist(), strict=True)
                ):
                    known = bool(present[row]) or name in self.network.scene_values
                    attributes[row][name] = names[number] if known else NOBODY
                    confidence[row][name] = probability if known else 0.0
        return Reading(
            parts=parts.cpu(),
            foreground=(found.foreground > 0).cpu(),
            attributes=attributes,
            confidence=confidence,
            embedding=described.embedding.cpu(),
            features=found.features.float().cpu(),
        )


def chosen_figures(found: Tensor, masks: Tensor) -> Tensor:
    """Restrict masks to the predicted foreground, unless they hardly overlap with it.

    Args:
        found: predicted pixels of all figures, bool of shape (n, h, w).
        masks: rough masks of the figures to describe, same shape.
    """
    inside = found & masks
    enough = inside.float().mean((1, 2)) >= SMALLEST_SHARE
    return torch.where(enough[:, None, None], inside, masks)


def _joined(readings: list[Reading]) -> Reading:
    return Reading(
        parts=torch.cat([reading.parts for reading in readings]),
        foreground=torch.cat([reading.foreground for reading in readings]),
        attributes=[values for reading in readings for values in reading.attributes],
        confidence=[values for reading in readings for values in reading.confidence],
        embedding=torch.cat([reading.embedding for reading in readings]),
        features=torch.cat([reading.features for reading in readings]),
    )


def save_judge(network: JudgeNetwork, folder: Path) -> None:
    """Save a judge in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    write_whole(folder / WEIGHTS, lambda partial: save_file(weights, partial))
    configuration = {
        "sizes": asdict(network.sizes),
        "parts": network.parts,
        "scene": network.scene_values,
        "figure": network.figure_values,
    }
    save_json(folder / CONFIGURATION, configuration)


def load_judge(folder: Path, device: str | torch.device = "cpu") -> Judge:
    """Load what `save_judge` saved."""
    configuration = load_json(folder / CONFIGURATION)
    sizes = configuration["sizes"]
    network = JudgeNetwork(
        JudgeSizes(**{**sizes, "finder": tuple(sizes["finder"]), "reader": tuple(sizes["reader"])}),
        configuration["parts"],
        {name: tuple(values) for name, values in configuration["scene"].items()},
        {name: tuple(values) for name, values in configuration["figure"].items()},
    )
    weights = {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
    counters = {
        name: value
        for name, value in network.state_dict().items()
        if name.endswith("num_batches_tracked")
    }
    network.load_state_dict(weights | counters)
    return Judge(network.to(device))
