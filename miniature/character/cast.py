"""The cast: drawn characters, each in several scenes, on disk.

A folder holds `images.npy` (n, 256, 256, 3) uint8, `parts.npy` (n, 256, 256) uint8, part labels,
and `specs.jsonl`; rows c * scenes and on show character c. The first scene of each shows the whole
of it, as a picture that somebody would upload does; in the others it is elsewhere, does something
else and is seen in any way.
"""

import json
import multiprocessing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miniature.dataset import IMAGE_SIZE
from miniature.world import vocabulary as v
from miniature.world.scene import draw_scene, use_one_drawing_thread
from miniature.world.spec import (
    Figure,
    SceneSpec,
    WorldRange,
    choose,
    sample_character,
    sample_spec,
    views_of,
)
from training.files import write_whole

TRAINING_SEED = 20_000_000
HELD_OUT_SEED = 30_000_000
_MOST_SCENES = 10  # seeds that a character has
_CAST_STREAM = 9
_HIDING_ACTIONS = (*v.FRONT_ACTIONS, *v.WIDE_ACTIONS)  # with something held before the clothes
_SHARD = 50
_TURNED = 0.3  # share of first scenes that show the character at an angle


@dataclass(frozen=True)
class Cast:
    """Characters in their scenes.

    Attributes:
        images: uint8 of shape (n, 256, 256, 3).
        parts: a `vocabulary.Part` for each pixel, uint8 of shape (n, 256, 256).
        specs: what each picture was drawn from, n of them; each shows one figure.
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
        """How many characters there are."""
        return len(self.specs) // self.scenes


def picture_seed(first_seed: int, row: int, scenes: int) -> int:
    """The seed of a picture, so that more scenes of a character do not change the others."""
    character, scene = divmod(row, scenes)
    return first_seed + character * _MOST_SCENES + scene


def character_scenes(seed: int, scenes: int, world: WorldRange) -> list[SceneSpec]:
    """A random character in several places.

    Args:
        seed: decides everything.
        scenes: how many, at most 10.
        world: what there is; its shares of pairs and of empty pictures are not used.

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
    """Draw characters into a folder, unless they are there already.

    Args:
        folder: where to; made if need be.
        characters: how many.
        scenes: pictures of each.
        world: which part of the world they show.
        processes: how many draw side by side.
        first_seed: TRAINING_SEED or HELD_OUT_SEED.
    """
    if (folder / "specs.jsonl").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    count = characters * scenes
    for name, shape in (
        ("images", (count, IMAGE_SIZE, IMAGE_SIZE, 3)),
        ("parts", (count, IMAGE_SIZE, IMAGE_SIZE)),
    ):
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, shape).flush()
    shards = [
        _Shard(folder, first, min(first + _SHARD, characters), scenes, world, first_seed)
        for first in range(0, characters, _SHARD)
    ]
    if min(processes, len(shards)) == 1:
        lines = [line for shard in shards for line in _draw_shard(shard)]
    else:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            lines = [line for drawn in pool.imap(_draw_shard, shards) for line in drawn]
    text = "\n".join([json.dumps({"scenes": scenes, "first_seed": first_seed}), *lines]) + "\n"
    write_whole(folder / "specs.jsonl", lambda partial: partial.write_text(text))


def load_cast(folder: Path) -> Cast:
    """Open what `draw_cast` drew, without reading the pictures yet."""
    with (folder / "specs.jsonl").open() as file:
        head = json.loads(next(file))
        specs = [SceneSpec.from_dict(json.loads(line)) for line in file]
    return Cast(
        np.load(folder / "images.npy", mmap_mode="r"),
        np.load(folder / "parts.npy", mmap_mode="r"),
        specs,
        head["scenes"],
        head["first_seed"],
    )


@dataclass(frozen=True)
class _Shard:
    """Characters `first` to `last` - 1."""

    folder: Path
    first: int
    last: int
    scenes: int
    world: WorldRange
    first_seed: int


def _draw_shard(shard: _Shard) -> list[str]:
    """Draw characters into their files and give their specifications as JSON."""
    use_one_drawing_thread()
    images = np.lib.format.open_memmap(shard.folder / "images.npy", "r+")
    parts = np.lib.format.open_memmap(shard.folder / "parts.npy", "r+")
    lines = []
    for character in range(shard.first, shard.last):
        first = character * shard.scenes
        seed = picture_seed(shard.first_seed, first, shard.scenes)
        specs = character_scenes(seed, shard.scenes, shard.world)
        for row, spec in enumerate(specs, first):
            scene = draw_scene(picture_seed(shard.first_seed, row, shard.scenes), spec)
            images[row], parts[row] = scene.image, scene.parts
            lines.append(json.dumps(spec.to_dict()))
    images.flush()
    parts.flush()
    return lines
