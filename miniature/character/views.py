"""Reference pictures as tensors, with the views and the encoding of `SubjectEncoders`.

`SubjectEncoders` prepares pictures one after another as it encodes them. In training the views are
prepared separately, in threads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import BitImageProcessorPil, SiglipImageProcessorPil

from pipelines.instant_character.config import EncoderConfig
from pipelines.instant_character.encoders import SubjectEncoders, SubjectFeatures, picture_views
from training.parallel import mapped

_LEVELS = 255


@dataclass(frozen=True)
class PictureViews:
    """Views of n pictures for the encoders.

    Attributes:
        low: the whole pictures, uint8 of shape (n, side, side, 3).
        crops: the enlarged ones in pieces, uint8 of shape (n, crops, side, side, 3).
    """

    low: Tensor
    crops: Tensor

    def to(self, device: torch.device) -> "PictureViews":
        """Move the views to a device."""
        return PictureViews(self.low.to(device), self.crops.to(device))


def views_of(
    pictures: Sequence[NDArray[np.uint8]], config: EncoderConfig, threads: int = 1
) -> PictureViews:
    """Prepare RGB pictures, uint8 (h, w, 3) of any sizes, small as a whole and large in crops."""
    views = mapped(lambda p: picture_views(Image.fromarray(p), config), pictures, threads)
    low = np.stack([np.asarray(view.low) for view in views])
    crops = np.stack([[np.asarray(crop) for crop in view.crops] for view in views])
    return PictureViews(torch.from_numpy(low), torch.from_numpy(crops))


def normalised(
    pictures: Tensor,
    processor: SiglipImageProcessorPil | BitImageProcessorPil,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Normalise uint8 pictures (n, h, w, 3) for an encoder, in float32; shape (n, 3, h, w)."""
    device = pictures.device
    mean = torch.tensor(processor.image_mean, device=device)
    deviation = torch.tensor(processor.image_std, device=device)
    return ((pictures / _LEVELS - mean) / deviation).permute(0, 3, 1, 2).to(dtype)


def encode_views(encoders: SubjectEncoders, views: PictureViews) -> SubjectFeatures:
    """Encode prepared views; equal to the features of `SubjectEncoders`."""
    config, count = encoders.config, len(views.low)
    dtype = encoders.siglip.dtype
    shallow: list[Tensor] = []
    deep: list[Tensor] = []
    for pictures, with_layers in ((views.low, True), (views.crops.flatten(0, 1), False)):
        siglip = encoders.siglip(
            normalised(pictures, encoders.siglip_processor, dtype),
            output_hidden_states=with_layers,
        )
        dino = encoders.dino(
            normalised(pictures, encoders.dino_processor, dtype),
            output_hidden_states=with_layers,
        )
        deep.append(torch.cat([siglip.last_hidden_state, dino.last_hidden_state[:, 1:]], -1))
        if with_layers:
            shallow = [
                torch.cat([siglip.hidden_states[i], dino.hidden_states[k][:, 1:]], -1)
                for i, k in zip(config.siglip_layers, config.dino_layers, strict=True)
            ]
    return SubjectFeatures(
        low_shallow=torch.cat(shallow, 1),
        low_deep=deep[0],
        high_deep=deep[1].unflatten(0, (count, -1)).flatten(1, 2),
    )
