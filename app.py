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
from storyboard.cli.signals import INTERRUPTED, end_as_interrupted
from storyboard.jobs.runner import Runner
from storyboard.network import bypass_proxies, check_address, in_address, reachable_host
from storyboard.settings import Settings, parse_folder
from storyboard.storage.consents import Consents
from storyboard.storage.leftovers import clear_leftovers, run_folder
from storyboard.storage.projects import Store
from storyboard.wiring import make_matting, make_runner


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page until it is stopped.

    Args:
        arguments: command line arguments, or None for the process's own.

    Returns:
        The exit code: 0; 1 if the address is taken; 2 if the settings cannot be used; 130 if it
        was stopped before it began.
    """
    accept_all_letters()
    try:
        settings, browser = _read(arguments)
        bypass_proxies(os.environ, settings.host)
        end_as_interrupted()
        store = Store(settings.projects)
        with (
            run_folder(),
            store.presence,
            closing(make_runner(settings, sys.stdout, settings.previews)) as runner,
        ):
            _look_around(store)
            for key in settings.agreed:
                Consents(settings.consents).give(key)
            return _serve(runner, store, settings, browser)
    except KeyboardInterrupt:
        return INTERRUPTED
    except UserError as error:
        print(f"throughline: {error}", file=sys.stderr)
        return 2


def _look_around(store: Store) -> None:
    """Clear what killed runs left among the projects; say so where another run uses them."""
    if not store.presence.others():
        clear_leftovers(store.root)
        return
    print(
        f"throughline: another Throughline uses {store.root} too. Both can go on: changes of one "
        "appear in the other. For projects of its own, start this one with --projects FOLDER.",
        file=sys.stderr,
    )


def _serve(runner: Runner, store: Store, settings: Settings, browser: bool) -> int:
    try:
        check_address(settings.host, settings.port)
    except UserError as error:
        print(f"throughline: {error}", file=sys.stderr)
        return 1
    # Gradio makes a client when it is imported, so the proxies have been checked by now.
    from storyboard.ui.page import build_ui, launch_options

    find = make_matting(settings)
    demo = build_ui(runner, store, settings, prepare_reference, find)
    try:
        demo.launch(
            server_name=in_address(settings.host),
            server_port=settings.port,
            prevent_thread_lock=True,
            quiet=True,
            **launch_options(store, settings),
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
    if not (settings.space or settings.local):
        print(
            f"throughline: it listens at {settings.host}: everybody on the network sees all "
            "boards, and can change and delete them.",
            file=sys.stderr,
        )
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
