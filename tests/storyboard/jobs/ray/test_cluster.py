"""Allocation of a cluster to workers, and the errors without Ray."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pipelines.errors import UserError
from storyboard.jobs.ray.cluster import RAY, Allocation, Cluster, Node, allocate
from storyboard.settings import ROOT, Settings, Workers

LAPTOP = Node(cores=8, gpus=0)
TWO_GPUS = Node(cores=16, gpus=2)
EIGHT_GPUS = Node(cores=128, gpus=8)


@pytest.mark.parametrize(
    ("count", "device", "nodes", "allocation"),
    [
        (None, None, [TWO_GPUS], Allocation(2, 8, 1)),
        (1, "cuda:1", [TWO_GPUS], Allocation(1, 16, 1)),
        (None, "cuda", [TWO_GPUS, EIGHT_GPUS, LAPTOP], Allocation(10, 8, 1)),
        (None, None, [LAPTOP], Allocation(1, 8, 0)),
        (None, None, [LAPTOP, LAPTOP], Allocation(2, 8, 0)),
        (3, None, [LAPTOP], Allocation(3, 2, 0)),
        (8, None, [LAPTOP], Allocation(8, 1, 0)),
        # Two on one machine and one on the other: neither has more for each.
        (3, None, [LAPTOP, Node(3, 0)], Allocation(3, 3, 0)),
        (4, "cpu", [TWO_GPUS], Allocation(4, 4, 0)),
        (2, "mps", [LAPTOP], Allocation(2, 4, 0)),
    ],
)
def test_gpus_or_cores_are_shared(
    count: int | None, device: str | None, nodes: list[Node], allocation: Allocation
) -> None:
    assert allocate(count, device, nodes) == allocation


@pytest.mark.parametrize(
    ("count", "device", "nodes", "words"),
    [
        (3, None, [TWO_GPUS], "asks for 3 workers, and Ray has room for 2.*GPUs"),
        (9, None, [LAPTOP], "asks for 9 workers, and Ray has room for 8.*cores"),
        (1, "cuda", [LAPTOP], "THROUGHLINE_DEVICE is 'cuda', and Ray knows of no GPU"),
    ],
)
def test_too_many_workers_are_refused(
    count: int, device: str | None, nodes: list[Node], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        allocate(count, device, nodes)


def test_without_ray_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="THROUGHLINE_WORKERS is set.*pip install ray==") as fault:
        Cluster(Workers(2), Settings())
    assert RAY in fault.value.remedy


def test_the_ray_to_install_is_the_one_that_is_tested() -> None:
    pins = Path(ROOT, "requirements-dev.txt").read_text("utf-8").splitlines()
    assert RAY in pins


def test_a_ray_of_ours_listens_here_alone_and_asks_for_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names: tuple[str, ...] = (
        "RAY_AUTH_MODE",
        "RAY_AUTH_TOKEN",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER",
    )
    for name in names:
        monkeypatch.setenv(name, "")  # puts back what there was
        monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError):
        Cluster(Workers(2, "10.0.0.1:6379"), Settings())
    assert not any(name in os.environ for name in names)  # a cluster of others has its own ways
    with pytest.raises(UserError):
        Cluster(Workers(2), Settings())
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(bytes.fromhex(os.environ["RAY_AUTH_TOKEN"])) == 32
    assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
