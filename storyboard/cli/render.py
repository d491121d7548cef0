"""`python -m storyboard render`: paint the frames of a story file into a folder."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from pipelines.errors import UnknownModelError
from pipelines.models.catalog import BIREFNET, find_model
from pipelines.models.measured import describe
from pipelines.models.shortcuts import SHORTCUTS, find_shortcut
from pipelines.pictures import Reference
from pipelines.request import Shortcuts
from storyboard.board import (
    MAX_GUIDANCE,
    MAX_REFERENCE_STRENGTH,
    MAX_SEED,
    MAX_STEPS,
    MAX_STYLES,
    MIN_GUIDANCE,
    Character,
    RenderSettings,
    Storyboard,
)
from storyboard.cli.arguments import argument, number, parse_style, whole
from storyboard.errors import UsageError
from storyboard.importing.story_file import Story, parse_size, read_story
from storyboard.settings import Settings, parse_memory
from storyboard.storage.character_file import load_character
from storyboard.storage.consents import Consents
from storyboard.wiring import make_runner

INTERRUPTED = 130  # the exit code after Ctrl-C, as shells have it

_DESCRIPTION = """\
Paint the frames of a story file into a folder.

STORY is a YAML file (`python -m storyboard new story.yaml` writes one to start from), or a text
file with a line `background#character#action` for each frame; there a blank line begins a new
storyboard, which is painted into a folder of its own.
"""


def add_render(add_parser: Callable[..., argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command to the command line's parser, and return its own."""
    command = add_parser(
        "render",
        help="paint the frames of a story file",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("story", metavar="STORY", type=Path, help="the story file")
    command.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="folder for the pictures"
    )
    command.add_argument(
        "--overwrite", action="store_true", help="write into DIR although it is not empty"
    )
    command.add_argument(
        "--save-masks", action="store_true", help="also write the foreground masks, to DIR/masks"
    )
    command.add_argument(
        "--model", metavar="NAME", help="a name of `models`, a folder, or a repository (owner/name)"
    )
    command.add_argument(
        "--memory",
        metavar="NAME",
        type=argument(parse_memory, "memory"),
        help="how the model is placed: a memory preset of `models`, or auto for the first that "
        "fits; THROUGHLINE_MEMORY if left out",
    )
    command.add_argument(
        "--size", metavar="WxH", type=argument(parse_size, "size"), help="pixels, as 768x512"
    )
    command.add_argument(
        "--steps", metavar="N", type=whole(1, MAX_STEPS), help="denoising steps, 1 to 200"
    )
    command.add_argument(
        "--guidance",
        metavar="N",
        type=number(MIN_GUIDANCE, MAX_GUIDANCE),
        help="how closely pictures follow the words, 1 to 10; for models that have learnt it",
    )
    command.add_argument(
        "--shortcut",
        metavar="NAME",
        choices=[shortcut.name for shortcut in SHORTCUTS],
        help="paint faster, for pictures that are not quite the same: coarse-probe, half-steps or "
        "both; exact for none; what it costs is told when it is taken",
    )
    command.add_argument(
        "--seed", metavar="N", type=whole(0, MAX_SEED), help="the seed of every frame"
    )
    command.add_argument(
        "--no-merge", action="store_true", help="do not merge matched tokens of the character"
    )
    together = command.add_mutually_exclusive_group()
    together.add_argument(
        "--share-background", action="store_true", help="keep the first frame's place in all frames"
    )
    together.add_argument(
        "--plain", action="store_true", help="paint every frame by itself, without consistency"
    )
    _add_character(command)
    return command


def _add_character(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("character and style")
    group.add_argument(
        "--character",
        metavar="FILE",
        type=Path,
        help="a character that was saved to a file, in place of the story's",
    )
    group.add_argument(
        "--reference",
        metavar="PICTURE",
        type=Path,
        help="a picture of the character, which the frames follow",
    )
    group.add_argument(
        "--reference-strength",
        metavar="X",
        type=number(0, MAX_REFERENCE_STRENGTH),
        help="how closely they follow it, 0 (not at all) to 2; frames of the story that say so "
        "themselves keep theirs",
    )
    group.add_argument(
        "--lora",
        metavar="SOURCE[:WEIGHT[:TRIGGER]]",
        type=argument(parse_style, "lora"),
        action="append",
        help="paint with a LoRA: a .safetensors file, or owner/name on the Hugging Face hub; the "
        f"weight is 1 if left out; may be given up to {MAX_STYLES} times, in place of the story's",
    )
    group.add_argument(
        "--matting",
        choices=("built-in", "birefnet"),
        default="built-in",
        help="how the character is found in the picture (built-in); birefnet is better at "
        "photographs, is downloaded, and runs Python code of its own",
    )
    group.add_argument(
        "--accept-code",
        action="store_true",
        help="agree, from now on, that BiRefNet's own code runs on this machine",
    )
    group.add_argument(
        "--accept-research-only",
        action="store_true",
        help="agree, from now on, that the weights which the model follows pictures with are used "
        "for research only (see `models`)",
    )


def render(arguments: argparse.Namespace) -> bool:
    """Run the command.

    Returns:
        Whether it ran to its end; False where it was stopped.

    Raises:
        UserError: if something that was typed, read, loaded or written is at fault. What is
            painted is kept.
    """
    settings = Settings.from_environment(os.environ)
    settings = replace(settings, memory=arguments.memory or settings.memory)
    story = read_story(arguments.story)
    out: Path = arguments.out
    _check_folder(out, arguments.overwrite)
    if arguments.accept_code:
        Consents(settings.consents).give(BIREFNET.source)
    cast = _cast(story, arguments, settings)
    boards = [_adapted(board, story, cast, arguments) for board in story.storyboards]
    if cast.reference is not None:
        _check_followed(boards)
    if arguments.accept_research_only:
        _agree(settings, boards)
    for words in (*_shortcuts_told(boards), *_doubts_of(cast.reference)):
        print(words, file=sys.stderr)

    from storyboard.cli.batch import Batch
    from storyboard.cli.progress import ProgressBar

    pictures = () if cast.reference is None else (cast.reference,)
    with (
        closing(make_runner(settings, sys.stderr)) as runner,
        _stop_on_interrupt() as stop,
        ProgressBar(boards) as bar,
    ):
        share_all: bool = arguments.share_background
        masks: bool = arguments.save_masks
        batch = Batch(boards, out, masks, bar.show, stop.is_set, share_all, pictures)
        finished = batch.run(runner)
    if finished:
        print(out / "manifest.json")
    else:
        print(f"throughline: stopped; what is done is in {out}", file=sys.stderr)
    return finished


@dataclass(frozen=True)
class _Cast:
    """Who the options say the story is about.

    Attributes:
        character: in place of the story's; None to leave that.
        reference: the picture that frames follow; None for none.
        strength: how closely; None to leave what the character says.
    """

    character: Character | None
    reference: Reference | None
    strength: float | None

    def change(self, character: Character) -> Character:
        """A storyboard's character as the options want it."""
        changed = character if self.character is None else self.character
        values: dict[str, object] = {}
        if self.reference is not None:
            values["reference"] = self.reference.name
        if self.strength is not None:
            values["strength"] = self.strength
        return changed.model_copy(update=values)


def _cast(story: Story, arguments: argparse.Namespace, settings: Settings) -> _Cast:
    from storyboard.engine import NetworkMatting, prepare_reference

    character: Character | None = None
    reference: Reference | None = None
    picture: Path | None = arguments.reference
    if arguments.character is not None:
        portable = load_character(arguments.character)
        character, reference = portable.character, portable.reference
    else:
        picture = picture or story.reference
    if picture is not None:
        by_network = arguments.matting == "birefnet"
        find = NetworkMatting(settings).mask if by_network else None
        reference = prepare_reference(picture, find=find)
    if reference is not None or character is not None:
        _check_one_character(story)
    strength: float | None = arguments.reference_strength
    if strength is not None and reference is None:
        raise UsageError(
            "--reference-strength: the character has no picture.", "Give one with --reference."
        )
    return _Cast(character, reference, strength)


def _check_one_character(story: Story) -> None:
    if not story.one_character:
        raise UsageError(
            "The lines of a storyboard name several characters, and --reference and --character "
            "are for one.",
            "Name the same character in all of its lines, or leave these options out.",
        )


def _check_followed(boards: Sequence[Storyboard]) -> None:
    """See that a picture is not given in vain."""
    if not any(board.reference_of(frame) for board in boards for frame in board.frames):
        raise UsageError(
            "No frame follows the picture: every frame says itself who is in it.",
            "Describe the character once for all frames, or leave the picture out.",
        )


def _agree(settings: Settings, boards: Sequence[Storyboard]) -> None:
    for board in boards:
        subject = find_model(board.settings.model).character_adapter
        if subject is not None and subject.consent:
            Consents(settings.consents).give(subject.consent)


def _shortcuts_told(boards: Sequence[Storyboard]) -> Iterator[str]:
    """What the shortcuts that are taken do and cost, each once."""
    taken = dict.fromkeys((b.settings.shortcut, find_model(b.settings.model).name) for b in boards)
    for name, model in taken:
        shortcut = find_shortcut(name)
        if shortcut.shortcuts != Shortcuts():
            yield f"{shortcut.title}: {describe(name, model)}"


def _doubts_of(reference: Reference | None) -> Iterator[str]:
    """What a person should know of how a picture was cut out, if anything."""
    if reference is not None and reference.doubt:
        yield reference.doubt


def _check_folder(out: Path, overwrite: bool) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file.", "Name a folder.")
    if not overwrite and out.is_dir() and any(out.iterdir()):
        raise UsageError(f"--out {out} is not empty.", "Choose another folder, or add --overwrite.")


def _adapted(
    board: Storyboard, story: Story, cast: _Cast, arguments: argparse.Namespace
) -> Storyboard:
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
    if arguments.shortcut is not None:
        values["shortcut"] = arguments.shortcut
    if arguments.guidance is not None:
        spec = find_model(values["model"])
        if not spec.learnt_guidance:
            raise UsageError(f"--guidance: {spec.title} has learnt no guidance.", "Leave it out.")
        values["guidance"] = arguments.guidance
    if arguments.lora is not None:
        if len(arguments.lora) > MAX_STYLES:
            raise UsageError(f"--lora: there are more than {MAX_STYLES}.", "Leave some out.")
        values["styles"] = arguments.lora
    values["merge"] = board.settings.merge and not arguments.no_merge
    values["consistent"] = board.settings.consistent and not arguments.plain
    frames = board.frames
    if arguments.seed is not None:
        frames = tuple(f.model_copy(update={"seed": arguments.seed}) for f in frames)
    return board.model_copy(
        update={
            "settings": RenderSettings(**values),
            "character": cast.change(board.character),
            "frames": frames,
        }
    )


@contextmanager
def _stop_on_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a wish that is looked at after every step; a second one ends all.

    Not by an exception: threads that paint would be waited for. Files are whole at any time.
    """
    stop = threading.Event()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(INTERRUPTED)
        stop.set()
        # Not print: the signal may have arrived in the middle of one, which cannot be re-entered.
        os.write(2, b"\nstopping after this step; Ctrl-C again to stop at once\n")

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)
