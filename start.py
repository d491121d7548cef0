#!/usr/bin/env python3
"""Set Throughline up and start it. A plain Python is all that a fresh machine needs.

    python3 start.py                               open the app
    python3 start.py app --port 7861               the same, with the app's own options
    python3 start.py test [-k golden]              run the tests, with pytest's own options
    python3 start.py storyboard render STORY ...   run the command line
    python3 start.py evaluate --out DIR            measure how well a model does
    python3 start.py publish USER/NAME [--private] [--dry-run]
                                                   upload to a Hugging Face Space

The first run makes a virtual environment (.venv, or the folder named in THROUGHLINE_VENV) and
installs the requirements into it, in the versions and with the hashes of the lock files; later runs
see that it is there. Uses the standard library alone.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
OLDEST_PYTHON = (3, 11)
REQUIREMENTS = ("requirements.txt",)
TEST_REQUIREMENTS = (*REQUIREMENTS, "requirements-dev.txt")
STAMP = "throughline-requirements.txt"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# For the tests of the page: its scripts' types, a document outside a browser, and accessibility.
NODE_PACKAGES = {"typescript": "5.9.3", "happy-dom": "21.0.4", "axe-core": "4.14.1"}
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What a Space runs and shows; everything else (tests, projects, environments) stays here.
SPACE_FILES = ("app.py", "README.md", "LICENSE", "requirements.txt")
SPACE_FOLDERS = ("assets", "docs", "pipelines", "storyboard")


class Fault(Exception):
    """A fault that keeps Throughline from starting, with a message for the terminal."""


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    command, rest = "app", arguments
    if arguments and (not arguments[0].startswith("-") or arguments[0] in ("-h", "--help")):
        command, rest = arguments[0], arguments[1:]
    commands = {
        "app": run_app,
        "test": run_tests,
        "storyboard": run_storyboard,
        "evaluate": run_evaluation,
        "publish": publish,
    }
    if command not in commands:
        print(__doc__)
        return 0 if command in ("-h", "--help", "help") else 2
    try:
        commands[command](rest)
    except Fault as fault:
        print(f"start.py: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def run_app(options: list[str]) -> None:
    """Open the app; `options` are app.py's."""
    hand_over([prepare(REQUIREMENTS), str(ROOT / "app.py"), *options])


def run_storyboard(options: list[str]) -> None:
    """Run the command line where the caller is, so that its paths are the caller's."""
    hand_over([prepare(REQUIREMENTS), "-m", "storyboard", *options])


def run_evaluation(options: list[str]) -> None:
    """Run the evaluation where the caller is; `options` are those of `python -m evaluation`."""
    # The environment holds the application alone; the evaluation stays in this folder.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    )
    hand_over([prepare(REQUIREMENTS), "-m", "evaluation", *options])


def run_tests(options: list[str]) -> None:
    """Run the tests, files side by side; `options` are pytest's (`-n 0`: one after another)."""
    python = prepare(TEST_REQUIREMENTS)
    ensure_chromium(python)
    ensure_node_packages()
    os.chdir(ROOT)
    # A file's tests stay together; files of long tests begin first (tests/conftest.py).
    side_by_side = ["--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile"]
    hand_over([python, "-m", "pytest", *side_by_side, "--no-loadscope-reorder", *options])


def hand_over(command: list[str]) -> NoReturn:
    """Become another program, so that signals and the exit code are its own."""
    sys.stdout.flush()
    if os.name == "posix":
        os.execv(command[0], command)
    # Windows has no exec that keeps the console.
    raise SystemExit(subprocess.call(command))


# The environment.


def environment_folder() -> Path:
    """Return the folder of the virtual environment, which may not exist yet."""
    named = os.environ.get("THROUGHLINE_VENV")
    return Path(named).expanduser().absolute() if named else ROOT / ".venv"


def environment_python(folder: Path) -> Path:
    """Return the Python of a virtual environment."""
    if os.name == "nt":
        return folder / "Scripts" / "python.exe"
    return folder / "bin" / "python"


def prepare(requirements: tuple[str, ...]) -> str:
    """Make the environment hold these requirements and return its Python.

    Raises:
        Fault: if it cannot be made.
    """
    check_python()
    folder = environment_folder()
    python = environment_python(folder)
    needed = fingerprints((*requirements, *map(lock_of, requirements)))
    stamp = folder / STAMP
    if python.exists() and stamp.is_file() and needed <= set(stamp.read_text().splitlines()):
        return str(python)
    make_environment(folder)
    install(python, requirements)
    stamp.write_text("\n".join(sorted(needed)) + "\n")
    return str(python)


def lock_of(requirements: str) -> str:
    """Return the name of the lock of a requirements file.

    It has the exact versions and the hashes of everything that the file brings, and those before
    it in `TEST_REQUIREMENTS`, but torch (`tool.uv` in pyproject.toml says why).
    """
    return requirements.replace(".txt", ".lock")


def fingerprints(names: tuple[str, ...]) -> set[str]:
    """Return a line for each of these files, which changes when the file does."""
    return {f"{n} {hashlib.sha256((ROOT / n).read_bytes()).hexdigest()}" for n in names}


def check_python(version: tuple[int, ...] = sys.version_info[:2]) -> None:
    """Check that this Python is new enough, and point to one that is.

    Raises:
        Fault: if it is too old.
    """
    if version >= OLDEST_PYTHON:
        return
    newer = [f"python3.{minor}" for minor in (14, 13, 12, 11) if shutil.which(f"python3.{minor}")]
    remedy = f"run `{newer[0]} start.py`" if newer else "install a newer one from python.org"
    raise Fault(
        f"Throughline needs Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer, and this is "
        f"{version[0]}.{version[1]}: {remedy}."
    )


def make_environment(folder: Path) -> None:
    """Make a virtual environment, unless there is one that works.

    Raises:
        Fault: if the folder is something else, or Python lacks what it takes.
    """
    is_environment = (folder / "pyvenv.cfg").is_file()
    if folder.exists() and not is_environment and (folder.is_file() or any(folder.iterdir())):
        raise Fault(
            f"{folder} is there and is no virtual environment: move it away, or name another "
            "folder in THROUGHLINE_VENV."
        )
    python = environment_python(folder)
    if is_environment and run_quietly([str(python), "-m", "pip", "--version"]):
        return
    if any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
        package = f"python3.{sys.version_info[1]}-venv"
        raise Fault(
            "this Python cannot make virtual environments: its venv module is not installed. On "
            f"Debian and Ubuntu, `sudo apt-get install {package}` adds it."
        )
    print(f"Making a virtual environment in {folder}", flush=True)
    clear = ["--clear"] if is_environment else []
    if subprocess.call([sys.executable, "-m", "venv", *clear, str(folder)]) != 0:
        raise Fault(f"the virtual environment {folder} could not be made (the reason is above).")


def install(python: Path, requirements: tuple[str, ...]) -> None:
    """Install requirements, and this project, into the environment.

    Raises:
        Fault: if pip fails.
    """
    print(f"Installing {' and '.join(requirements)}: this takes a few minutes", flush=True)
    pip = [
        str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        # Most of the thousands of files are never imported: compiling them costs minutes.
        "--no-compile",
    ]  # fmt: skip
    lock = str(ROOT / lock_of(requirements[-1]))
    locked = [*pip, "--require-hashes", "--no-deps", "--requirement", lock]
    # What is left is torch, and this project, which is built with the setuptools of the lock.
    rest = [*pip, *torch_options(), "--no-build-isolation", "--editable", str(ROOT)]
    for name in requirements:
        rest += ["--requirement", str(ROOT / name)]
    if subprocess.call(locked) == 0 and subprocess.call(rest) == 0:
        return
    if not answers("pypi.org", 443):
        raise Fault(
            "the requirements could not be installed (pip's words are above), and pypi.org cannot "
            "be reached: check the connection. Behind a proxy set HTTPS_PROXY; with a mirror, "
            "configure pip to use it."
        )
    raise Fault(
        "the requirements could not be installed (pip's words are above). Free disk space of 6 GB "
        "and a Python for which torch has a build are what it takes."
    )


def torch_options() -> list[str]:
    """Return pip's options for a torch without CUDA, where CUDA would be gigabytes for nothing.

    On Linux, PyPI's torch brings CUDA along. PyTorch's own index has one without.
    """
    if platform.system() != "Linux" or shutil.which("nvidia-smi"):
        return []
    request = urllib.request.Request(f"{CPU_INDEX}/torch/", method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=3):
            return ["--extra-index-url", CPU_INDEX]
    except (urllib.error.URLError, OSError):
        return []


def answers(host: str, port: int) -> bool:
    """Return whether a host accepts a connection within 5 seconds."""
    try:
        with socket.create_connection((host, port), timeout=5):
            return True
    except OSError:
        return False


def run_quietly(command: list[str]) -> bool:
    """Return whether a command exists and succeeds."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


# What the tests of the page need.


def ensure_chromium(python: str) -> None:
    """Install a Chromium for the browser tests where there is none; without one they are skipped.

    Debian's own where apt-get works, else Playwright's.
    """
    if os.environ.get("THROUGHLINE_CHROMIUM") or any(map(shutil.which, CHROMIUM_NAMES)):
        return
    print("Installing Chromium for the browser tests", flush=True)
    if install_from_debian("chromium") and any(map(shutil.which, CHROMIUM_NAMES)):
        return
    if subprocess.call([python, "-m", "playwright", "install", "chromium"]) != 0:
        print("No Chromium could be installed: the browser tests will be skipped.", flush=True)


def node_package(environment: Path, name: str) -> Path:
    """Return the folder of a package of Node in an environment, which may not be there yet."""
    return environment / "node" / "node_modules" / name


def ensure_node_packages() -> None:
    """Install packages of Node where npm is there; tests that need a missing one are skipped."""
    npm, environment = shutil.which("npm"), environment_folder()
    missing = [
        f"{name}@{version}"
        for name, version in NODE_PACKAGES.items()
        if installed_version(node_package(environment, name)) != version
    ]
    if npm is None or not missing:
        return
    print("Installing packages of Node for the tests of the page", flush=True)
    folder = environment / "node"
    folder.mkdir(parents=True, exist_ok=True)
    # Without a registry, give up soon.
    options = ["--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=20000"]
    if subprocess.call([npm, "install", "--prefix", str(folder), *options, *missing]):
        print(f"Not installed: {', '.join(missing)}. Tests that need them are skipped.", flush=True)


def installed_version(package: Path) -> str | None:
    """Return the version of a package of Node; None where it is not there."""
    try:
        return str(json.loads((package / "package.json").read_text("utf-8"))["version"])
    except FileNotFoundError:
        return None


def install_from_debian(package: str) -> bool:
    """Install a Debian package, with sudo where needed; False where that is not possible."""
    apt = shutil.which("apt-get")
    if apt is None:
        return False
    command = [apt]
    if os.geteuid() != 0:
        sudo = shutil.which("sudo")
        if sudo is None:
            return False
        # Ask for a password at a terminal, and give up at once where nobody can type one.
        command = [sudo, apt] if sys.stdin.isatty() else [sudo, "--non-interactive", apt]
    options = ["--yes", "--quiet", "--no-install-recommends"]
    return (
        subprocess.call([*command, "update", "--quiet"]) == 0
        and subprocess.call([*command, "install", *options, package]) == 0
    )


# The Space.


def publish(options: list[str]) -> None:
    """Upload what a Space needs, as one commit, with large files stored as the hub requires.

    Raises:
        Fault: if nobody is logged in or the hub refuses.
    """
    parser = argparse.ArgumentParser(prog="start.py publish", description=publish.__doc__)
    parser.add_argument("space", metavar="USER/NAME", help="the Space; made if it is not there")
    parser.add_argument("--private", action="store_true", help="make it a private one")
    parser.add_argument("--dry-run", action="store_true", help="list the files and upload nothing")
    given = parser.parse_args(options)
    if given.space.count("/") != 1 or not all(given.space.split("/")):
        raise Fault(f"{given.space!r} does not name a Space: write USER/NAME.")
    files = space_files()
    if given.dry_run:
        for path in files:
            print(f"{path.stat().st_size:>12,}  {path.relative_to(ROOT).as_posix()}")
        total = sum(path.stat().st_size for path in files)
        print(f"{total:>12,}  bytes in {len(files)} files would go to {given.space}")
        return
    if importlib.util.find_spec("huggingface_hub") is None:
        private = ["--private"] if given.private else []
        script = str(ROOT / "start.py")
        hand_over([prepare(REQUIREMENTS), script, "publish", given.space, *private])
    upload(given.space, files, given.private)


def space_files() -> list[Path]:
    """List the files that a Space needs."""
    found = [ROOT / name for name in SPACE_FILES]
    for folder in SPACE_FOLDERS:
        found += (
            path
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyi"
        )
    return sorted(found)


def upload(space: str, files: list[Path], private: bool) -> None:
    """Make the Space hold these files and no others."""
    from httpx2 import TransportError
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError

    if get_token() is None:
        raise Fault(
            "nobody is logged in to Hugging Face: make a token that may write at "
            "https://huggingface.co/settings/tokens and give it with `hf auth login` or HF_TOKEN."
        )
    api = HfApi()
    try:
        api.create_repo(
            space, repo_type="space", space_sdk="gradio", private=private, exist_ok=True
        )
        api.upload_folder(
            repo_id=space,
            repo_type="space",
            folder_path=ROOT,
            allow_patterns=[path.relative_to(ROOT).as_posix() for path in files],
            delete_patterns=["*"],
            commit_message="Update Throughline",
        )
    except (HfHubHTTPError, TransportError) as error:
        raise Fault(f"the upload to {space} failed: {error}") from error
    print(f"https://huggingface.co/spaces/{space}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
