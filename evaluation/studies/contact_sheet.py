"""Contact sheets of the README.

    python -m evaluation.studies.contact_sheet [--story FILE] [--seed N] [--out FILE]
    python -m evaluation.studies.contact_sheet --reference NAME [NAME ...] [--model NAME] [--out
    FILE]

The sheet of a story has three rows: the frames with consistency, their foreground masks, and the
frames from the same prompts and seeds without consistency. It shows every frame of the story, from
one render. Every frame has its own seed, counted up from the first frame's, and the story leaves
much of the character open: the rows differ by the effect of consistency.

With --reference, each named character of `assets/evaluation/references-v1.json` (r01, ...) has two
rows of four frames from the same prompts and seeds: conditioned on the reference, with consistency,
and with neither. Where two frames are in one place, they are the first two.
"""

from __future__ import annotations

import argparse
import random
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from evaluation.drawn.scenes import draw_references
from evaluation.rows import REFERENCE_ROWS, frame_ids, requests
from evaluation.suite import REFERENCE_SUITE, Suite, SuiteCharacter, read_suite
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
class SheetRow:
    """Row of the sheet: its title and its pictures."""

    title: str
    pictures: list[Image.Image]


def story_requests(board: Storyboard) -> dict[str, RenderRequest]:
    """Make the requests of a story with and without consistency, with the same seeds."""
    found = {}
    for name, consistent in (("consistent", True), ("plain", False)):
        settings = board.settings.model_copy(update={"consistent": consistent})
        changed = board.model_copy(update={"settings": settings})
        found[name] = plan_render(changed, None, {}, random.Random(0))
    return found


def render_frames(
    pipeline: FluxStoryboardPipeline, request: RenderRequest, context: RenderContext
) -> dict[str, FrameDone]:
    """Render a request and return its targets by their id."""
    events = pipeline.stream(request, context)
    return {event.frame_id: event for event in events if isinstance(event, FrameDone)}


def story_rows(board: Storyboard) -> list[SheetRow]:
    """Render a storyboard with and without consistency."""
    spec = find_model(board.settings.model)
    pipeline = load_pipeline(spec)
    done = {
        name: render_frames(pipeline, request, RenderContext(spec.max_sequence_length)).values()
        for name, request in story_requests(board).items()
    }
    kept = done["consistent"]
    masks = [mask_picture(event.mask, event.image.size) for event in kept]
    return [
        SheetRow("with consistency", [event.image for event in kept]),
        SheetRow("foreground masks", masks),
        SheetRow("without, same prompts and seeds", [event.image for event in done["plain"]]),
    ]


@dataclass(frozen=True)
class ReferenceModel:
    """Model with its character adapter."""

    spec: ModelSpec
    pipeline: FluxStoryboardPipeline
    subject: SubjectBundle


def shown_frames(case: SuiteCharacter) -> list[int]:
    """Return the indices of four frames, those in one place first."""
    together: list[int] = []
    for index in range(len(case.frames)):
        source = case.place_source(index)
        if source is not None:
            together += [source, index]
    alone = [index for index in range(len(case.frames)) if index not in together]
    return [*together, *alone][:REFERENCE_FRAMES]


def reference_rows(
    model: ReferenceModel, suite: Suite, case: SuiteCharacter, reference: Reference
) -> list[SheetRow]:
    """Render a character of the suite with its reference and consistency, and with neither."""
    spec, rows = model.spec, (BOTH, NEITHER)
    pictures = {reference.name: reference.image}
    context = RenderContext(spec.max_sequence_length, model.subject, pictures)
    done: dict[str, FrameDone] = {}
    missing = frame_ids(case, rows)
    for request in requests(suite, case, rows, spec, spec.steps, missing, reference.name):
        done |= render_frames(model.pipeline, request, context)
    size = (suite.width, suite.height)
    conditioned = "the reference, and frames conditioned on it, with consistency"
    return [
        SheetRow(title, [first, *(done[row.frame_id(index)].image for index in shown_frames(case))])
        for row, title, first in (
            (BOTH, conditioned, framed(reference.image, size)),
            (NEITHER, "neither, same prompts and seeds", Image.new("RGB", size, PAPER)),
        )
    ]


def framed(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Put a reference in the middle of a white picture of another size, with a line around it."""
    figure = ImageOps.pad(picture, (size[0] - 2 * INSET, size[1] - 2 * INSET), color=PAPER)
    whole = Image.new("RGB", size, PAPER)
    whole.paste(figure, (INSET, INSET))
    ImageDraw.Draw(whole).rectangle((0, 0, size[0] - 1, size[1] - 1), outline=EDGE)
    return whole


def stacked(sheets: Sequence[Image.Image]) -> Image.Image:
    """Stack sheets of one width, one below the other."""
    return Image.fromarray(np.concatenate([np.asarray(sheet) for sheet in sheets]))


def compose(rows: list[SheetRow], captions: list[str]) -> Image.Image:
    """Compose rows of pictures of one size on one sheet, captions below the last row."""
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
    """Draw the sheet of a story file, its frames' seeds counted up from `seed`."""
    board = read_story(story).storyboards[0]
    frames = tuple(
        frame.model_copy(update={"seed": seed + number})
        for number, frame in enumerate(board.frames)
    )
    board = board.model_copy(update={"frames": frames})
    captions = [f"{frame.location}, {frame.action}" for frame in board.frames]
    return compose(story_rows(board), captions)


def reference_sheet(names: Sequence[str], model_name: str) -> Image.Image:
    """Draw the sheet of some characters of the suite of references.

    Raises:
        SystemExit: if the model cannot use references, or the suite lacks a character.
    """
    suite = read_suite(REFERENCE_SUITE)
    known = {case.name: case for case in suite.characters}
    for name in names:
        if name not in known:
            sys.exit(f"There is no character {name!r}; there are {', '.join(known)}.")
    cases = [known[name] for name in names]
    spec = find_model(model_name)
    if spec.character_adapter is None:
        sys.exit(f"{spec.title} cannot use references.")
    pipeline = load_pipeline(spec)
    model = ReferenceModel(spec, pipeline, load_character_adapter(spec, pipeline))
    references, sheets = draw_references(cases), []
    for case in cases:
        prompts = [case.frames[index].prompt for index in shown_frames(case)]
        captions = [f"{prompt.background} {prompt.action}" for prompt in prompts]
        rows = reference_rows(model, suite, case, references[case.name])
        sheets.append(compose(rows, [prompts[0].character.rstrip(","), *captions]))
    return stacked(sheets)


def main(arguments: list[str] | None = None) -> int:
    """Draw a sheet and write it."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.studies.contact_sheet",
        description="Draw a contact sheet of a story, or of characters with references.",
    )
    add = parser.add_argument
    add("--story", type=Path, default=STORY, help="a story file")
    add("--seed", type=int, default=1, help="the seed of the story's first frame")
    add("--reference", nargs="+", metavar="NAME", help="characters of the suite of references")
    add("--model", default="miniature", help="renders these; a name or a folder")
    add("--out", type=Path, default=Path("contact-sheet.png"), help="where to")
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
