"""`python -m storyboard render`: render the frames of a story file into a folder."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
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
    RenderSettings,
    Storyboard,
)
from storyboard.cli.arguments import argument, number, parse_style, whole
from storyboard.cli.signals import INTERRUPTED, interrupts_to
from storyboard.errors import RenderCancelled, UsageError
from storyboard.frames import reference_picture
from storyboard.importing.story_file import StoryFile, parse_size, read_story
from storyboard.network import bypass_proxies
from storyboard.settings import Settings, parse_memory
from storyboard.storage.character_file import load_character
from storyboard.storage.consents import Consents
from storyboard.wiring import make_runner

_DESCRIPTION = """\
Render the frames of a story file into a folder.

STORY is a YAML file (`python -m storyboard new story.yaml` writes one to start from), or a text
file with a line `background#character#action` for each frame; there a blank line begins a new
storyboard, which is rendered into a folder of its own.
"""


def add_render(add_parser: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the command to the command line's parser.

    Options that change the storyboard's settings are named like the settings.
    """
    command = add_parser(
        "render",
        help="render the frames of a story file",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=render)
    add = command.add_argument
    add("story", metavar="STORY", type=Path, help="the story file")
    add("--out", metavar="DIR", type=Path, required=True, help="folder for the pictures")
    add("--overwrite", action="store_true", help="write into DIR although it is not empty")
    add("--save-masks", action="store_true", help="also write the foreground masks, to DIR/masks")
    add(
        "--model", metavar="NAME", help="a name of `models`, a folder, or a repository (owner/name)"
    )
    add(
        "--memory",
        metavar="NAME",
        type=argument(parse_memory),
        help="how the model is placed: a memory preset of `models`, or auto for the first that "
        "fits; THROUGHLINE_MEMORY if left out",
    )
    add("--size", metavar="WxH", type=argument(parse_size), help="pixels, as 768x512")
    add("--steps", metavar="N", type=whole(1, MAX_STEPS), help="denoising steps, 1 to 200")
    add(
        "--guidance",
        metavar="N",
        type=number(MIN_GUIDANCE, MAX_GUIDANCE),
        help="how closely pictures follow the prompt, 1 to 10; for models with learnt guidance",
    )
    add(
        "--shortcut",
        metavar="NAME",
        choices=[shortcut.name for shortcut in SHORTCUTS],
        help="render faster, for pictures that are not quite the same: coarse-probe, half-steps or "
        "both; exact for none; the cost of the one taken is printed",
    )
    add("--seed", metavar="N", type=whole(0, MAX_SEED), help="the seed of every frame")
    add(
        "--no-merge",
        dest="merge",
        action="store_false",
        help="do not merge matched tokens of the character",
    )
    together = command.add_mutually_exclusive_group()
    together.add_argument(
        "--share-background",
        action="store_true",
        help="keep the first frame's background in all frames (the identity frame's, where the "
        "story names one)",
    )
    together.add_argument(
        "--plain",
        dest="consistent",
        action="store_false",
        help="render every frame by itself, without consistency",
    )
    add = command.add_argument_group("character and style").add_argument
    add(
        "--character",
        metavar="FILE",
        type=Path,
        help="a character that was saved to a file, in place of the story's",
    )
    add("--reference", metavar="PICTURE", type=Path, help="a reference picture of the character")
    add(
        "--reference-strength",
        metavar="X",
        type=number(0, MAX_REFERENCE_STRENGTH),
        help="how closely frames follow the reference picture, 0 (not at all) to 2; frames of the "
        "story that set it themselves keep theirs",
    )
    add(
        "--lora",
        dest="styles",
        metavar="SOURCE[:WEIGHT[:TRIGGER]]",
        type=argument(parse_style),
        action="append",
        help="render with a LoRA: a .safetensors file, or owner/name on the Hugging Face hub; the "
        f"weight is 1 if left out; may be given up to {MAX_STYLES} times, in place of the story's",
    )
    add(
        "--matting",
        choices=("built-in", "birefnet"),
        default="built-in",
        help="how the character is cut out of the picture (built-in); birefnet is better at "
        "photographs, is downloaded, and runs Python code of its own",
    )
    add(
        "--accept-code",
        action="store_true",
        help="agree, from now on, that BiRefNet's own code runs on this machine",
    )
    add(
        "--accept-research-only",
        action="store_true",
        help="agree, from now on, that the weights for reference pictures are used for research "
        "only (see `models`)",
    )


def render(options: argparse.Namespace) -> None:
    """Run the command.

    Raises:
        UserError: if something that was typed, read, loaded or written is at fault. Rendered
            frames are kept.
        RenderCancelled: if it was stopped; rendered frames are kept.
    """
    settings = Settings.from_environment(os.environ)
    settings = replace(settings, memory=options.memory or settings.memory)
    story = read_story(options.story)
    _check_folder(options.out, options.overwrite)
    if options.accept_code:
        Consents(settings.consents).give(BIREFNET.consent)
    changes, reference = _character_changes(story, options, settings)
    boards = [_changed(board, story, changes, options) for board in story.storyboards]
    models = [find_model(board.settings.model) for board in boards]
    if settings.workers is not None or any(model.kind == "hub" for model in models):
        bypass_proxies(os.environ, settings.host)
    if reference is not None and not any(reference_picture(b, f) for b in boards for f in b.frames):
        raise UsageError(
            "No frame uses the reference picture: every frame says itself who is in it.",
            "Describe the character once for all frames, or leave the picture out.",
        )
    if options.accept_research_only:
        for subject in (find_model(board.settings.model).character_adapter for board in boards):
            if subject is not None and subject.consent:
                Consents(settings.consents).give(subject.consent)
    for note in (*_shortcut_notes(boards), reference and reference.doubt):
        if note:
            print(note, file=sys.stderr)

    from storyboard.cli.batch import render_batch
    from storyboard.cli.progress_bar import ProgressBar

    with (
        closing(make_runner(settings, sys.stderr)) as runner,
        _stop_on_interrupt() as stop,
        closing(ProgressBar(boards)) as bar,
    ):
        finished = render_batch(
            boards,
            options.out,
            runner,
            bar.show,
            stop.is_set,
            save_masks=options.save_masks,
            share_all=options.share_background,
            reference=reference,
        )
    if not finished:
        raise RenderCancelled(f"stopped; the rendered frames are in {options.out}")
    print(options.out / "manifest.json")


def _check_folder(out: Path, overwrite: bool) -> None:
    try:
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out {out} is a file.", "Name a folder.")
        if not overwrite and out.is_dir() and any(out.iterdir()):
            raise UsageError(
                f"--out {out} is not empty.", "Choose another folder, or add --overwrite."
            )
        nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
        if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
            raise UsageError(
                f"--out {out}: {nearest} cannot be written to.", "Choose another folder."
            )
    except OSError as error:
        raise UsageError(
            f"--out {out} cannot be used ({error.strerror}).", "Choose another folder."
        ) from error


def _character_changes(
    story: StoryFile, options: argparse.Namespace, settings: Settings
) -> tuple[Mapping[str, object], Reference | None]:
    """Return what the options change of a storyboard's character, and its reference picture."""
    from storyboard.engine import NetworkMatting, prepare_reference

    changes: dict[str, object] = {}
    reference: Reference | None = None
    picture: Path | None = options.reference
    if options.character is not None:
        portable = load_character(options.character)
        changes, reference = portable.character.model_dump(), portable.reference
    else:
        picture = picture or story.reference
    if picture is not None:
        by_network = options.matting == "birefnet"
        find = NetworkMatting(settings).mask if by_network else None
        reference = prepare_reference(picture, find=find)
    if (reference or changes) and not story.one_character:
        raise UsageError(
            "The lines of a storyboard name several characters, and --reference and --character "
            "are for one.",
            "Name the same character in all of its lines, or leave these options out.",
        )
    if reference is not None:
        changes["reference"] = reference.name
    if options.reference_strength is not None:
        if reference is None:
            raise UsageError(
                "--reference-strength: the character has no picture.", "Give one with --reference."
            )
        changes["strength"] = options.reference_strength
    return changes, reference


def _changed(
    board: Storyboard,
    story: StoryFile,
    character: Mapping[str, object],
    options: argparse.Namespace,
) -> Storyboard:
    """Return a storyboard with the changes that the options make."""
    given = {key: getattr(options, key) for key in RenderSettings.model_fields if key in options}
    given = {key: value for key, value in given.items() if value is not None}
    # These two options can only turn a setting off.
    given["merge"] &= board.settings.merge
    given["consistent"] &= board.settings.consistent
    if options.model is not None:
        try:
            spec = find_model(options.model)
        except UnknownModelError as error:
            raise UsageError(f"--model: {error}") from error
        if not story.sized:
            given |= {"width": spec.width, "height": spec.height}
    if options.size is not None:
        given |= dict(zip(("width", "height"), options.size, strict=True))
    settings = board.settings.model_dump() | given
    if options.guidance is not None:
        spec = find_model(settings["model"])
        if not spec.learnt_guidance:
            raise UsageError(f"--guidance: {spec.title} has no learnt guidance.", "Leave it out.")
    if len(settings["styles"]) > MAX_STYLES:
        raise UsageError(f"--lora: there are more than {MAX_STYLES}.", "Leave some out.")
    frames = board.frames
    if options.seed is not None:
        frames = tuple(frame.model_copy(update={"seed": options.seed}) for frame in frames)
    return board.model_copy(
        update={
            "settings": RenderSettings.model_validate(settings),
            "character": board.character.model_copy(update=character),
            "frames": frames,
        }
    )


def _shortcut_notes(boards: Sequence[Storyboard]) -> Iterator[str]:
    """Yield the effect and the cost of every shortcut that is taken, once for each model."""
    taken = dict.fromkeys((b.settings.shortcut, find_model(b.settings.model).name) for b in boards)
    for name, model in taken:
        shortcut = find_shortcut(name)
        if shortcut.shortcuts != Shortcuts():
            yield f"{shortcut.title}: {describe(name, model)}"


@contextmanager
def _stop_on_interrupt() -> Iterator[threading.Event]:
    """Set an event at the first Ctrl-C or the like, checked after every step; end at the second.

    No exception is raised, since threads that render would be waited for. Files are whole at any
    time.
    """
    stop = threading.Event()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(INTERRUPTED)
        stop.set()
        # Not print: the signal may have arrived in the middle of one, which cannot be re-entered.
        with suppress(OSError):  # its terminal may be gone
            os.write(2, b"\nstopping after this step; Ctrl-C again to stop at once\n")

    with interrupts_to(handle):
        yield stop
