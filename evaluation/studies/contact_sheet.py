"""The contact sheets of the README.

    python -m evaluation.studies.contact_sheet [--story FILE] [--seed N] [--out FILE]
    python -m evaluation.studies.contact_sheet --reference NAME [NAME ...] [--model NAME] [--out
    FILE]

A story has three rows: the frames with consistency, the foreground masks that were found on the
way, and the frames from the same prompts and seeds without consistency. Every frame of the story is
on it, from one render. Every frame has a seed of its own, counted up from the first frame's, and
the story leaves much of the character open: what the rows differ in is what consistency does.

With --reference, each character of `assets/evaluation/references-v1.json` that is named (r01, ...)
has two rows of four frames from the same prompts and seeds: following the reference, with
consistency, and with neither. Where two frames are in one place, they are the first two.
"""

from __future__ import annotations

import argparse
import random
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from evaluation.__main__ import REFERENCE_SUITE
from evaluation.drawn.scenes import draw_references
from evaluation.rows import REFERENCE_ROWS, frame_ids
from evaluation.rows import requests as row_requests
from evaluation.suite import Suite, SuiteCharacter, read_suite
from pipelines.events import FrameDone
from pipelines.flux1.pipeline import FluxStoryboardPipeline
from pipelines.instant_character.bundle import SubjectBundle
from pipelines.loading.character import load_character_adapter
from pipelines.loading.model import load_pipeline
from pipelines.models.catalog import find_model
from pipelines.models.specs import ModelSpec
from pipelines.pictures import Reference, mask_picture
from pipelines.request import RenderRequest
from pipelines.sampling.context import RenderContext
from storyboard.board import Storyboard
from storyboard.importing.story_file import read_story
from storyboard.planning import plan_render

STORY = Path(__file__).with_name("contact_sheet.yaml")
GAP, TITLE, CAPTION, INSET = 8, 24, 44, 14
INK, PAPER, EDGE = (45, 45, 52), (255, 255, 255), (205, 205, 212)
REFERENCE_FRAMES = 4
NEITHER, BOTH = REFERENCE_ROWS[0], REFERENCE_ROWS[-1]


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
        events = pipeline.stream(
            request, RenderContext(max_sequence_length=spec.max_sequence_length)
        )
        done[name] = [event for event in events if isinstance(event, FrameDone)]
    kept = done["consistent"]
    return [
        Row("with consistency", [event.image for event in kept]),
        Row("foreground masks", [mask_picture(event.mask, event.image.size) for event in kept]),
        Row("without, same prompts and seeds", [event.image for event in done["plain"]]),
    ]


@dataclass(frozen=True)
class Follower:
    """A model that follows references."""

    spec: ModelSpec
    pipeline: FluxStoryboardPipeline
    subject: SubjectBundle


def load_follower(model: str) -> Follower:
    """Load a model and what it follows references with.

    Raises:
        SystemExit: if it cannot follow any.
    """
    spec = find_model(model)
    if spec.character_adapter is None:
        sys.exit(f"{spec.title} cannot follow references.")
    pipeline = load_pipeline(spec)
    return Follower(spec, pipeline, load_character_adapter(spec, pipeline))


def shown_frames(case: SuiteCharacter) -> list[int]:
    """Indices of four frames, those in one place first."""
    together: list[int] = []
    for index in range(len(case.frames)):
        source = case.place_source(index)
        if source is not None:
            together += [source, index]
    alone = [index for index in range(len(case.frames)) if index not in together]
    return [*together, *alone][:REFERENCE_FRAMES]


def paint_reference(
    follower: Follower, suite: Suite, case: SuiteCharacter, reference: Reference
) -> list[Row]:
    """Render a character of the suite with its reference and consistency, and with neither."""
    spec, rows = follower.spec, (BOTH, NEITHER)
    done: dict[str, Image.Image] = {}
    wanted = frame_ids(case, rows)
    for request in row_requests(suite, case, rows, spec, spec.steps, wanted, reference.name):
        events = follower.pipeline.stream(
            request,
            RenderContext(
                max_sequence_length=spec.max_sequence_length,
                character=follower.subject,
                pictures={reference.name: reference.image},
            ),
        )
        done |= {e.frame_id: e.image for e in events if isinstance(e, FrameDone)}
    size = (suite.width, suite.height)
    return [
        Row(title, [first, *(done[row.frame_id(index)] for index in shown_frames(case))])
        for row, title, first in (
            (
                BOTH,
                "the reference, and frames that follow it, with consistency",
                framed(reference.image, size),
            ),
            (NEITHER, "neither, same prompts and seeds", Image.new("RGB", size, PAPER)),
        )
    ]


def framed(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A reference in the middle of a white picture of another size, with a line around it."""
    figure = ImageOps.pad(picture, (size[0] - 2 * INSET, size[1] - 2 * INSET), color=PAPER)
    whole = Image.new("RGB", size, PAPER)
    whole.paste(figure, (INSET, INSET))
    ImageDraw.Draw(whole).rectangle((0, 0, size[0] - 1, size[1] - 1), outline=EDGE)
    return whole


def stacked(sheets: Sequence[Image.Image]) -> Image.Image:
    """Sheets of one width, one below the other."""
    whole = Image.new("RGB", (sheets[0].width, sum(sheet.height for sheet in sheets)), PAPER)
    top = 0
    for sheet in sheets:
        whole.paste(sheet, (0, top))
        top += sheet.height
    return whole


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
        lines = "\n".join(textwrap.wrap(caption, width // 7, max_lines=3, placeholder=" …"))
        draw.text((GAP + column * across, len(rows) * down + 2), lines, fill=INK, font=small)
    return sheet


def story_sheet(story: Path, seed: int) -> Image.Image:
    """The sheet of a story file, its frames' seeds counted up from one."""
    board = read_story(story).storyboards[0]
    frames = tuple(
        frame.model_copy(update={"seed": seed + number})
        for number, frame in enumerate(board.frames)
    )
    board = board.model_copy(update={"frames": frames})
    captions = [f"{frame.location}, {frame.action}" for frame in board.frames]
    return compose(paint(board), captions)


def reference_sheet(names: Sequence[str], model: str) -> Image.Image:
    """The sheet of some characters of the suite of references.

    Raises:
        SystemExit: if the model cannot follow references, or somebody is not in the suite.
    """
    suite = read_suite(REFERENCE_SUITE)
    known = {case.name: case for case in suite.characters}
    for name in names:
        if name not in known:
            sys.exit(f"There is no character {name!r}; there are {', '.join(known)}.")
    cases = [known[name] for name in names]
    follower, references = load_follower(model), draw_references(cases)
    sheets = []
    for case in cases:
        prompts = [case.frames[index].prompt for index in shown_frames(case)]
        captions = [
            prompts[0].character.rstrip(","),
            *(f"{p.background} {p.action}" for p in prompts),
        ]
        rows = paint_reference(follower, suite, case, references[case.name])
        sheets.append(compose(rows, captions))
    return stacked(sheets)


def main(arguments: list[str] | None = None) -> int:
    """Paint a sheet and write it."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.studies.contact_sheet",
        description="Paint a contact sheet of a story, or of characters known from references.",
    )
    parser.add_argument("--story", type=Path, default=STORY, help="a story file")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the story's first frame")
    parser.add_argument(
        "--reference", nargs="+", metavar="NAME", help="characters of the suite of references"
    )
    parser.add_argument("--model", default="miniature", help="paints these; a name or a folder")
    parser.add_argument("--out", type=Path, default=Path("contact-sheet.png"), help="where to")
    options = parser.parse_args(arguments)
    if options.reference:
        sheet = reference_sheet(options.reference, options.model)
    else:
        sheet = story_sheet(options.story, options.seed)
    sheet.save(options.out, optimize=True)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())


def requests(board: Storyboard) -> dict[str, RenderRequest]:
    """The story with and without consistency, with the same seeds."""
    found = {}
    for name, consistent in (("consistent", True), ("plain", False)):
        settings = board.settings.model_copy(update={"consistent": consistent})
        changed = board.model_copy(update={"settings": settings})
        found[name] = plan_render(changed, None, {}, random.Random(0))
    return found
