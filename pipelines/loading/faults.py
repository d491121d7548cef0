"""Errors while a model or a character adapter is loaded, translated into messages for a person."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pickle import UnpicklingError

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from pipelines.errors import ModelError, OutOfMemoryError, is_out_of_memory
from pipelines.hub_errors import causes, explain_hub_error
from pipelines.models.catalog import suggestion
from pipelines.models.specs import (
    FOLDER_FILES,
    SHIPPED_FILES,
    ModelKind,
    ModelSpec,
    remedy_for_file,
)
from pipelines.models.weight_files import FileFault

_FOREIGN = (
    *(OSError, ValueError, RuntimeError, KeyError, MemoryError),
    *(SafetensorError, httpx2.HTTPError),
)
# What libraries raise besides where a file says something that they do not expect.
_FOREIGN_IN_FILES = (
    *_FOREIGN,
    *(TypeError, LookupError, AttributeError, AssertionError, ArithmeticError, ImportError),
    *(RecursionError, EOFError, UnpicklingError, StrictDataclassError),
)


@dataclass(frozen=True)
class Origin:
    """Files that are loaded, and the remedies for what can happen to them.

    Attributes:
        title: their name.
        source: their folder, or their repository on the Hugging Face hub.
        kind: the kind of source.
        licence: name of their licence.
        download_bytes: their size.
        weights_bytes: size of the weights in 16 bits.
        missing_file: remedy where the repository lacks a file, one sentence.
        folder: remedy where the folder is damaged, one sentence.
        memory: remedy where memory does not suffice, one sentence.
        offline: what works without a network, one sentence.
    """

    title: str
    source: str
    kind: ModelKind
    licence: str
    download_bytes: int
    weights_bytes: int
    missing_file: str
    folder: str
    memory: str
    offline: str


def model_origin(spec: ModelSpec) -> Origin:
    return Origin(
        title=spec.title,
        source=spec.source,
        kind=spec.kind,
        licence=spec.licence,
        download_bytes=spec.download_bytes,
        weights_bytes=spec.weights_bytes,
        missing_file="Choose a repository in diffusers' format, with a model_index.json.",
        folder=FOLDER_FILES,
        memory="Close other programs that use the memory, or choose another memory preset "
        "(`python -m storyboard models`) or a smaller model: the miniature fits anywhere.",
        offline="The miniature works without a network.",
    )


@contextmanager
def explained(origin: Origin) -> Iterator[None]:
    """Turn the exceptions of foreign files and services into a `ModelError`; see `explain`."""
    try:
        yield
    except _FOREIGN as error:
        raise explain(error, origin) from error


@contextmanager
def explained_files(origin: Origin) -> Iterator[None]:
    """Turn whatever a library raises while it reads files of an origin into a `ModelError`.

    For calls that do nothing but read: a defect of our own has to be raised as it is.
    """
    try:
        yield
    except FileFault as fault:
        raise ModelError(str(fault), remedy_for_file(origin.kind, fault), fault.reason) from fault
    except _FOREIGN_IN_FILES as error:
        raise explain(error, origin) from error


def explain(error: BaseException, origin: Origin) -> ModelError:
    """Translate an exception of loading files, or one of its causes: diffusers wraps the hub's."""
    for link in causes(error):
        if isinstance(link, OSError) and link.errno == errno.ENOSPC:
            return ModelError(
                f"The disk filled up while {origin.title} was downloaded to {constants.HF_HOME} "
                f"(it takes {origin.download_bytes / 1e9:.0f} GB).",
                "Free some space, or name a folder on another disk in HF_HOME, and start again: "
                "the download goes on where it stopped.",
                "broken",
            )
        if is_out_of_memory(link):
            return OutOfMemoryError(
                f"Memory ran out while {origin.title} was loaded "
                f"(its weights take {origin.weights_bytes / 1e9:.1f} GB in 16 bits).",
                origin.memory,
            )
    explained = None
    if origin.kind == "hub":
        explained = explain_hub_error(
            error,
            origin.title,
            origin.source,
            offline=origin.offline,
            missing_file=origin.missing_file,
            licence=origin.licence,
            suggestion=suggestion(origin.source),
        )
    fault = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, ImportError):
        return ModelError(
            f"{origin.title} ({origin.source}) needs a package that is not here: {fault}.",
            "Install the package that the message names, or choose another model.",
            "missing",
        )
    return explained or ModelError(
        f"The files of {origin.title} ({origin.source}) cannot be read: {fault}.",
        remedy_for_files(origin),
        "broken",
    )


def remedy_for_files(origin: Origin) -> str:
    """Return the remedy for missing or damaged files."""
    if origin.kind == "embedded":
        return SHIPPED_FILES
    if origin.kind == "folder":
        return origin.folder
    return (
        f"Run `hf cache verify {origin.source}`, delete the files that it names, and start again: "
        "only they are downloaded anew."
    )
