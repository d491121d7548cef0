"""Training pictures on disk: drawn once, by all cores, and read as memory maps.

For every shape of picture a data folder holds a folder with `images.npy` (n, height, width, 3)
uint8, `parts.npy` (n, tokens, parts) uint8 and `specs.jsonl`; its picture i is drawn from seed
FIRST_SEEDS[shape] + i, or so many further on. Held-out scenes start at HELD_OUT_SEED.
"""

import json
import multiprocessing
import os
from collections.abc import Mapping
from dataclasses import dataclass
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
_SHARD = 200


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
    missing = {s: n for s, n in counts.items() if not (folder / s / "specs.jsonl").exists()}
    shards = []
    for shape, count in missing.items():
        (folder / shape).mkdir(parents=True, exist_ok=True)
        width, height = SHAPES[shape]
        tokens = width * height // TOKEN_SIZE**2
        _create(folder / shape / "images.npy", (count, height, width, 3))
        _create(folder / shape / "parts.npy", (count, tokens, len(Part)))
        shards += [
            _Shard(folder / shape, shape, first, min(first + _SHARD, count), world, further)
            for first in range(0, count, _SHARD)
        ]
    if len(shards) > len(missing) and processes > 1:
        context = multiprocessing.get_context("spawn")
        with context.Pool(processes) as pool:
            drawn = pool.map(_draw_shard, shards, chunksize=1)
    else:
        drawn = [_draw_shard(shard) for shard in shards]
    for shape in missing:
        lines = [
            line
            for shard, of_shard in zip(shards, drawn, strict=True)
            if shard.shape == shape
            for line in of_shard
        ]
        _write_lines(folder / shape / "specs.jsonl", lines)


def load_dataset(folder: Path, shape: str = "square", further: int = 0) -> DrawnData:
    """Open what `draw_dataset` drew of one shape, without reading the pictures yet."""
    with (folder / shape / "specs.jsonl").open() as file:
        specs = [SceneSpec.from_dict(json.loads(line)) for line in file]
    images = np.load(folder / shape / "images.npy", mmap_mode="r")
    parts = np.load(folder / shape / "parts.npy", mmap_mode="r")
    return DrawnData(images, parts, specs, FIRST_SEEDS[shape] + further)


def draw_held_out(count: int, world: WorldRange) -> DrawnData:
    """Draw square scenes that are in no training set."""
    scenes = [draw_scene(HELD_OUT_SEED + number, world=world) for number in range(count)]
    return DrawnData(
        np.stack([scene.image for scene in scenes]),
        np.stack([part_shares(scene.parts) for scene in scenes]),
        [scene.spec for scene in scenes],
        HELD_OUT_SEED,
    )


def available_processes() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _create(path: Path, shape: tuple[int, ...]) -> None:
    np.lib.format.open_memmap(path, "w+", np.uint8, shape).flush()


def _write_lines(path: Path, lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    write_whole(path, lambda partial: partial.write_text(text))


@dataclass(frozen=True)
class _Shard:
    """Scenes `first` to `last` - 1 of a shape."""

    folder: Path
    shape: str
    first: int
    last: int
    world: WorldRange
    further: int


def _draw_shard(shard: _Shard) -> list[str]:
    """Draw scenes into their files and return their specifications as JSON."""
    use_one_drawing_thread()
    images = np.lib.format.open_memmap(shard.folder / "images.npy", "r+")
    parts = np.lib.format.open_memmap(shard.folder / "parts.npy", "r+")
    lines = []
    for number in range(shard.first, shard.last):
        seed = FIRST_SEEDS[shard.shape] + shard.further + number
        scene = draw_scene(seed, world=shard.world, shape=shard.shape)
        images[number] = scene.image
        parts[number] = part_shares(scene.parts)
        lines.append(json.dumps(scene.spec.to_dict()))
    images.flush()
    parts.flush()
    return lines
