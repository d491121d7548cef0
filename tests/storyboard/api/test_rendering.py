"""Renders that a page asks for: progress, ends, cancel and refusals."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import OutOfMemoryError, UserError
from tests.storyboard.api.backend import (
    PATIENCE,
    Backend,
    backend_in,
    ended,
    outdated,
    rendered,
    saved,
    stored_story,
    story,
    takes_of,
)
from tests.storyboard.fakes import FakeEngine


def until(wanted: Any) -> Any:
    """Return what a function returns once that is true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := wanted()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return found


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


def test_a_render_cancelled_half_way_leaves_the_rest_out_of_date(backend: Backend) -> None:
    document = story(backend, frames=3)
    rendered(backend, document)
    project, ids = document["project"], [frame["id"] for frame in document["frames"]]
    for frame in document["frames"]:
        frame["seed"] += 10
    saved(backend, document)
    # A model is loaded, then each frame gives five events: begun, two steps, mask, done.
    backend.engine.permits = threading.Semaphore(8)
    backend.actions.generate(project)
    until(lambda: backend.actions.news(project)["progress"].get("rendered") == 1)
    backend.actions.cancel(project)
    backend.engine.permits.release(1000)
    last = ended(backend, project)
    assert last["progress"]["state"] == "cancelled" and last["progress"]["total"] == 3
    assert outdated(last) == ids[1:]
    assert all("another take" in last["outdated"][name][-1] for name in ids[1:])
    # One button renders just those, in their order.
    assert backend.actions.plan(project, "new")["targets"] == ids[1:]
    backend.actions.generate(project, ids[1:])
    assert outdated(ended(backend, project)) == []
