"""Start Throughline's page in a browser: `python app.py`; `--help` lists the options.

A Hugging Face Space runs this file too.
"""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from pipelines.errors import UserError
from pipelines.reference.from_upload import prepare_reference
from storyboard.cli.arguments import argument, whole
from storyboard.cli.console import accept_all_letters, announce
from storyboard.jobs.runner import Runner
from storyboard.network import bypass_proxies, check_address, in_address, reachable_host
from storyboard.settings import Settings, parse_folder
from storyboard.storage.projects import Store
from storyboard.ui.stubs import without_stub_files
from storyboard.wiring import make_matting, make_runner, make_usability

with without_stub_files():
    from storyboard.ui.page import build_ui, launch_options


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page until it is stopped.

    Args:
        arguments: command line arguments, or None for the process's own.

    Returns:
        The exit code: 0, 1 if the address is taken, or 2 if the settings cannot be used.
    """
    accept_all_letters()
    try:
        settings, browser = _read(arguments)
        bypass_proxies(os.environ, settings.host)
        with closing(make_runner(settings, sys.stdout, settings.previews)) as runner:
            return _serve(runner, settings, browser)
    except UserError as error:
        print(f"throughline: {error}", file=sys.stderr)
        return 2


def _serve(runner: Runner, settings: Settings, browser: bool) -> int:
    find = make_matting(settings)
    try:
        check_address(settings.host, settings.port)
    except UserError as error:
        print(f"throughline: {error}", file=sys.stderr)
        return 1
    store = Store(settings.projects)
    usability = make_usability(settings)
    demo = build_ui(runner, store, settings, prepare_reference, find, usability)
    try:
        demo.launch(
            server_name=in_address(settings.host),
            server_port=settings.port,
            prevent_thread_lock=True,
            quiet=True,
            **launch_options(store),
        )
    except OSError:
        address = f"{settings.host}, port {settings.port or '7860 to 7959'}"
        print(
            f"throughline: {address} is taken or not allowed. Choose another --port.",
            file=sys.stderr,
        )
        return 1
    address = f"http://{in_address(reachable_host(settings.host))}:{demo.server_port}/"
    announce(f"Throughline is at {address} (Ctrl+C stops it)", sys.stdout)
    if browser:
        webbrowser.open(address)
    demo.block_thread()
    return 0


def _read(arguments: Sequence[str] | None) -> tuple[Settings, bool]:
    """Return the settings, and whether to open a browser."""
    settings = Settings.from_environment(os.environ)
    parser = argparse.ArgumentParser(
        prog="app.py", description="Make storyboards whose characters stay the same."
    )
    parser.add_argument("--host", default=settings.host, help="address to listen on")
    parser.add_argument(
        "--port",
        type=whole(1, 65535),
        default=settings.port,
        help="port (the first free one from 7860)",
    )
    parser.add_argument(
        "--projects",
        type=argument(parse_folder),
        default=settings.projects,
        help="projects folder",
    )
    parser.add_argument("--model", default=settings.model, help="model of new storyboards")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    given = parser.parse_args(arguments)
    chosen = replace(
        settings,
        host=given.host,
        port=given.port,
        projects=given.projects,
        model=given.model,
    )
    return chosen, not (given.no_browser or settings.space)


if __name__ == "__main__":
    sys.exit(main())
