"""Where a style's LoRA file is: on this disk, or fetched from the Hugging Face hub; no torch.

Only safetensors files are opened: other formats are pickles, which can run code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from pipelines.errors import ModelError
from pipelines.styles.info import read_info

_SUFFIX = ".safetensors"
_USUAL_NAME = "pytorch_lora_weights.safetensors"
_ON_THE_HUB = re.compile(r"(?!.*\.\.)([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:/(.+))?")
_HUB_TIMEOUT = 10.0  # seconds until the hub must have answered
_NAMES = 'the path of a .safetensors file, or "owner/name" or "owner/name/file.safetensors"'


def find_style_file(source: str) -> Path:
    """The file of a LoRA, downloaded where that is needed and it is not in the hub's cache.

    Args:
        source: path of a `.safetensors` file; or "owner/name" or "owner/name/file.safetensors" on
            the Hugging Face hub. What exists on this disk goes before the hub.

    Raises:
        ModelError: if there is no such file, it is of another format, or it cannot be fetched.
    """
    wanted = source.strip()
    try:
        path = Path(wanted).expanduser()
    except RuntimeError as error:  # "~" and the name of nobody on this machine
        raise ModelError(
            f"The LoRA {wanted}: {error}", "Give its whole path.", "missing"
        ) from error
    if path.is_dir():
        return path / _the_one(wanted, [p.name for p in sorted(path.glob(f"*{_SUFFIX}"))])
    if path.is_file():
        _check_suffix(wanted, path.name)
        return path
    on_the_hub = _ON_THE_HUB.fullmatch(wanted)
    if on_the_hub is None or on_the_hub[1].casefold().endswith(_SUFFIX):
        raise ModelError(
            f"There is no LoRA file {wanted!r} on this machine.", f"Give {_NAMES}.", "missing"
        )
    repository, name = on_the_hub.groups()
    if name is not None:
        _check_suffix(wanted, name)
    try:
        return _fetch(repository, name or _the_one(wanted, _names_in(repository)))
    except (OSError, httpx2.HTTPError, EntryNotFoundError, HFValidationError) as error:
        raise _explain(error, wanted, repository) from error


def check_style(source: str) -> None:
    """See that a LoRA is on this disk, fetching it if need be, and holds what its name says.

    Its weights are not read, so this is cheap, and can be done before a large model is loaded.

    Args:
        source: as `find_style_file`.

    Raises:
        ModelError: as `find_style_file`, and if the file is damaged or holds no LoRA.
    """
    try:
        layers = read_info(find_style_file(source)).layers
    except (OSError, ValueError) as error:
        raise ModelError(str(error), "Get the LoRA again, or choose another.", "broken") from error
    if not layers:
        raise ModelError(
            f"{source} holds no LoRA.",
            "Choose a file that was trained as one for FLUX.1.",
            "broken",
        )


def _fetch(repository: str, name: str) -> Path:
    return Path(hf_hub_download(repository, name, etag_timeout=_HUB_TIMEOUT))


def _names_in(repository: str) -> list[str]:
    """Safetensors files at the top of a repository; without the hub, those in its cache."""
    try:
        names = HfApi().list_repo_files(repository)
    except (ConnectionError, TimeoutError, httpx2.TransportError):
        names = [p.name for p in _cached(repository).glob(f"*{_SUFFIX}")]
    return sorted(name for name in names if name.endswith(_SUFFIX) and "/" not in name)


def _cached(repository: str) -> Path:
    return Path(snapshot_download(repository, local_files_only=True, allow_patterns=f"*{_SUFFIX}"))


def _the_one(source: str, names: Sequence[str]) -> str:
    if _USUAL_NAME in names:
        return _USUAL_NAME
    if len(names) == 1:
        return names[0]
    if not names:
        raise ModelError(
            f"{source} holds no .safetensors file.",
            "Choose a LoRA that was saved as safetensors: other formats can run code when read, "
            "and are not opened.",
            "missing",
        )
    raise ModelError(
        f"{source} holds {len(names)} .safetensors files: {', '.join(names)}.",
        f'Name the one that you mean, as "{source.rstrip("/")}/{names[0]}".',
        "missing",
    )


def _check_suffix(source: str, name: str) -> None:
    if not name.casefold().endswith(_SUFFIX):
        raise ModelError(
            f"The LoRA {source!r} is not a .safetensors file.",
            "Get it as safetensors: other formats can run code when read, and are not opened.",
            "broken",
        )


def _explain(error: BaseException, source: str, repository: str) -> ModelError:
    page = f"https://huggingface.co/{repository}"
    if isinstance(error, GatedRepoError):
        return ModelError(
            f"The LoRA {source} can be downloaded only after its terms are accepted.",
            f"Log in at {page} and accept them, then give your token with `hf auth login`, or in "
            "the environment variable HF_TOKEN.",
            "gated",
        )
    if isinstance(error, RepositoryNotFoundError | HFValidationError):
        return ModelError(
            f"There is no LoRA file {source!r} on this machine, and no Hugging Face repository "
            f"{repository!r} that you may read.",
            "Check the name; if the repository is private, give your token with `hf auth login`.",
            "missing",
        )
    if isinstance(error, LocalEntryNotFoundError | ConnectionError | httpx2.TransportError):
        if constants.HF_HUB_OFFLINE:
            problem, remedy = "HF_HUB_OFFLINE forbids to download it", "Unset HF_HUB_OFFLINE"
        else:
            problem = "Hugging Face cannot be reached"
            remedy = "Check the connection (and HTTPS_PROXY, if you need a proxy)"
        return ModelError(
            f"The LoRA {source} is not on this machine, and {problem}.",
            f"{remedy}, or give the path of a .safetensors file.",
            "network",
        )
    if isinstance(error, EntryNotFoundError):
        return ModelError(
            f"The repository {repository} has no such file: {source}.", f"See {page}.", "missing"
        )
    if isinstance(error, HfHubHTTPError):
        return ModelError(
            f"Hugging Face could not deliver the LoRA {source} (it answered "
            f"{error.response.status_code}).",
            "Wait a few minutes and try again; if it stays so, check your token.",
            "network",
        )
    fault = " ".join(str(error).split()) or type(error).__name__
    return ModelError(
        f"The LoRA {source} could not be stored on this machine: {fault}",
        f"See that there is space in {constants.HF_HOME}, or give the path of a file.",
        "broken",
    )
