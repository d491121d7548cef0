"""Compare our pipeline with golden vectors, recorded from the published methods.

    python -m evaluation.fidelity DIR [--setting NAME] [--allow-floor]

DIR is a folder with a `manifest.json` and its safetensors files: those of CharaConsist (format
"characonsist-golden-1"; settings are the recorded ones, such as "A"), or those of InstantCharacter
(recognised by its adapter; settings are its files, such as "projector"). Each tensor has one row:
its error, its tolerance and a verdict. The exit status is 1 where a tensor fails, and 2 where DIR
cannot be read.

The rows of the plain pictures come from diffusers' own FluxPipeline, none of our code. On some
processors they are off by 1e-5: the frequencies of the time embedding come from float32 `exp`,
whose last bit differs between processors, and are multiplied by up to 3,500 (the guidance). Where
the vectors hold enough of a plain picture, those last bits are set to the recorded ones first
(`evaluation.fidelity.vectors.TimeWaves`). The remaining error is the floor, which is measured first
and printed. A row of a whole run that exceeds its stated tolerance by no more than the floor says
"floor", and counts as failed unless `--allow-floor` is given. Each format limits the floor, so that
no wrong implementation hides in it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from evaluation.fidelity import characonsist, instantcharacter
from evaluation.fidelity.instantcharacter_runs import BASELINE
from evaluation.fidelity.vectors import Comparison

# Rows of stock diffusers alone.
PLAIN = ("plain/", BASELINE)


def golden_rows(folder: Path, settings: list[str] | None = None) -> Iterator[Comparison]:
    """Compare every tensor of a folder of vectors; without names of settings, of all of them.

    Raises:
        ValueError: if its vectors are of no known format, or it lacks a setting.
    """
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    kind = manifest.get("format")
    if kind == characonsist.FORMAT:
        yield from characonsist.characonsist_rows(folder, settings)
    elif kind is None and "adapter" in manifest:
        yield from instantcharacter.instantcharacter_rows(folder, settings)
    else:
        raise ValueError(f"format {kind!r} is not {characonsist.FORMAT!r}, and there is no adapter")


def main(arguments: list[str] | None = None) -> int:
    """Print a row for every tensor; returns the exit status."""
    torch.set_num_threads(1)  # the models are so small that threads only wait for each other
    parser = argparse.ArgumentParser(
        prog="python -m evaluation.fidelity",
        description="Compare our pipeline with golden vectors.",
    )
    parser.add_argument("folder", type=Path, help="folder with manifest.json and the vectors")
    parser.add_argument("--setting", action="append", help="only this setting (repeatable)")
    parser.add_argument(
        "--allow-floor",
        action="store_true",
        help="let rows pass that are off by no more than stock diffusers is on this processor",
    )
    options = parser.parse_args(arguments)
    rows: list[Comparison] = []
    print(f"{'error':>9} {'tolerance':>9}         tensor")
    try:
        for row in golden_rows(options.folder, options.setting):
            rows.append(row)
            note = f" ({row.note})" if row.note else ""
            numbers = f"{row.error:9.2e} {row.tolerance:9.0e} {row.verdict:7}"
            print(f"{numbers} {row.name}{note}", flush=True)
    except (OSError, KeyError, ValueError) as fault:
        print(f"{options.folder}: {type(fault).__name__}: {fault}", file=sys.stderr)
        return 2
    return conclude(rows, options.allow_floor)


def conclude(rows: list[Comparison], allow_floor: bool) -> int:
    """Print the number of rows that hold; returns the exit status."""
    plain = [row.error for row in rows if row.name.startswith(PLAIN)]
    held = sum(row.holds for row in rows)
    near = sum(row.verdict == "floor" for row in rows)
    print(f"{held} of {len(rows)} tensors within the stated tolerance")
    if near:
        print(
            f"{near} more within the floor of this processor: stock diffusers alone is off by up "
            f"to {max(plain, default=0.0):.1e}"
        )
    return 0 if held + (near if allow_floor else 0) == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
