"""The cast: drawn characters, each in several scenes, on disk.

A folder holds `images.npy` (n, 256, 256, 3) uint8, `parts.npy` (n, 256, 256) uint8, part labels,
and `specs.jsonl`; character c has the rows from c * scenes on. The first scene shows the whole
character, as uploaded pictures do; the others have other places, actions and views.
"""

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miniature.dataset import IMAGE_SIZE, Drawn, draw_pictures, load_pictures
from miniature.world import vocabulary as v
from miniature.world.scene import draw_scene
from miniature.world.spec import (
    Figure,
    SceneSpec,
    WorldRange,
    choose,
    sample_character,
    sample_spec,
    views_of,
)

TRAINING_SEED = 20_000_000
HELD_OUT_SEED = 30_000_000
_MOST_SCENES = 10  # seeds of a character
_CAST_STREAM = 9
_HIDING_ACTIONS = (*v.FRONT_ACTIONS, *v.WIDE_ACTIONS)  # with something held before the clothes
_TURNED = 0.3  # share of first scenes that show the character at an angle


@dataclass(frozen=True)
class Cast:
    """Characters in their scenes.

    Attributes:
        images: uint8 of shape (n, 256, 256, 3).
        parts: a `vocabulary.Part` for each pixel, uint8 of shape (n, 256, 256).
        specs: specification of each picture, n of them, with one figure each.
        scenes: pictures of each character.
        first_seed: picture i was drawn from seed `picture_seed(first_seed, i, scenes)`.
    """

    images: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    specs: list[SceneSpec]
    scenes: int
    first_seed: int

    @property
    def characters(self) -> int:
        """Number of characters."""
        return len(self.specs) // self.scenes


def picture_seed(first_seed: int, row: int, scenes: int) -> int:
    """Return the seed of a picture, which does not depend on the number of scenes."""
    character, scene = divmod(row, scenes)
    return first_seed + character * _MOST_SCENES + scene


def character_scenes(seed: int, scenes: int, world: WorldRange) -> list[SceneSpec]:
    """Sample the scenes of a random character.

    Args:
        seed: seed of the character and its scenes.
        scenes: number of scenes, at most 10.
        world: range of the scenes; its shares of pairs and of empty pictures are not used.

    Raises:
        ValueError: if there are too many or too few.
    """
    if not 1 <= scenes <= _MOST_SCENES:
        raise ValueError(f"{scenes} scenes of a character; there can be 1 to {_MOST_SCENES}")
    rng = np.random.default_rng((seed, _CAST_STREAM))
    character = sample_character(rng, world)
    actions = tuple(
        action
        for action in world.actions
        if "front" in views_of(action) and action not in _HIDING_ACTIONS
    )
    figure = Figure(
        character,
        choose(rng, actions),
        choose(rng, ("center", "center", "left", "right")),
        "three-quarter" if rng.random() < _TURNED else "front",
        choose(rng, ("left", "right")),
    )
    specs = [SceneSpec(choose(rng, world.places), (figure,))]
    alone = replace(world, pair_share=0.0, empty_share=0.0)
    while len(specs) < scenes:
        seen = {spec.place for spec in specs}
        elsewhere = tuple(place for place in world.places if place not in seen) or world.places
        spec = sample_spec(rng, replace(alone, places=elsewhere))
        cast = (replace(spec.figures[0], character=character),)
        specs.append(replace(spec, figures=cast))
    return specs


def draw_cast(
    folder: Path,
    characters: int,
    scenes: int,
    world: WorldRange,
    processes: int,
    first_seed: int = TRAINING_SEED,
) -> None:
    """Draw characters, each in a number of scenes, into a folder, unless they exist already."""
    size = (characters * scenes, IMAGE_SIZE, IMAGE_SIZE)
    arrays = {"images": (*size, 3), "parts": size}
    draw = partial(_draw_character, first_seed, scenes, world)
    head = json.dumps({"scenes": scenes, "first_seed": first_seed})
    draw_pictures(folder, arrays, draw, characters, processes, [head])


def _draw_character(first_seed: int, scenes: int, world: WorldRange, character: int) -> list[Drawn]:
    first = character * scenes
    specs = character_scenes(picture_seed(first_seed, first, scenes), scenes, world)
    drawn = [
        draw_scene(picture_seed(first_seed, row, scenes), spec)
        for row, spec in enumerate(specs, first)
    ]
    return [(scene.spec, scene.image, scene.parts) for scene in drawn]


def load_cast(folder: Path) -> Cast:
    """Open what `draw_cast` drew, without reading the pictures yet."""
    with (folder / "specs.jsonl").open() as file:
        head = json.loads(next(file))
    return Cast(*load_pictures(folder, "parts", head=1), head["scenes"], head["first_seed"])
