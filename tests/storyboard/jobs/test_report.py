"""Events of a job whose parts are rendered side by side."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pipelines.events import (
    FrameDone,
    FrameStarted,
    ModelLoading,
    Notice,
    PipelineEvent,
    Preview,
    StepDone,
)
from pipelines.request import RenderRequest
from storyboard.board import Character, Frame, RenderSettings, Storyboard
from storyboard.jobs.events import JobEvent, JobProgress, TakeSaved
from storyboard.jobs.job import Job
from storyboard.jobs.report import JobReport
from storyboard.planning import plan_render
from storyboard.storage.projects import Store
from tests.storyboard.fakes import mask_of, picture_of

BOARD = Storyboard(
    character=Character(description="a girl"),
    frames=tuple(Frame(id=name, action="waving", location="beach", seed=1) for name in "abc"),
    settings=RenderSettings(width=64, height=64),
)


class RecordedJob(Job):
    """Job that records its events."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Store(folder).create(BOARD), BOARD, ("a", "b", "c"))
        self.recorded: list[JobEvent] = []

    def report(self, event: JobEvent) -> None:
        self.recorded.append(event)


class Parts:
    """A job of three frames, and its report in two parts."""

    def __init__(self, folder: Path) -> None:
        self.job = RecordedJob(folder)
        self.request: RenderRequest = plan_render(BOARD, None, {}, random.Random(0))
        self.report = JobReport(self.job, self.request, [3.0, 1.0])

    def handle(self, part: int, *events: PipelineEvent) -> list[JobEvent]:
        self.job.recorded = []
        for event in events:
            self.report.handle(event, [("a", "b"), ("c",)][part], part)
        return self.job.recorded

    def done(self, name: str) -> FrameDone:
        frame = next(f for f in self.request.frames if f.frame_id == name)
        return FrameDone(name, picture_of(frame), mask_of(frame), None, 0.5)


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path / "projects")


def step(name: str, done: int, total: int = 4) -> StepDone:
    return StepDone(name, "render", done, total, done, total)


def fractions(events: list[JobEvent]) -> list[float]:
    return [e.fraction for e in events if isinstance(e, JobProgress)]


def test_parts_count_by_their_share_of_the_work(parts: Parts) -> None:
    assert fractions(parts.handle(0, step("a", 2))) == [0.375]
    assert fractions(parts.handle(1, step("c", 2))) == [0.5]
    assert fractions(parts.handle(0, step("a", 4))) == [0.875]
    assert fractions(parts.handle(1, step("c", 4))) == [1.0]


def test_a_part_that_begins_again_goes_on_from_where_it_was(parts: Parts) -> None:
    parts.report.resume(0)
    assert fractions(parts.handle(0, step("a", 2))) == [0.375]
    parts.report.resume(0)
    assert fractions(parts.handle(0, step("b", 1, 2), step("b", 2, 2))) == [0.5625, 0.75]


def test_a_part_whose_steps_become_more_does_not_go_back(parts: Parts) -> None:
    assert fractions(parts.handle(0, step("a", 2, 4), step("a", 3, 12))) == [0.375, 0.375]


def test_a_frame_that_is_rendered_again_as_a_source_is_marked(parts: Parts) -> None:
    (own,) = parts.handle(0, step("a", 1))
    (copy,) = parts.handle(1, step("a", 1))
    assert isinstance(own, JobProgress) and isinstance(copy, JobProgress)
    assert (own.frame_id, own.source_only) == ("a", False)
    assert (copy.frame_id, copy.source_only) == ("a", True)
    assert parts.handle(1, FrameStarted("a"), Notice("prompt", "a", "words")) == []


def test_no_event_is_repeated(parts: Parts) -> None:
    loading, begun = ModelLoading("miniature"), FrameStarted("a")
    unread = Notice("prompt", "a", "of the city")
    assert parts.handle(0, loading, unread, begun) == [loading, unread, begun]
    assert parts.handle(1, loading) == []
    assert parts.handle(0, unread, begun) == []


def test_a_worker_that_loads_late_does_not_stop_the_others(parts: Parts) -> None:
    parts.handle(0, step("a", 1))
    assert parts.handle(1, ModelLoading("miniature")) == []


def test_a_frame_gets_one_take(parts: Parts) -> None:
    (saved,) = parts.handle(0, parts.done("a"))
    assert isinstance(saved, TakeSaved)
    assert parts.handle(0, parts.done("a")) == []
    assert [take.id for take in parts.job.project.takes()] == [saved.take.id]
    assert parts.report.saved == {"a"}


def test_previews_come_until_the_frame_has_its_take(parts: Parts) -> None:
    preview = Preview("a", parts.done("a").image)
    (shown,) = parts.handle(0, preview)
    assert shown is preview
    assert parts.handle(1, preview) == []  # its take comes from the other part
    parts.handle(0, parts.done("a"))
    assert parts.handle(0, preview) == []


def test_a_model_that_is_loaded_again_is_named_again(tmp_path: Path) -> None:
    """Memory ran out in the midst of a frame, and the render goes on in less."""
    parts = Parts(tmp_path / "projects")
    alone = JobReport(parts.job, parts.request)
    loading, less = ModelLoading("miniature"), Notice("memory", "", "Memory ran out.")
    for event in (loading, FrameStarted("a"), step("a", 1), loading, less, loading, loading):
        alone.handle(event)
    assert [type(e) for e in parts.job.recorded] == [
        ModelLoading,
        FrameStarted,
        JobProgress,
        Notice,
        ModelLoading,
    ]
