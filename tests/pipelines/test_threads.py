"""Threads: OpenMP's variables before torch is imported, and the cores that a container may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import threads

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("benchmarks", "evaluation", "miniature", "training")


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("given", "policy", "spins"),
    [
        ({}, "PASSIVE", "2000"),
        ({"GOMP_SPINCOUNT": "9"}, "PASSIVE", "9"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE", None),
    ],
)
def test_threads_spin_shortly_where_nothing_else_is_set(
    unset: pytest.MonkeyPatch, given: dict[str, str], policy: str, spins: str | None
) -> None:
    for name, value in given.items():
        unset.setenv(name, value)
    for _ in range(2):
        threads.limit_threads()
        assert os.environ["OMP_WAIT_POLICY"] == policy
        assert os.environ.get("GOMP_SPINCOUNT") == spins


def commands() -> list[str]:
    """All modules that are run as commands."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    run = [path for path in paths if '__name__ == "__main__"' in path.read_text("utf-8")]
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in run]


def test_commands_set_the_threads_before_torch_is_imported(unset: pytest.MonkeyPatch) -> None:
    """As Python does it with `-m`: the package before the command."""
    assert len(commands()) > 10
    packages = sorted({name.partition(".")[0] for name in commands()})
    for package in packages:
        code = (
            f"import os, sys, {package}; assert 'torch' not in sys.modules\n"
            "print(os.environ['OMP_WAIT_POLICY'])"
        )
        run = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert run.stdout.strip() == "PASSIVE", (package, run.stderr)


def test_the_engine_sets_the_threads_before_it_imports_torch(unset: pytest.MonkeyPatch) -> None:
    """Front ends leave torch to it (`tests/test_architecture.py`)."""
    code = (
        "import os, sys, pipelines.engine; assert 'torch' not in sys.modules\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': print(os.environ['OMP_WAIT_POLICY']); sys.exit()\n"
        "sys.meta_path.insert(0, Finder()); pipelines.engine.import_libraries()"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == "PASSIVE", run.stderr


def cgroup(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("max", ".max")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpumax": "max 100000\n"}, 8),
        ({"cpumax": "200000 100000\n"}, 2),
        ({"cpumax": "150000 100000\n"}, 2),
        ({"cpumax": "5000 100000\n"}, 1),
        ({"cpumax": "1600000 100000\n"}, 8),
        ({"cpu__cpu.cfs_quota_us": "-1\n", "cpu__cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu__cpu.cfs_quota_us": "300000\n", "cpu__cpu.cfs_period_us": "100000\n"}, 3),
    ],
)
def test_a_container_has_the_cores_of_its_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert threads.usable_cores(cgroup(tmp_path, **files)) == cores


@pytest.mark.parametrize(
    ("usable", "given", "count"), [(2, None, "2"), (8, None, None), (2, "5", "5")]
)
def test_threads_are_no_more_than_the_cores_of_a_container(
    unset: pytest.MonkeyPatch, usable: int, given: str | None, count: str | None
) -> None:
    unset.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    unset.setattr(threads, "usable_cores", lambda: usable)
    if given:
        unset.setenv("OMP_NUM_THREADS", given)
    threads.limit_threads()
    assert os.environ.get("OMP_NUM_THREADS") == count
