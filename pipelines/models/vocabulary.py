"""Words that a small model knows, read from a file beside its weights."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

from pipelines.errors import ModelError


@dataclass(frozen=True)
class Vocabulary:
    """Words and phrases that a model knows, for whoever writes prompts.

    Attributes:
        words: all words that it knows, in lower case.
        locations: phrases for the locations that it knows.
        actions: phrases for the actions that it knows.
    """

    words: tuple[str, ...]
    locations: tuple[str, ...]
    actions: tuple[str, ...]


def read_vocabulary(path: Path, remedy: str) -> Vocabulary:
    """Read a vocabulary.

    Args:
        path: the file.
        remedy: what a person can do where it is damaged.

    Raises:
        ModelError: if it is missing or damaged.
    """
    names = [field.name for field in fields(Vocabulary)]
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}.", remedy, "broken") from error
    lists = [stored.get(name) for name in names] if isinstance(stored, dict) else [None]
    if not all(isinstance(a, list) and all(isinstance(b, str) for b in a) for a in lists):
        problem = f"{path} is damaged: it holds no lists of {', '.join(names)}."
        raise ModelError(problem, remedy, "broken")
    return Vocabulary(*(tuple(found) for found in lists if found is not None))
