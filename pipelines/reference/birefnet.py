"""Matting by BiRefNet, a network that is trained to cut things out of photographs.

"Bilateral Reference for High-Resolution Dichotomous Image Segmentation" (Zheng et al., CAAI AIR
2024). transformers has no class for it: the network's code is in its repository, is downloaded with
the weights, and runs only where the caller allows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pipelines.errors import ModelError
from pipelines.models.catalog import BIREFNET
from pipelines.reference.matting import Mask

if TYPE_CHECKING:
    from torch import nn

_SIDE = 1024  # pixels; the size at which it was trained
_MEAN = np.array((0.485, 0.456, 0.406), np.float32)  # of ImageNet
_DEVIATION = np.array((0.229, 0.224, 0.225), np.float32)


class BiRefNetMatting:
    """Matting by a network with BiRefNet's inputs and outputs.

    Args:
        network: takes pictures of shape (batch, 3, height, width), normalised as for ImageNet, and
            returns maps, the last of them log-odds of shape (batch, 1, height, width).
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network.eval()

    @classmethod
    def load(
        cls,
        source: str = BIREFNET.source,
        *,
        run_remote_code: bool = False,
        revision: str = BIREFNET.revision,
        device: str = "cpu",
    ) -> BiRefNetMatting:
        """Load the network, from the cache where it was downloaded before.

        Args:
            source: a repository of the hub, or a folder.
            run_remote_code: whether the Python code in the source may run on this machine.
            revision: commit of the repository, which fixes the code; also a branch or a tag.
            device: torch's name of the device that computes.

        Raises:
            ModelError: if its code may not run, needs packages that are not installed, or the
                network cannot be read or downloaded.
        """
        if not run_remote_code:
            raise ModelError(
                f"{source} brings its own Python code, which would run with your rights.",
                f"Read it at https://huggingface.co/{source}/tree/{revision} and allow it "
                "(run_remote_code=True), or use the built-in matting.",
            )
        import torch
        from transformers import AutoModelForImageSegmentation

        try:
            network, report = AutoModelForImageSegmentation.from_pretrained(
                source,
                trust_remote_code=True,
                revision=revision,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except ImportError as error:
            raise ModelError(
                f"The code of {source} needs packages that are not installed: "
                f"{' '.join(str(error).split())}",
                f"Install {', '.join(BIREFNET.packages)}, or use the built-in matting.",
            ) from error
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{source} cannot be loaded: {' '.join(str(error).split())}",
                "Check the connection and the name, or use the built-in matting.",
            ) from error
        missing = sorted(report["missing_keys"])
        if missing:  # transformers would use random numbers
            raise ModelError(
                f"{source} lacks {len(missing)} of its weights, such as {missing[0]}.",
                "Get its files again, or use the built-in matting.",
                "broken",
            )
        return cls(network.to(device))

    def mask(self, image: Image.Image) -> Mask:
        """Return the figure's mask; see `built_in_mask`.

        The picture is stretched to the square that the network was trained on, the mask back.

        Raises:
            ModelError: if the network computes values that are no numbers.
        """
        import torch

        parameter = next(self._network.parameters())
        square = image.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
        values = (np.asarray(square, np.float32) / 255 - _MEAN) / _DEVIATION
        pixels = torch.from_numpy(values.transpose(2, 0, 1)[None].copy())
        with torch.inference_mode():
            log_odds = self._network(pixels.to(parameter.device, parameter.dtype))[-1]
            likely = log_odds[0, 0].float().sigmoid().cpu().numpy()
        if not np.isfinite(likely).all():
            raise ModelError(
                "The network that cuts out the figure computed values that are no numbers.",
                "Get its files again, or use the built-in matting.",
                "broken",
            )
        found = Image.fromarray(np.round(likely * 255).astype(np.uint8))
        return np.asarray(found.resize(image.size, Image.Resampling.BILINEAR), np.uint8)
