"""Boards as a whole: the shelf, the bin, files in and out, and what other tabs hear."""

from __future__ import annotations

import random
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from pipelines.reference.from_upload import prepare_reference
from storyboard.api.actions import Actions
from storyboard.api.calls import Calls
from storyboard.api.routes import PREFIX, make_routes
from storyboard.board import RenderSettings, Style
from storyboard.jobs.local import LocalRunner
from storyboard.settings import Settings
from storyboard.storage.projects import Store
from tests.storyboard.fakes import FakeEngine
from tests.storyboard.storage.test_projects import BOARD, add_take

SMALL = RenderSettings(width=64, height=64, steps=2)


@dataclass
class House:
    """An application without a page: its questions, its files and what is behind them."""

    store: Store
    runner: LocalRunner
    engine: FakeEngine
    calls: Calls
    files: TestClient

    def ask(self, name: str, **data: object) -> dict[str, Any]:
        """Return the whole answer to a question."""
        return self.calls.answer({"name": name, "data": data})

    def get(self, name: str, **data: object) -> Any:
        """Return what was asked for."""
        answer = self.ask(name, **data)
        assert "ok" in answer, answer
        return answer["ok"]


def house_in(folder: Path, space: bool = False) -> House:
    engine = FakeEngine()
    store, runner = Store(folder), LocalRunner(engine, random.Random(1))
    settings = Settings(projects=folder, space=space, loras=("owner/name",))
    actions = Actions(runner, store, settings, prepare_reference, None)
    scripts = folder.parent / "scripts"
    scripts.mkdir(exist_ok=True)
    files = TestClient(Starlette(routes=make_routes(store, scripts)))
    return House(store, runner, engine, Calls(actions, lambda sent: Path(str(sent))), files)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = house_in(tmp_path / "projects")
    yield house
    if house.engine.permits is not None:
        house.engine.permits.release(1000)
    house.runner.close()


@pytest.fixture
def space(tmp_path: Path) -> Iterator[House]:
    house = house_in(tmp_path / "projects", space=True)
    yield house
    house.runner.close()


def stored(house: House, project: str = "one", take: bool = True) -> str:
    opened = house.store.create(BOARD.model_copy(update={"settings": SMALL}), project)
    if take:
        add_take(opened, "t1")
    return project


# ---- the shelf


def test_boards_are_listed_with_a_picture(house: House) -> None:
    stored(house)
    house.store.create(BOARD, "two")
    rows = {row["id"]: row for row in house.get("boards")["boards"]}
    assert (rows["one"]["title"], rows["one"]["frames"]) == ("Maya's Day", 2)
    assert rows["two"]["picture"] is None
    sent = house.files.get(f"{PREFIX}/{rows['one']['picture']['at']}")
    assert (sent.status_code, sent.headers["content-type"]) == (200, "image/jpeg")


def test_there_is_no_limit_of_boards(house: House) -> None:
    for number in range(120):
        house.store.create(BOARD, f"b{number}")
    assert len(house.get("boards")["boards"]) == 120


def test_boards_are_renamed_and_copied(house: House) -> None:
    stored(house)
    house.get("rename_board", project="one", title="Another day")
    assert house.store.open("one").load().title == "Another day"
    copy = house.get("duplicate_board", project="one")
    assert copy["title"] == "Another day copy"
    assert [t.id for t in house.store.open(copy["project"]).takes()] == ["t1"]
    opened = house.get("open", project=copy["project"])
    assert opened["results"]["a"]["chosen"] == "t1"


def test_a_deleted_board_comes_back(house: House) -> None:
    stored(house)
    house.get("delete_board", project="one")
    assert house.get("boards") == {"boards": [], "deleted": 1}
    (row,) = house.get("bin")["bin"]
    assert (row["id"], row["title"]) == ("one", "Maya's Day")
    assert house.files.get(f"{PREFIX}/{row['picture']['at']}").status_code == 200
    assert house.files.get(f"{PREFIX}/boards/one/takes/t1/image.png").status_code == 404
    house.get("restore_board", project="one")
    house.get("restore_board", project="one")  # pressed in another tab too
    assert house.get("open", project="one")["results"]["a"]["chosen"] == "t1"
    assert house.get("bin") == {"bin": []}


def test_a_board_is_destroyed_from_the_bin_alone(house: House) -> None:
    stored(house)
    assert "problem" in house.ask("empty_board", project="one")
    house.get("delete_board", project="one")
    house.get("empty_board", project="one")
    assert house.get("bin") == {"bin": []}
    assert "problem" in house.ask("restore_board", project="one")


def test_jobs_of_a_deleted_board_are_cancelled_first(house: House) -> None:
    house.engine.permits = threading.Semaphore(3)
    stored(house)
    house.get("generate", project="one")
    house.get("generate", project="one")
    running, queued = house.runner.pending("one")
    threading.Timer(0.3, house.engine.permits.release, args=(1000,)).start()
    house.get("delete_board", project="one")
    assert (running.state, queued.state) == ("cancelled", "cancelled")
    assert not (house.store.root / "one").exists()
    assert house.get("restore_board", project="one") == {"project": "one"}


# ---- a board that was deleted in another tab


def test_a_page_hears_that_its_board_was_deleted(house: House) -> None:
    stored(house)
    tag = house.get("news", project="one")["tag"]
    revision = house.get("open", project="one")["revision"]
    document = house.get("open", project="one")["board"]
    house.get("delete_board", project="one")
    questions = {
        "news": {"seen": tag},
        "open": {},
        "save": {"board": document, "base": revision},
        "generate": {},
    }
    for name, data in questions.items():
        answer = house.ask(name, project="one", **data)
        assert answer["deleted"] == {"project": "one", "restorable": True}, name
        assert "in the bin" in answer["problem"] and answer["remedy"]
    house.get("empty_board", project="one")
    answer = house.ask("news", project="one", seen=tag)
    assert answer["deleted"] == {"project": "one", "restorable": False}
    assert house.store.projects() == []
    # Whoever goes on writing keeps the words.
    house.get("save", project="one", board=document, base=revision)
    assert house.store.open("one").load().title == "Maya's Day"


def test_a_blank_board_that_was_never_changed_is_not_deleted(house: House) -> None:
    project = house.get("new")["board"]["project"]
    assert house.get("news", project=project)["progress"]["state"] == "idle"


# ---- the example


def test_the_example_opens_as_it_was_left(house: House, tmp_path: Path) -> None:
    first = house.get("example")
    project = first["board"]["project"]
    board = first["board"] | {"title": "My own example"}
    house.get("save", project=project, board=board, base=first["revision"])
    again = house_in(tmp_path / "projects")
    assert again.get("example")["board"] == board
    again.get("delete_board", project=project)
    assert again.get("example")["board"]["title"] == first["board"]["title"]
    again.runner.close()


def test_strangers_have_an_example_each(space: House) -> None:
    first = space.get("example")["board"]["project"]
    second = space.get("example")["board"]["project"]
    assert first != second
    assert space.get("example", known=first)["board"]["project"] == first
    other = stored(space)
    assert space.get("example", known=other)["board"]["project"] not in (other, first, second)


# ---- files


@pytest.mark.parametrize("form", ["zip", "json", "yaml"])
def test_a_board_is_saved_and_opened_as_each_form(house: House, tmp_path: Path, form: str) -> None:
    stored(house)
    saved = house.get("archive", project="one", form=form)
    assert saved["name"] == f"maya-s-day.{form}"
    sent = house.files.get(f"{PREFIX}/{saved['file']['at']}")
    assert sent.status_code == 200
    path = tmp_path / saved["name"]
    path.write_bytes(sent.content)
    imported = house.get("import_board", path=str(path))
    (board,) = imported["boards"]
    opened = house.get("open", project=board["project"])
    assert opened["board"]["title"] == "Maya's Day"
    assert bool(opened["results"]) == (form == "zip")


def test_boards_that_cannot_be_saved_are_refused_in_words(house: House) -> None:
    stored(house, take=True)
    house.store.open("one").image_path("t1").write_bytes(b"cut")
    answer = house.ask("archive", project="one")
    assert answer["ok"]["lost"] == ["The picture of frame 1, take t1, is damaged."]
    house.store.create(BOARD.model_copy(update={"frames": ()}), "two")
    assert "no frames" in house.ask("archive", project="two", form="yaml")["problem"]
    assert "problem" in house.ask("archive", project="one", form="pdf")


def test_a_wrong_file_is_refused_without_the_servers_folder(house: House, tmp_path: Path) -> None:
    path = tmp_path / "board.zip"
    path.write_bytes(b"no zip")
    answer = house.ask("import_board", path=str(path))
    assert answer["problem"].startswith("board.zip is not an archive")
    assert str(tmp_path) not in answer["problem"] + answer["remedy"]


def test_models_and_styles_that_may_not_be_chosen_are_replaced(
    space: House, tmp_path: Path
) -> None:
    board = BOARD.model_copy(
        update={
            "settings": RenderSettings(
                model="somebody/flux",
                steps=3,
                styles=(Style(source="/etc/ink.safetensors"), Style(source="owner/name")),
            )
        }
    )
    elsewhere = Store(tmp_path / "elsewhere").create(board)
    document = str(elsewhere.path / "storyboard.json")
    imported = space.get("import_board", path=document)
    settings = space.store.open(imported["boards"][0]["project"]).load().settings
    assert (settings.model, settings.steps) == ("miniature", None)
    assert [style.source for style in settings.styles] == ["owner/name"]
    assert len(imported["notes"]) == 2 and "somebody/flux" in imported["notes"][0]


@pytest.mark.parametrize("model", ["/etc", "/nowhere", "somebody/flux", "flux-of-mine"])
def test_a_story_of_another_machines_model_is_opened_and_finds_nothing_out(
    space: House, tmp_path: Path, model: str
) -> None:
    story = tmp_path / "story.yaml"
    story.write_text(f"model: {model}\nsteps: 3\nframes: [{{action: waving}}]\n")
    imported = space.get("import_board", path=str(story))
    settings = space.store.open(imported["boards"][0]["project"]).load().settings
    assert (settings.model, settings.steps, settings.width) == ("miniature", None, 256)
    assert imported["notes"] == [
        f"Its model {model} cannot be chosen here: Throughline miniature is set."
    ]


def test_a_file_that_is_no_storyboard_comes_with_advice_on_files(
    house: House, tmp_path: Path
) -> None:
    path = tmp_path / "notes.json"
    for content in ("{}", "{ half", '{"kind": "throughline storyboard", "version": 999}'):
        path.write_text(content)
        answer = house.ask("import_board", path=str(path))
        assert answer["problem"].startswith("notes.json")
        assert answer["remedy"].startswith("Choose a storyboard.json")


# ---- strangers


def test_strangers_see_their_own_board_alone(space: House) -> None:
    stored(space, "mine")
    stored(space, "theirs")
    assert [row["id"] for row in space.get("boards", project="mine")["boards"]] == ["mine"]
    assert space.get("boards")["boards"] == []
    space.get("delete_board", project="mine")
    assert space.get("bin") == {"bin": []}
    assert space.get("boards", project="mine") == {"boards": [], "deleted": 0}
    space.get("restore_board", project="mine")
    assert space.get("duplicate_board", project="mine")["project"] != "mine"


# ---- pictures that leave


def test_a_picture_that_is_saved_from_the_page_carries_its_own_frame(house: House) -> None:
    stored(house, take=False)
    house.get("generate", project="one")
    job = next(iter((*house.runner.pending("one"), *house.runner.ended("one"))))
    assert job.wait(20)
    results = house.get("open", project="one")["results"]
    take = results["b"]["takes"][0]
    at = f"{PREFIX}/{take['image']['at']}"
    sent = house.files.get(at)
    assert b"waving" not in sent.content and b"running" in sent.content
    assert b"waving" in house.store.open("one").image_path(take["id"]).read_bytes()
    assert "immutable" in sent.headers["cache-control"]
    assert house.files.get(f"{PREFIX}/{take['mask']['at']}").status_code == 200
    for name in ("take.json", ".hidden", "other.png"):
        assert house.files.get(at.replace("image.png", name)).status_code == 404


def test_downloads_are_deleted_after_they_were_sent(house: House, tmp_path: Path) -> None:
    stored(house)
    sent = house.files.get(f"{PREFIX}/boards/one/storyboard.zip")
    path = tmp_path / "sent.zip"
    path.write_bytes(sent.content)
    assert zipfile.is_zipfile(path)
    assert house.files.get(f"{PREFIX}/boards/one/storyboard.exe").status_code == 404
