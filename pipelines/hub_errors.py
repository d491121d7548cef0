"""Errors of the Hugging Face hub, translated into messages for a person; no torch."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from pipelines.errors import ModelError, ModelFault

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


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and, one after another, the exceptions that caused it."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def explain_hub_error(
    error: BaseException,
    title: str,
    repository: str,
    *,
    offline: str,
    missing_file: str,
    licence: str = "",
    suggestion: str = "",
) -> ModelError | None:
    """Translate an exception of the hub or of the network.

    Args:
        error: the exception; its causes are examined too, since libraries wrap the hub's.
        title: name of the files that are fetched, as a sentence begins with it.
        repository: their repository.
        offline: what works without the hub, one sentence.
        missing_file: remedy where the repository lacks a file, one sentence.
        licence: name of the licence of the files, where it is known.
        suggestion: a sentence that follows the news that there is no such repository.

    Returns:
        None where neither the hub nor the network is at fault.
    """
    links = list(causes(error))
    for link in links:
        if isinstance(link, GatedRepoError):
            return _gated(title, f"https://huggingface.co/{repository}", licence)
        if isinstance(link, RepositoryNotFoundError) or isinstance(error, HFValidationError):
            return ModelError(
                f"{title} is not on this machine, and there is no Hugging Face repository "
                f"{repository!r} that you may read.{suggestion}",
                f"Check the name; if the repository is private, {_LOG_IN}.",
                "missing",
            )
        if isinstance(link, HfHubHTTPError):
            return _refused(link.response.status_code, title, repository, missing_file)
    if any(isinstance(link, _NETWORK_TYPES) for link in links):
        return _unreachable(title, offline)
    return None


def _gated(title: str, page: str, licence: str) -> ModelError:
    if get_token() is None:
        remedy = f"Log in at {page} and accept them, then {_LOG_IN}."
    else:
        remedy = (
            f"Log in at {page} with the account of your token and accept them; a fine-grained "
            f"token also needs the right to read gated repositories ({_TOKENS_PAGE})."
        )
    terms = f"its terms ({licence})" if licence else "its terms"
    return ModelError(
        f"{title} can be downloaded only after {terms} are accepted.", remedy, "gated"
    )


def _refused(status: int, title: str, repository: str, missing_file: str) -> ModelError:
    faults: dict[int, tuple[str, str, ModelFault]] = {
        401: (
            "Hugging Face does not accept your token (it answered 401), which is wrong or has "
            "expired",
            f"To replace it, {_LOG_IN}.",
            "token",
        ),
        403: (
            f"your token may not read {repository} (Hugging Face answered 403)",
            f"Give it the right to read at {_TOKENS_PAGE}, or {_LOG_IN}.",
            "token",
        ),
        404: (f"the repository {repository} lacks a file", missing_file, "missing"),
    }
    fault, remedy, reason = faults.get(
        status,
        (f"Hugging Face answered {status}", "Wait a few minutes and try again.", "network"),
    )
    return ModelError(f"{title} cannot be downloaded: {fault}.", remedy, reason)


def _unreachable(title: str, offline: str) -> ModelError:
    if constants.HF_HUB_OFFLINE:
        reason = "HF_HUB_OFFLINE forbids the download"
        remedy = "Unset HF_HUB_OFFLINE and start again."
    else:
        reason = "Hugging Face cannot be reached"
        remedy = "Check the connection (and HTTPS_PROXY, if you need a proxy), then start again."
    return ModelError(
        f"{title} is not on this machine, and {reason}.", f"{remedy} {offline}", "network"
    )
