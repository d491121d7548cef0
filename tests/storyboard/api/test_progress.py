"""Progress of a job on the page, event by event."""

from __future__ import annotations

import base64
import copy
import gc
import io
import weakref
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.errors import OutOfMemoryError
from pipelines.events import FrameStarted, MaskFound, ModelLoading, Notice, Preview
from storyboard.api.progress import JobView, JobViews, idle, mask_url, notice_fields, preview_url
from storyboard.board import Character, Frame, Storyboard, Take
from storyboard.jobs.events import JobEnded, JobFailed, JobProgress, TakeSaved
from storyboard.jobs.job import Job
from storyboard.jobs.local import LocalRunner
from storyboard.storage.projects import Store
from tests.storyboard.fakes import FakeEngine

TAKE = Take(frame_id="a", seconds=1, seed=1, foreground=0.2, prompt="x", model="miniature")


def view_in(folder: Path) -> JobView:
    storyboard = Storyboard(frames=(Frame(id="a"), Frame(id="b")))
    project = Store(folder).create(storyboard)
    return JobView(Job(project, storyboard, ("a", "b")))


class Idle(LocalRunner):
    """Runner whose jobs wait, so that a test reports what happens in them."""

    def _begin(self, job: Job) -> None:
        pass


def waiting_job(runner: LocalRunner, folder: Path) -> Job:
    """Return a job of a project with two frames."""
    frames = tuple(Frame(id=name, action="waving") for name in "ab")
    board = Storyboard(character=Character(description="a girl"), frames=frames)
    store = Store(folder)
    project = store.open("p") if store.has("p") else store.create(board, "p")
    return runner.start(project, None)


def test_a_job_waits_loads_renders_and_is_finished(tmp_path: Path) -> None:
    view = view_in(tmp_path)
    assert view.shown()["state"] == "queued"
    assert view.shown()["frames"] == {"a": {"state": "waiting"}, "b": {"state": "waiting"}}
    view.apply(ModelLoading("FLUX"))
    assert (view.shown()["state"], view.shown()["message"]) == ("loading", "FLUX")
    view.apply(FrameStarted("a"))
    view.apply(JobProgress("a", "probe", 1, 4, 0.1, 12.0))
    shown = view.shown()
    assert (shown["state"], shown["fraction"], shown["seconds_left"]) == ("running", 0.1, 12.0)
    assert shown["frames"]["a"] == {"state": "rendering", "phase": "probe", "step": 1, "steps": 4}
    mask = np.eye(2, dtype=bool)
    view.apply(MaskFound("a", "probe", mask, raw=mask, matches=None))
    assert view.shown()["frames"]["a"]["mask"].startswith("data:image/png;base64,")
    view.apply(TakeSaved("a", TAKE))
    assert view.shown()["frames"]["a"] == {"state": "rendered"}
    assert (view.shown()["rendered"], view.shown()["total"]) == (1, 2)
    view.apply(JobEnded())
    assert view.over and view.shown()["state"] == "finished"


def test_previews_are_sent_once_and_gone_with_the_take(tmp_path: Path) -> None:
    runner = Idle(FakeEngine())
    job, views = waiting_job(runner, tmp_path), JobViews(runner)
    project = job.project.id
    assert job.begin()
    first = views.news(project)
    assert first["preview_count"] == 0 and "previews" not in first
    picture = Image.new("RGB", (48, 32), (200, 30, 30))
    job.report(Preview("a", picture))
    job.report(Preview("b", picture))
    sent = views.news(project, first["preview_count"])
    assert set(sent["previews"]) == {"a", "b"}
    again = views.news(project, sent["preview_count"])
    assert "previews" not in again
    job.report(TakeSaved("a", TAKE))
    job.report(Preview("b", picture))
    assert set(views.news(project, sent["preview_count"])["previews"]) == {"b"}
    job.end(None)
    assert views.news(project, sent["preview_count"])["previews"] == {}
    runner.close()


def test_a_preview_goes_to_the_page_as_it_looks() -> None:
    picture = Image.new("RGB", (48, 32), (200, 30, 30))
    kind, _, content = preview_url(picture).partition(";base64,")
    assert kind == "data:image/jpeg"
    seen = Image.open(io.BytesIO(base64.b64decode(content)))
    assert seen.size == (48, 32)
    assert np.abs(np.asarray(seen, float) - np.asarray(picture)).max() < 6


def test_source_frames_are_not_shown(tmp_path: Path) -> None:
    view = view_in(tmp_path)
    view.apply(JobProgress("source", "render", 1, 4, 0.1, None))
    assert set(view.shown()["frames"]) == {"a", "b"}
    view.apply(JobProgress("a", "render", 1, 4, 0.2, None, source_only=True))
    assert view.shown()["frames"]["a"] == {"state": "waiting"}


def test_a_job_that_ended_early_has_only_rendered_frames(tmp_path: Path) -> None:
    view = view_in(tmp_path)
    view.apply(TakeSaved("a", TAKE))
    view.apply(FrameStarted("b"))
    view.apply(JobFailed("No memory.", "Make it smaller."))
    shown = view.shown()
    assert shown["state"] == "failed"
    assert shown["frames"] == {"a": {"state": "rendered"}}
    assert view.outcome() == {
        "job": view.job.id,
        "state": "failed",
        "rendered": 1,
        "problem": "No memory.",
        "remedy": "Make it smaller.",
    }


def test_cancelling_shows_until_it_is_done(tmp_path: Path) -> None:
    view = view_in(tmp_path)
    view.job.begin()
    view.apply(FrameStarted("a"))
    view.job.cancel()
    assert view.shown()["state"] == "cancelling"
    view.apply(JobEnded(cancelled=True))
    assert view.shown()["state"] == "cancelled"


def test_frames_of_later_jobs_wait_unless_this_one_renders_them(tmp_path: Path) -> None:
    view = view_in(tmp_path)
    view.apply(FrameStarted("a"))
    frames = view.shown(["a", "c"])["frames"]
    assert frames["a"] == {"state": "rendering"}
    assert frames["c"] == {"state": "waiting"}


def test_notices_are_shown_with_the_frame_that_they_concern() -> None:
    board = Storyboard(frames=(Frame(id="a"), Frame(id="b")))
    less = "Memory ran out, so it goes on in less."
    for event, frame, words in (
        (Notice("memory", "", less), None, less),
        (Notice("style", "owner/ink", "Part is not used."), None, "Style owner/ink: Part is not"),
        (Notice("prompt", "b", "of the city"), "b", "The prompt of frame 2 is too long"),
    ):
        shown = notice_fields(board, event)
        assert shown.keys() == {"frame", "problem", "remedy"}
        assert shown["frame"] == frame and shown["problem"].startswith(words)
    assert "\u201cof the city\u201d" in shown["problem"] and shown["remedy"]


def test_notices_stay_while_the_job_is_shown(tmp_path: Path) -> None:
    view = view_in(tmp_path)
    view.apply(Notice("style", "owner/ink", "Part is not used."))
    view.apply(JobEnded())
    assert [notice["problem"] for notice in view.shown()["notices"]] == [
        "Style owner/ink: Part is not used."
    ]


def test_a_project_without_jobs_rests(tmp_path: Path) -> None:
    runner = Idle(FakeEngine())
    answer = JobViews(runner).news("never-stored")
    assert answer == {"progress": idle(), "outcomes": [], "preview_count": 0}
    runner.close()


def test_the_first_job_is_shown_and_the_last_one_once_all_are_over(tmp_path: Path) -> None:
    runner = Idle(FakeEngine())
    first, second = waiting_job(runner, tmp_path), waiting_job(runner, tmp_path)
    views, project = JobViews(runner), first.project.id
    assert views.news(project)["progress"]["job"] == first.id
    first.end(OutOfMemoryError("It does not fit.", "Make it smaller."))
    news = views.news(project)
    assert news["progress"]["job"] == second.id
    assert [outcome["job"] for outcome in news["outcomes"]] == [first.id]
    second.end(None)
    news = views.news(project)
    assert (news["progress"]["job"], news["progress"]["state"]) == (second.id, "finished")
    assert [outcome["state"] for outcome in news["outcomes"]] == ["failed", "finished"]
    runner.read(project, first.id)
    assert [outcome["job"] for outcome in views.news(project)["outcomes"]] == [second.id]
    runner.close()


def test_views_of_many_jobs_do_not_pile_up(tmp_path: Path) -> None:
    runner = Idle(FakeEngine())
    views = JobViews(runner)
    jobs = []
    for _ in range(450):
        job = waiting_job(runner, tmp_path)
        job.end(None)
        outcomes = views.news(job.project.id)["outcomes"]
        jobs.append(weakref.ref(job))
    assert len(outcomes) == 8 and outcomes[-1]["job"] == job.id
    del job
    gc.collect()
    assert sum(job() is not None for job in jobs) <= 2 * 201
    runner.close()


def test_a_mask_goes_to_the_page_one_pixel_a_token() -> None:
    mask = np.array([[True, False, False], [False, True, True]])
    address = mask_url(mask)
    content = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    assert (pixels == mask * 255).all()


def test_an_answer_does_not_change_while_it_is_sent(tmp_path: Path) -> None:
    view = view_in(tmp_path)
    view.apply(FrameStarted("a"))
    answer = view.shown()
    sent = copy.deepcopy(answer)
    view.apply(JobProgress("a", "probe", 1, 4, 0.1, 12.0))
    view.apply(Notice("style", "owner/ink", "Part is not used."))
    assert answer == sent


def test_views_of_pages_that_were_closed_do_not_pile_up(tmp_path: Path) -> None:
    """Their jobs end, and nobody asks how."""
    runner = Idle(FakeEngine())
    views = JobViews(runner)
    jobs = []
    for number in range(260):
        board = Storyboard(
            character=Character(description="a girl"), frames=(Frame(id="a", action="waving"),)
        )
        job = runner.start(Store(tmp_path).create(board, f"p{number}"), None)
        views.news(job.project.id)
        job.end(None)
        jobs.append(weakref.ref(job))
    del job
    gc.collect()
    assert sum(job() is not None for job in jobs) <= 205  # of the last ends
    runner.close()


def test_a_page_hears_of_all_failures_and_of_the_last_other_ends(tmp_path: Path) -> None:
    runner = Idle(FakeEngine())
    views = JobViews(runner)
    for number in range(30):
        job = waiting_job(runner, tmp_path)
        job.end(OutOfMemoryError("It does not fit.") if number % 10 == 0 else None)
    states = [end["state"] for end in views.news(job.project.id)["outcomes"]]
    assert states.count("failed") == 3 and states[-1] == "finished"
    assert states.count("finished") == 8
    runner.close()
