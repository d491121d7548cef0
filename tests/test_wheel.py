"""The wheel: it holds all that the console script needs, and renders a story with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("assets", "pipelines", "storyboard")
STORY = """\
size: 64x64
steps: 2
character: a girl in a red hoodie
frames:
  - {location: on a beach, action: waving}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel, which a fresh environment would have among its packages."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in NEEDED:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (
        p for pattern in ("*.toml", "*.txt", "*.md", "LICENSE") for p in ROOT.glob(pattern)
    ):
        shutil.copy(path, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(source), str(source)]
    run = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    (wheel,) = source.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def call(site: Path, folder: Path, code: str, *arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_the_wheel_alone_renders_a_story(site: Path, tmp_path: Path) -> None:
    entry = (site / next(site.glob("*.dist-info")) / "entry_points.txt").read_text("utf-8")
    module, _, function = entry.partition("throughline = ")[2].split()[0].partition(":")
    main = f"import sys; from {module} import {function} as main; sys.exit(main(sys.argv[1:]))"
    (tmp_path / "story.yaml").write_text(STORY, encoding="utf-8")
    call(site, tmp_path, main, "render", "story.yaml", "--out", "out")
    assert list((tmp_path / "out").rglob("*.png"))
    call(site, tmp_path, main, "new", "example.yaml")
    assert "frames:" in (tmp_path / "example.yaml").read_text("utf-8")
    where = "import pipelines, storyboard; print(pipelines.__path__[0], storyboard.__path__[0])"
    assert all(str(site) in path for path in call(site, tmp_path, where).split())


def test_an_installed_throughline_keeps_projects_in_the_persons_folder(
    site: Path, tmp_path: Path
) -> None:
    code = "from storyboard.settings import Settings; print(Settings.from_environment({}).projects)"
    projects = Path(call(site, tmp_path, code).strip())
    assert site not in projects.parents
