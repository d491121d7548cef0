"""Sharing a cluster between workers, and what is said where there is no Ray."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipelines.errors import UserError
from storyboard.jobs.ray.workers import RAY, Cluster, Machine, Staff, plan_staff
from storyboard.settings import ROOT, Settings, Workers

LAPTOP = Machine(cores=8, gpus=0)
TWO_GPUS = Machine(cores=16, gpus=2)
EIGHT_GPUS = Machine(cores=128, gpus=8)


@pytest.mark.parametrize(
    ("count", "device", "machines", "staff"),
    [
        (None, None, [TWO_GPUS], Staff(2, 8, 1)),
        (1, "cuda:1", [TWO_GPUS], Staff(1, 16, 1)),
        (None, "cuda", [TWO_GPUS, EIGHT_GPUS, LAPTOP], Staff(10, 8, 1)),
        (None, None, [LAPTOP], Staff(1, 8, 0)),
        (None, None, [LAPTOP, LAPTOP], Staff(2, 8, 0)),
        (3, None, [LAPTOP], Staff(3, 2, 0)),
        (8, None, [LAPTOP], Staff(8, 1, 0)),
        # Two on one machine and one on the other: no machine has more for each.
        (3, None, [LAPTOP, Machine(3, 0)], Staff(3, 3, 0)),
        (4, "cpu", [TWO_GPUS], Staff(4, 4, 0)),
        (2, "mps", [LAPTOP], Staff(2, 4, 0)),
    ],
)
def test_gpus_or_cores_are_shared(
    count: int | None, device: str | None, machines: list[Machine], staff: Staff
) -> None:
    assert plan_staff(count, device, machines) == staff


@pytest.mark.parametrize(
    ("count", "device", "machines", "words"),
    [
        (3, None, [TWO_GPUS], "asks for 3 workers, and Ray has room for 2.*GPUs"),
        (9, None, [LAPTOP], "asks for 9 workers, and Ray has room for 8.*cores"),
        (1, "cuda", [LAPTOP], "THROUGHLINE_DEVICE is 'cuda', and Ray knows of no GPU"),
    ],
)
def test_what_there_is_no_room_for_is_said(
    count: int, device: str | None, machines: list[Machine], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        plan_staff(count, device, machines)


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="THROUGHLINE_WORKERS is set.*pip install ray==") as fault:
        Cluster(Workers(2), Settings())
    assert RAY in fault.value.remedy


def test_the_ray_to_install_is_the_one_that_is_tested() -> None:
    pins = Path(ROOT, "requirements-dev.txt").read_text("utf-8").splitlines()
    assert RAY in pins
