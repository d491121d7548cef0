"""What went wrong while a model was opened, in words that a person can act on; no torch.

It knows the exceptions of huggingface_hub and of the libraries that read model files.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from pipelines.errors import ModelError, OutOfMemoryError
from pipelines.models.catalog import suggestion
from pipelines.models.specs import ModelKind, ModelSpec

_TOKENS_PAGE = "https://huggingface.co/settings/tokens"
_LOG_IN = (
    f"make a token at {_TOKENS_PAGE} and give it with `hf auth login`, "
    "or in the environment variable HF_TOKEN"
)
_NETWORK_TYPES = (
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    httpx2.TransportError,
    ConnectionError,
    TimeoutError,
)


@dataclass(frozen=True)
class Origin:
    """What is being loaded and from where, in the words of the messages.

    Attributes:
        title: its name.
        source: its folder, or its repository on the Hugging Face hub.
        kind: where that is.
        licence: name of its licence.
        download_bytes: size of its files.
        weights_bytes: size of its weights in 16 bits.
        repository: what to do about a repository that lacks a file, one sentence.
        folder: what to do about a folder that is damaged, one sentence.
        memory: what to do where memory does not suffice, one sentence.
        network: what can be done without a network, one sentence.
    """

    title: str
    source: str
    kind: ModelKind
    licence: str
    download_bytes: int
    weights_bytes: int
    repository: str
    folder: str
    memory: str
    network: str

    @property
    def url(self) -> str:
        """Its page on the hub."""
        return f"https://huggingface.co/{self.source}"


def model_origin(spec: ModelSpec) -> Origin:
    """A model as the messages speak of it."""
    return Origin(
        title=spec.title,
        source=spec.source,
        kind=spec.kind,
        licence=spec.licence,
        download_bytes=spec.download_bytes,
        weights_bytes=spec.weights_bytes,
        repository="Choose a repository in diffusers' format, with a model_index.json.",
        folder="Download or export the model again, as a folder that FluxPipeline can open.",
        memory="Close what else uses the memory, or choose another memory preset (`python -m "
        "storyboard models`) or a smaller model: the miniature fits anywhere.",
        network="The miniature works without a network.",
    )


def explain(error: BaseException, origin: Origin) -> ModelError:
    """What an exception raised while loading means for a person.

    Args:
        error: the exception; those that caused it are looked at too, since diffusers wraps the
            hub's in its own.
        origin: what was being loaded.
    """
    chain = tuple(_chain(error))
    for link in chain:
        if isinstance(link, GatedRepoError):
            return _gated(origin)
        if isinstance(link, RepositoryNotFoundError):
            return _no_repository(origin)
        if isinstance(link, HfHubHTTPError):
            return _refused(link, origin)
    for link in chain:
        if isinstance(link, OSError) and link.errno == errno.ENOSPC:
            return _disk_full(origin)
        if isinstance(link, MemoryError) or "out of memory" in str(link).casefold():
            return _out_of_memory(origin)
    if origin.kind == "hub" and any(isinstance(link, _NETWORK_TYPES) for link in chain):
        return _no_network(origin)
    fault = " ".join(str(error).split()) or type(error).__name__
    return ModelError(
        f"The files of {origin.title} ({origin.source}) cannot be read: {fault}",
        remedy_for_files(origin),
        "broken",
    )


def remedy_for_files(origin: Origin) -> str:
    """What to do when files are missing or damaged."""
    if origin.kind == "embedded":
        return "Its files come with Throughline: get them again with `git checkout -- assets`."
    if origin.kind == "folder":
        return origin.folder
    cache = os.path.join(constants.HF_HUB_CACHE, "models--" + origin.source.replace("/", "--"))
    return f"Delete the folder {cache} and start again, to download them anew."


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _gated(origin: Origin) -> ModelError:
    if get_token() is None:
        remedy = f"Log in at {origin.url} and accept them, then {_LOG_IN}."
    else:
        remedy = (
            f"Log in at {origin.url} with the account of your token and accept them; a "
            f"fine-grained token also needs the right to read gated repositories ({_TOKENS_PAGE})."
        )
    return ModelError(
        f"{origin.title} can be downloaded only after its terms ({origin.licence}) are accepted.",
        remedy,
        "gated",
    )


def _no_repository(origin: Origin) -> ModelError:
    return ModelError(
        f"There is no folder and no Hugging Face repository {origin.source!r} that you may "
        f"read.{suggestion(origin.source)}",
        f"Check the name; if the repository is private, {_LOG_IN}.",
        "missing",
    )


def _refused(error: HfHubHTTPError, origin: Origin) -> ModelError:
    status = error.response.status_code
    if status == 401:
        return ModelError(
            f"Hugging Face does not accept your token for {origin.title} (it answered 401): it is "
            "wrong or has expired.",
            f"To replace it, {_LOG_IN}.",
            "token",
        )
    if status == 403:
        return ModelError(
            f"Your token may not read {origin.source} (Hugging Face answered 403).",
            f"Give it the right to read at {_TOKENS_PAGE}, or {_LOG_IN}.",
            "token",
        )
    if status == 404:
        return ModelError(
            f"The repository {origin.source} lacks a file that is needed.",
            origin.repository,
            "missing",
        )
    return ModelError(
        f"Hugging Face could not deliver {origin.title} (it answered {status}).",
        "Wait a few minutes and try again.",
        "network",
    )


def _no_network(origin: Origin) -> ModelError:
    if constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE forbids to download it"
        remedy = "Unset HF_HUB_OFFLINE and start again."
    else:
        reason = "Hugging Face cannot be reached"
        remedy = "Check the connection (and HTTPS_PROXY, if you need a proxy), then start again."
    return ModelError(
        f"{origin.title} is not on this machine, and {reason}.",
        f"{remedy} {origin.network}",
        "network",
    )


def _disk_full(origin: Origin) -> ModelError:
    return ModelError(
        f"The disk filled up while {origin.title} was downloaded to {constants.HF_HOME} "
        f"(it takes {origin.download_bytes / 1e9:.0f} GB).",
        "Free some space, or name a folder on another disk in HF_HOME, and start again: the "
        "download goes on where it stopped.",
        "broken",
    )


def _out_of_memory(origin: Origin) -> ModelError:
    return OutOfMemoryError(
        f"Memory ran out while {origin.title} was loaded "
        f"(its weights take {origin.weights_bytes / 1e9:.1f} GB in 16 bits).",
        origin.memory,
    )
