"""The command line: `python -m storyboard COMMAND`, also installed as `throughline`.

Exit codes: 0 done; 2 bad usage or a bad story file; 1 another fault that a person can mend;
130 stopped by Ctrl-C. Faults are one line on stderr.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.models.catalog import BIREFNET
from storyboard import __version__
from storyboard.arguments import argument, whole
from storyboard.board import MAX_STEPS
from storyboard.errors import ConsentNeeded, StoryFileError, UsageError, UserError
from storyboard.evaluation.ablation import parse_ablation
from storyboard.evaluation.command import evaluate, parse_rows
from storyboard.evaluation.rows import REFERENCE_ROWS, ROWS
from storyboard.models_command import add_models, list_models
from storyboard.render_command import INTERRUPTED, add_render, render
from storyboard.settings import parse_memory
from storyboard.storyfile import EXAMPLE_STORY

DONE, FAULT, BAD_USAGE = 0, 1, 2

_DESCRIPTION = "Make storyboards whose character stays the same from frame to frame."
_EVALUATE_DESCRIPTION = """\
Paint an evaluation suite in several ways and score the pictures.

What was painted stays in DIR, and the same command goes on where it was stopped. The tables go to
stdout and, with --page, into a page between the lines

    <!-- evaluation: begin -->
    <!-- evaluation: end -->
"""


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
    except ConsentNeeded as error:
        option = "--accept-code" if error.key == BIREFNET.source else "--accept-research-only"
        print(f"throughline: {error} Add {option} to agree.", file=sys.stderr)
        return FAULT
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

    add_render(commands.add_parser).set_defaults(command=_render)

    new = commands.add_parser(
        "new", help="write an example story file", description="Write an example story file."
    )
    new.set_defaults(command=_new)
    new.add_argument("file", metavar="FILE", type=Path, help="where; must not exist yet")

    add_models(commands.add_parser).set_defaults(command=_models)
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
        type=whole(0, 1000),
        help="paint the first N characters; all if left out",
    )
    command.add_argument(
        "--prompts",
        metavar="N",
        type=whole(0, 1000),
        help="paint the first N single prompts; all if left out",
    )
    command.add_argument(
        "--rows",
        metavar="NAMES",
        type=argument(parse_rows, "rows"),
        help=f"ways to paint, as {','.join(row.name for row in ROWS)} (all); "
        f"with --references {','.join(row.name for row in REFERENCE_ROWS)}",
    )
    command.add_argument(
        "--references",
        action="store_true",
        help="measure how characters are kept who are known from a reference picture",
    )
    command.add_argument(
        "--ablation",
        metavar="NAME=FOLDER",
        type=argument(parse_ablation, "ablation"),
        action="append",
        default=[],
        help="with --references, also follow them with the subject folder FOLDER; may be repeated",
    )
    command.add_argument("--model", metavar="NAME", help="as for `render`")
    command.add_argument(
        "--memory", metavar="NAME", type=argument(parse_memory, "memory"), help="as for `render`"
    )
    command.add_argument(
        "--steps", metavar="N", type=whole(1, MAX_STEPS), help="denoising steps, 1 to 200"
    )
    command.add_argument(
        "--workers",
        metavar="N",
        type=whole(1, 64),
        default=1,
        help="processes that paint side by side",
    )


def _render(arguments: argparse.Namespace) -> int:
    return DONE if render(arguments) else INTERRUPTED


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


def _models(arguments: argparse.Namespace) -> int:
    list_models(arguments)
    return DONE


def _evaluate(arguments: argparse.Namespace) -> int:
    evaluate(arguments)
    return DONE
