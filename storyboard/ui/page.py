"""The page: one Gradio component whose scripts ask `Calls`, and how it is served.

The scripts in `assets/ui` are ES modules, sent by `storyboard.api.routes`. Gradio carries their
questions to the server. There are no events of Gradio's own: where the stream of an event breaks
off, Gradio loads the page anew, and what was typed is gone.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.errors import UserError
from pipelines.pictures import FindFigure, PrepareReference
from storyboard.api.actions import Actions
from storyboard.api.calls import Calls
from storyboard.api.guards import Guard, HostNames
from storyboard.api.limits import MAX_BOARD_BYTES
from storyboard.api.routes import PREFIX, make_routes, scripts_version
from storyboard.api.sharing import visitor_of
from storyboard.jobs.runner import Runner
from storyboard.settings import ROOT, Settings
from storyboard.storage.projects import Store
from storyboard.ui.gradio_routes import OpenRoutes
from storyboard.ui.prefix import ForwardedPrefix

ASSETS = ROOT / "assets" / "ui"

_TEN_MINUTES, _ONE_HOUR = 600, 3600
# In this order: later files override earlier ones.
_STYLE_FILES = (
    *("controls.css", "layout.css", "character.css", "cards.css", "shelf.css", "advice.css"),
    "narrow.css",
)
_THREADS = 200
_SESSIONS = 100  # Gradio keeps a copy of the page's settings for each; the page needs none

_START = """
const base = window.gradio_config.root;
const root = element.querySelector(".tl");
import(`${base}%s/main.js`)
  .then(({ mount }) => mount(root, { server, upload, base }))
  .catch((fault) => {
    console.error(fault);
    root.textContent = %s;
  });
"""
_NOT_LOADED = "The page could not be loaded. Check the connection, then load it again."


def build_ui(
    runner: Runner,
    store: Store,
    settings: Settings,
    prepare: PrepareReference,
    find: FindFigure | None = None,
) -> gr.Blocks:
    """Build the application's page; its arguments are those of `Actions`.

    Raises:
        UnknownModelError: if the settings name an unknown model.
    """
    demo = gr.Blocks(
        title="Throughline",
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(_TEN_MINUTES, _ONE_HOUR),  # uploads that nobody used
    )
    calls = Calls(Actions(runner, store, settings, prepare, find), uploaded)

    def call(question: Any, request: gr.Request) -> dict[str, Any]:
        client = request.client.host if request.client else ""
        return calls.answer(question, visitor_of(request.headers, client))

    scripts = f"{PREFIX}/ui/{scripts_version(ASSETS)}"
    with demo:
        gr.HTML(
            html_template='<div class="tl" data-status="starting"></div>',
            js_on_load=_START % (scripts, json.dumps(_NOT_LOADED)),
            apply_default_css=False,
            elem_id="throughline",
            server_functions=[call],
        )
    return demo


def launch_options(store: Store, settings: Settings) -> dict[str, Any]:
    """Return the options of `gr.Blocks.launch`, apart from the address."""

    @asynccontextmanager
    async def guarded(app: Starlette) -> AsyncIterator[None]:
        # Here, as Gradio puts its own middleware around what it is given, and answers some
        # requests in it.
        stack = app.middleware_stack
        assert stack is not None  # whoever runs this has built it
        app.middleware_stack = Guard(stack, HostNames.of(settings), settings.space)
        yield

    css = "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in _STYLE_FILES)
    return {
        "app_kwargs": {
            "routes": make_routes(store, ASSETS),
            "middleware": [
                Middleware(ForwardedPrefix),
                Middleware(OpenRoutes),
                Middleware(_Preload),
            ],
            "lifespan": guarded,
        },
        "theme": _theme(),
        "head": f"<style>{css}</style>",
        "favicon_path": ASSETS / "favicon.svg",
        "footer_links": [],
        "max_file_size": MAX_BOARD_BYTES,
        "max_threads": _THREADS,
        "state_session_capacity": _SESSIONS,
        "run_history": False,
        "enable_monitoring": False,
        "share": False,
        "ssr_mode": False,
    }


class _Preload:
    """Names all scripts in a header of the page, so that browsers fetch them before it is parsed.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        base = f"{PREFIX}/ui/{scripts_version(ASSETS)}".removeprefix("/")
        names = sorted(path.relative_to(ASSETS).as_posix() for path in ASSETS.rglob("*.js"))
        # Relative, for applications below a path of a proxy.
        links = ", ".join(f"<{base}/{name}>; rel=modulepreload" for name in names)
        self._app = app
        self._links = links.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; the page is the only document at the root."""

        async def with_links(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"link", self._links)]
            await send(message)

        is_page = scope["type"] == "http" and scope["path"] == f"{scope.get('root_path', '')}/"
        await self._app(scope, receive, with_links if is_page else send)


def uploaded(sent: object) -> Path:
    """Return the path of a file that a browser has uploaded.

    Args:
        sent: the path that the browser sent, unchecked.

    Raises:
        UserError: if it is not a file in the folder for uploads.
    """
    folder = Path(get_upload_folder()).resolve()
    try:
        path = Path(sent if isinstance(sent, str) else "").resolve()
        arrived = path.is_relative_to(folder) and path.is_file()
    except (OSError, ValueError):  # no name that a file can have
        arrived = False
    if not arrived:
        raise UserError("The upload did not arrive.", "Choose the file again.")
    return path


def _theme() -> gr.themes.Base:
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.stone,
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        # White text needs a darker background than the hue's middle.
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
    )
