"""The command line: `python -m storyboard COMMAND`, also installed as `throughline`.

Exit codes: 0 done; 2 bad usage or a bad story file; 1 another fault that a person can mend;
130 stopped by Ctrl-C. Faults are one line on stderr.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.errors import UserError
from pipelines.models.catalog import BIREFNET
from storyboard import __version__
from storyboard.cli.models import add_models, list_models
from storyboard.cli.render import INTERRUPTED, add_render, render
from storyboard.errors import ConsentNeeded, StoryFileError, UsageError
from storyboard.importing.story_file import EXAMPLE_STORY

DONE, FAULT, BAD_USAGE = 0, 1, 2

_DESCRIPTION = "Make storyboards whose character stays the same from frame to frame."


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
    return parser


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
