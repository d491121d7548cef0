"""Progress of a job on the page, event by event."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.events import FrameStarted, MaskFound, ModelLoading, Notice, Preview
from storyboard.api.progress import JobView, mask_url, notice_of
from storyboard.board import Frame, Storyboard, Take
from storyboard.jobs.events import JobEnded, JobFailed, JobProgress, TakeSaved
from storyboard.jobs.job import Job
from storyboard.storage.projects import Store

TAKE = Take(frame_id="a", seconds=1, seed=1, foreground=0.2, prompt="x", model="miniature")


def view_in(folder: Path) -> JobView:
    storyboard = Storyboard(frames=(Frame(id="a"), Frame(id="b")))
    project = Store(folder).create(storyboard)
    return JobView(Job(project, storyboard, ("a", "b")))


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
    view = view_in(tmp_path)
    assert view.changed_previews() == {}
    picture = Image.new("RGB", (48, 32), (200, 30, 30))
    view.apply(Preview("a", picture))
    view.apply(Preview("b", picture))
    sent = view.changed_previews()["previews"]
    assert sent["project"] == view.job.project.id
    assert set(sent["frames"]) == {"a", "b"}
    kind, _, content = sent["frames"]["a"].partition(";base64,")
    assert kind == "data:image/jpeg"
    seen = Image.open(io.BytesIO(base64.b64decode(content)))
    assert seen.size == (48, 32)
    assert np.abs(np.asarray(seen, float) - np.asarray(picture)).max() < 6
    assert view.changed_previews() == {}
    view.apply(TakeSaved("a", TAKE))
    assert set(view.changed_previews()["previews"]["frames"]) == {"b"}
    view.apply(JobEnded(cancelled=True))
    assert view.changed_previews()["previews"]["frames"] == {}


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
    view.apply(JobFailed("No memory."))
    shown = view.shown()
    assert (shown["state"], shown["message"]) == ("failed", "No memory.")
    assert shown["frames"] == {"a": {"state": "rendered"}}


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


def test_notices_are_shown() -> None:
    for event, shown in (
        (
            Notice("memory", "", "Memory ran out, so it goes on in less."),
            "Memory ran out, so it goes on",
        ),
        (Notice("style", "owner/ink", "Part of it is not used."), "Style owner/ink: Part of it"),
    ):
        notice = notice_of(Storyboard(), event)
        assert notice is not None and str(notice).startswith(shown)
    assert notice_of(Storyboard(), FrameStarted("a")) is None


def test_a_mask_goes_to_the_page_one_pixel_a_token() -> None:
    mask = np.array([[True, False, False], [False, True, True]])
    address = mask_url(mask)
    content = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    pixels = np.asarray(Image.open(io.BytesIO(content)))
    assert (pixels == mask * 255).all()
