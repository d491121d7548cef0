"""Starting the app: a failure to start is one line, and its end leaves nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from storyboard.settings import ROOT
from storyboard.storage.projects import Store


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "app.py"), "--no-browser", "--projects", str(folder)]
    return subprocess.run(
        [*command, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_unknown_model_is_one_line_with_the_nearest_name(tmp_path: Path) -> None:
    done = start(tmp_path, "--model", "miniatur")
    assert done.returncode == 2
    assert done.stderr.startswith("throughline: ") and done.stderr.count("\n") == 1
    assert "'miniature'" in done.stderr


def test_a_setting_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    done = start(tmp_path, THROUGHLINE_PORT="high")
    assert done.returncode == 2
    assert "THROUGHLINE_PORT" in done.stderr and done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_found_is_an_error_of_the_options(tmp_path: Path) -> None:
    done = start(tmp_path, "--projects", "~nobody-here/projects")
    assert done.returncode == 2
    assert "~nobody-here" in done.stderr and "Traceback" not in done.stderr


def test_workers_without_ray_are_one_line_with_the_remedy(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "ray.py").write_text("raise ModuleNotFoundError('there is none')")
    done = start(tmp_path, THROUGHLINE_WORKERS="2", PYTHONPATH=str(hidden))
    assert done.returncode == 2
    assert "pip install ray==" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "options",
    [("--port", "0"), ("--port", "70000"), ("--port", "high"), ("--host", "no-such-host.invalid")],
    ids=" ".join,
)
def test_an_address_that_cannot_be_is_named(tmp_path: Path, options: tuple[str, str]) -> None:
    done = start(tmp_path, *options)
    assert done.returncode in (1, 2)
    assert options[0] in done.stderr and "Traceback" not in done.stderr


def test_a_proxy_that_is_none_is_one_line(tmp_path: Path) -> None:
    done = start(tmp_path, HTTP_PROXY="ftp://proxy:1")
    assert done.returncode == 2
    assert "HTTP_PROXY is 'ftp://proxy:1'" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_page_opens_whatever_the_proxy_and_the_family_of_the_address(
    tmp_path: Path, host: str
) -> None:
    """In front of a proxy that is away, with a console of few letters."""
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("there is no IPv6")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-u", str(ROOT / "app.py"), "--no-browser"]
    command += ["--projects", str(tmp_path / "女"), "--host", host, "--port", str(port)]
    proxy = {"http_proxy": "http://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9"}
    app = subprocess.Popen(
        command,
        env=os.environ | proxy | {"PYTHONIOENCODING": "ascii", "no_proxy": "", "NO_PROXY": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert app.stdout is not None
        first = app.stdout.readline()
        address = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
        assert first == f"Throughline is at {address} (Ctrl+C stops it)\n"
        assert httpx.get(address, trust_env=False).status_code == 200
    finally:
        app.kill()
        app.communicate()


def test_a_port_that_is_taken_is_reported(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = start(tmp_path, "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "port" in done.stderr and "Traceback" not in done.stderr


def test_a_second_app_on_a_folder_is_told_and_a_signal_ends_it_without_leftovers(
    tmp_path: Path,
) -> None:
    projects, uploads = tmp_path / "projects", tmp_path / "uploads"
    dead = uploads / "throughline-run-dead"
    dead.mkdir(parents=True)
    leftover = projects / ".abc.tmp"
    leftover.mkdir(parents=True)
    command = [sys.executable, str(ROOT / "app.py"), "--no-browser", "--projects", str(projects)]
    with Store(projects).presence:  # another application
        process = subprocess.Popen(
            command,
            env=os.environ | {"GRADIO_TEMP_DIR": str(uploads)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Throughline is at")
            assert not dead.exists() and len(list(uploads.glob("throughline-run-*"))) == 1
            assert leftover.exists()  # it may be of the other one
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=120)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 0
    assert f"another Throughline uses {projects} too" in errors and "Traceback" not in errors
    assert list(uploads.glob("throughline-run-*")) == []
