"""Questions of a front end: whatever is sent, the answer is in words, and never an exception."""

from __future__ import annotations

import gc
import inspect
import json
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from pipelines.errors import UserError
from pipelines.models.catalog import INSTANT_CHARACTER
from storyboard.api.actions import Actions
from storyboard.api.calls import CALLS, CHARACTER_CALLS, SHELF_CALLS, Calls
from storyboard.api.character import CharacterActions
from storyboard.api.shelf import ShelfActions
from storyboard.board import Storyboard
from storyboard.errors import ConsentNeeded
from storyboard.settings import ROOT
from tests.storyboard.api.backend import Backend, ended, stored_story

FAULT = "cannot be understood"
# Values of every kind that JSON has, and some that a stranger would try.
ODD = [None, True, 0, -1, 1.5, "", "x", "../x", "\ud800", "a\0b", [], ["x"], [None], {}, {"a": []}]


ALL_CALLS = (*CALLS, *CHARACTER_CALLS, *SHELF_CALLS)


@pytest.fixture
def calls(backend: Backend) -> Calls:
    def uploaded(sent: object) -> Path:
        raise UserError("The upload did not arrive.", "Choose the file again.")

    return Calls(backend.actions, uploaded)


def action_of(backend: Backend, name: str) -> Callable[..., object]:
    """Return the action of this name."""
    actions = backend.actions
    room = next(one for one in (actions, actions.character, actions.shelf) if hasattr(one, name))
    return cast(Callable[..., object], getattr(room, name))


@pytest.mark.parametrize(
    ("actions", "names"),
    [(Actions, CALLS), (CharacterActions, CHARACTER_CALLS), (ShelfActions, SHELF_CALLS)],
)
def test_every_name_is_an_action_and_every_action_has_a_name(
    actions: type, names: tuple[str, ...]
) -> None:
    public = {name for name, _ in inspect.getmembers(actions, inspect.isfunction)}
    assert set(names) == {name for name in public if not name.startswith("_")}
    assert len(set(names)) == len(names)


def test_the_page_asks_for_actions_alone() -> None:
    """The names in the scripts are found where they are asked for."""
    code = "\n".join(path.read_text() for path in (ROOT / "assets" / "ui").rglob("*.js"))
    for name in ALL_CALLS:
        assert f'"{name}"' in code, name


def test_an_action_is_asked_by_its_name_and_arguments(calls: Calls, backend: Backend) -> None:
    new = calls.answer({"name": "new"})["ok"]["board"]
    sent = {"project": new["project"], "board": new | {"title": "A day"}, "base": ""}
    answer = calls.answer({"name": "save", "data": sent})
    assert answer["ok"]["revision"]
    assert backend.store.open(new["project"]).load().title == "A day"


def test_answers_of_all_questions_are_plain_data(calls: Calls, backend: Backend) -> None:
    document = stored_story(backend)
    project = document["project"]
    backend.actions.generate(project)
    for job in backend.runner.pending(project):
        assert job.wait(20)
    for name, data in (
        ("setup", {}),
        ("open", {"project": project}),
        ("new", {}),
        ("example", {}),
        ("boards", {}),
        ("news", {"project": project, "seen": "", "previews": 0}),
        ("archive", {"project": project}),
        ("save_character", {"project": project}),
    ):
        answer = calls.answer({"name": name, "data": data})
        assert answer.keys() == {"ok"}
        assert json.loads(json.dumps(answer)) == answer, name


@pytest.mark.parametrize(
    "question",
    [
        *(None, 1, "save", [], ["save", {}], True),
        {},
        {"name": None},
        {"name": ["open"]},
        {"name": {"a": 1}},
        {"name": "", "data": {}},
        {"name": "delete_everything", "data": {}},
        {"name": "open"},
        {"name": "open", "data": None},
        {"name": "open", "data": []},
        {"name": "open", "data": "p"},
        {"name": "open", "data": {}},
        {"name": "open", "data": {"project": 7}},
        {"name": "open", "data": {"project": "p", "more": 1}},
        {"name": "open", "data": {"self": "x", "project": "p"}},
        {"name": "open", "data": {7: "p"}},
        {"name": "new", "data": {"project": "p"}},
    ],
)
def test_what_is_no_question_gets_an_answer_in_words(calls: Calls, question: object) -> None:
    answer = calls.answer(question)
    assert answer.keys() == {"problem", "remedy"}
    assert FAULT in answer["problem"] and answer["remedy"] == "Reload the page."


def test_private_names_are_not_asked(calls: Calls) -> None:
    private = [name for name in dir(Actions) if name.startswith("_")]
    assert {"_opened", "__init__", "__class__"} <= set(private)
    for name in private:
        assert FAULT in calls.answer({"name": name, "data": {"project": "p"}})["problem"]


@pytest.mark.parametrize("name", ALL_CALLS)
def test_arguments_of_any_type_get_an_answer_in_words(
    calls: Calls, backend: Backend, name: str
) -> None:
    document = stored_story(backend)
    before = backend.store.open(document["project"]).load()
    parameters = inspect.signature(action_of(backend, name)).parameters
    good = {"project": document["project"], "board": document, "base": "", "draft": "d"}
    usual = {other: good.get(other, "x") for other in parameters}
    for parameter, described in parameters.items():
        for odd in ODD:
            answer = calls.answer({"name": name, "data": usual | {parameter: odd}})
            assert answer.keys() in ({"ok"}, {"problem", "remedy"}), (parameter, odd, answer)
            assert "Traceback" not in str(answer) and "pydantic" not in str(answer)
        if described.default is inspect.Parameter.empty:
            missing = {other: value for other, value in usual.items() if other != parameter}
            assert "problem" in calls.answer({"name": name, "data": missing}), parameter
    # Whatever came, the board is one that opens; only these may have changed it.
    after = backend.store.open(document["project"]).load()
    assert after == before or name in ("save", "rename_board", "generate")


@pytest.mark.parametrize(
    "odd", [{"frames": [{}] * 3}, {"frames": 7}, {"title": 7}, {"settings": 7}]
)
def test_a_board_of_another_shape_is_refused_and_changes_nothing(
    calls: Calls, backend: Backend, odd: dict[str, Any]
) -> None:
    document = stored_story(backend)
    project = document["project"]
    before = backend.store.open(project).load()
    data = {"project": project, "board": document | odd, "base": ""}
    assert "problem" in calls.answer({"name": "save", "data": data})
    assert backend.store.open(project).load() == before


def test_errors_for_people_become_answers(calls: Calls) -> None:
    answer = calls.answer({"name": "open", "data": {"project": "gone"}})
    assert "no storyboard 'gone'" in answer["problem"]
    assert (
        answer["remedy"]
        == "If its folder is only away for a moment, load this address again; else open "
        "another one."
    )


def test_a_consent_becomes_a_question(calls: Calls, backend: Backend) -> None:
    document = stored_story(backend)
    needed = ConsentNeeded(INSTANT_CHARACTER.consent, INSTANT_CHARACTER, "For research only.")
    backend.engine.refusal = needed
    answer = calls.answer({"name": "generate", "data": {"project": document["project"]}})
    assert answer.keys() == {"consent"}
    consent = answer["consent"]
    assert consent.keys() == {"key", "terms", "licence", "licence_url", "download_bytes"}
    assert (consent["key"], consent["terms"]) == (INSTANT_CHARACTER.consent, "For research only.")
    assert consent["download_bytes"] > 1e9
    assert calls.answer({"name": "give_consent", "data": {"key": consent["key"]}}) == {"ok": {}}
    backend.engine.refusal = None
    again = calls.answer({"name": "generate", "data": {"project": document["project"]}})
    assert again["ok"]["job"]


def test_a_fault_of_the_house_is_not_hidden_as_one_of_the_page(
    calls: Calls, backend: Backend
) -> None:
    document = stored_story(backend)
    with pytest.raises(ValidationError) as invalid:
        Storyboard(title=7)  # type: ignore[arg-type]
    for fault in (ZeroDivisionError("inside"), invalid.value):
        backend.engine.refusal = fault  # type: ignore[assignment]
        with pytest.raises(type(fault)):
            calls.answer({"name": "generate", "data": {"project": document["project"]}})


def test_strange_questions_leave_nothing_behind(calls: Calls) -> None:
    class Question(dict[str, Any]):
        """A question that can be watched."""

    question = Question(name="open", data={"project": 7})
    watched = weakref.ref(question)
    assert FAULT in calls.answer(question)["problem"]
    del question
    gc.collect()
    assert watched() is None


def test_a_path_is_one_of_an_upload(backend: Backend, tmp_path: Path) -> None:
    """A browser never names a file of the server."""
    seen: list[object] = []
    upload = tmp_path / "upload.png"
    upload.write_bytes(b"no picture")

    def uploaded(sent: object) -> Path:
        seen.append(sent)
        return upload

    calls = Calls(backend.actions, uploaded)
    project = stored_story(backend)["project"]
    data = {"project": project, "path": "/etc/passwd"}
    answer = calls.answer({"name": "upload_picture", "data": data})
    assert seen == ["/etc/passwd"]
    assert "upload.png" not in str(answer["ok"]["reference"]["used"])
    assert answer["ok"]["reference"]["fault"]


QUESTIONS_ABOUT_NOTHING: dict[str, dict[str, Any]] = {
    "generate": {},
    "choose_take": {"frame": "f", "take": "t"},
    "take_words": {"take": "t"},
    "star_take": {"take": "t", "starred": True},
    "remove_take": {"take": "t"},
    "bring_back_take": {"take": "t"},
    "save_character": {},
    "edit_mask": {"draft": "d", "strokes": ""},
    "find_figure": {"draft": "d"},
    "use_picture": {"draft": "d", "strokes": ""},
    "set_reference": {"name": ""},
    "reopen_picture": {},
    "discard_picture": {"draft": "d"},
    "load_character": {"path": "upload.png"},
    "rename_board": {"title": "x"},
    "duplicate_board": {},
    "archive": {},
}


@pytest.mark.parametrize("name", QUESTIONS_ABOUT_NOTHING)
def test_an_action_that_is_refused_makes_no_board(
    backend: Backend, tmp_path: Path, name: str
) -> None:
    upload = tmp_path / "upload.png"
    upload.write_bytes(b"no character")
    calls = Calls(backend.actions, lambda sent: upload)
    data = {"project": "nothing"} | QUESTIONS_ABOUT_NOTHING[name]
    answer = calls.answer({"name": name, "data": data})
    assert answer["problem"] and answer["remedy"]
    assert not (backend.store.root / "nothing").exists()
    assert str(tmp_path) not in str(answer)


def test_words_name_files_without_the_servers_folders(
    backend: Backend, calls: Calls, tmp_path: Path
) -> None:
    document = stored_story(backend)
    project = backend.store.open(document["project"])
    (project.path / "takes").write_text("a file where the folder should be")
    backend.actions.generate(project.id)
    ended(backend, project.id)
    news = calls.answer({"name": "news", "data": {"project": project.id}})["ok"]
    (outcome,) = news["outcomes"]
    assert outcome["problem"].startswith(f"{project.id}{os.sep}takes")
    # What a person has typed stays as it is.
    title = f"{backend.store.root}/notes"
    backend.actions.shelf.rename_board(project.id, title)
    (project.path / "takes").unlink()
    opened = calls.answer({"name": "open", "data": {"project": project.id}})["ok"]
    assert opened["board"]["title"] == title
    (project.path / "storyboard.json").write_text("{ half")
    answer = calls.answer({"name": "open", "data": {"project": project.id}})
    assert "damaged" in answer["problem"] and str(tmp_path) not in str(answer)
