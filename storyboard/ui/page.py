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
from storyboard.jobs.job import Runner
from storyboard.settings import Settings
from storyboard.storage.projects import Store
from storyboard.ui.editor import ASSETS, StoryboardEditor

# Not a secret: a random one would make browsers forget their project at every restart.
_BROWSER_SECRET = "throughline"
_ONE_HOUR, _ONE_DAY = 3600, 86400
# In this order: later files override earlier ones.
_STYLE_FILES = ("controls.css", "layout.css", "character.css", "cards.css", "narrow.css")
# Every page that follows a job holds a thread.
_THREADS = 200

# No queue, no loading cover over the page, and no public API.
_LIGHT: dict[str, Any] = {
    "show_progress": "hidden",
    "concurrency_limit": None,
    "api_visibility": "private",
}
_TRIGGER_MODES = {"save": "always_last", "archive": "once", "projects": "once"}

# Answers an event from the document and from what the page sent with the event.
_Handler = Callable[[Any, gr.EventData], Answer]


def build_ui(
    runner: Runner,
    store: Store,
    settings: Settings,
    prepare: PrepareReference,
    find: FindFigure | None = None,
) -> gr.Blocks:
    """Build the application's page.

    Args:
        runner: starts and follows render jobs.
        store: the projects.
        settings: the application's settings.
        prepare: cuts the figures out of uploaded pictures.
        find: a network that finds figures; None where there is none.

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


def _handlers(actions: Actions, editor: StoryboardEditor) -> dict[str, _Handler]:
    """Return the handlers of all events that stay in the project."""
    return {
        "save": lambda document, _: actions.save(document),
        "generate": lambda document, sent: actions.generate(document, _frames(sent)),
        "cancel": lambda document, _: actions.cancel(document),
        "choose_take": lambda document, sent: actions.choose_take(
            document, _text(sent, "frame"), _text(sent, "take")
        ),
        "archive": lambda document, _: actions.archive(document),
        "projects": lambda _document, _: actions.projects(),
        "upload_picture": lambda document, sent: actions.upload_picture(
            document, editor.uploaded(_field(sent, "path"))
        ),
        "edit_mask": lambda document, sent: actions.edit_mask(
            document, _text(sent, "draft"), _text(sent, "strokes"), _number(sent, "revision")
        ),
        "find_figure": lambda document, sent: actions.find_figure(document, _text(sent, "draft")),
        "use_picture": lambda document, sent: actions.use_picture(
            document, _text(sent, "draft"), _text(sent, "strokes") or None
        ),
        "discard_picture": lambda document, sent: actions.discard_picture(
            document, _text(sent, "draft")
        ),
        "reopen_picture": lambda document, _: actions.reopen_picture(document),
        "set_reference": lambda document, sent: actions.set_reference(
            document, _text(sent, "name")
        ),
        "save_character": lambda document, _: actions.save_character(document),
        "load_character": lambda document, sent: actions.load_character(
            document, editor.uploaded(_field(sent, "path"))
        ),
        "give_consent": lambda document, sent: actions.give_consent(
            document, _text(sent, "key"), _frames(sent), _text(sent, "draft")
        ),
    }


def _connect(
    demo: gr.Blocks, actions: Actions, editor: StoryboardEditor, remembered: gr.BrowserState
) -> None:
    """Connect every event of the editor to its action."""

    def update(handler: _Handler) -> Callable[[Any, gr.EventData], Any]:
        def answer(document: Any, event: gr.EventData) -> Any:
            try:
                return gr.update(**handler(document, event))
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
        return switch(lambda: actions.open(_text(event, "project")))

    following = editor.follow(follow, editor, editor, trigger_mode="once", **_LIGHT)
    both = [editor, remembered]
    demo.load(load, remembered, both, **_LIGHT)
    # A job goes on when its page opens another storyboard; the page only stops following it.
    away: dict[str, Any] = {"inputs": None, "outputs": both, "cancels": [following], **_LIGHT}
    editor.open(open_project, **away)
    editor.new(lambda: switch(actions.new), **away)
    editor.example(lambda: switch(actions.example), **away)
    for name, handler in _handlers(actions, editor).items():
        mode = _TRIGGER_MODES.get(name, "multiple")
        getattr(editor, name)(update(handler), editor, editor, trigger_mode=mode, **_LIGHT)


def _field(event: gr.EventData, name: str) -> Any:
    """Return a field that the page sent with an event; None where it is missing."""
    return getattr(event, name, None)


def _frames(event: gr.EventData) -> list[str] | None:
    """Return the frames to render; None for all."""
    frames = _field(event, "frames")
    if not isinstance(frames, list):
        return None
    return [frame if isinstance(frame, str) else "" for frame in frames]


def _text(event: gr.EventData, name: str) -> str:
    sent = _field(event, name)
    return sent if isinstance(sent, str) else ""


def _number(event: gr.EventData, name: str) -> int:
    sent = _field(event, name)
    return sent if isinstance(sent, int) else 0
