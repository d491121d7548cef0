"""The page: the editor joined to the desk by Gradio's events, and how it is served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from storyboard.errors import UserError
from storyboard.jobs import Runner
from storyboard.settings import Settings
from storyboard.store import Store
from storyboard.ui.desk import Answer, Desk
from storyboard.ui.documents import project_of
from storyboard.ui.editor import ASSETS, StoryboardEditor

# No secret from anybody: a random one would lose the browser's project at every restart.
_BROWSER_SECRET = "throughline"
_ONE_HOUR, _ONE_DAY = 3600, 86400
# Everybody who follows a job holds a thread while nothing happens.
_THREADS = 200

# Nothing waits for a slot, nothing covers the page, and nothing is offered as an API.
_LIGHT: dict[str, Any] = {
    "show_progress": "hidden",
    "concurrency_limit": None,
    "api_visibility": "private",
}


def build_ui(runner: Runner, store: Store, settings: Settings) -> gr.Blocks:
    """The application's page.

    Args:
        runner: what paints.
        store: where projects are.
        settings: the application's settings.

    Raises:
        pipelines.registry.UnknownModelError: if the settings name a model that there is not.
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
        desk = Desk(runner, store, settings, editor.publish)
        _join(demo, desk, editor, remembered)
    return demo


def launch_options() -> dict[str, Any]:
    """How the page is served; what `gr.Blocks.launch` wants besides the address."""
    css = (ASSETS / "editor.css").read_text(encoding="utf-8")
    return {
        "theme": _theme(),
        "head": f"<style>{css}</style>",
        "favicon_path": ASSETS / "favicon.svg",
        "footer_links": [],
        "max_file_size": "20mb",
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
        # White words need a darker ground than the hue's middle.
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
    )


def _join(
    demo: gr.Blocks, desk: Desk, editor: StoryboardEditor, remembered: gr.BrowserState
) -> None:
    """Connect every event to its answer."""

    def answered(ask: Callable[[], Answer]) -> Any:
        try:
            return gr.update(**ask())
        except UserError as error:
            return gr.update(**desk.refuse(error))

    def opened(ask: Callable[[], Answer]) -> Any:
        """As `answered`, for what shows another project: the browser is to remember it."""
        try:
            answer = ask()
        except UserError as error:
            return gr.update(**desk.refuse(error)), gr.skip()
        return gr.update(**answer), answer["value"]["project"]

    def load(project_id: Any) -> Any:
        return opened(lambda: {"setup": desk.setup()} | desk.open(_text(project_id)))

    def open_(event: gr.EventData) -> Any:
        return opened(lambda: desk.open(_text(_sent(event, "project"))))

    def new() -> Any:
        return opened(desk.new)

    def example() -> Any:
        return opened(desk.example)

    def save(document: Any) -> Any:
        return answered(lambda: desk.save(document))

    def generate(document: Any, event: gr.EventData) -> Any:
        frame = _sent(event, "frame")
        return answered(lambda: desk.generate(document, None if frame is None else [_text(frame)]))

    def follow(document: Any) -> Iterator[Any]:
        try:
            for answer in desk.follow(project_of(document)):
                yield gr.update(**answer)
        except UserError as error:
            yield gr.update(**desk.refuse(error))

    def cancel(document: Any) -> Any:
        return answered(lambda: desk.cancel(document))

    def choose(document: Any, event: gr.EventData) -> Any:
        frame, take = _text(_sent(event, "frame")), _text(_sent(event, "take"))
        return answered(lambda: desk.choose(document, frame, take))

    def archive(document: Any) -> Any:
        return answered(lambda: desk.archive(document))

    def projects() -> Any:
        return answered(desk.projects)

    following = editor.follow(follow, editor, editor, trigger_mode="once", **_LIGHT)
    both = [editor, remembered]
    demo.load(load, remembered, both, **_LIGHT)
    # A job goes on when its page turns to another storyboard; it is only no longer followed.
    editor.open(open_, None, both, cancels=[following], **_LIGHT)
    editor.new(new, None, both, cancels=[following], **_LIGHT)
    editor.example(example, None, both, cancels=[following], **_LIGHT)
    editor.save(save, editor, editor, trigger_mode="always_last", **_LIGHT)
    editor.generate(generate, editor, editor, trigger_mode="multiple", **_LIGHT)
    editor.cancel(cancel, editor, editor, trigger_mode="multiple", **_LIGHT)
    editor.choose(choose, editor, editor, trigger_mode="multiple", **_LIGHT)
    editor.archive(archive, editor, editor, **_LIGHT)
    editor.projects(projects, None, editor, **_LIGHT)


def _sent(event: gr.EventData, name: str) -> Any:
    """A field of what the page sent with an event; None where it is missing."""
    return getattr(event, name, None)


def _text(sent: Any) -> str:
    return sent if isinstance(sent, str) else ""
