"""Scenes of an evaluation suite: from the drawn world to a suite's data, and back to drawings.

The judge's scores of these drawings are the best that rendered pictures could reach.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from evaluation.suite import SuiteCharacter, SuiteFrame
from miniature.judge.attributes import visible_attributes
from miniature.world import vocabulary as v
from miniature.world import wordings as w
from miniature.world.prompts import ScenePrompt
from miniature.world.scene import draw_scene
from miniature.world.spec import Character, Figure, SceneSpec, WorldRange, choose, views_of
from pipelines import request
from pipelines.pictures import Reference
from pipelines.reference.from_upload import prepare_reference

_SEEDS = (2**30, 2**31)  # far above the seeds of training pictures
# Data of a scene without its character: fields of `SceneSpec`, and of its `Figure`.
_OF_SCENE = ("place", "time", "weather", "shot")
_OF_FIGURE = ("action", "position", "view", "facing")


@dataclass(frozen=True)
class Upload:
    """Picture as a person uploads it, RGB, and its mask, mode "L", 255 where the character is."""

    picture: Image.Image
    mask: Image.Image


def draw_frame(case: SuiteCharacter, index: int) -> NDArray[np.uint8]:
    """Draw the scene of a frame; a shared place is the same in all frames that share it.

    Returns:
        RGB, uint8 of shape (height, width, 3).
    """
    spec = spec_of(case.attributes, case.frames[index].scene)
    source = case.place_source(index)
    return draw_scene(case.frames[index if source is None else source].seed, spec).image


def draw_upload(case: SuiteCharacter) -> Upload:
    """Draw the reference picture of a character.

    Raises:
        ValueError: if the character has no reference.
    """
    if case.reference is None:
        raise ValueError(f"character {case.name!r} has no reference")
    drawn = draw_scene(case.reference.seed, spec_of(case.attributes, case.reference.scene))
    mask = np.where(drawn.parts > v.Part.BACKGROUND, np.uint8(255), np.uint8(0))
    return Upload(Image.fromarray(drawn.image), Image.fromarray(mask))


def draw_references(cases: Sequence[SuiteCharacter]) -> dict[str, Reference]:
    """Draw the references of characters, by name, and prepare them as uploads are."""
    drawn = {case.name: draw_upload(case) for case in cases if case.reference is not None}
    return {name: prepare_reference(upload.picture, upload.mask) for name, upload in drawn.items()}


def frame_spec(
    rng: np.random.Generator, character: Character, action: str, place: str
) -> SceneSpec:
    """Make a scene by clear daylight that shows the whole character from the front."""
    view = "three-quarter" if rng.random() < 0.25 else "front"
    position = choose(rng, ("center", "center", "left", "right"))
    figure = Figure(character, action, position, view, choose(rng, v.FACINGS))
    return SceneSpec(place, (figure,))


def suite_frame(
    spec: SceneSpec,
    prompt: ScenePrompt,
    seed: int,
    referred: Collection[str] = (),
    place_of: int | None = None,
) -> SuiteFrame:
    """Make the frame of a suite that shows a scene.

    Args:
        spec: the scene.
        prompt: its prompt.
        seed: of the picture, and of the drawing that shows which attributes can be seen.
        referred: names of the attributes that only a reference shows.
        place_of: see `SuiteFrame`.
    """
    visible = visible_names(spec, seed)
    return SuiteFrame(
        prompt=request.Prompt(prompt.background, prompt.character, prompt.action),
        seed=seed,
        scene=scene_of(spec),
        stated=tuple(name for name in visible if _states(prompt, spec, name)),
        referred=tuple(name for name in visible if name in referred),
        place_of=place_of,
    )


def left_out(spec: SceneSpec, prompt: ScenePrompt, seed: int = 0) -> tuple[str, ...]:
    """Return the visible attributes of the character that the prompt leaves out.

    A plain pattern is customary, and so not left out.
    """
    character = spec.figures[0].character
    names = {field.name for field in fields(Character)} & prompt.hidden
    if character.pattern == "plain":
        names -= {"pattern"}
    return tuple(name for name in visible_names(spec, seed) if name in names)


def visible_names(spec: SceneSpec, seed: int) -> list[str]:
    """Return the attributes that can be seen in a drawing, in the order of the scene's data."""
    truth = {**asdict(spec.figures[0].character), **scene_of(spec)}
    visible = visible_attributes(truth, draw_scene(seed, spec).parts)
    return [name for name in truth if name in visible and truth[name] != "none"]


def scene_of(spec: SceneSpec) -> dict[str, str]:
    """Convert a scene without its character to a suite's data."""
    scene = {name: getattr(spec, name) for name in _OF_SCENE}
    return scene | {name: getattr(spec.figures[0], name) for name in _OF_FIGURE}


def spec_of(attributes: Mapping[str, str], scene: Mapping[str, str]) -> SceneSpec:
    """Make a scene from the data of `scene_of`, with a character."""
    figure = Figure(Character(**attributes), **{name: scene[name] for name in _OF_FIGURE})
    return SceneSpec(figures=(figure,), **{name: scene[name] for name in _OF_SCENE})


def open_actions(world: WorldRange) -> tuple[str, ...]:
    """Return the actions that can be drawn from the front."""
    return tuple(action for action in world.actions if "front" in views_of(action))


def picture_seed(rng: np.random.Generator) -> int:
    """Choose a seed that no training picture has."""
    return int(rng.integers(*_SEEDS))


def _states(prompt: ScenePrompt, spec: SceneSpec, name: str) -> bool:
    """Return whether a prompt states a visible attribute of its scene."""
    figure = spec.figures[0]
    # Of the time of day with the weather, as in "on a rainy night".
    both = tuple(f"{adjective} {spec.time}" for adjective in w.WEATHER_ADJECTIVES[spec.weather])
    phrases = {
        "time": (*w.TIME_WORDS[spec.time], *both),
        "weather": (*w.WEATHER_WORDS[spec.weather], *both),
        "view": w.VIEW_WORDS[figure.view],
        "shot": w.SHOT_WORDS[spec.shot],
    }
    if name in phrases:
        return any(phrase in prompt.text for phrase in phrases[name])
    customary = name == "pattern" and figure.character.pattern == "plain"
    return name not in (*prompt.hidden, "position", "facing") and not customary
