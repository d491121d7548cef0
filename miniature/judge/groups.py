"""Training pictures of the judge: groups of four, of two characters who look alike.

The first figure of a group's first two pictures is one character, that of its last two is another
who differs in one or two attributes. Everything else is random. A data folder holds, for each
shape, `images.npy` (n, h, w, 3) uint8, `labels.npy` (n, h, w) uint8 and `specs.jsonl`.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miniature.dataset import Drawn, draw_pictures, load_pictures
from miniature.world import vocabulary as v
from miniature.world.scene import Scene, draw_scene
from miniature.world.spec import Character, SceneSpec, WorldRange, sample_character, sample_spec

GROUP = 4  # pictures of a group
_FIRST_SEED = 5_000_000  # far from the seeds of the pictures that the miniature learns from
_SEEDS_OF_A_SHAPE = 1_000_000
SHAPE_SHARES = {"square": 0.6, "landscape": 0.2, "portrait": 0.2}
OWNER = 32  # a label is the part's number plus OWNER times the owner's
_GROUP_STREAM = 8
_ALIKE_BUT = (
    "hair_style", "hair_color", "skin", "top", "top_color", "pattern", "bottom", "bottom_color",
    "headwear", "accessory",
)  # fmt: skip


@dataclass(frozen=True)
class ShapeData:
    """Pictures of one shape with their labels.

    Attributes:
        images: uint8 of shape (n, h, w, 3).
        labels: part and owner of each pixel in one number, uint8 of shape (n, h, w).
        specs: specification of each picture, n of them.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    specs: list[SceneSpec]


def draw_group(first_seed: int, shape: str) -> list[Scene]:
    """Draw four pictures of one shape: two of one character, two of another who looks alike."""
    rng = np.random.default_rng((first_seed, _GROUP_STREAM))
    one = sample_character(rng)
    other = _much_like(one, rng)
    scenes = []
    for number, character in enumerate((one, one, other, other)):
        spec = sample_spec(rng, shape=shape)
        if spec.figures:
            cast = (replace(spec.figures[0], character=character), *spec.figures[1:])
            spec = replace(spec, figures=cast)
        scenes.append(draw_scene(first_seed + number, spec, shape=shape))
    return scenes


def _much_like(character: Character, rng: np.random.Generator) -> Character:
    """Return a character who differs from another in one or two attributes."""
    same_kind = WorldRange(kinds=(character.kind,))
    count = int(rng.integers(1, 3))
    while True:
        other = sample_character(rng, same_kind)
        differing = [x for x in _ALIKE_BUT if getattr(other, x) != getattr(character, x)]
        if len(differing) >= count:
            chosen = rng.choice(differing, count, replace=False)
            return replace(character, **{str(name): getattr(other, name) for name in chosen})


def draw_groups(folder: Path, groups: int, processes: int) -> None:
    """Draw groups of four, of all shapes together, into a folder, unless they exist already."""
    for number, (shape, share) in enumerate(SHAPE_SHARES.items()):
        seed, count = _FIRST_SEED + number * _SEEDS_OF_A_SHAPE, max(1, round(groups * share))
        width, height = v.SHAPES[shape]
        size = (count * GROUP, height, width)
        arrays = {"images": (*size, 3), "labels": size}
        draw = partial(_draw_labelled, seed, shape)
        draw_pictures(folder / shape, arrays, draw, count, processes)


def _draw_labelled(first_seed: int, shape: str, group: int) -> list[Drawn]:
    return [
        (scene.spec, scene.image, scene.parts + OWNER * scene.owners)
        for scene in draw_group(first_seed + group * GROUP, shape)
    ]


def load_groups(folder: Path) -> dict[str, ShapeData]:
    """Open what `draw_groups` drew, without reading the pictures yet."""
    return {shape: ShapeData(*load_pictures(folder / shape, "labels")) for shape in SHAPE_SHARES}
