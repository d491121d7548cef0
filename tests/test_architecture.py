"""Import rules: the contracts of pyproject.toml, and the rules that no contract can state."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
# Packages whose commands load torch at once.
COMMANDS = ("benchmarks", "evaluation", "miniature", "training")
PACKAGES = ("benchmarks", "evaluation", "miniature", "pipelines", "storyboard", "training")

# An import that breaks a contract, by the file that it is planted in.
PLANTED = {
    "pipelines/sampling/prompt.py": "from storyboard import board",
    "pipelines/loading/faults.py": "def planted():\n    from miniature.model import train",
    "training/budget.py": "from miniature import dataset",
    "storyboard/board.py": "from evaluation import suite",
    "miniature/dataset.py": "from storyboard import errors",
    "evaluation/rows.py": "from benchmarks import measuring",
    "pipelines/errors.py": "from pipelines import events",
    "pipelines/events.py": "def planted():\n    import torch",
    "pipelines/models/presets.py": "import safetensors",
    "pipelines/models/sizes.py": "from pipelines.loading import placement",
    "pipelines/sampling/schedule.py": "from pipelines.flux1 import attention",
    "pipelines/consistency/bank.py": "import numpy",
    "pipelines/consistency/masks.py": "from pipelines import request",
    "storyboard/storage/projects.py": "def planted():\n    import torch.nn",
    "storyboard/storage/files.py": "from pipelines.loading import model",
    "storyboard/cli/batch.py": "from pipelines import engine",
    "storyboard/jobs/local.py": "from storyboard import wiring",
    "storyboard/planning.py": "from storyboard.jobs import job",
    "storyboard/api/actions.py": "from storyboard.cli import render",
    "storyboard/api/takes.py": "def planted():\n    import gradio",
    "storyboard/jobs/runner.py": "import ray",
}
ALLOWED = {
    "pipelines/sampling/prompt.py": "from pipelines.request import Prompt",
    "pipelines/consistency/bank.py": "import torch.nn.functional",
    "storyboard/engine.py": "def planted():\n    from pipelines import engine",
    "storyboard/jobs/local.py": "from pipelines.models import catalog",
    "storyboard/ui/page.py": "import gradio",
    "miniature/model/train.py": "from pipelines.flux1 import pipeline",
}


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    script = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", script, "--no-cache", str(folder / "pyproject.toml")],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def dotted(name: str) -> str:
    parts = Path(name).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def copy_with(folder: Path, planted: dict[str, str]) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=lambda _, names: {"__pycache__"})
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name, source in planted.items():
        path = folder / name
        path.write_text(f"{path.read_text('utf-8')}\n\n{source}\n", encoding="utf-8")


def test_no_import_breaks_a_contract() -> None:
    run = lint(ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


def test_planted_violations_are_found(tmp_path: Path) -> None:
    copy_with(tmp_path, PLANTED)
    run = lint(tmp_path)
    assert run.returncode == 1, run.stdout + run.stderr
    missed = [name for name in PLANTED if f"{dotted(name)} -> " not in run.stdout]
    assert not missed, run.stdout


def test_allowed_imports_pass(tmp_path: Path) -> None:
    copy_with(tmp_path, ALLOWED)
    run = lint(tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr


# Names that begin with an underscore.


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def defined(tree: ast.Module) -> set[str]:
    """Private names that a module defines, on its own level or as attributes."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return {name for name in found if private(name)}


def touched(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Private names that a module reads from other objects or imports, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, alias.name) for alias in node.names if private(alias.name))
        elif isinstance(node, ast.Attribute) and private(node.attr):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if not own:
                yield node.lineno, node.attr


def foreign_names(sources: dict[str, str]) -> list[str]:
    """Places where a module touches a private name that another of our modules defines."""
    trees = {name: ast.parse(source) for name, source in sources.items()}
    ours = {name: defined(tree) for name, tree in trees.items()}
    everywhere = set().union(*ours.values())
    return [
        f"{name}:{line}: {found}"
        for name, tree in trees.items()
        for line, found in touched(tree)
        if found in everywhere - ours[name]
    ]


def test_nobody_touches_a_private_name_of_another_module() -> None:
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    sources = {str(p.relative_to(ROOT)): p.read_text("utf-8") for p in [*paths, ROOT / "app.py"]}
    assert foreign_names(sources) == []


def test_planted_private_names_are_found() -> None:
    sources = {
        "a.py": "class A:\n    def __init__(self):\n        self._x = 1\ndef _f(): ...",
        "b.py": "from a import A, _f\nprint(A()._x, A().y, A()._elsewhere)",
        "c.py": "class C:\n    def __init__(self, c):\n        self._x = c._x",
    }
    assert foreign_names(sources) == ["b.py:1: _f", "b.py:2: _x"]


def test_folders_hand_on_no_names() -> None:
    """An `__init__.py` holds a docstring and, at the top of the application, its version.

    Packages whose commands load torch at once set its threads before that.
    """
    threads = ast.parse("from pipelines.threads import limit_threads\nlimit_threads()").body
    setting = [ROOT / name / "__init__.py" for name in COMMANDS]
    for path in (p for package in PACKAGES for p in (ROOT / package).rglob("__init__.py")):
        body = ast.parse(path.read_text("utf-8")).body
        if path in setting:
            assert list(map(ast.dump, body[1:])) == list(map(ast.dump, threads)), path
            continue
        code = [node for node in body if not isinstance(node, ast.Expr)]
        allowed = path == ROOT / "storyboard" / "__init__.py"
        assert all(isinstance(node, ast.Assign) for node in code) and (allowed or not code), path


def test_the_front_ends_open_without_torch() -> None:
    """Third parties could bring torch in too, so this checks a real start."""
    code = (
        "import sys, app, storyboard.cli.main, storyboard.ui.page, storyboard.engine\n"
        "sys.exit(', '.join({'torch', 'diffusers', 'transformers', 'cv2'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
