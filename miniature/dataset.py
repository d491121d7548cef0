"""Training pictures on disk: drawn once, by all cores, and read as memory maps.

For every shape of picture a data folder holds a folder with `images.npy` (n, height, width, 3)
uint8, `parts.npy` (n, tokens, parts) uint8 and `specs.jsonl`; its picture i is drawn from seed
FIRST_SEEDS[shape] + i, or so many further on. Held-out scenes start at HELD_OUT_SEED.
"""

import json
import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miniature.world.scene import draw_scene, use_one_drawing_thread
from miniature.world.spec import SceneSpec, WorldRange
from miniature.world.vocabulary import SHAPES, Part
from training.files import write_whole

IMAGE_SIZE = 256
TOKEN_SIZE = 16  # pixels along the side of one transformer token
FIRST_SEEDS = {"square": 0, "landscape": 2_000_000, "portrait": 4_000_000}
HELD_OUT_SEED = 10_000_000
_SHARD = 160  # pictures

Drawn = tuple[SceneSpec, NDArray[np.uint8], NDArray[np.uint8]]
"""Specification, picture and labels."""


@dataclass(frozen=True)
class DrawnData:
    """Drawn pictures of one shape and their truth.

    Attributes:
        images: uint8 of shape (n, height, width, 3).
        parts: share of each token that each part covers, in 255ths, uint8 of shape
            (n, tokens, parts), tokens row by row.
        specs: specification of each picture, n of them.
        first_seed: seed of the first picture; picture i has seed `first_seed + i`.
    """

    images: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    specs: list[SceneSpec]
    first_seed: int


def part_shares(parts: NDArray[np.uint8], side: int = TOKEN_SIZE) -> NDArray[np.uint8]:
    """Compute the share of each token that each part covers.

    Args:
        parts: part labels of one picture, shape (height, width), both multiples of `side`.
        side: side of a token, in pixels.

    Returns:
        255ths of the token's area, uint8 of shape (tokens, parts), tokens row by row.
    """
    rows, columns = parts.shape[0] // side, parts.shape[1] // side
    tiles = parts.reshape(rows, side, columns, side).transpose(0, 2, 1, 3)
    flat = tiles.reshape(rows * columns, side**2).astype(np.int64)
    token = np.arange(rows * columns)[:, None] * len(Part)
    counts = np.bincount((flat + token).ravel(), minlength=rows * columns * len(Part))
    shares = counts.reshape(rows * columns, len(Part)) * (255 / side**2)
    return np.round(shares).astype(np.uint8)


def draw_dataset(
    folder: Path, counts: Mapping[str, int], world: WorldRange, processes: int, further: int = 0
) -> None:
    """Draw scenes of every shape into a folder, unless they are there already.

    Args:
        folder: destination; created if it is missing.
        counts: number of scenes of each shape.
        world: range of the scenes.
        processes: number of processes that draw.
        further: number added to all seeds.
    """
    for shape, count in counts.items():
        width, height = SHAPES[shape]
        tokens = width * height // TOKEN_SIZE**2
        arrays = {"images": (count, height, width, 3), "parts": (count, tokens, len(Part))}
        draw = partial(_draw_scene, FIRST_SEEDS[shape] + further, shape, world)
        draw_pictures(folder / shape, arrays, draw, count, processes)


def _draw_scene(first_seed: int, shape: str, world: WorldRange, number: int) -> list[Drawn]:
    scene = draw_scene(first_seed + number, world=world, shape=shape)
    return [(scene.spec, scene.image, part_shares(scene.parts))]


def draw_pictures(
    folder: Path,
    arrays: Mapping[str, tuple[int, ...]],
    draw: Callable[[int], Sequence[Drawn]],
    units: int,
    processes: int,
    head: Sequence[str] = (),
) -> None:
    """Draw pictures with labels into a folder, unless they exist already.

    Args:
        folder: destination; created if it is missing.
        arrays: name and shape of the pictures' file and of the labels' file, both uint8.
        draw: draws all pictures of a unit, such as a character; it is pickled.
        units: number of units, each of as many pictures.
        processes: number of processes that draw.
        head: lines of `specs.jsonl` before the specifications.
    """
    if (folder / "specs.jsonl").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name, shape in arrays.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, shape).flush()
    pictures = next(iter(arrays.values()))[0]
    step = max(1, _SHARD * units // pictures)
    shards = [range(first, min(first + step, units)) for first in range(0, units, step)]
    draw_shard = partial(_draw_shard, [folder / f"{name}.npy" for name in arrays], draw)
    if min(processes, len(shards)) == 1:
        drawn = [draw_shard(shard) for shard in shards]
    else:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            drawn = pool.map(draw_shard, shards, chunksize=1)
    text = "\n".join([*head, *(line for lines in drawn for line in lines)]) + "\n"
    write_whole(folder / "specs.jsonl", lambda path: path.write_text(text))


def _draw_shard(
    paths: Sequence[Path], draw: Callable[[int], Sequence[Drawn]], units: range
) -> list[str]:
    """Draw units into their files and return the specifications as JSON."""
    use_one_drawing_thread()
    images, labels = (np.lib.format.open_memmap(path, "r+") for path in paths)
    lines = []
    for unit in units:
        drawn = draw(unit)
        for row, (spec, image, label) in enumerate(drawn, unit * len(drawn)):
            images[row], labels[row] = image, label
            lines.append(json.dumps(spec.to_dict()))
    images.flush()
    labels.flush()
    return lines


def load_dataset(folder: Path, shape: str = "square", further: int = 0) -> DrawnData:
    """Open what `draw_dataset` drew of one shape, without reading the pictures yet."""
    images, parts, specs = load_pictures(folder / shape, "parts")
    return DrawnData(images, parts, specs, FIRST_SEEDS[shape] + further)


def load_pictures(
    folder: Path, labels: str, head: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[SceneSpec]]:
    """Open what `draw_pictures` drew, without reading the pictures yet.

    Args:
        folder: folder of the pictures.
        labels: name of the labels' file.
        head: number of lines of `specs.jsonl` before the specifications.
    """
    images, parts = (np.load(folder / f"{n}.npy", mmap_mode="r") for n in ("images", labels))
    lines = (folder / "specs.jsonl").read_text().splitlines()[head:]
    return images, parts, [SceneSpec.from_dict(json.loads(line)) for line in lines]


def draw_held_out(count: int, world: WorldRange) -> DrawnData:
    """Draw square scenes that are in no training set."""
    scenes = [draw_scene(HELD_OUT_SEED + number, world=world) for number in range(count)]
    return DrawnData(
        np.stack([scene.image for scene in scenes]),
        np.stack([part_shares(scene.parts) for scene in scenes]),
        [scene.spec for scene in scenes],
        HELD_OUT_SEED,
    )
