"""The set-up command: what it installs and when, what it says when it cannot, what it uploads."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import venv
import zipfile
from pathlib import Path

import httpx2
import huggingface_hub
import pytest
from huggingface_hub.errors import HfHubHTTPError

import start

ROOT = Path(__file__).resolve().parents[1]
PROBE_METADATA = "Metadata-Version: 2.1\nName: throughline_probe\nVersion: 1\n"
PROBE_WHEEL = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder of its own, whose environment is `env` beside it."""
    root = tmp_path / "project"
    root.mkdir()
    for name, pin in (("requirements", "one==1"), ("requirements-dev", "two==2")):
        (root / f"{name}.txt").write_text(f"{pin}\n")
        (root / f"{name}.lock").write_text(f"{pin} --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(start, "ROOT", root)
    monkeypatch.setenv("THROUGHLINE_VENV", str(tmp_path / "env"))
    return root


@pytest.fixture
def installed(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Every installation that is asked for; the environment itself is a real one without pip."""
    asked: list[tuple] = []

    def make(folder: Path) -> None:
        venv.create(folder, with_pip=False)

    monkeypatch.setattr(start, "make_environment", make)
    monkeypatch.setattr(start, "install", lambda python, requirements: asked.append(requirements))
    return asked


class Handed(Exception):
    """Raised instead of becoming another program."""


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> None:
    def hand_over(command: list[str]) -> None:
        raise Handed(*command)

    monkeypatch.setattr(start, "hand_over", hand_over)


# Commands.


@pytest.mark.parametrize(
    ("typed", "run"),
    [
        ([], ["app.py"]),
        (["--port", "7861"], ["app.py", "--port", "7861"]),
        (["app", "--help"], ["app.py", "--help"]),
        (
            ["test", "-k", "golden"],
            [
                *("-m", "pytest", "--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile"),
                "--no-loadscope-reorder",
                *("-k", "golden"),
            ],
        ),
        (["storyboard", "render", "a b.yaml"], ["-m", "storyboard", "render", "a b.yaml"]),
        (["evaluate", "--out", "a b"], ["-m", "evaluation", "--out", "a b"]),
    ],
    ids=" ".join,
)
def test_a_command_becomes_its_program(project, installed, handed, monkeypatch, typed, run):
    monkeypatch.setattr(start, "ensure_chromium", lambda python: None)
    monkeypatch.setattr(start, "ensure_node_packages", lambda: None)
    monkeypatch.chdir(project)
    with pytest.raises(Handed) as caught:
        start.main(typed)
    python, *arguments = caught.value.args
    assert Path(python) == start.environment_python(start.environment_folder())
    assert [a.removeprefix(f"{project}{os.sep}") for a in arguments] == run


@pytest.mark.parametrize(
    ("typed", "code"), [("--help", 0), ("-h", 0), ("help", 0), ("nonsense", 2)]
)
def test_help_lists_the_commands(typed, code):
    run = subprocess.run(
        [sys.executable, ROOT / "start.py", typed], capture_output=True, text=True, check=False
    )
    assert run.returncode == code
    assert all(word in run.stdout for word in ("app", "test", "storyboard", "publish"))


def test_it_runs_on_a_bare_python(tmp_path):
    """Isolated and without site-packages, as on a fresh machine; there is nothing to install."""
    run = subprocess.run(
        [sys.executable, "-I", "-S", ROOT / "start.py", "publish", "a/b", "--dry-run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "assets/miniature/model_index.json" in run.stdout


def test_an_interrupt_ends_quietly(project, monkeypatch):
    def interrupted(requirements):
        raise KeyboardInterrupt

    monkeypatch.setattr(start, "prepare", interrupted)
    assert start.main(["app"]) == 130


# The environment.


def test_requirements_are_installed_once_and_again_when_they_change(project, installed):
    python = start.prepare(start.REQUIREMENTS)
    assert Path(python).exists()
    assert start.prepare(start.REQUIREMENTS) == python
    assert installed == [("requirements.txt",)]
    start.prepare(start.TEST_REQUIREMENTS)
    start.prepare(start.REQUIREMENTS)
    assert installed[1:] == [("requirements.txt", "requirements-dev.txt")]
    (project / "requirements.txt").write_text("one==1.1\n")
    start.prepare(start.REQUIREMENTS)
    start.prepare(start.REQUIREMENTS)
    assert installed[2:] == [("requirements.txt",)]
    (project / "requirements.lock").write_text(f"one==1.1 --hash=sha256:{'1' * 64}\n")
    start.prepare(start.REQUIREMENTS)
    start.prepare(start.REQUIREMENTS)
    assert installed[3:] == [("requirements.txt",)]


def test_an_installation_that_failed_is_tried_again(project, installed, monkeypatch):
    def fail(python, requirements):
        raise start.Fault("no network")

    with monkeypatch.context() as patch:
        patch.setattr(start, "install", fail)
        assert start.main(["app"]) == 1
    start.prepare(start.REQUIREMENTS)
    assert installed == [("requirements.txt",)]


def test_the_environment_is_where_the_variable_says(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THROUGHLINE_VENV", "elsewhere")
    assert start.environment_folder() == tmp_path / "elsewhere"
    monkeypatch.setenv("THROUGHLINE_VENV", "")
    assert start.environment_folder() == ROOT / ".venv"


def test_an_old_python_is_refused_and_a_newer_one_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: name == "python3.12")
    with pytest.raises(start.Fault, match=r"this is 3\.9: run `python3\.12 start\.py`"):
        start.check_python((3, 9))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(start.Fault, match=r"install a newer one from python\.org"):
        start.check_python((3, 9))
    start.check_python(start.OLDEST_PYTHON)


def test_a_folder_that_is_no_environment_is_left_alone(project, tmp_path, capsys):
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "novel.txt").write_text("chapter one")
    assert start.main(["app"]) == 1
    assert "is no virtual environment" in capsys.readouterr().err
    assert (tmp_path / "env" / "novel.txt").read_text() == "chapter one"


def test_a_python_without_its_venv_module_is_reported(project, monkeypatch, capsys):
    monkeypatch.setattr(start.importlib.util, "find_spec", lambda name: None)
    assert start.main(["app"]) == 1
    assert f"python3.{sys.version_info[1]}-venv" in capsys.readouterr().err


def test_a_broken_environment_is_made_anew(project, tmp_path):
    folder = tmp_path / "env"
    folder.mkdir()
    (folder / "pyvenv.cfg").write_text("home = /gone\n")
    (folder / "stale").write_text("")
    start.make_environment(folder)
    assert start.run_quietly([str(start.environment_python(folder)), "-m", "pip", "--version"])
    assert not (folder / "stale").exists()


@pytest.mark.parametrize(("online", "say"), [(True, "disk space"), (False, "check the connection")])
def test_a_failed_installation_says_why(project, monkeypatch, capfd, online, say):
    monkeypatch.setattr(start, "torch_options", list)
    monkeypatch.setattr(start, "answers", lambda host, port: online)
    monkeypatch.setattr(start.subprocess, "call", lambda command: 1)
    with pytest.raises(start.Fault, match=say):
        start.install(Path("python"), start.REQUIREMENTS)


def test_a_file_that_is_not_the_locked_one_is_not_installed(tmp_path, monkeypatch, capfd):
    """By pip itself, with a package of one module in a folder in place of an index."""
    root, env, wheels = tmp_path / "project", tmp_path / "env", tmp_path / "wheels"
    for folder in (root, wheels):
        folder.mkdir()
    wheel = wheels / "throughline_probe-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("throughline_probe.py", "")
        packed.writestr("throughline_probe-1.dist-info/METADATA", PROBE_METADATA)
        packed.writestr("throughline_probe-1.dist-info/WHEEL", PROBE_WHEEL)
        packed.writestr("throughline_probe-1.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (root / "requirements.txt").write_text("throughline_probe==1\n")
    venv.create(env, with_pip=True)
    python = start.environment_python(env)
    monkeypatch.setattr(start, "ROOT", root)
    monkeypatch.setattr(start, "torch_options", list)
    monkeypatch.setattr(start, "answers", lambda host, port: True)
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(wheels))):
        monkeypatch.setenv(name, value)

    def install(sha256: str) -> bool:
        """Return whether the package is there after an installation; the project itself is not."""
        lock = root / "requirements.lock"
        lock.write_text(f"throughline_probe==1 --hash=sha256:{sha256}\n")
        with pytest.raises(start.Fault):
            start.install(python, start.REQUIREMENTS)
        return start.run_quietly([str(python), "-c", "import throughline_probe"])

    assert not install("0" * 64)
    assert "DO NOT MATCH THE HASHES" in capfd.readouterr().err
    assert install(digest)


# torch and Chromium.


class Answer:
    """An index that answers."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


@pytest.mark.parametrize(
    ("system", "driver", "index", "without_cuda"),
    [
        ("Linux", False, True, True),
        ("Linux", True, True, False),
        ("Linux", False, False, False),
        ("Darwin", False, True, False),
    ],
)
def test_torch_comes_without_cuda_where_there_is_no_nvidia_driver(
    monkeypatch, system, driver, index, without_cuda
):
    asked = []

    def urlopen(request, timeout):
        asked.append((request.full_url, timeout))
        if not index:
            raise urllib.error.URLError("no route to host")
        return Answer()

    monkeypatch.setattr(start.platform, "system", lambda: system)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi" if driver else None)
    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    options = start.torch_options()
    assert options == (["--extra-index-url", start.CPU_INDEX] if without_cuda else [])
    assert all(timeout <= 3 for _, timeout in asked)


@pytest.mark.parametrize(
    ("root", "sudo", "commands"),
    [
        (True, False, [["apt-get", "update"], ["apt-get", "install"]]),
        (False, True, [["sudo", "--non-interactive"], ["sudo", "--non-interactive"]]),
        (False, False, [["python", "-m"]]),
    ],
)
def test_chromium_is_installed_by_the_means_there_are(monkeypatch, capsys, root, sudo, commands):
    called: list[list[str]] = []

    def call(command):
        called.append(command)
        return 0

    def which(name):
        there = {"apt-get": True, "sudo": sudo, "chromium": any("install" in c for c in called)}
        return name if there.get(name, False) else None

    monkeypatch.delenv("THROUGHLINE_CHROMIUM", raising=False)
    monkeypatch.setattr(shutil, "which", which)
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    monkeypatch.setattr(start.subprocess, "call", call)
    start.ensure_chromium("python")
    assert [command[:2] for command in called] == commands
    called.clear()
    monkeypatch.setattr(shutil, "which", lambda name: name if name == "chromium" else None)
    start.ensure_chromium("python")
    assert called == []


def test_a_machine_that_cannot_have_chromium_is_reported(monkeypatch, capsys):
    monkeypatch.delenv("THROUGHLINE_CHROMIUM", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(start.subprocess, "call", lambda command: 1)
    start.ensure_chromium("python")
    assert "the browser tests will be skipped" in capsys.readouterr().out


# The Space.


def test_the_dry_run_lists_what_a_space_needs_and_nothing_private(capsys):
    assert start.main(["publish", "someone/storyboards", "--dry-run"]) == 0
    *lines, total = capsys.readouterr().out.splitlines()
    sizes = {line.split("  ")[-1]: int(line.split()[0].replace(",", "")) for line in lines}
    assert {"app.py", "README.md", "requirements.txt", "storyboard/engine.py"} <= set(sizes)
    shown = re.findall(r"\]\((docs/[^)#]+)", (ROOT / "README.md").read_text("utf-8"))
    assert shown and set(shown) <= set(sizes)
    assert all(size == (ROOT / name).stat().st_size for name, size in sizes.items())
    tops = {name.partition("/")[0] for name in sizes}
    assert not tops & {"tests", "projects", ".venv", ".git", "benchmarks", "start.py"}
    assert not any("__pycache__" in name or name.endswith(".pyi") for name in sizes)
    assert total.split()[0] == f"{sum(sizes.values()):,}"
    assert total.endswith("would go to someone/storyboards")


@pytest.mark.parametrize("space", ["storyboards", "a/b/c", "/b", "a/"])
def test_what_names_no_space_is_refused(capsys, space):
    assert start.main(["publish", space, "--dry-run"]) == 1
    assert "write USER/NAME" in capsys.readouterr().err


def test_publishing_without_a_token_says_how_to_log_in(monkeypatch, capsys):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    assert start.main(["publish", "someone/storyboards"]) == 1
    assert "hf auth login" in capsys.readouterr().err


def test_publishing_uploads_what_the_dry_run_lists(monkeypatch, capsys):
    calls: dict[str, dict] = {}

    def record(name):
        def method(self, *arguments, **options):
            calls[name] = {"arguments": arguments, **options}

        monkeypatch.setattr(huggingface_hub.HfApi, name, method)

    record("create_repo")
    record("upload_folder")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_some_token")
    assert start.main(["publish", "someone/storyboards", "--dry-run"]) == 0
    listed = [line.split("  ")[-1] for line in capsys.readouterr().out.splitlines()[:-1]]
    assert calls == {}
    assert start.main(["publish", "someone/storyboards", "--private"]) == 0
    assert calls["create_repo"]["private"] is True
    assert calls["create_repo"]["space_sdk"] == "gradio"
    assert calls["upload_folder"]["allow_patterns"] == listed
    assert calls["upload_folder"]["repo_type"] == "space"
    assert "https://huggingface.co/spaces/someone/storyboards" in capsys.readouterr().out


def test_a_refused_upload_is_reported(monkeypatch, capsys):
    def refuse(self, *arguments, **options):
        response = httpx2.Response(403, request=httpx2.Request("POST", "https://huggingface.co"))
        raise HfHubHTTPError("403 Forbidden", response=response)

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", refuse)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_some_token")
    assert start.main(["publish", "someone/storyboards"]) == 1
    assert "the upload to someone/storyboards failed: 403" in capsys.readouterr().err


@pytest.fixture
def npm(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Every call of an npm that installs what it is asked for."""
    called: list[list[str]] = []

    def call(command: list[str]) -> int:
        called.append(command)
        modules = Path(command[command.index("--prefix") + 1], "node_modules")
        for package in command:
            name, _, version = package.partition("@")
            if version:
                (modules / name).mkdir(parents=True, exist_ok=True)
                (modules / name / "package.json").write_text(f'{{"version": "{version}"}}')
        return 0

    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(start.subprocess, "call", call)
    return called


def test_packages_of_node_are_installed_once_into_the_environment(npm, tmp_path, monkeypatch):
    start.ensure_node_packages()
    start.ensure_node_packages()
    (command,) = npm
    assert command[:2] == ["/usr/bin/npm", "install"]
    assert command[command.index("--prefix") + 1] == str(tmp_path / "env" / "node")
    wanted = [f"{name}@{version}" for name, version in start.NODE_PACKAGES.items()]
    assert [word for word in command if "@" in word] == wanted
    # Only those of another version are installed again.
    monkeypatch.setattr(start, "NODE_PACKAGES", start.NODE_PACKAGES | {"axe-core": "99.0.0"})
    start.ensure_node_packages()
    assert [word for word in npm[1] if "@" in word] == ["axe-core@99.0.0"]


def test_without_npm_or_its_registry_the_tests_go_on(project, monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(start.subprocess, "call", lambda command: pytest.fail(str(command)))
    start.ensure_node_packages()
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(start.subprocess, "call", lambda command: 1)
    start.ensure_node_packages()
    assert "are skipped" in capsys.readouterr().out
