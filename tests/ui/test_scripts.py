"""The page's scripts, tested by Node and checked by TypeScript; skipped, visibly, without them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import start
from tests.conftest import needed_node_package

HERE = Path(__file__).resolve().parent
TESTS = sorted(HERE.rglob("*.test.js"))


def run_node(*arguments: str, **variables: str) -> str:
    """Run Node with environment variables, assert that it succeeds, and return its output."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node on this machine")
    command = [node, *arguments]
    run = subprocess.run(
        command,
        cwd=start.ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_the_scripts_pass_their_own_tests(path: Path) -> None:
    variables = {}
    if "/document.js" in path.read_text(encoding="utf-8"):
        variables["NODE_PACKAGES"] = str(needed_node_package("happy-dom").parent)
    output = run_node("--test", "--test-reporter=tap", str(path), **variables)
    assert "# fail 0" in output and "# pass 0" not in output


def test_there_are_tests_of_the_scripts() -> None:
    tested = {path.name.removesuffix(".test.js") for path in TESTS}
    assert {"board", "merge", "history", "saving", "following", "memory", "call"} <= tested


def test_the_types_of_the_scripts_are_right() -> None:
    typescript = needed_node_package("typescript") / "lib" / "tsc.js"
    run_node(str(typescript), "--project", str(HERE / "tsconfig.json"))
