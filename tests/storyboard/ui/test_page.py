"""The page as Gradio sees it; what a person sees is tested in a browser."""

from __future__ import annotations

import asyncio
import posixpath
import random
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.utils import get_upload_folder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from pipelines.errors import UserError
from pipelines.reference.from_upload import prepare_reference
from storyboard.api.calls import CALLS, CHARACTER_CALLS, SHELF_CALLS
from storyboard.api.routes import PREFIX, scripts_version
from storyboard.jobs.local import LocalRunner
from storyboard.settings import Settings
from storyboard.storage.projects import Store
from storyboard.ui.page import ASSETS, build_ui, launch_options, uploaded
from tests.storyboard.fakes import FakeEngine

SCRIPTS = {path.relative_to(ASSETS).as_posix(): path.read_text() for path in ASSETS.rglob("*.js")}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "projects")


@pytest.fixture
def demo(store: Store) -> gr.Blocks:
    runner = LocalRunner(FakeEngine(), random.Random(1))

    async def build() -> gr.Blocks:
        return build_ui(runner, store, Settings(projects=store.root), prepare_reference)

    # Gradio opens event loops that it never closes, unless one is running.
    return asyncio.run(build())


def html_of(demo: gr.Blocks) -> Any:
    (block,) = [block for block in demo.blocks.values() if isinstance(block, gr.HTML)]
    return block


@pytest.fixture
def folder_of_uploads() -> Iterator[Path]:
    Path(get_upload_folder()).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=get_upload_folder()))
    yield folder
    shutil.rmtree(folder)


# ---- questions


def test_there_are_no_events_and_no_api(demo: gr.Blocks) -> None:
    assert not demo.fns  # the stream of an event that breaks off loads the page anew
    assert demo.get_api_info()["named_endpoints"] == {}


def test_all_questions_go_through_one_function_that_answers(demo: gr.Blocks) -> None:
    (function,) = html_of(demo).server_fns
    scope = {"type": "http", "headers": [(b"x-forwarded-for", b"8.8.8.8")], "client": None}
    request = Request(scope)
    assert "models" in function({"name": "setup"}, request)["ok"]
    for odd in (None, [], {"name": "open", "data": {"project": "gone"}}):
        assert function(odd, request).keys() == {"problem", "remedy"}


def test_the_scripts_ask_only_what_is_answered() -> None:
    code = "\n".join(SCRIPTS.values())
    asked = set(re.findall(r'(?:\bask|\bcall|\binTurn|\bdownload)\("(\w+)"', code))
    assert {"news", "save", "generate", "archive", "use_picture"} <= asked
    assert asked <= {*CALLS, *CHARACTER_CALLS, *SHELF_CALLS}


# ---- scripts


def imports_of(name: str) -> set[str]:
    """Return the scripts that a script imports, by their paths in the folder."""
    folder = posixpath.dirname(name)
    named = re.findall(r'^(?:import|export)\b[^";]*?\bfrom "([^"]+)";', SCRIPTS[name], re.MULTILINE)
    assert all(path.startswith(".") for path in named), (name, named)
    return {posixpath.normpath(posixpath.join(folder, path)) for path in named}


def test_every_script_is_loaded_with_the_page_and_every_import_is_there() -> None:
    reached, left = set(), {"main.js"}
    while left:
        name = left.pop()
        reached.add(name)
        left |= imports_of(name) - reached
    # For the type checker alone.
    assert reached | {"app.js", "types.js"} == set(SCRIPTS)


def test_the_state_knows_no_page() -> None:
    """Functions on plain data, which run without a browser."""
    for name in SCRIPTS:
        if name.startswith("state/"):
            allowed = {"words.js", *(other for other in SCRIPTS if other.startswith("state/"))}
            assert imports_of(name) <= allowed, name
            for word in ("document", "window", "localStorage", "fetch"):
                assert not re.search(rf"\b{word}\.|\b{word}\(", SCRIPTS[name]), (name, word)


def test_no_script_makes_markup_out_of_text() -> None:
    for name, code in SCRIPTS.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", code), name


def test_words_never_reach_a_template(demo: gr.Blocks, store: Store) -> None:
    """The page comes without anybody's words; they go into it as text, by the scripts."""
    html = html_of(demo)
    assert html.html_template == '<div class="tl" data-status="starting"></div>'
    assert "${" not in html.js_on_load.replace("`${base}", "") and "{{" not in html.js_on_load
    assert html.css_template == gr.HTML().css_template


def test_the_page_loads_the_scripts_of_now(demo: gr.Blocks) -> None:
    assert f"{PREFIX}/ui/{scripts_version(ASSETS)}/main.js" in html_of(demo).js_on_load


# ---- uploads


def test_only_uploaded_files_count_as_uploads(tmp_path: Path, folder_of_uploads: Path) -> None:
    picture = tmp_path / "image.png"
    picture.write_bytes(b"pixels")
    sent = folder_of_uploads / "image.png"
    sent.write_bytes(b"pixels")
    assert uploaded(str(sent)) == sent.resolve()
    link = folder_of_uploads / "link.png"
    link.symlink_to(picture)
    folder = str(folder_of_uploads)
    for other in (
        *(str(picture), str(link), f"{folder}/../../../etc/passwd", folder, "", "image.png"),
        *(None, 7, True, {"path": str(sent)}, [str(sent)], f"{folder}/gone.png"),
        *(f"{sent}\0", f"{folder}/\ud800", f"{folder}/{'x' * 5000}", "~/image.png"),
    ):
        with pytest.raises(UserError, match="did not arrive"):
            uploaded(other)


# ---- serving


def test_the_page_is_served_to_this_machine_alone(store: Store) -> None:
    options = launch_options(store, Settings())
    assert options["share"] is False and options["enable_monitoring"] is False
    assert "allowed_paths" not in options
    assert Path(options["favicon_path"]).is_file()
    assert not re.search(r"https?://", options["head"])
    styles = [path.read_text() for path in ASSETS.glob("*.css")]
    assert styles and all(style in options["head"] for style in styles)


def test_no_script_names_another_machine() -> None:
    for name, code in SCRIPTS.items():
        others = set(re.findall(r"https?://[^\"'`\s]+", code)) - {"http://www.w3.org/2000/svg"}
        assert not others, name


def test_pictures_and_scripts_are_served_beside_the_page(store: Store) -> None:
    from starlette.applications import Starlette

    app = Starlette(routes=launch_options(store, Settings())["app_kwargs"]["routes"])
    with TestClient(app) as client:
        assert client.get(f"{PREFIX}/alive").status_code == 200
        assert client.get(f"{PREFIX}/ui/{scripts_version(ASSETS)}/main.js").status_code == 200
        assert client.get(f"{PREFIX}/boards/gone/storyboard.zip").status_code == 404


def test_the_page_names_its_scripts_before_it_is_parsed(tmp_path: Path) -> None:
    options = launch_options(Store(tmp_path), Settings())["app_kwargs"]
    page = Route("/", lambda _: PlainTextResponse("the page"))
    application = Starlette(routes=[page, *options["routes"]], middleware=options["middleware"])
    client = TestClient(application, base_url="http://test/")
    named = re.findall(r"<([^>]+)>; rel=modulepreload", client.get("/").headers["link"])
    assert len(named) == len(SCRIPTS)
    for address in named:
        sent = client.get(f"/{address}")
        assert sent.status_code == 200 and sent.headers["content-encoding"] == "gzip"
        assert "link" not in sent.headers
