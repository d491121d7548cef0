"""The page: Gradio events of the editor joined to `Actions`, and how the page is served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from pipelines.errors import UserError
from pipelines.pictures import FindFigure, PrepareReference
from storyboard.api.actions import Actions, Answer
from storyboard.api.document import project_id_of
from storyboard.api.limits import MAX_UPLOAD_BYTES
from storyboard.jobs.runner import Runner
from storyboard.settings import Settings
from storyboard.storage.projects import Store
from storyboard.ui.editor import ASSETS, EVENTS, StoryboardEditor

# Not a secret: a random one would make browsers forget their project at every restart.
_BROWSER_SECRET = "throughline"
_ONE_HOUR, _ONE_DAY = 3600, 86400
# In this order: later files override earlier ones.
_STYLE_FILES = ("controls.css", "layout.css", "character.css", "cards.css", "narrow.css")
# Every page that follows a job holds a thread.
_THREADS = 200

# Calls side by side without a limit, no loading cover over the page, and no public API.
_LIGHT: dict[str, Any] = {
    "show_progress": "hidden",
    "concurrency_limit": None,
    "api_visibility": "private",
}
_TRIGGER_MODES = {"save": "always_last", "archive": "once", "projects": "once"}


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
        delete_cache=(_ONE_HOUR, _ONE_DAY),
    )
    with demo:
        remembered = gr.BrowserState("", storage_key="throughline", secret=_BROWSER_SECRET)
        editor = StoryboardEditor()
        actions = Actions(runner, store, settings, prepare, find, editor.publish)
        _connect(demo, actions, editor, remembered)
    return demo


def launch_options() -> dict[str, Any]:
    """Return the options of `gr.Blocks.launch`, apart from the address."""
    css = "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in _STYLE_FILES)
    return {
        "theme": _theme(),
        "head": f"<style>{css}</style>",
        "favicon_path": ASSETS / "favicon.svg",
        "footer_links": [],
        "max_file_size": MAX_UPLOAD_BYTES,
        "max_threads": _THREADS,
        "run_history": False,
        "enable_monitoring": False,
        "share": False,
        "ssr_mode": False,
    }


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
        button_primary_background_fill_hover_dark="*primary_600",
    )


def _connect(
    demo: gr.Blocks, actions: Actions, editor: StoryboardEditor, remembered: gr.BrowserState
) -> None:
    """Connect every event of the editor to its action."""

    def update(name: str) -> Callable[[Any, gr.EventData], Any]:
        action: Callable[..., Answer] = getattr(actions, name)

        def answer(document: Any, event: gr.EventData) -> Any:
            known = () if name == "projects" else (document,)
            try:
                sent = [_field(event, field, editor) for field in EVENTS[name]]
                return gr.update(**action(*known, *sent))
            except UserError as error:
                return gr.update(**actions.notice(error))

        return answer

    def switch(action: Callable[[], Answer]) -> Any:
        try:
            answer = action()
        except UserError as error:
            return gr.update(**actions.notice(error)), gr.skip()
        return gr.update(**answer), answer["value"]["project"]

    def load(project_id: Any) -> Any:
        known = project_id if isinstance(project_id, str) else ""
        return switch(lambda: {"setup": actions.setup()} | actions.open(known))

    def follow(document: Any) -> Iterator[Any]:
        try:
            for answer in actions.follow(project_id_of(document)):
                yield gr.update(**answer)
        except UserError as error:
            yield gr.update(**actions.notice(error))

    def open_project(event: gr.EventData) -> Any:
        return switch(lambda: actions.open(_field(event, "project", editor)))

    following = editor.follow(follow, editor, editor, trigger_mode="once", **_LIGHT)
    both = [editor, remembered]
    demo.load(load, remembered, both, **_LIGHT)
    # A job goes on when its page opens another storyboard; the page only stops following it.
    away: dict[str, Any] = {"inputs": None, "outputs": both, "cancels": [following], **_LIGHT}
    editor.open(open_project, **away)
    editor.new(lambda: switch(actions.new), **away)
    editor.example(lambda: switch(actions.example), **away)
    for name in [name for name in EVENTS if name not in ("follow", "open", "new", "example")]:
        mode = _TRIGGER_MODES.get(name, "multiple")
        getattr(editor, name)(update(name), editor, editor, trigger_mode=mode, **_LIGHT)


def _field(event: gr.EventData, name: str, editor: StoryboardEditor) -> Any:
    """Return a checked field that the page sent with an event, a text unless its name says more.

    Raises:
        UserError: if it is the path of a file that was not uploaded.
    """
    sent = getattr(event, name, None)
    if name == "path":
        return editor.uploaded(sent)
    if name == "frames":  # None for all
        return [f if isinstance(f, str) else "" for f in sent] if isinstance(sent, list) else None
    if name == "revision":
        return sent if isinstance(sent, int) else 0
    return sent if isinstance(sent, str) else ""
