"""Rules of a shared application: nobody takes it from all others, nor agrees for its operator."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UserError
from pipelines.models.catalog import MINIATURE
from storyboard.api import sharing
from storyboard.api.calls import Calls
from storyboard.api.document import picture_sizes
from storyboard.api.sharing import MOST_FRAMES, MOST_OF_A_BOARD, MOST_OF_A_VISITOR, visitor_of
from storyboard.errors import ConsentNeeded
from storyboard.settings import Settings
from tests.storyboard.api.backend import Answer, Backend, backend_in, ended, saved, story
from tests.storyboard.fakes import FakeEngine

SIZE = picture_sizes(MINIATURE)[0]


@pytest.fixture
def space(tmp_path: Path) -> Iterator[Backend]:
    engine = FakeEngine(permits=threading.Semaphore(0))
    space = backend_in(tmp_path / "projects", engine, space=True, loras=("ann/ink",))
    yield space
    for job in space.runner.waiting():
        job.cancel()
    engine.permits and engine.permits.release(1000)
    space.runner.close()


def board(space: Backend, frames: int = 1, **settings: Any) -> str:
    """Store a board of an offered size; return its id."""
    document: Answer = story(space, 1)
    one = document["frames"][0]
    document["frames"] = [one | {"id": f"f{number}"} for number in range(frames)]
    size = {"width": SIZE["width"], "height": SIZE["height"]}
    document["settings"] |= size | {"steps": None} | settings
    saved(space, document)
    project: str = document["project"]
    return project


def test_a_board_has_few_jobs_at_once(space: Backend) -> None:
    project = board(space)
    for _ in range(MOST_OF_A_BOARD):
        space.actions.generate(project)
    with pytest.raises(UserError, match="this storyboard are waiting"):
        space.actions.generate(project)
    assert len(space.runner.waiting()) == MOST_OF_A_BOARD
    space.actions.cancel(project)
    space.actions.generate(project)
    space.actions.generate(board(space))  # others may


def test_a_visitor_has_few_jobs_at_once_over_all_boards(space: Backend) -> None:
    for _ in range(MOST_OF_A_VISITOR):
        space.actions.generate(board(space), visitor="8.8.8.8")
    with pytest.raises(UserError, match="from your network"):
        space.actions.generate(board(space), visitor="8.8.8.8")
    space.actions.generate(board(space), visitor="9.9.9.9")
    for _ in range(MOST_OF_A_VISITOR + 1):  # nobody knows who: boards alone count
        space.actions.generate(board(space))


def test_visitors_take_turns(space: Backend) -> None:
    boards = [board(space) for _ in range(4)]
    for project in boards[:3]:
        space.actions.generate(project, visitor="8.8.8.8")
    space.actions.generate(boards[3], visitor="9.9.9.9")
    (late,), (third,) = (space.runner.pending(project) for project in (boards[3], boards[2]))
    assert space.runner.ahead(late) == 1  # behind the one that runs
    assert space.runner.ahead(third) == 3
    assert space.engine.permits is not None
    space.engine.permits.release(1000)
    for project in boards:
        ended(space, project)
    order = [request.frames[0].seed for request in space.engine.requests]
    assert len(order) == 4


def test_only_offered_sizes_are_rendered(space: Backend) -> None:
    for size in picture_sizes(MINIATURE):
        space.actions.generate(board(space, width=size["width"], height=size["height"]))
    for width, height in ((64, 64), (2048, 2048), (SIZE["width"] + 16, SIZE["height"])):
        with pytest.raises(UserError, match=f"{width} x {height} pixels cannot be made"):
            space.actions.generate(board(space, width=width, height=height))


def test_before_a_speed_is_known_the_models_own_settings_are_the_measure(space: Backend) -> None:
    space.actions.generate(board(space, MOST_FRAMES // 2))
    with pytest.raises(UserError, match="at most 12 at a time") as caught:
        space.actions.generate(board(space, MOST_FRAMES, steps=2 * MINIATURE.steps))
    assert "fewer steps" in caught.value.remedy


def test_a_job_is_bounded_by_the_speed_of_the_last_takes(
    space: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert space.engine.permits is not None
    space.engine.permits.release(1000)
    project = board(space, 2)
    space.actions.generate(project)
    ended(space, project)  # the fake engine says that a frame takes half a second
    monkeypatch.setattr(sharing, "MOST_SECONDS", 5.0)
    space.actions.generate(board(space, 10))
    with pytest.raises(UserError, match="Generate at most 10 at a time"):
        space.actions.generate(board(space, 11))
    with pytest.raises(UserError, match="Generate at most 5 at a time"):
        space.actions.generate(board(space, 10, steps=2 * MINIATURE.steps))
    monkeypatch.setattr(sharing, "MOST_SECONDS", 0.1)
    with pytest.raises(UserError, match=r"too long.*Choose fewer steps or a smaller size"):
        space.actions.generate(board(space, 1))


def test_a_style_that_a_board_got_elsewhere_is_not_fetched(space: Backend) -> None:
    project = board(space, styles=[{"source": "ann/ink"}])
    space.store.open(project).edit(
        lambda stored: stored.model_copy(
            update={
                "settings": stored.settings.model_validate(
                    stored.settings.model_dump() | {"styles": [{"source": "ann/private"}]}
                )
            }
        )
    )
    with pytest.raises(UserError, match="ann/private cannot be chosen"):
        space.actions.generate(project)
    assert space.engine.fetched == []


def test_nothing_of_this_holds_on_ones_own_machine(tmp_path: Path) -> None:
    home = backend_in(tmp_path / "projects", FakeEngine(permits=threading.Semaphore(0)))
    project = board(home, 40, width=64, height=64, steps=200)
    for _ in range(MOST_OF_A_VISITOR + 1):
        home.actions.generate(project, visitor="8.8.8.8")
    assert len(home.runner.waiting()) == MOST_OF_A_VISITOR + 1
    for job in home.runner.waiting():
        job.cancel()
    assert home.engine.permits is not None
    home.engine.permits.release(1000)
    home.runner.close()


# ---- consents


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_only_who_runs_it_agrees_where_others_reach_it(tmp_path: Path, host: str) -> None:
    engine = FakeEngine(refusal=consent())
    shared = backend_in(tmp_path / "projects", engine, space=host == "127.0.0.1", host=host)
    calls = Calls(shared.actions, lambda _: tmp_path)
    project = board(shared)
    answer = calls.answer({"name": "generate", "data": {"project": project}})
    assert answer.keys() == {"problem", "remedy"}
    assert "THROUGHLINE_CONSENTS=tencent/InstantCharacter" in answer["remedy"]
    data = {"key": "tencent/InstantCharacter"}
    assert "problem" in calls.answer({"name": "give_consent", "data": data})
    assert not Settings(projects=tmp_path / "projects").consents.exists()
    shared.runner.close()


def consent() -> ConsentNeeded:
    from pipelines.models.catalog import FLUX1_DEV

    adapter = FLUX1_DEV.character_adapter
    assert adapter is not None and adapter.consent
    return ConsentNeeded(adapter.consent, adapter, "Its weights are for research.")


# ---- visitors


@pytest.mark.parametrize(
    ("forwarded", "client", "visitor"),
    [
        ("", "127.0.0.1", ""),
        ("", "8.8.8.8", "8.8.8.8"),
        ("8.8.8.8", "10.0.0.1", "8.8.8.8"),
        ("1.1.1.1, 8.8.8.8", "10.0.0.1", "8.8.8.8"),  # the first was written by the visitor
        ("8.8.8.8, 10.1.2.3", "127.0.0.1", "8.8.8.8"),
        ("2001:4860:4860::8888", "10.0.0.1", "2001:4860:4860::8888"),
        ("me, , 192.168.1.2", "testclient", ""),
    ],
)
def test_a_visitor_is_the_last_public_address(forwarded: str, client: str, visitor: str) -> None:
    assert visitor_of({"x-forwarded-for": forwarded} if forwarded else {}, client) == visitor


def test_a_browser_cannot_say_who_it_is(space: Backend, tmp_path: Path) -> None:
    calls = Calls(space.actions, lambda _: tmp_path)
    project = board(space)
    data = {"project": project, "visitor": "somebody else"}
    assert "ok" in calls.answer({"name": "generate", "data": data}, "8.8.8.8")
    assert [job.visitor for job in space.runner.pending(project)] == ["8.8.8.8"]
    assert "problem" in calls.answer({"name": "cancel", "data": data}, "8.8.8.8")
