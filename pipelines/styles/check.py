"""Find a style's LoRA file on this disk or the Hugging Face hub, and check it; no torch.

Only safetensors files are opened: other formats are pickles, which can run code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError
from huggingface_hub.utils import tqdm

from pipelines.errors import ModelError
from pipelines.hub_errors import explain_hub_error
from pipelines.styles.info import PEFT_SETTINGS, PEFT_WEIGHTS, check_kind, read_info

_SUFFIX = ".safetensors"
_USUAL_NAME = "pytorch_lora_weights.safetensors"
_ON_THE_HUB = re.compile(r"(?!.*\.\.)([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:/(.+))?")
_HUB_TIMEOUT = 10.0  # seconds
_MOST_BYTES = 4_000_000_000  # of a file that is downloaded
_NAMES = 'the path of a .safetensors file, or "owner/name" or "owner/name/file.safetensors"'


class DownloadStopped(Exception):
    """Nobody waits for a download any more."""


def _never() -> bool:
    return False


def find_style_file(source: str, stopped: Callable[[], bool] = _never) -> Path:
    """Return the path of a LoRA file, which is downloaded if it is not in the hub's cache.

    Args:
        source: path of a `.safetensors` file or of a folder that holds one; or "owner/name" or
            "owner/name/file.safetensors" on the Hugging Face hub. Paths that exist go first.
        stopped: returns whether nobody waits for the file any more; asked during a download.

    Raises:
        DownloadStopped: if nobody does.
        ModelError: if there is no such file, it is of another format, or it cannot be fetched.
    """
    wanted = source.strip()
    try:
        path = Path(wanted).expanduser()
    except RuntimeError as error:  # "~" and a user name that this machine does not have
        raise ModelError(
            f"The LoRA {wanted} cannot be found: {error}", "Give its whole path.", "missing"
        ) from error
    if path.is_dir():
        return path / _only_file(wanted, [p.name for p in sorted(path.glob(f"*{_SUFFIX}"))])
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
        name = name or _only_file(wanted, _names_in(repository))
        path = _fetched(repository, name, stopped)
        if path.name == PEFT_WEIGHTS:
            _fetch_settings(repository, name)
        return path
    except (OSError, httpx2.HTTPError, EntryNotFoundError, HFValidationError) as error:
        raise _explain(error, wanted, repository) from error


def check_style(source: str, stopped: Callable[[], bool] = _never) -> None:
    """Check that a file holds a LoRA, and download it if it is not on this disk.

    Its weights are not read, so this is cheap enough to do before a large model is loaded.

    Args:
        source: as for `find_style_file`.
        stopped: as for `find_style_file`.

    Raises:
        DownloadStopped: as `find_style_file`.
        ModelError: as `find_style_file`, and if the file is damaged, or holds no LoRA or none that
            can be used as a style.
    """
    try:
        info = read_info(find_style_file(source, stopped))
    except (OSError, ValueError) as error:
        raise ModelError(str(error), "Get the LoRA again, or choose another.", "broken") from error
    check_kind(source, info.keys)
    if not info.layers:
        raise ModelError(
            f"{source} holds no LoRA.",
            "Choose a file that was trained as one for FLUX.1.",
            "broken",
        )


def _fetched(repository: str, name: str, stopped: Callable[[], bool]) -> Path:
    """Return a file of the hub, which is downloaded where the cache lacks it."""
    arrived = 0.0  # whatever the hub says

    class Watched(tqdm):
        """Progress bar that ends a download that nobody waits for, or that is no LoRA's."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.update(0)

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal arrived
            arrived += n or 0
            if stopped():
                raise DownloadStopped
            if max(self.total or 0, arrived) > _MOST_BYTES:
                raise ModelError(
                    f"The LoRA {repository}/{name} has more than {_MOST_BYTES // 10**9} GB, as no "
                    "LoRA has.",
                    "Choose another file.",
                    "broken",
                )
            return super().update(n)

    return Path(hf_hub_download(repository, name, etag_timeout=_HUB_TIMEOUT, tqdm_class=Watched))


def _names_in(repository: str) -> list[str]:
    """List the safetensors files at the top of a repository, in the cache if there is no hub."""
    try:
        names = HfApi().list_repo_files(repository)
    except (ConnectionError, TimeoutError, httpx2.TransportError):
        pattern = f"*{_SUFFIX}"
        cached = snapshot_download(repository, local_files_only=True, allow_patterns=pattern)
        names = [path.name for path in Path(cached).glob(pattern)]
    return sorted(name for name in names if name.endswith(_SUFFIX) and "/" not in name)


def _fetch_settings(repository: str, name: str) -> None:
    """Download PEFT's settings to beside its weights, where the repository has them."""
    beside = name.removesuffix(PEFT_WEIGHTS) + PEFT_SETTINGS
    with suppress(EntryNotFoundError):
        hf_hub_download(repository, beside, etag_timeout=_HUB_TIMEOUT)


def _only_file(source: str, names: Sequence[str]) -> str:
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
        f'Name one of them, as "{source.rstrip("/")}/{names[0]}".',
        "missing",
    )


def _check_suffix(source: str, name: str) -> None:
    if not name.casefold().endswith(_SUFFIX):
        raise ModelError(
            f"The LoRA {source!r} is not a .safetensors file.",
            "Get it as safetensors: other formats can run code when read, and are not opened.",
            "broken",
        )


def _explain(error: Exception, source: str, repository: str) -> ModelError:
    title, fault = f"The LoRA {source}", " ".join(str(error).split()) or type(error).__name__
    return explain_hub_error(
        error,
        title,
        repository,
        offline="The path of a .safetensors file works without a network.",
        missing_file=f"Look for its name at https://huggingface.co/{repository}.",
    ) or ModelError(
        f"{title} could not be stored on this machine: {fault}",
        f"See that there is space in {constants.HF_HOME}, or give the path of a file.",
        "broken",
    )
