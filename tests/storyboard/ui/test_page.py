"""The page as Gradio sees it; what a person sees is tested in a browser."""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path

import gradio as gr
import pytest
from storyboard.ui.editor import ASSETS, EVENTS, StoryboardEditor

from pipelines.errors import UserError
from pipelines.reference.from_upload import prepare_reference
from storyboard.jobs.local import LocalRunner
from storyboard.settings import Settings
from storyboard.storage.projects import Store
from storyboard.ui.page import build_ui, launch_options
from tests.storyboard.fakes import FakeEngine

PROPERTIES = (
    *("results", "progress", "edited", "saved", "reference", "notice", "consent", "projects"),
    *("file", "setup"),
)
SCRIPTS = {path.name: path.read_text() for path in ASSETS.glob("*.js")}


@pytest.fixture
def demo(tmp_path: Path) -> gr.Blocks:
    runner = LocalRunner(FakeEngine(), random.Random(1))

    async def build() -> gr.Blocks:
        return build_ui(runner, Store(tmp_path), Settings(projects=tmp_path), prepare_reference)

    # Gradio opens event loops that it never closes, unless one is running.
    return asyncio.run(build())


def test_every_event_has_a_handler_and_none_is_an_api(demo: gr.Blocks) -> None:
    triggers = {target[1] for fn in demo.fns.values() for target in fn.targets}
    assert set(EVENTS) <= triggers
    assert all(fn.api_visibility == "private" for fn in demo.fns.values())
    assert demo.get_api_info()["named_endpoints"] == {}


def test_no_event_waits_for_another(demo: gr.Blocks) -> None:
    answered = [fn for fn in demo.fns.values() if not fn.is_cancel_function]
    assert all(fn.concurrency_limit is None for fn in answered)


def test_the_scripts_trigger_only_events_with_handlers() -> None:
    code = "\n".join(SCRIPTS.values())
    asked = set(re.findall(r'(?:trigger|ask)\("(\w+)"', code))
    assert asked == set(EVENTS)


def test_every_script_is_part_of_the_editor() -> None:
    script = StoryboardEditor().js_on_load
    assert script is not None
    assert all(code in script for code in SCRIPTS.values())


def test_no_script_makes_markup_out_of_text() -> None:
    for name, code in SCRIPTS.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", code), name


def test_words_never_reach_a_template() -> None:
    editor = StoryboardEditor({"title": "${alert(1)}"}, results={"x": "{{y}}"})
    plain = StoryboardEditor()
    assert (editor.html_template, editor.css_template) == (plain.html_template, plain.css_template)


@pytest.mark.parametrize("name", PROPERTIES)
def test_properties_of_the_server_are_no_events(name: str) -> None:
    script = StoryboardEditor().js_on_load
    assert script is not None and f'watch("{name}"' in script
    if name not in EVENTS:
        assert not hasattr(StoryboardEditor(), name)


def test_an_update_keeps_the_editors_own_template() -> None:
    first = StoryboardEditor({"title": "x"}, results={})
    again = StoryboardEditor(**(first.constructor_args | {"value": None, "progress": {}}))
    assert (again.js_on_load, again.elem_id) == (first.js_on_load, first.elem_id)


def test_a_published_file_is_a_copy_that_can_be_fetched(tmp_path: Path) -> None:
    picture = tmp_path / "image.png"
    picture.write_bytes(b"pixels")
    copy = Path(StoryboardEditor().publish(picture)["path"])
    assert copy != picture and copy.read_bytes() == b"pixels"


def test_only_uploaded_files_count_as_uploads(tmp_path: Path) -> None:
    picture = tmp_path / "image.png"
    picture.write_bytes(b"pixels")
    editor = StoryboardEditor()
    uploaded = editor.publish(picture)["path"]
    assert editor.uploaded(uploaded) == Path(uploaded).resolve()
    folder = str(Path(uploaded).parent)
    for sent in (str(picture), f"{folder}/../../../etc/passwd", folder, "", None, {"path": "x"}):
        with pytest.raises(UserError, match="did not arrive"):
            editor.uploaded(sent)


def test_the_page_is_served_to_this_machine_alone() -> None:
    options = launch_options()
    assert options["share"] is False and options["enable_monitoring"] is False
    assert "allowed_paths" not in options
    assert Path(options["favicon_path"]).is_file()
    assert not re.search(r"https?://", options["head"])
    styles = [path.read_text() for path in ASSETS.glob("*.css")]
    assert styles and all(style in options["head"] for style in styles)
