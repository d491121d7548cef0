"""Sheet of stories with their masks as outlines and their matches as lines.

White lines are the masks that the pipeline found, yellow ones the truth. A match is a line from a
token of the second frame to its token in the identity frame: green where both show the same part
(head, top, bottom, shoes, prop), red where they do not.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from evaluation.studies.agreement import LABELS, BoolGrid
from evaluation.studies.stories import JudgedPicture, RenderedStory

SCALE = 2
GAP, LEGEND, CAPTION, COLUMNS = 12, 28, 52, 2
LINES = 14  # matches drawn in a story, spread evenly over the figure
INK, PAPER = (45, 45, 52), (255, 255, 255)
MASK, TRUTH, SAME, OTHER = (255, 255, 255), (255, 214, 10), (40, 205, 65), (255, 59, 48)
_LEGEND = {
    MASK: "mask found",
    TRUTH: "truth",
    SAME: "match on the same part",
    OTHER: "match on another part",
}


def match_sheet(stories: Sequence[RenderedStory], threshold: float) -> Image.Image:
    """Draw stories side by side, whose pictures are of one size.

    Matches are drawn whose similarity exceeds the threshold.
    """
    height, width = (SCALE * side for side in stories[0].identity.image.shape[:2])
    across, down = 2 * width + 3 * GAP, height + CAPTION + GAP
    rows = -(-len(stories) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * across, LEGEND + rows * down + GAP), PAPER)
    _draw_legend(ImageDraw.Draw(sheet))
    for number, story in enumerate(stories):
        corner = (number % COLUMNS * across + GAP, LEGEND + number // COLUMNS * down + GAP)
        _draw_story(sheet, story, corner, threshold)
    return sheet


def _draw_legend(pen: ImageDraw.ImageDraw) -> None:
    font, middle = ImageFont.load_default(15), LEGEND // 2 + 4
    x = float(GAP)
    for color, words in _LEGEND.items():
        pen.line((x, middle, x + 28, middle), fill=INK, width=7)
        pen.line((x, middle, x + 28, middle), fill=color, width=5)
        pen.text((x + 36, middle), words, fill=INK, font=font, anchor="lm")
        x += 36 + font.getlength(words) + 28


def _draw_story(
    sheet: Image.Image, story: RenderedStory, corner: tuple[int, int], threshold: float
) -> None:
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    left, top = corner
    height, width = (SCALE * side for side in story.identity.image.shape[:2])
    for index, picture in enumerate((story.identity, story.second)):
        x = left + index * (width + GAP)
        large = Image.fromarray(picture.image).resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(large, (x, top))
        rows, columns = picture.mask.shape
        cell = (width / columns, height / rows)
        _outline(pen, picture.mask, (x, top), cell, INK, thickness=6)
        _outline(pen, picture.mask, (x, top), cell, MASK, thickness=4)
        _outline(pen, picture.truth.foreground, (x, top), cell, TRUTH, thickness=2)
        words = textwrap.wrap(picture.prompt.text, width // 7)[:3]
        pen.text((x, top + height + 2), "\n".join(words), fill=INK, font=font)
    _draw_matches(pen, story, corner, threshold)


def _outline(
    pen: ImageDraw.ImageDraw,
    mask: BoolGrid,
    corner: tuple[int, int],
    cell: tuple[float, float],
    color: tuple[int, int, int],
    *,
    thickness: int,
) -> None:
    """Draw the edges between a mask's tokens and all others, the picture's border included."""
    padded = np.pad(mask, 1)
    upright = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])
    level = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])
    for edges, step in ((upright, (1, 0)), (level, (0, 1))):
        for row, column in edges:
            ends = [
                (corner[0] + c * cell[0], corner[1] + r * cell[1])
                for r, c in ((row, column), (row + step[0], column + step[1]))
            ]
            pen.line(ends, fill=color, width=thickness)


def _draw_matches(
    pen: ImageDraw.ImageDraw, story: RenderedStory, corner: tuple[int, int], threshold: float
) -> None:
    second, identity = story.second, story.identity
    matches = second.matches["render"]
    shown = second.mask & second.truth.foreground & (matches.similarity > threshold)
    tokens = np.argwhere(shown)
    labels = next(iter(LABELS.values()))
    width = SCALE * identity.image.shape[1]
    for row, column in tokens[np.linspace(0, len(tokens) - 1, min(LINES, len(tokens))).astype(int)]:
        there = divmod(int(matches.identity_index[row, column]), identity.mask.shape[1])
        same = (
            identity.truth.foreground[there]
            and labels[identity.truth.parts[there]] == labels[second.truth.parts[row, column]]
        )
        ends = [
            _center(identity, there, corner),
            _center(second, (row, column), (corner[0] + width + GAP, corner[1])),
        ]
        color = SAME if same else OTHER
        pen.line(ends, fill=color, width=2)
        for x, y in ends:
            pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=color, outline=PAPER)


def _center(
    picture: JudgedPicture, token: tuple[int, int], corner: tuple[int, int]
) -> tuple[float, float]:
    """Return the position of a token's middle on the sheet."""
    rows, columns = picture.mask.shape
    height, width = (SCALE * side for side in picture.image.shape[:2])
    return (
        corner[0] + (token[1] + 0.5) * width / columns,
        corner[1] + (token[0] + 0.5) * height / rows,
    )
