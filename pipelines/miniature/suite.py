"""The evaluation suite: python -m pipelines.miniature.suite --out assets/evaluation/suite-v1.json

Characters and prompts come from the drawn world's own generator, in wordings that no training
prompt has, with a fixed seed; nothing is chosen by hand. The suite is committed, so that it stays
the same when the world changes. Its scenes can be drawn, too: what the judge reads there is the
best that painted pictures could reach.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines import request
from pipelines.miniature.judge.attributes import visible_attributes
from pipelines.miniature.world import vocabulary as v
from pipelines.miniature.world import wordings as w
from pipelines.miniature.world.prompts import Prompt, write_prompt
from pipelines.miniature.world.scene import draw_scene
from pipelines.miniature.world.spec import (
    WHOLE,
    Character,
    Figure,
    SceneSpec,
    WorldRange,
    choose,
    sample_character,
    sample_spec,
    views_of,
)
from pipelines.suite import SUITE_VERSION, Suite, SuiteCharacter, SuiteFrame

CHARACTERS, FRAMES, PROMPTS = 50, 5, 200
_SEED = 20_251_122
_CHARACTER, _PROMPT, _REFERENCE = 0, 1, 2  # separate streams of chance
_SEEDS = (2**30, 2**31)  # far above the seeds of training pictures
_FEWEST_LEFT_OUT = 2
_COLORS = ("hair_color", "top_color", "bottom_color")
_LONGEST = 62  # words and commas of a prompt that the text encoders have room for


def make_suite(
    world: WorldRange = WHOLE, characters: int = CHARACTERS, prompts: int = PROMPTS
) -> Suite:
    """Make a suite; equal arguments give equal suites.

    Args:
        world: the part of the drawn world that the model was trained on. Every picture has one
            figure.
        characters: how many characters; every other one stays in one place.
        prompts: how many single prompts.
    """
    world = replace(world, pair_share=0.0, empty_share=0.0)
    width, height = v.SHAPES["square"]
    return Suite(
        version=SUITE_VERSION,
        width=width,
        height=height,
        world={k: list(x) if isinstance(x, tuple) else x for k, x in asdict(world).items()},
        characters=tuple(_character(world, number) for number in range(characters)),
        prompts=tuple(_single_prompt(world, number) for number in range(prompts)),
    )


def draw_frame(case: SuiteCharacter, index: int) -> NDArray[np.uint8]:
    """Draw what a frame should show; a shared place looks the same in all of a character's frames.

    Returns:
        RGB, uint8 of shape (height, width, 3).
    """
    spec = _spec_of(case.attributes, case.frames[index].scene)
    return draw_scene(case.frames[0 if case.shares_place else index].seed, spec).image


def draw_reference(suite: Suite, numbers: Iterable[int]) -> list[NDArray[np.uint8]]:
    """Draw other scenes of the kind that a suite's characters are in.

    Args:
        suite: says which part of the world to draw.
        numbers: which of the endlessly many pictures.

    Returns:
        RGB, uint8 of shape (height, width, 3) each.
    """
    ranges: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in suite.world.items()
    }
    world = WorldRange(**ranges)
    pictures = []
    for number in numbers:
        rng = np.random.default_rng((_SEED, _REFERENCE, number))
        action, place = choose(rng, _open_actions(world)), choose(rng, world.places)
        spec = _frame_spec(rng, sample_character(rng, world), action, place)
        pictures.append(draw_scene(_picture_seed(rng), spec).image)
    return pictures


def _character(world: WorldRange, number: int) -> SuiteCharacter:
    """A character whose prompt leaves out enough to measure, in frames of distinct actions."""
    rng = np.random.default_rng((_SEED, _CHARACTER, number))
    shares_place = number % 2 == 0
    said: tuple[Prompt, ...] = ()
    while not said:
        actions = _distinct(rng, _open_actions(world), FRAMES)
        places = _distinct(rng, world.places, FRAMES)
        if shares_place:
            places = places[:1] * FRAMES
        character = sample_character(rng, world)
        specs = [
            _frame_spec(rng, character, action, place)
            for action, place in zip(actions, places, strict=True)
        ]
        said = _prompts(specs, rng, shares_place)
    return SuiteCharacter(
        name=f"c{number + 1:02d}",
        attributes=asdict(character),
        left_out=_left_out(specs[0], said[0]),
        shares_place=shares_place,
        frames=tuple(
            _frame(spec, prompt, _picture_seed(rng))
            for spec, prompt in zip(specs, said, strict=True)
        ),
    )


def _prompts(
    specs: Sequence[SceneSpec], rng: np.random.Generator, shares_place: bool
) -> tuple[Prompt, ...]:
    """One prompt for each scene of a character, who is described alike in all of them.

    Returns:
        The prompts; none where the words that chance chose leave out too little, no colour or
        every colour, or are too many.
    """
    identity, *others = (write_prompt(spec, rng, wordings="held_out") for spec in specs)
    left_out = _left_out(specs[0], identity)
    colors = [name for name in _COLORS if getattr(specs[0].figures[0].character, name) != "none"]
    hidden = identity.hidden.intersection(colors)
    if len(left_out) < _FEWEST_LEFT_OUT or not hidden.intersection(left_out):
        return ()
    if len(hidden) == len(colors):
        return ()
    # The application closes every part with a comma.
    place, who = _closed(identity.background), _closed(identity.character)
    prompts = tuple(
        Prompt(
            background=place if shares_place else _closed(prompt.background),
            character=who,
            action=prompt.action,
            hidden=identity.hidden,
        )
        for prompt in (identity, *others)
    )
    short = all(p.text.count(" ") + 1 + p.text.count(",") <= _LONGEST for p in prompts)
    return prompts if short else ()


def _closed(part: str) -> str:
    return part.rstrip(",") + ","


def _single_prompt(world: WorldRange, number: int) -> SuiteCharacter:
    """A random scene of the world, all shots and views included."""
    rng = np.random.default_rng((_SEED, _PROMPT, number))
    spec = sample_spec(rng, world)
    frame = _frame(spec, write_prompt(spec, rng, wordings="held_out"), _picture_seed(rng))
    attributes = asdict(spec.figures[0].character)
    return SuiteCharacter(f"p{number + 1:03d}", attributes, (), False, (frame,))


def _frame_spec(
    rng: np.random.Generator, character: Character, action: str, place: str
) -> SceneSpec:
    """A scene by clear daylight in which the whole character can be seen from before."""
    view = "three-quarter" if rng.random() < 0.25 else "front"
    position = choose(rng, ("center", "center", "left", "right"))
    figure = Figure(character, action, position, view, choose(rng, v.FACINGS))
    return SceneSpec(place, (figure,))


def _frame(spec: SceneSpec, prompt: Prompt, seed: int) -> SuiteFrame:
    return SuiteFrame(
        prompt=request.Prompt(prompt.background, prompt.character, prompt.action),
        seed=seed,
        scene=_scene_of(spec),
        stated=tuple(name for name in _visible(spec, seed) if _says(prompt, spec, name)),
    )


def _visible(spec: SceneSpec, seed: int) -> list[str]:
    """Attributes that can be seen where a scene is drawn, in the order of its data."""
    truth = {**asdict(spec.figures[0].character), **_scene_of(spec)}
    visible = visible_attributes(truth, draw_scene(seed, spec).parts)
    return [name for name in truth if name in visible and truth[name] != "none"]


def _says(prompt: Prompt, spec: SceneSpec, name: str) -> bool:
    """Whether a prompt says a visible attribute of its scene, instead of leaving it to custom."""
    figure = spec.figures[0]
    if name in ("time", "weather"):
        phrases = _words_of_time(spec) if name == "time" else _words_of_weather(spec)
    elif name == "view":
        phrases = w.VIEW_WORDS[figure.view]
    elif name == "shot":
        phrases = w.SHOT_WORDS[spec.shot]
    else:
        customary = name == "pattern" and figure.character.pattern == "plain"
        return name not in (*prompt.hidden, "position", "facing") and not customary
    return any(phrase in prompt.text for phrase in phrases)


def _words_of_time(spec: SceneSpec) -> tuple[str, ...]:
    """Phrases that tell a scene's time of day, alone or with its weather ("on a rainy night")."""
    return (*w.TIME_WORDS[spec.time], *_both_words(spec))


def _words_of_weather(spec: SceneSpec) -> tuple[str, ...]:
    return (*w.WEATHER_WORDS[spec.weather], *_both_words(spec))


def _both_words(spec: SceneSpec) -> tuple[str, ...]:
    return tuple(f"{adjective} {spec.time}" for adjective in w.WEATHER_ADJECTIVES[spec.weather])


def _left_out(spec: SceneSpec, prompt: Prompt) -> tuple[str, ...]:
    """The character's attributes that can be seen and are not said; a plain pattern is custom."""
    character = spec.figures[0].character
    names = {field.name for field in fields(Character)} & prompt.hidden
    if character.pattern == "plain":
        names -= {"pattern"}
    return tuple(name for name in _visible(spec, 0) if name in names)


def _scene_of(spec: SceneSpec) -> dict[str, str]:
    figure = spec.figures[0]
    return {
        "place": spec.place,
        "time": spec.time,
        "weather": spec.weather,
        "shot": spec.shot,
        "action": figure.action,
        "position": figure.position,
        "view": figure.view,
        "facing": figure.facing,
    }


def _spec_of(attributes: Mapping[str, str], scene: Mapping[str, str]) -> SceneSpec:
    figure = Figure(
        Character(**attributes),
        **{name: scene[name] for name in ("action", "position", "view", "facing")},
    )
    return SceneSpec(
        figures=(figure,), **{name: scene[name] for name in ("place", "time", "weather", "shot")}
    )


def _open_actions(world: WorldRange) -> tuple[str, ...]:
    """Actions in which the character can be seen from before."""
    return tuple(action for action in world.actions if "front" in views_of(action))


def _distinct(rng: np.random.Generator, options: tuple[str, ...], count: int) -> list[str]:
    """Some of the options, each once.

    Raises:
        ValueError: if there are fewer.
    """
    known = list(dict.fromkeys(options))
    if len(known) < count:
        raise ValueError(f"{count} different ones cannot be chosen from {len(known)}: {known}")
    return [known[i] for i in rng.permutation(len(known))[:count]]


def _picture_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(*_SEEDS))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the suite."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.miniature.suite",
        description="Make the evaluation suite of the drawn world.",
    )
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(make_suite().to_json(), encoding="utf-8")


if __name__ == "__main__":
    main()
