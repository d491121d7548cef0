"""Files of a training, written completely or not at all: states, checkpoints, JSON and logs."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from training.budget import Budget


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name and rename it when it is complete."""
    partial = path.with_name(path.name + ".partial")
    write(partial)
    os.replace(partial, path)


def write_folder(path: Path, write: Callable[[Path], object]) -> None:
    """Write a folder under another name and rename it when it is complete; an old one is replaced.

    `write` creates the folder that it is given.
    """
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    write(partial)
    shutil.rmtree(path, ignore_errors=True)
    partial.rename(path)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Save tensors and plain values with torch, atomically."""
    write_whole(path, lambda partial: torch.save(state, partial))


def load_state(path: Path) -> dict[str, Any]:
    """Load what `save_state` saved, on the CPU."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def save_json(path: Path, values: Any) -> None:
    """Save plain values as JSON, atomically."""
    text = json.dumps(values, indent=1) + "\n"
    write_whole(path, lambda partial: partial.write_text(text))


def load_json(path: Path) -> Any:
    """Load what `save_json` saved."""
    return json.loads(path.read_text())


class Stateful(Protocol):
    """Object with a state that can be saved and restored, such as a module or an optimizer."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> object:
        """Restore a state."""


def save_checkpoint(path: Path, budget: Budget, parts: Mapping[str, Stateful]) -> None:
    """Save a training and all its parts with a state, so that it can continue exactly."""
    state: dict[str, Any] = {name: part.state_dict() for name, part in parts.items()}
    save_state(path, {**state, "step": budget.step, "seconds": budget.seconds})


def load_checkpoint(path: Path, budget: Budget, parts: Mapping[str, Stateful]) -> None:
    """Restore what `save_checkpoint` wrote into the same parts."""
    state = load_state(path)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    budget.step, budget.seconds = state["step"], state["seconds"]


class MetricsLog:
    """JSONL file of numbers; each new line is also printed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, **numbers: float | int | str) -> None:
        """Append a line; floats are rounded to five significant digits."""
        shown = {
            key: float(f"{value:.5g}") if isinstance(value, float) else value
            for key, value in numbers.items()
        }
        with self._path.open("a") as file:
            file.write(json.dumps(shown) + "\n")
        print(json.dumps(shown), flush=True)
