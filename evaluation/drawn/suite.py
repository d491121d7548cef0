"""Generators of the evaluation suites, each written by a command:

    python -m evaluation.drawn.suite --out assets/evaluation/suite-v1.json
    python -m evaluation.drawn.suite --references --out assets/evaluation/references-v1.json

Characters and prompts come from the drawn world's generator, in wordings that no training prompt
has, with a fixed seed; nothing is chosen by hand. The suites are committed, so that they stay the
same when the world changes.
"""

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.drawn.scenes import (
    frame_spec,
    left_out,
    open_actions,
    picture_seed,
    scene_of,
    suite_frame,
)
from evaluation.suite import SUITE_VERSION, Suite, SuiteCharacter, SuiteReference
from miniature.world import vocabulary as v
from miniature.world.prompts import ScenePrompt, write_prompt
from miniature.world.scene import draw_scene
from miniature.world.spec import WHOLE, SceneSpec, WorldRange, choose, sample_character, sample_spec

CHARACTERS, FRAMES, PROMPTS = 50, 5, 200
REFERENCES = 40
_SEED = 20_251_122
_CHARACTER, _PROMPT, _OTHER, _REFERENCE = 0, 1, 2, 3  # separate random streams
_HIDING_ACTIONS = (*v.FRONT_ACTIONS, *v.WIDE_ACTIONS)  # that do not show a whole figure
_FEWEST_LEFT_OUT = 2
_COLORS = ("hair_color", "top_color", "bottom_color")
_LONGEST = 62  # words and commas of a prompt that fits the text encoders


def make_suite(
    world: WorldRange = WHOLE,
    characters: int = CHARACTERS,
    prompts: int = PROMPTS,
    first: int = 0,
) -> Suite:
    """Make a suite; equal arguments give equal suites. Every picture has one figure.

    Args:
        world: the part of the drawn world that the model was trained on.
        characters: number of characters; every other one stays in one place.
        prompts: number of single prompts.
        first: index of the first character; from `CHARACTERS` on none is of the committed suite.
    """
    return _suite(world, _character, range(first, first + characters), prompts)


def make_reference_suite(
    world: WorldRange = WHOLE, characters: int = REFERENCES, first: int = 0
) -> Suite:
    """Make a suite of characters with references, as `make_suite`.

    Two frames of every other character are in one place. From `first=REFERENCES` on none is of the
    committed suite.
    """
    return _suite(world, _referred, range(first, first + characters), 0)


def draw_others(suite: Suite, numbers: Iterable[int]) -> list[NDArray[np.uint8]]:
    """Draw other scenes of the same kind as those of a suite's characters.

    Args:
        suite: gives the part of the world.
        numbers: indices in an endless sequence of pictures.

    Returns:
        RGB, uint8 of shape (height, width, 3) each.
    """
    ranges = dict(suite.world)
    ranges |= {name: tuple(value) for name, value in ranges.items() if isinstance(value, list)}
    world = WorldRange(**ranges)
    pictures = []
    for number in numbers:
        rng = np.random.default_rng((_SEED, _OTHER, number))
        action, place = choose(rng, open_actions(world)), choose(rng, world.places)
        spec = frame_spec(rng, sample_character(rng, world), action, place)
        pictures.append(draw_scene(picture_seed(rng), spec).image)
    return pictures


def _suite(
    world: WorldRange,
    make: Callable[[WorldRange, int], SuiteCharacter],
    numbers: Iterable[int],
    prompts: int,
) -> Suite:
    width, height = v.SHAPES["square"]
    world = replace(world, pair_share=0.0, empty_share=0.0)
    return Suite(
        version=SUITE_VERSION,
        width=width,
        height=height,
        world={k: list(x) if isinstance(x, tuple) else x for k, x in asdict(world).items()},
        characters=tuple(make(world, number) for number in numbers),
        prompts=tuple(_single_prompt(world, number) for number in range(prompts)),
    )


def _character(world: WorldRange, number: int) -> SuiteCharacter:
    """Make a character whose prompt leaves out enough to measure, in frames of distinct actions."""
    rng = np.random.default_rng((_SEED, _CHARACTER, number))
    shares_place = number % 2 == 0
    prompts: tuple[ScenePrompt, ...] = ()
    while not prompts:
        actions = _distinct(rng, open_actions(world), FRAMES)
        places = _distinct(rng, world.places, FRAMES)
        if shares_place:
            places = places[:1] * FRAMES
        character = sample_character(rng, world)
        specs = [
            frame_spec(rng, character, action, place)
            for action, place in zip(actions, places, strict=True)
        ]
        prompts = _prompts(specs, rng, shares_place)
    return SuiteCharacter(
        name=f"c{number + 1:02d}",
        attributes=asdict(character),
        left_out=left_out(specs[0], prompts[0]),
        shares_place=shares_place,
        frames=tuple(
            suite_frame(spec, prompt, picture_seed(rng))
            for spec, prompt in zip(specs, prompts, strict=True)
        ),
    )


def _prompts(
    specs: Sequence[SceneSpec], rng: np.random.Generator, shares_place: bool
) -> tuple[ScenePrompt, ...]:
    """Write a prompt for each scene of a character, with the same description in all.

    Returns:
        The prompts; none where the random words leave out too little, no colour or every colour, or
        are too many.
    """
    identity, *others = (write_prompt(spec, rng, wordings="held_out") for spec in specs)
    omitted = left_out(specs[0], identity)
    colors = [name for name in _COLORS if getattr(specs[0].figures[0].character, name) != "none"]
    hidden = identity.hidden.intersection(colors)
    some = 0 < len(hidden.intersection(omitted)) and len(hidden) < len(colors)
    if len(omitted) < _FEWEST_LEFT_OUT or not some:
        return ()
    sources = [0 if shares_place else index for index in range(len(specs))]
    return _composed((identity, *others), sources)


def _composed(written: Sequence[ScenePrompt], sources: Sequence[int]) -> tuple[ScenePrompt, ...]:
    """Compose prompts of one character as the application does.

    Args:
        written: one for each frame; the first one's words for the character are used in all.
        sources: for each frame, the index of the prompt that describes its place.

    Returns:
        The prompts, every part closed with a comma; none where one is too long.
    """
    character, hidden = _closed(written[0].character), written[0].hidden
    prompts = tuple(
        ScenePrompt(_closed(written[source].background), character, prompt.action, hidden)
        for prompt, source in zip(written, sources, strict=True)
    )
    short = all(p.text.count(" ") + 1 + p.text.count(",") <= _LONGEST for p in prompts)
    return prompts if short else ()


def _closed(part: str) -> str:
    return part.rstrip(",") + ","


def _single_prompt(world: WorldRange, number: int) -> SuiteCharacter:
    """Make a random scene of the world, all shots and views included."""
    rng = np.random.default_rng((_SEED, _PROMPT, number))
    spec = sample_spec(rng, world)
    frame = suite_frame(spec, write_prompt(spec, rng, wordings="held_out"), picture_seed(rng))
    attributes = asdict(spec.figures[0].character)
    return SuiteCharacter(f"p{number + 1:03d}", attributes, (), False, (frame,))


def _referred(world: WorldRange, number: int) -> SuiteCharacter:
    """Make a character with a reference, whose prompts state only its kind.

    The reference shows another action in another place than all frames.
    """
    rng = np.random.default_rng((_SEED, _REFERENCE, number))
    character = sample_character(rng, world)
    shown = tuple(action for action in open_actions(world) if action not in _HIDING_ACTIONS)
    action, place = choose(rng, shown), choose(rng, world.places)
    upload = frame_spec(rng, character, action, place)
    upload_seed = picture_seed(rng)
    sources = list(range(FRAMES))
    if number % 2 == 0:
        first, second = sorted(int(index) for index in rng.permutation(FRAMES)[:2])
        sources[second] = first
    prompts: tuple[ScenePrompt, ...] = ()
    while not prompts:
        actions = _distinct(rng, _without(open_actions(world), action), FRAMES)
        places = _distinct(rng, _without(world.places, place), FRAMES)
        specs = [
            frame_spec(rng, character, action, places[source])
            for action, source in zip(actions, sources, strict=True)
        ]
        prompts = _composed([write_prompt(s, rng, "held_out", brevity=1.0) for s in specs], sources)
    omitted = left_out(upload, prompts[0], upload_seed)
    return SuiteCharacter(
        name=f"r{number + 1:02d}",
        attributes=asdict(character),
        left_out=omitted,
        shares_place=False,
        frames=tuple(
            suite_frame(s, p, picture_seed(rng), omitted, None if source == index else source)
            for index, (s, p, source) in enumerate(zip(specs, prompts, sources, strict=True))
        ),
        reference=SuiteReference(upload_seed, scene_of(upload)),
    )


def _without(options: tuple[str, ...], gone: str) -> tuple[str, ...]:
    return tuple(option for option in options if option != gone)


def _distinct(rng: np.random.Generator, options: tuple[str, ...], count: int) -> list[str]:
    """Choose some of the options, each once.

    Raises:
        ValueError: if there are fewer.
    """
    known = list(dict.fromkeys(options))
    if len(known) < count:
        raise ValueError(f"{count} different ones cannot be chosen from {len(known)}: {known}")
    return [known[i] for i in rng.permutation(len(known))[:count]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write a suite."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.drawn.suite",
        description="Make an evaluation suite of the drawn world.",
    )
    parser.add_argument(
        "--references", action="store_true", help="the suite of characters with references"
    )
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    suite = make_reference_suite() if options.references else make_suite()
    options.out.write_text(suite.to_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
