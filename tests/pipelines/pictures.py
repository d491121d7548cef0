"""Reference pictures for tests: a plain figure on a plain ground."""

from __future__ import annotations

from PIL import Image, ImageDraw

from pipelines.pictures import Reference

Colour = tuple[int, int, int]
BOX = (40, 24, 80, 112)


def drawing(colour: Colour = (200, 30, 30)) -> Image.Image:
    """A picture of 120 x 128 pixels: a block of one colour before a pale ground."""
    picture = Image.new("RGB", (120, 128), (225, 235, 240))
    left, top, right, bottom = BOX
    ImageDraw.Draw(picture).rectangle((left, top, right - 1, bottom - 1), fill=colour)
    return picture


def mask_of_drawing() -> Image.Image:
    """The block's mask."""
    mask = Image.new("L", (120, 128))
    mask.paste(255, BOX)
    return mask


def reference(colour: Colour = (200, 30, 30), doubt: str = "") -> Reference:
    """The block on white, made by hand."""
    image = Image.new("RGB", (88, 88), (255, 255, 255))
    image.paste(colour, (24, 0, 64, 88))
    return Reference(image, drawing(colour), mask_of_drawing(), doubt)
