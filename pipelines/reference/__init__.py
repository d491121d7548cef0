"""Preparing a picture of a character: open it, find the figure, mend the mask, put it on white.

    picture = open_picture(path)
    mask = built_in_matting(picture).mask(picture)
    reference = prepare_reference(picture, mend(mask, added, removed))

Knows nothing of the networks that look at the reference. Only `BiRefNetMatting` needs torch, and
imports it when it is used.
"""

from pipelines.reference.birefnet import BiRefNetMatting, MattingUnavailable
from pipelines.reference.matting import (
    AlphaMatting,
    GrabCutMatting,
    Mask,
    Matting,
    built_in_matting,
)
from pipelines.reference.opening import UnusablePicture, open_picture
from pipelines.reference.preparing import PreparedReference, mend, prepare_reference

__all__ = [
    "AlphaMatting",
    "BiRefNetMatting",
    "GrabCutMatting",
    "Mask",
    "Matting",
    "MattingUnavailable",
    "PreparedReference",
    "UnusablePicture",
    "built_in_matting",
    "mend",
    "open_picture",
    "prepare_reference",
]
