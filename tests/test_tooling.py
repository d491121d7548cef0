"""The checks that every commit must pass, and that the files which name versions agree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
BIGGEST_GIT_FILE = 10 * 2**20
# Docstrings that begin so are riddles, or sentences without a verb.
BAD_FIRST_WORDS = {"What", "How", "Whether", "One", "Which", "Where", "Why", "Who", "Whose"}


@pytest.mark.parametrize(
    "command",
    [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
    ids=" ".join,
)
def test_the_code_is_clean(command):
    run = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_docstrings_begin_with_a_verb_or_a_noun():
    """Tests aside, since their names say what they are about."""
    folders = ("benchmarks", "evaluation", "miniature", "pipelines", "storyboard", "training")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    found = []
    for path in [*paths, ROOT / "app.py", ROOT / "start.py"]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                first = (ast.get_docstring(node) or "-").split()[0].strip(",.:;")
                if first in BAD_FIRST_WORDS:
                    found.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}: {first}")
    assert not found, "\n".join(found)


def pins(name: str) -> dict[str, str]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return dict(line.split("==") for line in lines if line)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_what_is_pinned_is_what_is_installed(name):
    installed = {package: version(package).partition("+")[0] for package in pins(name)}
    assert installed == pins(name)


def space_settings() -> dict[str, object]:
    _, front_matter, _ = (ROOT / "README.md").read_text("utf-8").split("---\n", 2)
    settings = yaml.safe_load(front_matter)
    assert isinstance(settings, dict)
    return settings


def test_the_readme_makes_a_space():
    settings = space_settings()
    assert settings["sdk"] == "gradio"
    assert settings["sdk_version"] == pins("requirements.txt")["gradio"]
    assert (ROOT / str(settings["app_file"])).is_file()
    colours = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {settings["colorFrom"], settings["colorTo"]} <= colours
    assert len(str(settings["short_description"])) <= 60


def test_every_place_names_the_same_oldest_python():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    oldest = project["project"]["requires-python"].removeprefix(">=")
    assert project["tool"]["mypy"]["python_version"] == oldest
    assert project["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    assert f"Python {oldest} or newer" in (ROOT / "README.md").read_text("utf-8")
    start = (ROOT / "start.py").read_text("utf-8")
    assert f"OLDEST_PYTHON = ({oldest.replace('.', ', ')})" in start


def test_links_in_the_guides_lead_somewhere():
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text("utf-8")
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
            if not target.startswith("https://"):
                assert (ROOT / target).exists(), f"{name} links to {target}"


def test_every_file_in_the_readmes_tree_is_there():
    text = (ROOT / "README.md").read_text("utf-8")
    tree = text.partition("## What is where")[2].partition("```text\n")[2].partition("```")[0]
    folder = ROOT
    names = 0
    for line in tree.splitlines():
        # Names come before the first two spaces in a row; a folder's files are set in below it.
        for name in re.split(r" {2,}", line.strip())[0].split(", "):
            path = (folder if line.startswith("  ") else ROOT) / name
            assert path.exists(), f"the README's tree has {name}"
            names += 1
            if not line.startswith(" ") and name.endswith("/"):
                folder = path
    assert names > 20


def test_files_that_a_plain_git_push_could_not_carry_are_few():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("without git, as in a downloaded ZIP, nobody knows which files are tracked")
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    sizes = {path: path.stat().st_size for path in paths if path.is_file()}
    big = [path for path, size in sizes.items() if size > BIGGEST_GIT_FILE]
    assert all(path.suffix == ".safetensors" for path in big), big
    assert sum(sizes.values()) < 60 * 2**20
