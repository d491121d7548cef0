"""Prepare a reference from an uploaded picture; libraries are imported at the first call."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import NoFigureFound, PictureError
from pipelines.pictures import LARGEST_SIDE, FindFigure, Reference

if TYPE_CHECKING:
    from PIL import Image

    from pipelines.reference.matting import Mask


def prepare_reference(
    picture: bytes | Path | Image.Image,
    mask: Image.Image | None = None,
    added: Image.Image | None = None,
    removed: Image.Image | None = None,
    find: FindFigure | None = None,
) -> Reference:
    """Cut the figure out of a picture and put it on white; see `pictures.PrepareReference`."""
    import numpy as np
    from PIL import Image

    from pipelines.reference.matting import built_in_mask
    from pipelines.reference.opening import open_picture
    from pipelines.reference.preparing import apply_strokes, put_on_white

    source = picture if isinstance(picture, Image.Image) else open_picture(picture)

    def opacity(strokes: Image.Image | None) -> Mask:
        if strokes is None:
            return np.zeros((source.height, source.width), np.uint8)
        return np.asarray(strokes, np.uint8)

    if mask is None and find is not None:
        mask = find(source)
    if mask is None:
        found = built_in_mask(source)
    else:
        found = np.asarray(mask, np.uint8)
    found = apply_strokes(found, opacity(added), opacity(removed))
    whole = Image.fromarray(found)
    try:
        prepared = put_on_white(source, found)
    except PictureError as error:
        raise NoFigureFound(error.problem, source, whole) from error
    prepared.image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.LANCZOS)
    return Reference(prepared.image, source, whole, prepared.doubt)
