"""The contact sheet of the README: a story with consistency, its masks, and the same without.

    python -m benchmarks.contact_sheet [--story FILE] [--seed N] [--out FILE]

Three rows: the frames with consistency, the foreground masks that were found on the way, and the
frames from the same prompts and seeds without consistency. Every frame of the story is on it, from
one render. Every frame has a seed of its own, counted up from the first frame's, and the story
leaves much of the character open: what the rows differ in is what consistency does.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from benchmarks.frame_time import requests
from pipelines.events import FrameDone
from pipelines.loading import load_pipeline
from pipelines.registry import find_model
from storyboard.board import Storyboard
from storyboard.files import mask_picture
from storyboard.storyfile import read_story

STORY = Path(__file__).with_name("contact_sheet.yaml")
GAP, TITLE, CAPTION = 8, 24, 44
INK, PAPER = (45, 45, 52), (255, 255, 255)


@dataclass(frozen=True)
class Row:
    """One row of the sheet: its title and its pictures."""

    title: str
    pictures: list[Image.Image]


def paint(board: Storyboard) -> list[Row]:
    """Render a storyboard with and without consistency."""
    spec = find_model(board.settings.model)
    pipeline = load_pipeline(spec)
    done: dict[str, list[FrameDone]] = {}
    for name, request in requests(board).items():
        events = pipeline.stream(request, max_sequence_length=spec.max_sequence_length)
        done[name] = [event for event in events if isinstance(event, FrameDone)]
    kept = done["consistent"]
    return [
        Row("with consistency", [event.image for event in kept]),
        Row("foreground masks", [mask_picture(event.mask, event.image.size) for event in kept]),
        Row("without, same prompts and seeds", [event.image for event in done["plain"]]),
    ]


def compose(rows: list[Row], captions: list[str]) -> Image.Image:
    """Lay rows of pictures of one size out on one sheet, captions below the last row."""
    width, height = rows[0].pictures[0].size
    across, down = width + GAP, height + TITLE + GAP
    sheet = Image.new(
        "RGB", (across * len(captions) + GAP, down * len(rows) + CAPTION + GAP), PAPER
    )
    draw = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(15), ImageFont.load_default(13)
    for number, row in enumerate(rows):
        top = number * down + GAP
        draw.text((GAP, top), row.title, fill=INK, font=font)
        for column, picture in enumerate(row.pictures):
            sheet.paste(picture, (GAP + column * across, top + TITLE - 4))
    for column, caption in enumerate(captions):
        lines = "\n".join(textwrap.wrap(caption, width // 7)[:3])
        draw.text((GAP + column * across, len(rows) * down + 2), lines, fill=INK, font=small)
    return sheet


def main(arguments: list[str] | None = None) -> int:
    """Paint the sheet and write it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.contact_sheet", description="Paint a contact sheet of a story."
    )
    parser.add_argument("--story", type=Path, default=STORY, help="a story file")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the first frame")
    parser.add_argument("--out", type=Path, default=Path("contact-sheet.png"), help="where to")
    options = parser.parse_args(arguments)
    board = read_story(options.story).storyboards[0]
    frames = tuple(
        frame.model_copy(update={"seed": options.seed + number})
        for number, frame in enumerate(board.frames)
    )
    board = board.model_copy(update={"frames": frames})
    captions = [f"{frame.location}, {frame.action}" for frame in board.frames]
    compose(paint(board), captions).save(options.out, optimize=True)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
