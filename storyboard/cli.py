"""The command line: `python -m storyboard COMMAND`, also installed as `throughline`.

Exit codes: 0 done; 2 bad usage or a bad story file; 1 another fault that a person can mend;
130 stopped by Ctrl-C. Faults are one line on stderr.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from pipelines.registry import MODELS, UnknownModelError, find_model
from storyboard import __version__
from storyboard.board import MAX_GUIDANCE, MAX_SEED, MIN_GUIDANCE, RenderSettings, Storyboard
from storyboard.errors import StoryFileError, UserError
from storyboard.evaluation.command import evaluate, parse_rows
from storyboard.evaluation.rows import ROWS
from storyboard.planning import plan_render
from storyboard.settings import Settings
from storyboard.storyfile import EXAMPLE_STORY, Story, parse_size, read_story

DONE, FAULT, BAD_USAGE, INTERRUPTED = 0, 1, 2, 130

_DESCRIPTION = "Make storyboards whose character stays the same from frame to frame."
_RENDER_DESCRIPTION = """\
Paint the frames of a story file into a folder.

STORY is a YAML file (`python -m storyboard new story.yaml` writes one to start from), or a text
file with a line `background#character#action` for each frame; there a blank line begins a new
storyboard, which is painted into a folder of its own.
"""
_EVALUATE_DESCRIPTION = """\
Paint the evaluation suite in several ways and score the pictures.

What was painted stays in DIR, and the same command goes on where it was stopped. The tables go to
stdout and, with --page, into a page between the lines

    <!-- evaluation: begin -->
    <!-- evaluation: end -->
"""


class UsageError(UserError):
    """The command cannot mean what was typed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what was typed after the program's name; None for `sys.argv`.

    Returns:
        The exit code.
    """
    parsed = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = parsed.command
    try:
        return command(parsed)
    except (StoryFileError, UsageError) as error:
        print(f"throughline: {error}", file=sys.stderr)
        return BAD_USAGE
    except UserError as error:
        print(f"throughline: {error}", file=sys.stderr)
        return FAULT
    except KeyboardInterrupt:
        print("throughline: stopped", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="throughline", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"Throughline {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    render = commands.add_parser(
        "render",
        help="paint the frames of a story file",
        description=_RENDER_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    render.set_defaults(command=_render)
    render.add_argument("story", metavar="STORY", type=Path, help="the story file")
    render.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder for the pictures"
    )
    render.add_argument(
        "--overwrite", action="store_true", help="write into DIR although it is not empty"
    )
    render.add_argument(
        "--save-masks", action="store_true", help="also write the foreground masks, to DIR/masks"
    )
    render.add_argument(
        "--model", metavar="NAME", help="a name of `models`, a folder, or a repository (owner/name)"
    )
    render.add_argument(
        "--size", metavar="WxH", type=_argument(parse_size, "size"), help="pixels, as 768x512"
    )
    render.add_argument(
        "--steps", metavar="N", type=_whole(1, 200), help="denoising steps, 1 to 200"
    )
    render.add_argument(
        "--guidance",
        metavar="N",
        type=_number(MIN_GUIDANCE, MAX_GUIDANCE),
        help="how closely pictures follow the words, 1 to 10; for models that have learnt it",
    )
    render.add_argument(
        "--seed", metavar="N", type=_whole(0, MAX_SEED), help="the seed of every frame"
    )
    render.add_argument(
        "--no-merge", action="store_true", help="do not merge matched tokens of the character"
    )
    together = render.add_mutually_exclusive_group()
    together.add_argument(
        "--share-background", action="store_true", help="keep the first frame's place in all frames"
    )
    together.add_argument(
        "--plain", action="store_true", help="paint every frame by itself, without consistency"
    )

    new = commands.add_parser(
        "new", help="write an example story file", description="Write an example story file."
    )
    new.set_defaults(command=_new)
    new.add_argument("file", metavar="FILE", type=Path, help="where; must not exist yet")

    models = commands.add_parser(
        "models",
        help="list the models that can paint",
        description="List the models, their licences, and whether they can paint on this machine.",
    )
    models.set_defaults(command=_models)
    _add_evaluate(commands.add_parser)
    return parser


def _add_evaluate(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    command = add_parser(
        "evaluate",
        help="measure how well a model keeps characters and follows prompts",
        description=_EVALUATE_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(command=_evaluate)
    command.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder for pictures and results"
    )
    command.add_argument(
        "--page", metavar="FILE", type=Path, help="also put the tables into this page"
    )
    command.add_argument(
        "--characters",
        metavar="N",
        type=_whole(0, 1000),
        help="paint the first N characters; all if left out",
    )
    command.add_argument(
        "--prompts",
        metavar="N",
        type=_whole(0, 1000),
        help="paint the first N single prompts; all if left out",
    )
    command.add_argument(
        "--rows",
        metavar="NAMES",
        type=_argument(parse_rows, "rows"),
        default=ROWS,
        help=f"ways to paint, as {','.join(row.name for row in ROWS)} (all)",
    )
    command.add_argument("--model", metavar="NAME", help="as for `render`")
    command.add_argument(
        "--steps", metavar="N", type=_whole(1, 200), help="denoising steps, 1 to 200"
    )
    command.add_argument(
        "--workers",
        metavar="N",
        type=_whole(1, 64),
        default=1,
        help="processes that paint side by side",
    )


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text) if text.isdecimal() else -1
        if not lowest <= number <= highest:
            raise ValueError(f"{text!r} is not a whole number from {lowest} to {highest}")
        return number

    return _argument(parse, "number")


def _number(lowest: float, highest: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not lowest <= number <= highest:
            raise ValueError(f"{text!r} is not a number from {lowest} to {highest}")
        return number

    return _argument(parse, "number")


def _argument(parse: Callable[[str], Any], name: str) -> Callable[[str], Any]:
    """The same for argparse, which drops a ValueError's words."""

    def wrapped(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    wrapped.__name__ = name
    return wrapped


def _render(arguments: argparse.Namespace) -> int:
    settings = Settings.from_environment(os.environ)
    story = read_story(arguments.story)
    _check_folder(arguments.out, arguments.overwrite)
    boards = [_adapted(board, story, arguments) for board in story.storyboards]
    rng = random.Random()
    share_all: bool = arguments.share_background

    from storyboard.batch import Batch, Group
    from storyboard.engine import Engine
    from storyboard.terminal import ProgressBar

    groups = [Group(b, plan_render(b, None, {}, rng, share_all)) for b in boards]
    with _stop_on_interrupt() as stop, ProgressBar(groups) as bar:
        batch = Batch(groups, arguments.out, arguments.save_masks, bar.show, stop.is_set)
        finished = batch.run(Engine(settings))
    if not finished:
        print(f"throughline: stopped; what is done is in {arguments.out}", file=sys.stderr)
        return INTERRUPTED
    print(arguments.out / "manifest.json")
    return DONE


def _check_folder(out: Path, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file.", "Name a folder.")
    if not overwrite and out.is_dir() and any(out.iterdir()):
        raise UsageError(f"--out {out} is not empty.", "Choose another folder, or add --overwrite.")


def _adapted(board: Storyboard, story: Story, arguments: argparse.Namespace) -> Storyboard:
    """The storyboard as the options want it."""
    values = board.settings.model_dump()
    if arguments.model is not None:
        try:
            spec = find_model(arguments.model)
        except UnknownModelError as error:
            raise UsageError(f"--model: {error}") from error
        values["model"] = arguments.model
        if not story.sized:
            values["width"], values["height"] = spec.width, spec.height
    if arguments.size is not None:
        values["width"], values["height"] = arguments.size
    if arguments.steps is not None:
        values["steps"] = arguments.steps
    if arguments.guidance is not None:
        spec = find_model(values["model"])
        if not spec.learnt_guidance:
            raise UsageError(f"--guidance: {spec.title} has learnt no guidance.", "Leave it out.")
        values["guidance"] = arguments.guidance
    values["merge"] = board.settings.merge and not arguments.no_merge
    values["consistent"] = board.settings.consistent and not arguments.plain
    frames = board.frames
    if arguments.seed is not None:
        frames = tuple(f.model_copy(update={"seed": arguments.seed}) for f in frames)
    return board.model_copy(update={"settings": RenderSettings(**values), "frames": frames})


@contextmanager
def _stop_on_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a wish that is looked at after every step; a second one breaks."""
    stop = threading.Event()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        # Not print: the signal may have arrived in the middle of one, which cannot be re-entered.
        os.write(2, b"\nstopping after this step; Ctrl-C again to stop at once\n")

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)


def _new(arguments: argparse.Namespace) -> int:
    path: Path = arguments.file
    text = EXAMPLE_STORY.read_text(encoding="utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already.", "Choose another name.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}).") from error
    print(path)
    return DONE


def _models(_arguments: argparse.Namespace) -> int:
    from storyboard.engine import usability

    settings = Settings.from_environment(os.environ)
    for spec in MODELS:
        print(f"{spec.name}  {spec.title}, {spec.width}x{spec.height}, {spec.steps} steps")
        print(f"    {spec.note}")
        terms = " (non-commercial)" if spec.non_commercial else ""
        print(f"    licence: {spec.licence}{terms}, {spec.licence_url}")
        if spec.gated:
            print(f"    accept its terms at {spec.url}")
        print(f"    usable here: {usability(spec, settings)}")
    return DONE


def _evaluate(arguments: argparse.Namespace) -> int:
    evaluate(arguments)
    return DONE
