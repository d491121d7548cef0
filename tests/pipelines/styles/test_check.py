"""A LoRA file is found on this disk or in the hub's cache, or the error has a remedy."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from safetensors.torch import save_file

from pipelines.errors import ModelError
from pipelines.styles import check as style_file
from pipelines.styles.check import DownloadStopped, check_style, find_style_file


def hub_error(kind: type[HfHubHTTPError], status: int) -> HfHubHTTPError:
    request = httpx2.Request("GET", "https://huggingface.co/api/models/ann/ink")
    return kind(f"{status}", response=httpx2.Response(status, request=request))


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A hub cache with the repository ann/ink, to which tests add files."""
    repository = tmp_path / "hub" / "models--ann--ink"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("c0ffee" * 7)
    snapshot = repository / "snapshots" / ("c0ffee" * 7)
    snapshot.mkdir(parents=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return snapshot


def test_a_file_on_this_disk_is_itself(tmp_path, monkeypatch):
    (tmp_path / "ann").mkdir()
    path = tmp_path / "ann" / "ink.safetensors"
    path.touch()
    assert find_style_file(f" {path} ") == path
    monkeypatch.chdir(tmp_path)
    assert find_style_file("ann/ink.safetensors").resolve() == path


def test_a_folder_stands_for_its_one_file(tmp_path):
    (tmp_path / "ink.safetensors").touch()
    (tmp_path / "notes.txt").touch()
    assert find_style_file(str(tmp_path)) == tmp_path / "ink.safetensors"


def test_a_folder_with_several_files_asks_which(tmp_path):
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=r"2 \.safetensors files: a.*, b.*Name one"):
        find_style_file(str(tmp_path))
    (tmp_path / "pytorch_lora_weights.safetensors").touch()
    assert find_style_file(str(tmp_path)).name == "pytorch_lora_weights.safetensors"


@pytest.mark.parametrize("name", ["ink.bin", "ink.pt", "ink.ckpt", "ink"])
def test_pickles_are_never_opened(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(ModelError, match="can run code") as caught:
        find_style_file(str(tmp_path / name))
    assert caught.value.reason == "broken"


def test_pickles_are_not_fetched_either():
    with pytest.raises(ModelError, match="can run code"):
        find_style_file("ann/ink/ink.bin")


@pytest.mark.parametrize(
    "source",
    [
        "ink.safetensors",
        "styles/ink.safetensors",
        "./a/b.safetensors",
        "/no/ink",
        "ann/../b",
        "ink",
    ],
)
def test_a_missing_file_is_reported(source):
    with pytest.raises(ModelError, match="no LoRA file .* on this machine") as caught:
        find_style_file(source)
    assert caught.value.reason == "missing"


@pytest.mark.parametrize(
    "source", ["ann/ink", "ann/ink/ink.safetensors", "ann/ink/v2/a.safetensors"]
)
def test_offline_a_hub_name_is_reported_at_once(tmp_path, monkeypatch, source):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE forbids") as caught:
        find_style_file(source)
    assert caught.value.reason == "network"


def test_a_lost_connection_is_reported(tmp_path, monkeypatch):
    def fail(*args: object, **options: object) -> None:
        raise httpx2.ConnectError("Temporary failure in name resolution")

    monkeypatch.setattr(style_file, "hf_hub_download", fail)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ModelError, match="cannot be reached.*Check the connection"):
        find_style_file("ann/ink/ink.safetensors")


@pytest.mark.parametrize("source", ["ann/ink", "ann/ink/ink.safetensors"])
def test_what_is_cached_needs_no_hub(cached, source):
    (cached / "ink.safetensors").touch()
    assert find_style_file(source) == cached / "ink.safetensors"


@pytest.mark.parametrize("source", ["ann/ink", "ann/ink/v2/adapter_model.safetensors"])
def test_pefts_weights_come_with_their_settings(cached, monkeypatch, source):
    folder = cached / "v2" if "v2" in source else cached
    folder.mkdir(exist_ok=True)
    (folder / "adapter_model.safetensors").touch()
    assert find_style_file(source) == folder / "adapter_model.safetensors"  # there may be none

    fetched = []

    def fetch(repository: str, name: str, **options: object) -> str:
        fetched.append(name)
        return str(cached / name)

    monkeypatch.setattr(style_file, "hf_hub_download", fetch)
    find_style_file(source)
    assert [cached / name for name in fetched] == [
        folder / "adapter_model.safetensors",
        folder / "adapter_config.json",
    ]


def test_a_repository_with_several_files_asks_which(cached):
    for name in ("a.safetensors", "b.safetensors"):
        (cached / name).touch()
    with pytest.raises(ModelError, match='Name one of them, as "ann/ink/a.safetensors"'):
        find_style_file("ann/ink")


def test_a_repository_without_safetensors_is_reported(cached):
    (cached / "ink.bin").touch()
    with pytest.raises(ModelError, match=r"ann/ink holds no \.safetensors file"):
        find_style_file("ann/ink")


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (hub_error(GatedRepoError, 403), "gated", "accept them"),
        (
            hub_error(RepositoryNotFoundError, 401),
            "missing",
            "no Hugging Face repository 'ann/ink'",
        ),
        (hub_error(RemoteEntryNotFoundError, 404), "missing", "lacks a file.*Look for its name"),
        (hub_error(HfHubHTTPError, 503), "network", "answered 503"),
        (OSError(28, "No space left on device"), "broken", "No space left"),
    ],
)
def test_what_the_hub_says_is_explained(monkeypatch, error, reason, words):
    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(style_file, "hf_hub_download", fail)
    with pytest.raises(ModelError, match=words) as caught:
        find_style_file("ann/ink/ink.safetensors")
    assert caught.value.reason == reason


def test_a_name_that_the_hub_cannot_have_is_reported():
    with pytest.raises(ModelError, match="no Hugging Face repository 'ann/ink-'"):
        find_style_file("ann/ink-/ink.safetensors")


def test_nobody_elses_home_is_a_missing_file():
    with pytest.raises(ModelError, match="nobody-here") as caught:
        find_style_file("~nobody-here/ink.safetensors")
    assert caught.value.reason == "missing" and caught.value.remedy


def test_a_file_that_is_no_lora_is_distinguished_from_a_damaged_one(tmp_path):
    whole, damaged = tmp_path / "whole.safetensors", tmp_path / "damaged.safetensors"
    save_file({"weight": torch.ones(2, 2)}, whole)
    damaged.write_bytes(whole.read_bytes()[:20])
    with pytest.raises(ModelError, match=r"whole\.safetensors holds no LoRA"):
        check_style(str(whole))
    with pytest.raises(ModelError, match="no safetensors file") as caught:
        check_style(str(damaged))
    assert caught.value.remedy == "Get the LoRA again, or choose another."
    save_file({"x.lora_A.weight": torch.ones(2, 2), "x.lora_B.weight": torch.ones(2, 2)}, whole)
    check_style(str(whole))


def downloads(monkeypatch, pieces: int, size: int | None) -> list[int]:
    """Let the hub send a file of this size in pieces of 100 MB; return what has arrived."""
    arrived: list[int] = []

    def download(*_: object, tqdm_class: type, **options: object) -> str:
        bar = tqdm_class(total=size, disable=True)
        for _piece in range(pieces):
            arrived.append(100_000_000)
            bar.update(100_000_000)
        return "/hub/ink.safetensors"

    monkeypatch.setattr(style_file, "hf_hub_download", download)
    return arrived


def test_a_download_ends_once_nobody_waits_for_it(monkeypatch):
    arrived = downloads(monkeypatch, 20, 2_000_000_000)
    with pytest.raises(DownloadStopped):
        find_style_file("ann/ink/ink.safetensors", lambda: len(arrived) == 3)
    assert len(arrived) == 3
    found = find_style_file("ann/ink/ink.safetensors", lambda: False)
    assert found == Path("/hub/ink.safetensors")


@pytest.mark.parametrize("size", [40_000_000_000, None, 1_000])  # what the hub says of it
def test_a_file_that_is_too_large_for_a_lora_is_not_fetched(monkeypatch, size):
    arrived = downloads(monkeypatch, 400, size)
    with pytest.raises(ModelError, match="ann/ink/ink.safetensors has more than 4 GB"):
        find_style_file("ann/ink/ink.safetensors")
    assert sum(arrived) <= 4_200_000_000
