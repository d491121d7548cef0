"""The checks that every commit must pass, and that the files which name versions agree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from docs.draw_architecture import draw

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PACKAGES = ("benchmarks", "evaluation", "miniature", "pipelines", "storyboard", "training")
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


def locked(name: str) -> dict[str, set[str]]:
    """Return the versions of each package in a lock; a package may have several, by Python."""
    versions: dict[str, set[str]] = {}
    entries = (ROOT / name).read_text("utf-8").replace("\\\n", " ").splitlines()
    for entry in entries:
        package, found = re.match(r"([\w.-]+)==([^\s;]+)", entry).groups()  # type: ignore[union-attr]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), f"{package} has no hash in {name}"
        versions.setdefault(canonicalize_name(package), set()).add(found)
    return versions


@pytest.mark.parametrize(
    ("lock", "files"),
    [
        ("requirements.lock", ["requirements.txt"]),
        ("requirements-dev.lock", ["requirements.txt", "requirements-dev.txt"]),
    ],
)
def test_a_lock_has_everything_but_torch(lock, files):
    """All packages that the pinned ones bring along here too, in the versions that are here."""
    found = locked(lock)
    waiting = {canonicalize_name(name): "" for file in files for name in pins(file)}
    for file in files:
        for package, pin in pins(file).items():
            assert package == "torch" or found[canonicalize_name(package)] == {pin}
    seen: set[str] = set()
    while waiting:
        package, extra = waiting.popitem()
        seen.add(package)
        if package != "torch":
            assert version(package) in found[package], f"{package} is not as {lock} has it"
        for line in requires(package) or ():
            needed = Requirement(line)
            name = canonicalize_name(needed.name)
            if name not in seen and (not needed.marker or needed.marker.evaluate({"extra": extra})):
                waiting[name] = next(iter(needed.extras), "")
    assert not {"torch", "triton"} & set(found)
    assert not [name for name in found if name.startswith(("nvidia-", "cuda-"))]


def test_the_locks_agree():
    app, tests = locked("requirements.lock"), locked("requirements-dev.lock")
    assert app.items() <= tests.items()


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


def guides() -> list[Path]:
    return [
        *(ROOT / n for n in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *DOCS.glob("*.md"),
    ]


def test_links_in_the_guides_lead_somewhere():
    for guide in guides():
        text = guide.read_text("utf-8")
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
            if not target.startswith("https://"):
                assert (guide.parent / target).exists(), f"{guide.name} links to {target}"


def test_anchors_in_the_guides_are_headings():
    for guide in guides():
        for path, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", guide.read_text("utf-8")):
            text = (guide.parent / path if path else guide).read_text("utf-8")
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            known = {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in headings}
            assert anchor in known, f"{guide.name} links to {path}#{anchor}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 180


def test_every_environment_variable_is_in_the_settings():
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    sources += [ROOT / "app.py", ROOT / "start.py", *(ROOT / "tests").glob("*.py")]
    pattern = re.compile(r"\bTHROUGHLINE_[A-Z_]+[A-Z]\b")
    used = {name for path in sources for name in pattern.findall(path.read_text("utf-8"))}
    assert used and used <= set(pattern.findall((DOCS / "settings.md").read_text("utf-8")))


def tree() -> set[str]:
    """Return the paths in the tree of the architecture page; folders end in a slash."""
    text = (DOCS / "ARCHITECTURE.md").read_text("utf-8")
    drawn = text.partition("## What is where")[2].partition("```text\n")[2].partition("```")[0]
    found: set[str] = set()
    folder = ""
    for line in drawn.splitlines():
        # Names come before the first two spaces in a row; a folder's files are set in below it.
        for name in re.split(r" {2,}", line.strip())[0].split(", "):
            inside = line.startswith("  ")
            found.add(folder + name if inside else name)
            if not inside and name.endswith("/"):
                folder = name
    return found


def test_every_file_in_the_tree_is_there():
    missing = [path for path in tree() if not (ROOT / path).exists()]
    assert not missing


def test_every_room_is_in_the_tree():
    rooms = {
        path.relative_to(ROOT).as_posix() + ("/" if path.is_dir() else "")
        for package in PACKAGES
        for path in (ROOT / package).iterdir()
        if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
        if not path.name.startswith("__")
    }
    assert rooms and rooms <= tree()


def test_the_picture_of_the_rooms_is_the_current_one():
    drawn = (DOCS / "architecture.svg").read_text("utf-8")
    assert drawn == draw(), "python docs/draw_architecture.py draws it anew"


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
