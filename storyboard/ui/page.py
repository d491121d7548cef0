"""The page: the editor joined to the desk by Gradio's events, and how it is served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from pipelines.errors import UserError
from pipelines.pictures import FindFigure, PrepareReference
from storyboard.api.actions import Actions, Answer
from storyboard.api.document import project_of
from storyboard.api.limits import MOST_UPLOADED
from storyboard.jobs.job import Runner
from storyboard.settings import Settings
from storyboard.storage.projects import Store
from storyboard.ui.editor import ASSETS, StoryboardEditor

# No secret from anybody: a random one would lose the browser's project at every restart.
_BROWSER_SECRET = "throughline"
_ONE_HOUR, _ONE_DAY = 3600, 86400
# In this order: later ones bend the rules of those before them.
_STYLE_FILES = ("controls.css", "layout.css", "character.css", "cards.css", "narrow.css")
# Everybody who follows a job holds a thread while nothing happens.
_THREADS = 200

# What is asked about the character's picture and file; each is a method of `_Answers`, too.
_PICTURE_EVENTS = (
    *("picture", "mend", "search", "use", "discard", "retouch", "refer"),
    *("save_character", "load_character", "consent"),
)

# Nothing waits for a slot, nothing covers the page, and nothing is offered as an API.
_LIGHT: dict[str, Any] = {
    "show_progress": "hidden",
    "concurrency_limit": None,
    "api_visibility": "private",
}


def build_ui(
    runner: Runner,
    store: Store,
    settings: Settings,
    prepare: PrepareReference,
    find: FindFigure | None = None,
) -> gr.Blocks:
    """The application's page.

    Args:
        runner: what paints.
        store: where projects are.
        settings: the application's settings.
        prepare: cuts the figures out of uploaded pictures.
        find: a network that looks for figures (`storyboard.engine.NetworkMatting`); None for none.

    Raises:
        pipelines.models.catalog.UnknownModelError: if the settings name a model that there is not.
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
        desk = Actions(runner, store, settings, prepare, find, editor.publish)
        answers = _Answers(desk, editor)
        _join(demo, answers, editor, remembered)
    return demo


def launch_options() -> dict[str, Any]:
    """How the page is served; what `gr.Blocks.launch` wants besides the address."""
    css = "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in _STYLE_FILES)
    return {
        "theme": _theme(),
        "head": f"<style>{css}</style>",
        "favicon_path": ASSETS / "favicon.svg",
        "footer_links": [],
        "max_file_size": MOST_UPLOADED,
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


class _Answers:
    """The desk's answers in Gradio's form; every method answers one event of the editor."""

    def __init__(self, desk: Actions, editor: StoryboardEditor) -> None:
        self._desk = desk
        self._editor = editor

    def load(self, project_id: Any) -> Any:
        return self._turned(
            lambda: {"setup": self._desk.setup()} | self._desk.open(_text(project_id))
        )

    def open(self, event: gr.EventData) -> Any:
        return self._turned(lambda: self._desk.open(_text(_sent(event, "project"))))

    def new(self) -> Any:
        return self._turned(self._desk.new)

    def example(self) -> Any:
        return self._turned(self._desk.example)

    def save(self, document: Any) -> Any:
        return self._told(lambda: self._desk.save(document))

    def generate(self, document: Any, event: gr.EventData) -> Any:
        return self._told(lambda: self._desk.generate(document, _frames(event)))

    def consent(self, document: Any, event: gr.EventData) -> Any:
        key, draft = _text(_sent(event, "key")), _text(_sent(event, "draft"))
        return self._told(lambda: self._desk.consent(document, key, _frames(event), draft))

    def follow(self, document: Any) -> Iterator[Any]:
        try:
            for answer in self._desk.follow(project_of(document)):
                yield gr.update(**answer)
        except UserError as error:
            yield gr.update(**self._desk.refuse(error))

    def cancel(self, document: Any) -> Any:
        return self._told(lambda: self._desk.cancel(document))

    def choose(self, document: Any, event: gr.EventData) -> Any:
        frame, take = _text(_sent(event, "frame")), _text(_sent(event, "take"))
        return self._told(lambda: self._desk.choose(document, frame, take))

    def archive(self, document: Any) -> Any:
        return self._told(lambda: self._desk.archive(document))

    def picture(self, document: Any, event: gr.EventData) -> Any:
        sent = _sent(event, "path")
        return self._told(lambda: self._desk.picture(document, self._editor.uploaded(sent)))

    def mend(self, document: Any, event: gr.EventData) -> Any:
        draft, strokes = _text(_sent(event, "draft")), _text(_sent(event, "strokes"))
        revision = _sent(event, "revision")
        count = revision if isinstance(revision, int) else 0
        return self._told(lambda: self._desk.mend(document, draft, strokes, count))

    def search(self, document: Any, event: gr.EventData) -> Any:
        draft = _text(_sent(event, "draft"))
        return self._told(lambda: self._desk.search(document, draft))

    def use(self, document: Any, event: gr.EventData) -> Any:
        draft, strokes = _text(_sent(event, "draft")), _text(_sent(event, "strokes"))
        return self._told(lambda: self._desk.use(document, draft, strokes or None))

    def discard(self, document: Any, event: gr.EventData) -> Any:
        draft = _text(_sent(event, "draft"))
        return self._told(lambda: self._desk.discard(document, draft))

    def retouch(self, document: Any) -> Any:
        return self._told(lambda: self._desk.retouch(document))

    def refer(self, document: Any, event: gr.EventData) -> Any:
        name = _text(_sent(event, "name"))
        return self._told(lambda: self._desk.refer(document, name))

    def save_character(self, document: Any) -> Any:
        return self._told(lambda: self._desk.save_character(document))

    def load_character(self, document: Any, event: gr.EventData) -> Any:
        sent = _sent(event, "path")
        return self._told(lambda: self._desk.load_character(document, self._editor.uploaded(sent)))

    def projects(self) -> Any:
        return self._told(self._desk.projects)

    def _told(self, ask: Callable[[], Answer]) -> Any:
        """An update of the editor, be it with what cannot be done."""
        try:
            return gr.update(**ask())
        except UserError as error:
            return gr.update(**self._desk.refuse(error))

    def _turned(self, ask: Callable[[], Answer]) -> Any:
        """As `_told`, for a turn to another project: the browser is to remember that one."""
        try:
            answer = ask()
        except UserError as error:
            return gr.update(**self._desk.refuse(error)), gr.skip()
        return gr.update(**answer), answer["value"]["project"]


def _join(
    demo: gr.Blocks, answers: _Answers, editor: StoryboardEditor, remembered: gr.BrowserState
) -> None:
    """Connect every event to its answer."""
    following = editor.follow(answers.follow, editor, editor, trigger_mode="once", **_LIGHT)
    both = [editor, remembered]
    demo.load(answers.load, remembered, both, **_LIGHT)
    # A job goes on when its page turns to another storyboard; it is only no longer followed.
    editor.open(answers.open, None, both, cancels=[following], **_LIGHT)
    editor.new(answers.new, None, both, cancels=[following], **_LIGHT)
    editor.example(answers.example, None, both, cancels=[following], **_LIGHT)
    editor.save(answers.save, editor, editor, trigger_mode="always_last", **_LIGHT)
    editor.generate(answers.generate, editor, editor, trigger_mode="multiple", **_LIGHT)
    editor.cancel(answers.cancel, editor, editor, trigger_mode="multiple", **_LIGHT)
    editor.choose(answers.choose, editor, editor, trigger_mode="multiple", **_LIGHT)
    editor.archive(answers.archive, editor, editor, **_LIGHT)
    for name in _PICTURE_EVENTS:
        listen, answer = getattr(editor, name), getattr(answers, name)
        listen(answer, editor, editor, trigger_mode="multiple", **_LIGHT)
    editor.projects(answers.projects, None, editor, **_LIGHT)


def _sent(event: gr.EventData, name: str) -> Any:
    """A field of what the page sent with an event; None where it is missing."""
    return getattr(event, name, None)


def _frames(event: gr.EventData) -> list[str] | None:
    """The frames that are to be painted; None for all."""
    frames = _sent(event, "frames")
    return [_text(frame) for frame in frames] if isinstance(frames, list) else None


def _text(sent: Any) -> str:
    return sent if isinstance(sent, str) else ""
