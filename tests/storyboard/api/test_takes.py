"""Takes as a page hears of them: what is outdated, where they came from, plans of renders."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.reference.from_upload import prepare_reference
from pipelines.request import Shortcuts
from storyboard.api.actions import Actions
from storyboard.api.calls import Calls
from storyboard.board import Storyboard, new_id
from storyboard.jobs.local import LocalRunner
from storyboard.settings import Settings
from storyboard.storage.files import DocumentKind
from storyboard.storage.projects import Store
from tests.storyboard.api.backend import Backend, outdated, rendered, saved, story, takes_of
from tests.storyboard.fakes import FakeEngine


@dataclass
class Page:
    """A page with a board of small frames "a", "b" and "c", the last without words.

    Attributes:
        root: folder of the projects.
        actions: the actions behind it.
        document: the board that it shows.
    """

    root: Path
    actions: Actions
    runner: LocalRunner
    engine: FakeEngine
    document: dict[str, Any] = field(default_factory=dict)

    @property
    def project(self) -> str:
        return str(self.document["project"])

    def save(self) -> dict[str, Any]:
        """Store the board; the answer."""
        stored = self.actions.news(self.project).get("revision", "")
        return self.actions.save(self.project, self.document, stored)

    def render(self, frames: list[str] | None = None) -> dict[str, Any]:
        """Render frames; the news after it."""
        self.actions.generate(self.project, frames)
        for job in self.runner.pending(self.project):
            assert job.wait(20)
        return self.actions.news(self.project)

    def plan(self, which: Any) -> dict[str, Any]:
        return self.actions.plan(self.project, which)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    engine = FakeEngine()
    runner = LocalRunner(engine, random.Random(1))
    settings = Settings(projects=tmp_path)
    actions = Actions(runner, Store(tmp_path), settings, prepare_reference, None)
    page = Page(tmp_path, actions, runner, engine, actions.new()["board"])
    page.document["character"]["description"] = "a girl"
    page.document["settings"] |= {"width": 64, "height": 64, "steps": 2}
    frame = page.document["frames"][0]
    words = ({"action": "waving", "location": "beach", "share_background": True}, {})
    page.document["frames"] = [
        frame | {"id": name} | words[name == "c"] for name in ("a", "b", "c")
    ]
    page.save()
    yield page
    runner.close()


def test_frames_rendered_with_other_shortcuts_are_outdated(backend: Backend) -> None:
    document = story(backend)
    assert outdated(rendered(backend, document)) == []
    ids = [frame["id"] for frame in document["frames"]]
    for shortcut, edited in (("half-steps", ids), ("both", ids), ("coarse-probe", ids[1:])):
        document["settings"]["shortcut"] = shortcut
        assert outdated(saved(backend, document)) == edited, shortcut
    # The identity frame has no probe pass, so its take is current and serves as a source.
    assert outdated(rendered(backend, document, [ids[1]])) == []
    assert backend.engine.requests[-1].targets == (ids[1],)
    assert backend.engine.requests[-1].shortcuts == Shortcuts(probe_every=2)
    document["settings"]["shortcut"] = "exact"
    assert outdated(saved(backend, document)) == ids[1:]


def test_a_rendered_board_is_up_to_date_and_says_where_its_takes_came_from(page: Page) -> None:
    assert page.plan("new")["targets"] == ["a", "b"]
    news = page.render()
    assert (news["outdated"], news["kept"], news["identity"]) == ({}, {}, "a")
    origin = {"frame": "a", "current": True}
    assert news["origins"] == {
        "a": {"identity": None, "location": None},
        "b": {"identity": origin, "location": origin},
    }
    assert sorted(news["results"]) == ["a", "b"]


def test_an_answer_names_the_locations_that_frames_keep_and_the_board_that_it_is_about(
    page: Page,
) -> None:
    saved = page.save()
    assert saved["locations"] == {
        "revision": saved["revision"],
        "frames": {
            "a": {"source": None, "readers": ["b"], "others": []},
            "b": {"source": "a", "readers": [], "others": []},
        },
    }
    page.document["settings"]["consistent"] = False
    assert page.save()["locations"]["frames"] is None
    news = page.actions.news(page.project)
    assert news["locations"] == {"revision": news["revision"], "frames": None}


def test_every_answer_about_a_board_says_what_is_outdated(page: Page) -> None:
    first = page.render()["results"]["a"]["chosen"]
    page.render(["a"])
    why = ["Frame 1, whose character and location this frame keeps, has another take now."]
    assert page.actions.open(page.project)["outdated"] == {"b": why}
    assert page.actions.choose_take(page.project, "a", first)["outdated"] == {}
    page.document["frames"][0]["action"] = "singing"
    saved = page.save()
    assert saved["outdated"]["a"] == ["The action has changed."]
    assert set(saved["outdated"]) == {"a", "b"}
    assert page.actions.character.set_reference(page.project, "")["outdated"] == saved["outdated"]


def test_steps_count_and_shortcuts_count_where_they_matter(page: Page) -> None:
    page.render()
    page.document["settings"]["steps"] = 3
    assert set(page.save()["outdated"]) == {"a", "b"}
    page.document["settings"] |= {"steps": 2, "shortcut": "coarse-probe"}
    # The identity frame has no probe pass, so its take is current and serves as a source.
    assert set(page.save()["outdated"]) == {"b"}
    assert page.render(page.plan("new")["targets"])["outdated"] == {}
    assert page.engine.requests[-1].targets == ("b",)


def test_the_page_sets_the_identity_frame_and_locks(page: Page) -> None:
    page.render()
    page.document["settings"]["identity"] = "b"
    page.document["frames"][0]["locked"] = True
    saved = page.save()
    assert saved["identity"] == "b"
    assert (list(saved["outdated"]), list(saved["kept"])) == (["b"], ["a"])
    assert page.actions.open(page.project)["board"]["frames"][0]["locked"]
    page.document["settings"]["identity"] = "../x"
    with pytest.raises(UserError, match="Settings identity"):
        page.save()


def test_a_plan_says_what_a_render_does_and_generate_does_it(page: Page) -> None:
    page.document["frames"][0]["seed"] = page.document["frames"][1]["seed"] = 5
    page.save()
    page.render()
    assert page.plan(["b"])["unchanged"] == ["b"]
    page.document["settings"]["width"] = 128
    page.save()
    plan = page.plan(["b"])
    assert plan == {
        "targets": ["b"],
        "extra": [
            {
                "frame": "a",
                "why": "Frame 2 keeps the character and location of frame 1, whose take has "
                "another size.",
            }
        ],
        "empty": [],
        "locked": [],
        "unchanged": [],
    }
    page.render(plan["targets"])
    assert page.engine.requests[-1].targets == ("a", "b")
    assert page.plan("all") == {
        "targets": ["a", "b"],
        "extra": [],
        "empty": ["c"],
        "locked": [],
        "unchanged": ["a", "b"],
    }


def test_a_source_that_comes_with_a_frame_keeps_its_seed(page: Page) -> None:
    page.render()
    seed = page.engine.requests[-1].frames[0].seed
    page.document["settings"]["width"] = 128
    page.save()
    page.render(["b"])
    request = page.engine.requests[-1]
    assert request.targets == ("a", "b")
    assert request.frames[0].seed == seed
    assert request.frames[1].seed != page.engine.requests[0].frames[1].seed


def test_locked_and_empty_frames_are_left_out_of_everything(page: Page) -> None:
    page.render()
    page.document["frames"][0]["locked"] = True
    page.save()
    plan = page.plan("all")
    assert (plan["targets"], plan["locked"], plan["empty"]) == (["b"], ["a"], ["c"])
    page.render()
    assert page.engine.requests[-1].targets == ("b",)
    with pytest.raises(UserError, match="Frame 1 is locked"):
        page.actions.generate(page.project, ["a"])
    page.document["frames"][1]["locked"] = True
    page.save()
    with pytest.raises(UserError, match="empty or locked"):
        page.actions.generate(page.project)
    page.document["frames"][1]["locked"] = False
    page.document["settings"]["width"] = 128
    page.save()
    for ask in (page.plan, lambda which: page.actions.generate(page.project, which)):
        with pytest.raises(UserError, match="another size. Frame 1 is locked"):
            ask(["b"])


def test_a_blank_board_has_nothing_to_plan_and_is_not_stored(page: Page) -> None:
    blank = new_id()
    plan = page.actions.plan(blank, "new")
    assert set(plan) == {"targets", "extra", "empty", "locked", "unchanged"}
    assert not any(plan.values())
    assert [info["id"] for info in page.actions.shelf.boards()["boards"]] == [page.project]


def test_a_plan_is_asked_by_its_name_with_checked_arguments(page: Page, tmp_path: Path) -> None:
    calls = Calls(page.actions, lambda _: tmp_path)

    def ask(which: object) -> dict[str, Any]:
        return calls.answer({"name": "plan", "data": {"project": page.project, "which": which}})

    assert ask("new")["ok"]["targets"] == ["a", "b"]
    assert ask(["b"])["ok"]["targets"] == ["b"]
    for which in ("some", 3, None, [1], {"a": 1}):
        assert "problem" in ask(which)


def test_the_file_of_a_take_is_read_once(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.render()
    page.render(["b"])
    read: list[Path] = []
    before = DocumentKind.read

    def count(kind: DocumentKind, path: Path) -> dict[str, Any]:
        if path.name == "take.json":
            read.append(path)
        return before(kind, path)

    monkeypatch.setattr(DocumentKind, "read", count)
    actions = Actions(page.runner, Store(page.root), Settings(), prepare_reference, None)
    actions.open(page.project)
    assert len(read) == len(set(read)) == 3
    actions.open(page.project)
    actions.plan(page.project, "all")
    assert len(read) == 3


def test_an_earlier_take_can_be_chosen_again(backend: Backend) -> None:
    document = story(backend, frames=1)
    rendered(backend, document)
    document["frames"][0]["seed"] = 9
    last = rendered(backend, document)
    (frame,) = document["frames"]
    earlier = takes_of(last, frame)[0]
    answer = backend.actions.choose_take(document["project"], frame["id"], earlier)
    assert answer["results"][frame["id"]]["chosen"] == earlier
    assert outdated(answer) == [frame["id"]]  # its seed differs from the frame's
    saved(backend, document)
    assert backend.store.open(document["project"]).load().frames[0].take == earlier


def test_a_take_of_another_frame_or_project_cannot_be_chosen(backend: Backend) -> None:
    document, other = story(backend), story(backend)
    last, foreign = rendered(backend, document), rendered(backend, other)
    one, two = document["frames"]
    chosen = last["results"][one["id"]]["chosen"]
    for take in [takes_of(last, two)[0], takes_of(foreign, other["frames"][0])[0], "../x", ""]:
        with pytest.raises(UserError):
            backend.actions.choose_take(document["project"], one["id"], take)
    assert backend.store.open(document["project"]).load().frames[0].take == chosen


def test_a_frame_that_was_removed_and_is_back_has_its_takes(backend: Backend) -> None:
    document = story(backend)
    last = rendered(backend, document)
    gone = document["frames"].pop(0)
    saved(backend, document)
    document["frames"].insert(0, gone)
    answer = saved(backend, document)
    assert answer["results"] == last["results"]


def test_frames_edited_since_they_were_rendered_are_named(backend: Backend) -> None:
    document = story(backend)
    assert outdated(rendered(backend, document)) == []
    one, two = document["frames"]
    two["action"] = "singing"
    assert outdated(saved(backend, document)) == [two["id"]]
    one["share_background"] = two["share_background"] = True
    two["action"] = "waving"
    assert outdated(saved(backend, document)) == [two["id"]]
    assert outdated(rendered(backend, document)) == []
    document["settings"]["width"] = 128
    assert outdated(saved(backend, document)) == [one["id"], two["id"]]


def test_a_take_that_another_page_removes_meanwhile_is_not_chosen(backend: Backend) -> None:
    document = story(backend, frames=1)
    rendered(backend, document)
    (frame,) = document["frames"]
    gone, newer = takes_of(rendered(backend, document), frame)
    project = backend.store.open(document["project"])
    refused: list[UserError] = []

    def choose() -> None:
        try:
            backend.actions.choose_take(project.id, frame["id"], gone)
        except UserError as error:
            refused.append(error)

    page = threading.Thread(target=choose)

    def remove_meanwhile(stored: Storyboard) -> Storyboard:
        page.start()
        time.sleep(0.1)  # it has come as far as it can
        project.remove_take(gone)
        return project.load()

    project.edit(remove_meanwhile)
    page.join()
    assert len(refused) == 1
    assert project.load().frames[0].take == newer


def test_a_take_without_its_frames_words_says_so(backend: Backend) -> None:
    document = story(backend, frames=1)
    (take,) = takes_of(rendered(backend, document), document["frames"][0])
    path = backend.store.open(document["project"]).path / "takes" / take / "take.json"
    path.write_text(path.read_text().replace(document["frames"][0]["id"], "another", 1))
    with pytest.raises(UserError, match="does not say how it was rendered"):
        backend.actions.take_words(document["project"], take)
