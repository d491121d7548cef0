"""Who may import whom. The rules stand in CONTRIBUTING.md; here they are held.

Read from the source, never by importing it, so that lazy imports count and nothing is loaded.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LIGHT_PIPELINES = {
    "pipelines",
    *(
        f"pipelines.{name}"
        for name in (
            "request", "events", "models", "models.catalog", "models.sizes", "models.presets",
            "models.shortcuts", "styles", "styles.info",
        )
    ),
}  # fmt: skip
LIGHT = {*LIGHT_PIPELINES, "storyboard", "storyboard.board", "storyboard.errors"}
TENSOR_LIBRARIES = {"torch", "diffusers", "transformers", "accelerate", "safetensors"}
UI_MAY_IMPORT = {
    *LIGHT,
    *(
        f"storyboard.{name}"
        for name in (
            "characterfile", "consents", "export", "files", "jobs", "layout", "planning",
            "references", "settings", "store", "storyfile",
        )
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Import:
    """One import statement's target.

    Attributes:
        target: the module, dotted; for a name that is no module of ours, the module it is from.
        line: where it stands.
        lazy: whether it runs only when a function is called.
        typing_only: whether it never runs (under `if TYPE_CHECKING`).
    """

    target: str
    line: int
    lazy: bool
    typing_only: bool

    def is_in(self, *packages: str) -> bool:
        return any(self.target == p or self.target.startswith(f"{p}.") for p in packages)

    @property
    def is_standard(self) -> bool:
        return self.target.partition(".")[0] in sys.stdlib_module_names


@dataclass(frozen=True)
class Module:
    """A module's dotted name and what it imports."""

    name: str
    imports: tuple[Import, ...]

    def is_in(self, *packages: str) -> bool:
        return any(self.name == p or self.name.startswith(f"{p}.") for p in packages)

    @property
    def is_tab(self) -> bool:
        return self.is_in("storyboard.ui") and self.name.endswith("_tab")


def read_module(name: str, source: str, *, package: bool, known: set[str]) -> Module:
    """Parse a module.

    Args:
        name: its dotted name.
        source: its text.
        package: whether it is a package's `__init__`.
        known: dotted names of all our modules, to tell modules from names in them.
    """
    found: list[Import] = []

    def visit(node: ast.AST, lazy: bool, typing_only: bool) -> None:
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = name.split(".")
                kept = len(parents) - node.level + (1 if package else 0)
                base = ".".join([*parents[:kept], *filter(None, [node.module])])
            named = [f"{base}.{alias.name}" for alias in node.names]
            targets = [full if full in known else base for full in named]
        found.extend(Import(t, node.lineno, lazy, typing_only) for t in dict.fromkeys(targets))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                visit(child, lazy, True)
            for child in node.orelse:
                visit(child, lazy, typing_only)
            return
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, inside, typing_only)

    visit(ast.parse(source), False, False)
    return Module(name, tuple(found))


def broken_rules(module: Module) -> Iterator[tuple[int, Import]]:
    """Every import of a module that breaks a rule, with the rule's number."""
    for imported in module.imports:
        for rule, breaks in RULES.items():
            if breaks(module, imported):
                yield rule, imported


def engine_stays_below(module: Module, imported: Import) -> bool:
    return module.is_in("pipelines") and imported.is_in("storyboard", "gradio")


def light_modules_stay_light(module: Module, imported: Import) -> bool:
    if module.name not in LIGHT or imported.typing_only:
        return False
    return not (imported.is_standard or imported.is_in("pydantic") or imported.target in LIGHT)


def engine_is_the_crossing(module: Module, imported: Import) -> bool:
    if not module.is_in("storyboard", "app"):
        return False
    heavy = imported.is_in(*TENSOR_LIBRARIES) or (
        imported.is_in("pipelines") and imported.target not in LIGHT_PIPELINES
    )
    allowed = module.name == "storyboard.engine" and (imported.lazy or imported.typing_only)
    return heavy and not allowed


def ui_knows_its_neighbours(module: Module, imported: Import) -> bool:
    if not module.is_in("storyboard.ui"):
        return False
    if imported.is_in("storyboard.ui"):
        return module.is_tab and imported.target.endswith("_tab")
    return imported.is_in("storyboard", "pipelines") and imported.target not in UI_MAY_IMPORT


def consistency_needs_torch_alone(module: Module, imported: Import) -> bool:
    if not module.is_in("pipelines.consistency"):
        return False
    return not (imported.is_standard or imported.is_in("torch", "pipelines.consistency"))


def painting_needs_no_training(module: Module, imported: Import) -> bool:
    private = ("miniature", "training", "evaluation")
    return module.is_in("pipelines", "storyboard", "app") and imported.is_in(*private)


RULES = {
    1: engine_stays_below,
    2: light_modules_stay_light,
    3: engine_is_the_crossing,
    4: ui_knows_its_neighbours,
    5: consistency_needs_torch_alone,
    6: painting_needs_no_training,
}


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def our_files() -> list[Path]:
    files = [path for half in ("pipelines", "storyboard") for path in (ROOT / half).rglob("*.py")]
    return sorted([*files, ROOT / "app.py"])


def test_nobody_breaks_a_rule():
    files = our_files()
    known = {dotted(path) for path in files}
    assert {*LIGHT, "storyboard.engine", "storyboard.ui", "pipelines.consistency"} <= known
    broken = []
    for path in files:
        package = path.name == "__init__.py"
        module = read_module(dotted(path), path.read_text("utf-8"), package=package, known=known)
        broken += [
            f"{path.relative_to(ROOT)}:{imported.line}: rule {rule}: imports {imported.target}"
            for rule, imported in broken_rules(module)
        ]
    assert not broken, "\n" + "\n".join(broken)


KNOWN = {*UI_MAY_IMPORT, "pipelines.loading.model", "storyboard.engine", "storyboard.ui.export_tab"}


def rules_broken_by(name: str, source: str, package: bool = False) -> set[int]:
    module = read_module(name, source, package=package, known=KNOWN | {name})
    return {rule for rule, _ in broken_rules(module)}


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (1, "pipelines.sampling.prompt", "from storyboard import board"),
        (1, "pipelines.sampling.prompt", "def f():\n    import gradio as gr"),
        (1, "pipelines.request", "from storyboard.board import Frame"),
        (2, "storyboard.board", "import torch"),
        (2, "storyboard.errors", "def f():\n    import numpy"),
        (2, "pipelines.models.catalog", "from pipelines.loading.model import load_pipeline"),
        (2, "pipelines.request", "try:\n    import yaml\nfinally:\n    pass"),
        (2, "pipelines", "from .loading import model"),
        (3, "storyboard.store", "def f():\n    from pipelines.loading.model import load_pipeline"),
        (3, "storyboard.store", "def f():\n    from pipelines.loading import model"),
        (3, "storyboard.engine", "from pipelines.loading.model import load_pipeline"),
        (3, "storyboard.engine", "class A:\n    import torch"),
        (3, "storyboard.jobs", "def f():\n    import torch.nn"),
        (3, "app", "import pipelines.loading.model"),
        (4, "storyboard.ui.frames_tab", "from storyboard.ui import export_tab"),
        (4, "storyboard.ui.frames_tab", "from .export_tab import build"),
        (4, "storyboard.ui.page", "from storyboard.engine import Engine"),
        (4, "storyboard.ui.page", "from ..engine import Engine"),
        (5, "pipelines.consistency.bank", "import numpy as np"),
        (5, "pipelines.consistency.bank", "from ..request import FrameRequest"),
        (5, "pipelines.consistency", "def f():\n    from diffusers import FluxPipeline"),
        (6, "pipelines.loading.model", "from miniature.model.train import main"),
        (6, "pipelines.loading.model", "def f():\n    from evaluation.metrics import identity"),
    ],
)
def test_the_checker_sees_a_planted_violation(rule, name, source):
    package = name in ("pipelines", "pipelines.consistency")
    assert rule in rules_broken_by(name, source, package=package)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("pipelines.sampling.prompt", "import torch\nfrom .request import Prompt"),
        (
            "pipelines.events",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy",
        ),
        ("storyboard.board", "import pydantic, uuid"),
        ("storyboard.engine", "def f():\n    from pipelines.loading.model import load_pipeline"),
        ("storyboard.jobs", "from pipelines import request\nfrom pipelines.models import catalog"),
        ("storyboard.ui.page", "from storyboard.ui import export_tab\nimport gradio"),
        ("storyboard.ui.frames_tab", "from storyboard.jobs import Runner"),
        ("pipelines.consistency.bank", "import torch.nn.functional\nfrom .plan import StepPlan"),
        ("miniature.model.train", "from pipelines.miniature import world"),
    ],
)
def test_the_checker_lets_good_imports_pass(name, source):
    assert rules_broken_by(name, source) == set()


def test_the_front_ends_open_without_torch():
    """What the rules are for, seen at run time: third parties could bring torch in too."""
    code = (
        "import sys, app, storyboard.cli, storyboard.ui.page\n"
        "sys.exit(', '.join({'torch', 'diffusers', 'transformers'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
