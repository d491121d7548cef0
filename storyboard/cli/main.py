"""The command line: `python -m storyboard COMMAND`, also installed as `throughline`.

Exit codes: 0 done; 2 bad usage or a bad story file; 1 another error that a person can mend;
130 stopped by Ctrl-C or a signal that ends processes; 141 nobody reads the output any more. Errors
are one line on stderr.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.errors import UserError
from pipelines.models.catalog import BIREFNET
from storyboard import __version__
from storyboard.cli.boards import add_boards
from storyboard.cli.console import (
    PIPE_CLOSED,
    accept_all_letters,
    announce,
    discard,
    output_is_full,
)
from storyboard.cli.models import add_models
from storyboard.cli.render import add_render
from storyboard.cli.signals import INTERRUPTED, end_as_interrupted
from storyboard.errors import ConsentNeeded, RenderCancelled, StoryFileError, UsageError
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
    accept_all_letters()
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        for stream in (sys.stdout, sys.stderr):
            discard(stream)
        return PIPE_CLOSED
    except OSError as error:
        if not output_is_full(error):
            raise
        discard(sys.stdout)
        announce(f"throughline: the output cannot be written ({error.strerror}).", sys.stderr)
        return FAULT


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    end_as_interrupted()
    try:
        options.run(options)
        return DONE
    except (StoryFileError, UsageError) as error:
        code, message = BAD_USAGE, str(error)
    except ConsentNeeded as error:
        option = "--accept-code" if error.key == BIREFNET.consent else "--accept-research-only"
        code, message = FAULT, f"{error} Add {option} to agree."
    except UserError as error:
        code, message = FAULT, str(error)
    except (KeyboardInterrupt, RenderCancelled) as error:
        code, message = INTERRUPTED, str(error) or "stopped"
    print(f"throughline: {message}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="throughline", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"Throughline {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_render(commands.add_parser)
    new = commands.add_parser(
        "new", help="write an example story file", description="Write an example story file."
    )
    new.set_defaults(run=_write_example)
    new.add_argument("file", metavar="FILE", type=Path, help="a file that does not exist yet")
    add_boards(commands.add_parser)
    add_models(commands.add_parser)
    return parser


def _write_example(options: argparse.Namespace) -> None:
    path: Path = options.file
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(EXAMPLE_STORY.read_text(encoding="utf-8"))
    except FileExistsError as error:
        raise UsageError(f"{path} exists already.", "Choose another name.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}).") from error
    print(path)
