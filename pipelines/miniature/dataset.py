"""The training pictures on disk: drawn once, by all cores, and read as memory maps.

A data folder holds `images.npy` (n, 256, 256, 3) uint8, `parts.npy` (n, tokens, parts) uint8 and
`specs.jsonl`; picture i is `draw_scene(i)`. Held-out scenes start at HELD_OUT_SEED.
"""

import json
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.miniature.files import write_whole
from pipelines.miniature.world import Part, SceneSpec, draw_scene, use_one_drawing_thread

IMAGE_SIZE = 256
TOKEN_SIZE = 16  # pixels along the side of one transformer token
TOKEN_GRID = IMAGE_SIZE // TOKEN_SIZE
HELD_OUT_SEED = 10_000_000
_SHARD = 200


@dataclass(frozen=True)
class DrawnData:
    """The drawn pictures and their truth.

    Attributes:
        images: uint8 of shape (n, 256, 256, 3).
        parts: how much of each token each part covers, in 255ths, uint8 of shape (n, 256, parts).
        specs: what each picture was drawn from, n of them.
    """

    images: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    specs: list[SceneSpec]


def part_shares(parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How much of each token each part covers.

    Args:
        parts: part labels of one picture, shape (256, 256).

    Returns:
        255ths of the token's area, uint8 of shape (tokens, parts), tokens row by row.
    """
    tiles = parts.reshape(TOKEN_GRID, TOKEN_SIZE, TOKEN_GRID, TOKEN_SIZE).transpose(0, 2, 1, 3)
    flat = tiles.reshape(TOKEN_GRID**2, TOKEN_SIZE**2).astype(np.int64)
    token = np.arange(TOKEN_GRID**2)[:, None] * len(Part)
    counts = np.bincount((flat + token).ravel(), minlength=TOKEN_GRID**2 * len(Part))
    shares = counts.reshape(TOKEN_GRID**2, len(Part)) * (255 / TOKEN_SIZE**2)
    return np.round(shares).astype(np.uint8)


def draw_dataset(folder: Path, count: int, processes: int) -> None:
    """Draw the scenes of seeds 0 to count - 1 into a folder, unless they are there already.

    Args:
        folder: where to; made if need be.
        count: number of scenes.
        processes: how many draw side by side.
    """
    if (folder / "specs.jsonl").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    _create(folder / "images.npy", (count, IMAGE_SIZE, IMAGE_SIZE, 3))
    _create(folder / "parts.npy", (count, TOKEN_GRID**2, len(Part)))
    shards = [(folder, first, min(first + _SHARD, count)) for first in range(0, count, _SHARD)]
    if len(shards) == 1:
        lines = _draw_shard(shards[0])
    else:
        context = multiprocessing.get_context("spawn")
        with context.Pool(min(processes, len(shards))) as pool:
            lines = [line for shard in pool.imap(_draw_shard, shards) for line in shard]
    text = "\n".join(lines) + "\n"
    write_whole(folder / "specs.jsonl", lambda partial: partial.write_text(text))


def load_dataset(folder: Path) -> DrawnData:
    """Open what `draw_dataset` drew, without reading the pictures yet."""
    with (folder / "specs.jsonl").open() as file:
        specs = [SceneSpec.from_dict(json.loads(line)) for line in file]
    images = np.load(folder / "images.npy", mmap_mode="r")
    parts = np.load(folder / "parts.npy", mmap_mode="r")
    return DrawnData(images, parts, specs)


def available_processes() -> int:
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _create(path: Path, shape: tuple[int, ...]) -> None:
    np.lib.format.open_memmap(path, "w+", np.uint8, shape).flush()


def _draw_shard(shard: tuple[Path, int, int]) -> list[str]:
    folder, first, last = shard
    use_one_drawing_thread()
    images = np.lib.format.open_memmap(folder / "images.npy", "r+")
    parts = np.lib.format.open_memmap(folder / "parts.npy", "r+")
    lines = []
    for seed in range(first, last):
        scene = draw_scene(seed)
        images[seed] = scene.image
        parts[seed] = part_shares(scene.parts)
        lines.append(json.dumps(scene.spec.to_dict()))
    images.flush()
    parts.flush()
    return lines
