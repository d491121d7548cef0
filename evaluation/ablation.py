"""Ablations: the same model with a character adapter that lacks a part.

A bundle is the folder that `python -m miniature.character.train` writes; the engine takes it from
the folder of the model that a request names. So an ablation has its own model folder, whose other
components are links to the model's.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from evaluation.rows import Conditioning, SuiteRow
from pipelines.errors import UserError
from pipelines.models.specs import ModelSpec

SUBJECT = "subject"  # name of the bundle's folder within a model's folder
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,-]*")


@dataclass(frozen=True)
class Ablation:
    """Bundle that lacks a part.

    Attributes:
        name: its description, such as "without the time resampler".
        bundle: its folder.
    """

    name: str
    bundle: Path

    def row(self, models: Path) -> SuiteRow:
        """Make the row that renders with this bundle.

        Args:
            models: the folder in which its model's folder will be.
        """
        slug = re.sub(r"[ ,-]+", "-", self.name.casefold())
        own = Conditioning(f"reference-{slug}", bundle=self.bundle, model=str(models / slug))
        return SuiteRow(slug, f"reference, {self.name}", consistent=False, conditioning=own)


def parse_ablation(text: str) -> Ablation:
    """Read "without the time resampler=FOLDER".

    Raises:
        ValueError: if it has no name and folder, or the folder is no bundle.
    """
    name, _, folder = text.partition("=")
    if not _NAME.fullmatch(name) or not folder:
        raise ValueError(f"{text!r} is not NAME=FOLDER, with a name of letters, digits and spaces")
    bundle = Path(folder).expanduser().resolve()
    if not (bundle / "config.json").is_file():
        raise ValueError(f"{folder} is no subject folder: it has no config.json")
    return Ablation(name, bundle)


def make_model(spec: ModelSpec, bundle: Path, folder: Path) -> None:
    """Make the folder of a model that has another bundle; an older one is replaced.

    Args:
        spec: the model of all other components.
        bundle: the bundle that replaces its own.
        folder: the folder to make.

    Raises:
        UserError: if the model is not on this disk, or the folder cannot be made.
    """
    if spec.kind == "hub":
        raise UserError(
            f"{spec.title} cannot render with another bundle.",
            "Ablations need a model in a folder on this machine.",
        )
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for source in Path(spec.source).resolve().iterdir():
            if source.name != SUBJECT:
                _link(source, folder / source.name)
        _link(bundle, folder / SUBJECT)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror or error}).") from error


def _link(source: Path, target: Path) -> None:
    """Link to a file or folder; copy it where the system refuses links."""
    try:
        target.symlink_to(source, target_is_directory=source.is_dir())
    except OSError:
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)
