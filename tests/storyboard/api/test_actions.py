"""Boards as pages open, make and save them, and what a page hears of the application."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UserError
from storyboard.errors import ProjectError
from tests.storyboard.api.backend import (
    Backend,
    backend_in,
    revision,
    saved,
    stored_story,
    story,
)
from tests.storyboard.fakes import FakeEngine


def test_a_new_storyboard_is_on_disk_once_it_is_changed(backend: Backend) -> None:
    new = backend.actions.new()
    document = new["board"]
    assert (new["revision"], new["tag"]) == ("", "")
    assert backend.store.projects() == []
    answer = backend.actions.save(document["project"], document | {"title": "A day"}, "")
    assert "stale" not in answer
    assert answer["revision"] == revision(backend, document) != ""
    assert backend.store.open(document["project"]).load().title == "A day"


def test_what_was_saved_is_opened_again(backend: Backend) -> None:
    document = story(backend)
    revision = saved(backend, document)["revision"]
    opened = backend.actions.open(document["project"])
    assert (opened["board"], opened["revision"]) == (document, revision)
    assert opened["outcomes"] == [] and opened["progress"]["state"] == "idle"


def test_first_changes_from_many_threads_make_one_project(backend: Backend) -> None:
    document = story(backend)
    answers: list[Any] = []

    def change() -> None:
        answers.append(backend.actions.save(document["project"], document, ""))

    threads = [threading.Thread(target=change) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [info.id for info in backend.store.projects()] == [document["project"]]
    # All made the same change, so none of them is behind the others.
    assert len({answer["revision"] for answer in answers}) == 1
    assert not any("stale" in answer for answer in answers)


def test_a_page_that_never_changed_anything_hears_of_no_board(backend: Backend) -> None:
    before = backend.actions.new()["board"]
    news = backend.actions.news(before["project"])
    assert "board" not in news and news["progress"]["state"] == "idle"
    with pytest.raises(ProjectError, match="no storyboard"):
        backend.actions.open(before["project"])
    again = backend.actions.new()["board"]
    assert [frame["action"] for frame in again["frames"]] == [""] * 4
    assert again["project"] != before["project"]
    assert backend.store.projects() == []


@pytest.mark.parametrize("name", ["../outside", "a/b", "", ".", "x" * 33, "a\n", "\ud800", "a\0"])
def test_names_that_are_no_projects_open_nothing_and_make_nothing(
    backend: Backend, tmp_path: Path, name: str
) -> None:
    document = backend.actions.new()["board"]
    for ask in (
        lambda: backend.actions.open(name),
        lambda: backend.actions.save(name, document, ""),
        lambda: backend.actions.generate(name),
        lambda: backend.actions.shelf.archive(name),
        lambda: backend.character.reopen_picture(name),
    ):
        with pytest.raises(ProjectError):
            ask()
    assert "board" not in backend.actions.news(name)
    assert list(tmp_path.rglob("*.json")) == []


def test_the_project_is_the_one_that_was_asked_for(backend: Backend) -> None:
    mine, theirs = stored_story(backend), story(backend)
    backend.actions.save(theirs["project"], mine | {"title": "Elsewhere"}, "")
    assert backend.store.open(mine["project"]).load().title != "Elsewhere"
    assert backend.store.open(theirs["project"]).load().title == "Elsewhere"


def test_a_damaged_project_is_reported_and_left_alone(backend: Backend) -> None:
    document = stored_story(backend)
    file = backend.store.root / document["project"] / "storyboard.json"
    file.write_text("{ half")
    with pytest.raises(ProjectError, match="damaged"):
        backend.actions.open(document["project"])
    with pytest.raises(ProjectError, match="damaged"):
        backend.actions.news(document["project"])
    with pytest.raises(ProjectError):
        saved(backend, document)
    assert file.read_text() == "{ half"


def test_a_refused_change_leaves_what_is_stored(backend: Backend) -> None:
    document = stored_story(backend)
    bad = backend.actions.open(document["project"])["board"]
    bad["frames"][0]["seed"] = -5
    with pytest.raises(UserError, match="Frame 1 seed"):
        saved(backend, bad)
    assert backend.store.open(document["project"]).load().frames[0].seed == 0


def test_the_example_is_made_once(backend: Backend) -> None:
    first, second = backend.actions.example(), backend.actions.example()
    assert first["board"] == second["board"]
    assert len(first["board"]["frames"]) == 6
    assert first["board"]["settings"]["model"] == "miniature"
    assert backend.actions.open(first["board"]["project"])["board"] == first["board"]


def test_a_page_knows_the_guidance_of_every_model_and_its_limits(backend: Backend) -> None:
    setup = backend.actions.setup()
    assert setup["limits"]["guidance"] == [1, 10]
    own = {model["name"]: model["guidance"] for model in setup["models"]}
    assert (own["flux1-dev"], own["flux1-krea-dev"], own["flux1-schnell"]) == (3.5, 4.5, None)


def test_a_page_sees_that_the_server_was_started_anew(backend: Backend, tmp_path: Path) -> None:
    document = stored_story(backend)
    server = backend.actions.setup()["server"]
    assert backend.actions.news(document["project"])["server"] == server
    assert backend.actions.news("never-stored")["server"] == server
    other = backend_in(tmp_path / "projects", FakeEngine())
    assert other.actions.news(document["project"])["server"] != server
    other.runner.close()


def test_projects_are_listed_at_home_and_not_on_a_space(tmp_path: Path) -> None:
    home = backend_in(tmp_path, FakeEngine())
    document = story(home) | {"title": "A day"}
    saved(home, document)
    (item,) = home.actions.shelf.boards()["boards"]
    assert (item["id"], item["title"], item["frames"]) == (document["project"], "A day", 2)
    space = backend_in(tmp_path, FakeEngine(), space=True)
    assert space.actions.shelf.boards()["boards"] == []
    assert space.actions.setup()["listed"] is False


def test_a_space_renders_with_its_own_model_alone(tmp_path: Path) -> None:
    space = backend_in(tmp_path, FakeEngine(), space=True)
    document = story(space)
    document["settings"]["model"] = "flux1-dev"
    with pytest.raises(UserError, match="cannot be chosen"):
        saved(space, document)
    assert [model["name"] for model in space.actions.setup()["models"]] == ["miniature"]
