"""Actions and their answers, with a real store and runner."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import OutOfMemoryError, UserError
from storyboard.errors import ProjectError
from tests.storyboard.api.backend import (
    PATIENCE,
    Backend,
    backend_in,
    ended,
    outdated,
    rendered,
    revision,
    saved,
    stored_story,
    story,
    takes_of,
)
from tests.storyboard.fakes import FakeEngine


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    backend = backend_in(tmp_path / "projects", FakeEngine())
    yield backend
    if backend.engine.permits is not None:
        backend.engine.permits.release(1000)
    backend.runner.close()


def until(wanted: Any) -> Any:
    """Return what a function returns once that is true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := wanted()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


# ---- opening and saving


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


# ---- two pages


def test_a_save_from_an_older_state_changes_nothing_and_gets_the_newer_one(
    backend: Backend,
) -> None:
    document = story(backend)
    first = saved(backend, document)["revision"]
    project = document["project"]
    theirs = document | {"title": "Theirs"}
    second = backend.actions.save(project, theirs, first)["revision"]
    answer = backend.actions.save(project, document | {"title": "Mine"}, first)
    assert answer["stale"] is True
    assert (answer["board"], answer["revision"]) == (theirs, second)
    assert backend.store.open(project).load().title == "Theirs"
    # Made from the newer one, it is saved.
    assert "stale" not in backend.actions.save(project, document | {"title": "Both"}, second)
    assert backend.store.open(project).load().title == "Both"


def test_a_save_that_was_done_already_is_not_behind(backend: Backend) -> None:
    """Its answer was lost, so the page sends it again, from where it was."""
    document = story(backend)
    first = saved(backend, document)["revision"]
    edited = document | {"title": "A day"}
    second = backend.actions.save(document["project"], edited, first)
    again = backend.actions.save(document["project"], edited, first)
    assert "stale" not in again and again["revision"] == second["revision"]


def test_two_first_changes_of_a_board_meet(backend: Backend) -> None:
    document = story(backend)
    saved(backend, document)
    other = document | {"title": "From another tab"}
    answer = backend.actions.save(document["project"], other, "")
    assert answer["stale"] is True and answer["board"] == document


def test_a_choice_of_a_take_does_not_make_a_save_stale(backend: Backend) -> None:
    document = stored_story(backend, frames=1)
    base = revision(backend, document)
    rendered(backend, document)
    answer = backend.actions.save(document["project"], document | {"title": "New"}, base)
    assert "stale" not in answer
    assert backend.store.open(document["project"]).load().frames[0].take


def test_a_board_whose_files_are_gone_is_stored_again_as_the_page_has_it(backend: Backend) -> None:
    """Not replaced by a blank one: the page would take that for somebody's change."""
    document = story(backend)
    base = saved(backend, document)["revision"]
    (backend.store.root / document["project"] / "storyboard.json").unlink()
    (backend.store.root / document["project"]).rmdir()
    answer = backend.actions.save(document["project"], document | {"title": "Again"}, base)
    assert "stale" not in answer
    stored = backend.store.open(document["project"]).load()
    assert (stored.title, len(stored.frames)) == ("Again", 2)


def test_a_page_hears_what_another_one_changes(backend: Backend) -> None:
    document = stored_story(backend)
    project = document["project"]
    tag = backend.actions.open(project)["tag"]
    assert "board" not in backend.actions.news(project, tag)
    saved(backend, document | {"title": "Theirs"})
    news = backend.actions.news(project, tag)
    assert news["board"]["title"] == "Theirs"
    assert news["revision"] == revision(backend, document)
    assert "board" not in backend.actions.news(project, news["tag"])


def test_a_page_hears_of_takes_that_another_one_asked_for(backend: Backend) -> None:
    document = stored_story(backend)
    project = document["project"]
    mine = theirs = backend.actions.open(project)["tag"]
    backend.actions.generate(project)
    ended(backend, project)
    for tag in (mine, theirs):
        news = backend.actions.news(project, tag)
        assert len(news["results"]) == 2
        assert [outcome["rendered"] for outcome in news["outcomes"]] == [2]


def test_a_stale_save_and_one_without_changes_are_no_news(backend: Backend) -> None:
    document = story(backend)
    first = saved(backend, document)["revision"]
    project = document["project"]
    saved(backend, document | {"title": "Theirs"})
    tag = backend.actions.news(project)["tag"]
    assert backend.actions.save(project, document | {"title": "Mine"}, first)["stale"]
    saved(backend, document | {"title": "Theirs"})
    assert "board" not in backend.actions.news(project, tag)


# ---- rendering


def test_generating_reports_every_step_and_shows_each_finished_frame(backend: Backend) -> None:
    # A model is loaded, then each frame gives five events: begun, two steps, mask, done.
    backend.engine.permits = threading.Semaphore(0)
    document = stored_story(backend)
    project = document["project"]
    one, two = (frame["id"] for frame in document["frames"])
    first = backend.actions.generate(project)
    assert first["progress"]["state"] in ("queued", "running", "loading")
    assert first["job"] == first["progress"]["job"]
    seen: list[Any] = []

    def watched() -> Any:
        answer = backend.actions.news(project)
        if not seen or answer["progress"] != seen[-1]["progress"]:
            seen.append(answer)
        return answer["progress"]

    for events, step in ((1, ("loading", 0)), (2, ("running", 1)), (1, ("running", 2))):
        backend.engine.permits.release(events)
        until(
            lambda step=step: (lambda p: (p["state"], p["frames"][one].get("step", 0)) == step)(
                watched()
            )
        )
    backend.engine.permits.release(2)
    until(lambda: watched()["rendered"] == 1)
    assert set(backend.actions.news(project)["results"]) == {one}
    backend.engine.permits.release(1000)
    last = ended(backend, project)
    assert set(last["results"]) == {one, two}
    progress = last["progress"]
    assert (progress["state"], progress["rendered"], progress["total"]) == ("finished", 2, 2)
    (outcome,) = last["outcomes"]
    assert (outcome["state"], outcome["rendered"], outcome["problem"]) == ("finished", 2, "")


def test_a_page_that_comes_back_sees_the_whole_job(backend: Backend) -> None:
    backend.engine.permits = threading.Semaphore(0)
    document = stored_story(backend)
    project = document["project"]
    job = backend.actions.generate(project)["job"]
    opened = backend.actions.open(project)
    assert opened["progress"]["state"] in ("queued", "running")
    assert set(opened["progress"]["frames"]) == {frame["id"] for frame in document["frames"]}
    backend.engine.permits.release(1000)
    assert ended(backend, project)["progress"]["state"] == "finished"
    backend.actions.read_outcome(project, job)
    later = backend.actions.open(project)
    assert later["progress"]["state"] in ("idle", "finished") and later["outcomes"] == []


def test_previews_reach_a_page_also_one_that_comes_back(backend: Backend) -> None:
    # A model is loaded and a frame begun; then a step, and a preview.
    backend.engine.previews, backend.engine.permits = True, threading.Semaphore(4)
    document = stored_story(backend)
    project = document["project"]
    one = document["frames"][0]["id"]
    backend.actions.generate(project)
    shown = until(lambda: backend.actions.news(project).get("previews"))
    assert set(shown) == {one} and shown[one].startswith("data:image/jpeg;base64,")
    news = backend.actions.news(project)
    assert set(news["previews"]) == {one}
    # A page that has them does not get them again.
    assert "previews" not in backend.actions.news(project, news["tag"], news["preview_count"])
    backend.engine.permits.release(1000)
    ended(backend, project)
    assert backend.actions.news(project, news["tag"], news["preview_count"])["previews"] == {}


def test_a_page_without_a_job_gets_the_results(backend: Backend) -> None:
    document = story(backend)
    backend.actions.read_outcome(
        document["project"], rendered(backend, document)["progress"]["job"]
    )
    again = backend.actions.news(document["project"])
    assert again["outcomes"] == []
    assert len(again["results"]) == 2


def test_redoing_one_frame_adds_a_take_to_it_alone(backend: Backend) -> None:
    document = story(backend)
    before = rendered(backend, document)
    one, two = document["frames"]
    after = rendered(backend, document, [two["id"]])
    assert takes_of(after, one) == takes_of(before, one)
    assert takes_of(after, two)[:1] == takes_of(before, two)
    assert after["results"][two["id"]]["chosen"] == takes_of(after, two)[1]


def test_the_frames_of_a_second_job_are_waiting(backend: Backend) -> None:
    backend.engine.permits = threading.Semaphore(3)
    document = stored_story(backend)
    project = document["project"]
    one, two = (frame["id"] for frame in document["frames"])
    backend.actions.generate(project, [one])
    until(lambda: backend.actions.news(project)["progress"]["state"] == "running")
    second = backend.actions.generate(project, [two])
    assert second["progress"]["job"] != second["job"]  # the first one is still shown
    states = backend.actions.news(project)["progress"]["frames"]
    assert states[one]["state"] == "rendering" and states[two] == {"state": "waiting"}
    backend.engine.permits.release(1000)
    last = ended(backend, project)
    assert len(last["results"]) == 2 and len(last["outcomes"]) == 2


def test_cancel_keeps_finished_takes_and_drops_waiting_jobs(backend: Backend) -> None:
    # A model is loaded, then each frame gives five events: begun, two steps, mask, done.
    backend.engine.permits = threading.Semaphore(8)
    document = stored_story(backend, frames=3)
    project, first = document["project"], document["frames"][0]["id"]
    backend.actions.generate(project)
    backend.actions.generate(project, [first])
    until(lambda: backend.actions.news(project)["progress"].get("rendered") == 1)
    backend.actions.cancel(project)
    assert backend.actions.news(project)["progress"]["state"] == "cancelling"
    backend.engine.permits.release(1)
    last = ended(backend, project)
    assert last["progress"]["state"] == "cancelled"
    assert [(o["state"], o["rendered"]) for o in last["outcomes"]] == [
        ("cancelled", 1),
        ("cancelled", 0),
    ]
    assert list(last["results"]) == [first]
    assert backend.engine.yielded <= 9
    assert len(backend.engine.requests) == 1


def test_a_failure_is_reported_in_words_and_keeps_finished_takes(backend: Backend) -> None:
    backend.engine.fault = ValueError("tensor on fire")
    backend.engine.fault_at = 1
    document = story(backend)
    last = rendered(backend, document)
    assert last["progress"]["state"] == "failed"
    (outcome,) = last["outcomes"]
    assert (outcome["state"], outcome["rendered"]) == ("failed", 1)
    assert "ValueError" in outcome["problem"] and "log" in outcome["remedy"]
    assert not any(words in str(outcome) for words in ("Traceback", "tensor on fire"))
    assert list(last["results"]) == [document["frames"][0]["id"]]


def test_a_failure_at_once_is_told_to_a_page_that_asks_later(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    backend.engine.fault = OutOfMemoryError("FLUX does not fit.", "Choose a smaller size.")
    document = stored_story(backend)
    project = document["project"]
    job = backend.actions.generate(project)["job"]
    ended(backend, project)
    told = {"job": job, "state": "failed", "rendered": 0}
    told |= {"problem": "FLUX does not fit.", "remedy": "Choose a smaller size."}
    # To the page that asked, to one that follows later, and to one that opens it, until it is read.
    for _ in range(2):
        assert backend.actions.news(project)["outcomes"] == [told]
    assert backend.actions.open(project)["outcomes"] == [told]
    assert "FLUX does not fit. Choose a smaller size." in caplog.text
    assert job in caplog.text and project in caplog.text
    backend.actions.read_outcome(project, job)
    assert backend.actions.news(project)["outcomes"] == []
    assert backend.actions.open(project)["outcomes"] == []


def test_an_end_is_read_by_its_own_project_alone(backend: Backend) -> None:
    mine, theirs = story(backend), story(backend)
    rendered(backend, mine)
    job = rendered(backend, theirs)["outcomes"][0]["job"]
    backend.actions.read_outcome(mine["project"], job)
    assert len(backend.actions.news(mine["project"])["outcomes"]) == 1
    assert len(backend.actions.news(theirs["project"])["outcomes"]) == 1


def test_a_missing_character_is_a_clear_message(backend: Backend) -> None:
    document = story(backend)
    document["character"]["description"] = " "
    with pytest.raises(UserError, match="no description"):
        rendered(backend, document)
    assert backend.store.open(document["project"]).load().frames[0].action == "waving"


def test_no_frames_is_a_clear_message(backend: Backend) -> None:
    with pytest.raises(UserError, match="no frames"):
        rendered(backend, story(backend, frames=0))


def test_a_frame_that_is_gone_cannot_be_redone(backend: Backend) -> None:
    with pytest.raises(UserError, match="no longer"):
        rendered(backend, story(backend), ["gone"])


def test_the_last_words_are_rendered(backend: Backend) -> None:
    document = stored_story(backend)
    document["frames"][0]["action"] = "singing"
    rendered(backend, document)
    assert backend.engine.requests[0].frames[0].prompt.action == "singing"


def test_guidance_reaches_the_render_of_a_model_that_has_learnt_it(backend: Backend) -> None:
    document = story(backend)
    document["settings"] |= {"model": "flux1-dev", "guidance": 6.5}
    rendered(backend, document)
    assert backend.engine.requests[0].guidance_scale == 6.5
    document["settings"] |= {"guidance": None}
    rendered(backend, document)
    assert backend.engine.requests[1].guidance_scale == 3.5
    takes = backend.store.open(document["project"]).takes()
    project = backend.store.open(document["project"])
    assert {project.request(take.id).guidance_scale for take in takes} == {6.5, 3.5}


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


# ---- takes


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


# ---- where strangers share it


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


def test_two_projects_are_reported_separately(backend: Backend) -> None:
    mine, theirs = story(backend), story(backend)
    rendered(backend, theirs)
    answer = rendered(backend, mine)
    ids = {frame["id"] for frame in mine["frames"]}
    assert set(answer["progress"]["frames"]) <= ids
    assert set(answer["results"]) == ids
    assert len(answer["outcomes"]) == 1


def test_words_that_the_model_does_not_read_are_reported(tmp_path: Path) -> None:
    backend = backend_in(tmp_path / "projects", FakeEngine(reads=3))
    document = story(backend)
    notices = rendered(backend, document)["progress"]["notices"]
    assert [notice["frame"] for notice in notices] == [f["id"] for f in document["frames"]]
    assert "frame 1" in notices[0]["problem"]
    assert "\u201cwaving\u201d" in notices[0]["problem"]
    assert "Shorten" in notices[0]["remedy"]
    backend.runner.close()
