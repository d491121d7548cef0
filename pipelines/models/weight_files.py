"""Files of a network's weights: found in every form in which they are saved, and checked.

Names, sizes and headers are read; no weights, and no torch. Forms are safetensors and torch's
`.bin`, each whole or in shards with an index, each plain or a variant (`model.fp16.safetensors`).
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Shapes = dict[str, tuple[int, ...]]

_DIFFUSERS = ("transformer", "vae")
# Variants of the same weights in 16 bits are tried before others, such as "ema".
_KNOWN_VARIANTS = ("bf16", "fp16")
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.")
_LFS = b"version https://git-lfs"
_INCOMPLETE = "is damaged or not completely downloaded"
_NAMED_AT_MOST = 6


class FileFault(ValueError):
    """A file that is missing, damaged, or something else than its name says.

    Args:
        path: the file or folder.
        fault: the rest of a sentence that begins with the path, without its full stop.
        reason: the kind of fault.
        remedy: what to do; empty where the file has to be fetched again.
    """

    def __init__(
        self,
        path: Path,
        fault: str,
        reason: Literal["missing", "broken"] = "broken",
        remedy: str = "",
    ) -> None:
        super().__init__(f"{path} {fault}.")
        self.path, self.reason, self.remedy = path, reason, remedy


@dataclass(frozen=True)
class WeightFiles:
    """Weights of a network as the libraries' loaders name them.

    Attributes:
        files: the file, or its shards.
        variant: the part of their names that marks a variant; None for plain names.
        safetensors: False for torch's pickles, which are read without running code.
    """

    files: tuple[Path, ...]
    variant: str | None
    safetensors: bool


def find_weights(folder: Path, *, check: bool = True) -> WeightFiles:
    """Find the weights of a component of a model.

    Args:
        folder: the component's; its name says which library saved it.
        check: whether the files are checked too; False where they were before.

    Raises:
        FileFault: if there are none, or a file is missing or damaged.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise FileFault(folder, f"cannot be opened: {error.strerror}", "missing") from error
    whole_first = folder.name not in _DIFFUSERS  # diffusers' loader takes an index first
    for suffix in ("safetensors", "bin"):
        stem = _stem(folder.name, suffix)
        for variant in _variants(names, stem, suffix):
            mark = f".{variant}" if variant else ""
            whole, index = f"{stem}{mark}.{suffix}", f"{stem}.{suffix}.index{mark}.json"
            forms = [name for name in (whole, index) if name in names]
            if not forms:
                continue
            name = forms[0 if whole_first else -1]
            files = (folder / whole,) if name == whole else _shards(folder / index)
            if check:
                for file in files:
                    check_file(file)
            return WeightFiles(files, variant, suffix == "safetensors")
    raise _nothing_found(folder, names)


def check_file(path: Path) -> None:
    """Check that a file can be what its name says, from its size, its start and its header.

    Raises:
        FileFault: if it is missing or damaged.
    """
    if path.is_symlink() and not path.exists():
        target = os.readlink(path)
        raise FileFault(path, f"is a link to {target}, which is not there", "missing")
    if not path.exists():
        raise FileFault(path, "is missing", "missing")
    if not path.is_file():
        raise FileFault(path, "is no file")
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise FileFault(path, f"cannot be read: {error.strerror}") from error
    if not start:
        raise FileFault(path, f"{_INCOMPLETE}: it is empty")
    if start.startswith(_LFS):
        raise FileFault(
            path,
            "is a pointer of Git LFS, which stands for the file",
            remedy="Run `git lfs pull` in the model's folder.",
        )
    if start.lstrip().startswith((b"<!", b"<html", b"<HTML")):
        raise FileFault(path, "is a web page that was saved in place of the file")
    if path.suffix == ".safetensors":
        read_shapes(path)
    if path.suffix == ".bin" and start.startswith(b"PK") and not zipfile.is_zipfile(path):
        raise FileFault(path, f"{_INCOMPLETE}: its end is missing")


def read_shapes(path: Path) -> Shapes:
    """Read the shapes of a safetensors file's tensors from its header, without safetensors.

    Raises:
        FileFault: if the file is damaged, or shorter than its header says.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= size - 8:
            raise FileFault(path, f"{_INCOMPLETE}: its header has no end")
        header = file.read(length)
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        shapes = {name: tuple(map(int, tensor["shape"])) for name, tensor in tensors.items()}
        ends = [int(tensor["data_offsets"][1]) for tensor in tensors.values()]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise FileFault(path, f"is damaged: {error}") from error
    whole = 8 + length + max(ends, default=0)
    if size < whole:
        raise FileFault(path, f"{_INCOMPLETE}: it has {size:,} of {whole:,} bytes")
    return shapes


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        FileFault: if the file is missing, damaged or holds something else.
    """
    check_file(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FileFault(path, f"is damaged: {error}") from error
    if not isinstance(value, dict):
        raise FileFault(path, "is damaged: it holds no JSON object")
    return value


def component_class(index: Mapping[str, Any], name: str) -> str | None:
    """Return the class of a component that a `model_index.json` names; None where it names none."""
    entry = index.get(name)
    found = entry[1] if isinstance(entry, list) and len(entry) == 2 else None
    return found if isinstance(found, str) else None


def _stem(component: str, suffix: str) -> str:
    if component in _DIFFUSERS:
        return "diffusion_pytorch_model"
    return "model" if suffix == "safetensors" else "pytorch_model"


def _variants(names: list[str], stem: str, suffix: str) -> Iterator[str | None]:
    """Yield None for the plain names, then the variants that are there."""
    yield None
    pattern = re.compile(
        rf"{stem}\.(?P<whole>\w+)\.{suffix}|{stem}\.{suffix}\.index\.(?P<index>\w+)\.json"
    )
    found = {m["whole"] or m["index"] for name in names if (m := pattern.fullmatch(name))}
    yield from sorted(found, key=lambda one: (one not in _KNOWN_VARIANTS, one))


def _shards(index: Path) -> tuple[Path, ...]:
    """Return the shards that an index lists."""
    listed = read_json(index)
    shards = listed.get("weight_map")
    if not isinstance(shards, dict) or not isinstance(listed.get("metadata"), dict):
        raise FileFault(index, "is damaged: it has no weight_map or no metadata")
    names = sorted(set(map(str, shards.values())))
    outside = [name for name in names if Path(name).name != name or name in ("", "..")]
    if outside or not names:
        raise FileFault(index, f"is damaged: it lists {outside or 'no files'}")
    missing = [name for name in names if not os.path.lexists(index.parent / name)]
    if missing:
        raise FileFault(
            index.parent / missing[0],
            f"is missing ({len(missing)} of {len(names)} shards are)",
            "missing",
        )
    return tuple(index.parent / name for name in names)


def _nothing_found(folder: Path, names: list[str]) -> FileFault:
    wanted = f"{_stem(folder.name, 'safetensors')}.safetensors"
    shards = [name for name in names if _SHARD.search(name)]
    if shards:
        index = f"{_SHARD.sub('.', shards[0])}.index.json"
        return FileFault(
            folder / index, f"is missing, the index of the {len(shards)} shards", "missing"
        )
    others = ", ".join(names[:_NAMED_AT_MOST]) + (", ..." if len(names) > _NAMED_AT_MOST else "")
    return FileFault(
        folder, f"holds no weights: there is no {wanted}, only {others or 'nothing'}", "missing"
    )
