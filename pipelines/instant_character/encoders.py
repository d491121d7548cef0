"""Features of a character's picture from two encoders side by side: SigLIP and DINOv2.

Takes prepared pictures (the character alone on white ground). Knows nothing of matting, and
nothing of what the features are used for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import (
    BitImageProcessorPil,
    Dinov2Model,
    SiglipImageProcessorPil,
    SiglipVisionModel,
)

from pipelines.instant_character.config import EncoderConfig

Model = TypeVar("Model", SiglipVisionModel, Dinov2Model)


@dataclass(frozen=True)
class SubjectFeatures:
    """Features of one or several pictures; SigLIP's channels come first, then DINOv2's.

    Attributes:
        low_shallow: inner layers' hidden states of the whole picture, layer after layer along the
            tokens, shape (pictures, layers * patches, channels).
        low_deep: last hidden state of the whole picture, shape (pictures, patches, channels).
        high_deep: last hidden states of the crops of the enlarged picture, crop after crop along
            the tokens, shape (pictures, crops * patches, channels).
    """

    low_shallow: Tensor
    low_deep: Tensor
    high_deep: Tensor

    @property
    def pictures(self) -> int:
        """Number of pictures."""
        return self.low_deep.shape[0]

    def to(self, device: torch.device, dtype: torch.dtype) -> SubjectFeatures:
        """Return the same features on another device, in another type."""
        features = (self.low_shallow, self.low_deep, self.high_deep)
        return SubjectFeatures(*(tensor.to(device, dtype) for tensor in features))


@dataclass(frozen=True)
class Views:
    """Picture at the two sizes at which it is encoded, each of the encoders' side.

    Attributes:
        low: the whole picture.
        crops: the enlarged picture, cut up row by row.
    """

    low: Image.Image
    crops: tuple[Image.Image, ...]


def picture_views(picture: Image.Image, config: EncoderConfig) -> Views:
    """Stretch a picture to a square; return it small as a whole and large in crops.

    Both sizes come from a first square of the picture's longer side; every resize is bicubic.

    Args:
        picture: an RGB picture. One that is not square is stretched.
        config: the side and the number of crops.

    Raises:
        ValueError: if the picture is not RGB.
    """
    if picture.mode != "RGB":
        raise ValueError(f"the picture's mode is {picture.mode}, not RGB")
    longer, side = max(picture.size), config.side
    square = picture.resize((longer, longer), Image.Resampling.BICUBIC)
    large = config.regions * side
    high = square.resize((large, large), Image.Resampling.BICUBIC)
    corners = [(left, top) for top in range(0, large, side) for left in range(0, large, side)]
    return Views(
        low=square.resize((side, side), Image.Resampling.BICUBIC),
        crops=tuple(high.crop((x, y, x + side, y + side)) for x, y in corners),
    )


class SubjectEncoders(nn.Module):
    """SigLIP and DINOv2, with processors that normalise pixels (their sizes are not used)."""

    def __init__(
        self,
        siglip: SiglipVisionModel,
        dino: Dinov2Model,
        siglip_processor: SiglipImageProcessorPil,
        dino_processor: BitImageProcessorPil,
        config: EncoderConfig | None = None,
    ) -> None:
        super().__init__()
        self.config = config or EncoderConfig()
        for name, model, layers in (
            ("SigLIP", siglip, self.config.siglip_layers),
            ("DINOv2", dino, self.config.dino_layers),
        ):
            if max(layers) > model.config.num_hidden_layers:
                raise ValueError(
                    f"hidden state {max(layers)} of a {name} with "
                    f"{model.config.num_hidden_layers} layers"
                )
        self.siglip, self.siglip_processor = siglip, siglip_processor
        self.dino, self.dino_processor = dino, dino_processor

    @classmethod
    def from_pretrained(
        cls,
        siglip: str | PathLike[str],
        dino: str | PathLike[str],
        *,
        config: EncoderConfig | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> SubjectEncoders:
        """Load both encoders, each from a folder or a Hugging Face repository.

        Raises:
            ValueError: if a weight is missing, or the encoders do not fit the config.
            OSError: if a file is missing or cannot be read.
        """
        siglip_model, siglip_processor = load_siglip(siglip, dtype)
        dino_model, dino_processor = load_dino(dino, dtype)
        encoders = cls(siglip_model, dino_model, siglip_processor, dino_processor, config)
        return encoders.eval()

    @property
    def width(self) -> int:
        """Channels of the features."""
        return int(self.siglip.config.hidden_size + self.dino.config.hidden_size)

    def pixels(self, pictures: Sequence[Image.Image]) -> tuple[Tensor, Tensor]:
        """Return the inputs of SigLIP and of DINOv2, each float32 (pictures, 3, side, side)."""
        plain = {"do_resize": False, "do_convert_rgb": False, "return_tensors": "pt"}
        siglip = self.siglip_processor(list(pictures), **plain)
        dino = self.dino_processor(list(pictures), do_center_crop=False, **plain)
        return siglip["pixel_values"], dino["pixel_values"]

    @torch.no_grad()
    def forward(self, pictures: Sequence[Image.Image]) -> SubjectFeatures:
        """Encode one or several prepared pictures.

        Args:
            pictures: RGB pictures of any sizes; those that are not square are stretched.

        Returns:
            Their features, on the encoders' device and in their type.

        Raises:
            ValueError: if there is no picture, or one is not RGB.
        """
        if not pictures:
            raise ValueError("no pictures to encode")
        views = [picture_views(picture, self.config) for picture in pictures]
        low = [view.low for view in views]
        crops = [crop for view in views for crop in view.crops]
        shallow, deep = self._encode(low, with_layers=True)
        _, regions = self._encode(crops, with_layers=False)
        return SubjectFeatures(
            low_shallow=torch.cat(shallow, dim=1),
            low_deep=deep,
            high_deep=regions.unflatten(0, (len(views), -1)).flatten(1, 2),
        )

    def _encode(
        self, pictures: list[Image.Image], *, with_layers: bool
    ) -> tuple[list[Tensor], Tensor]:
        """Return chosen states (none without `with_layers`) and the last, less DINO's CLS."""
        device, dtype = self.siglip.device, self.siglip.dtype
        siglip_pixels, dino_pixels = self.pixels(pictures)
        siglip = self.siglip(siglip_pixels.to(device, dtype), output_hidden_states=with_layers)
        dino = self.dino(dino_pixels.to(device, dtype), output_hidden_states=with_layers)
        layers: list[Tensor] = []
        if with_layers:
            chosen = zip(self.config.siglip_layers, self.config.dino_layers, strict=True)
            layers = [
                torch.cat([siglip.hidden_states[i], dino.hidden_states[k][:, 1:]], dim=-1)
                for i, k in chosen
            ]
        deep = torch.cat([siglip.last_hidden_state, dino.last_hidden_state[:, 1:]], dim=-1)
        return layers, deep


def load_siglip(
    source: str | PathLike[str], dtype: torch.dtype
) -> tuple[SiglipVisionModel, SiglipImageProcessorPil]:
    """Load SigLIP's vision model, also from a file with its text model, and its processor."""
    model = _complete(SiglipVisionModel, source, dtype)
    return model, SiglipImageProcessorPil.from_pretrained(source)


def load_dino(
    source: str | PathLike[str], dtype: torch.dtype
) -> tuple[Dinov2Model, BitImageProcessorPil]:
    """Load DINOv2 and its processor."""
    return _complete(Dinov2Model, source, dtype), BitImageProcessorPil.from_pretrained(source)


def _complete(kind: type[Model], source: str | PathLike[str], dtype: torch.dtype) -> Model:
    """Load a model strictly: transformers would initialise missing weights at random."""
    model, report = kind.from_pretrained(source, dtype=dtype, output_loading_info=True)
    missing = sorted(report["missing_keys"])
    if missing:
        raise ValueError(f"{source} lacks {len(missing)} weights, such as {missing[0]}")
    loaded: Model = model
    return loaded
