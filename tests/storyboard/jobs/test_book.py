"""What is told of a job whose parts are painted side by side."""

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
from storyboard.jobs.book import JobReport
from storyboard.jobs.job import FrameBegun, FramePreview, Job, JobEvent, JobProgress, TakeSaved
from storyboard.planning import COPY_MARK, plan_render
from storyboard.storage.projects import Store
from tests.storyboard.fakes import mask_of, picture_of

BOARD = Storyboard(
    character=Character(description="a girl"),
    frames=tuple(Frame(id=name, action="waving", location="beach", seed=1) for name in "abc"),
    settings=RenderSettings(width=64, height=64),
)


class HeardJob(Job):
    """Keeps apart what was told last."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Store(folder).create(BOARD), BOARD, ("a", "b", "c"))
        self.heard: list[JobEvent] = []

    def report(self, event: JobEvent) -> None:
        self.heard.append(event)


class Actions:
    """A job of three frames, and its report in two parts."""

    def __init__(self, folder: Path) -> None:
        self.job = HeardJob(folder)
        self.request: RenderRequest = plan_render(BOARD, None, {}, random.Random(0))
        self.report = JobReport(self.job, self.request, [3.0, 1.0])

    def tell(self, part: int, *events: PipelineEvent | ModelLoading) -> list[JobEvent]:
        self.job.heard = []
        for event in events:
            self.report.tell(event, [("a", "b"), ("c",)][part], part)
        return self.job.heard

    def done(self, name: str) -> FrameDone:
        frame = next(f for f in self.request.frames if f.frame_id == name)
        return FrameDone(name, picture_of(frame), mask_of(frame), None, 0.5)


@pytest.fixture
def desk(tmp_path: Path) -> Actions:
    return Actions(tmp_path / "projects")


def step(name: str, done: int, total: int = 4) -> StepDone:
    return StepDone(name, "render", done, total, done, total)


def fractions(events: list[JobEvent]) -> list[float]:
    return [e.fraction for e in events if isinstance(e, JobProgress)]


def test_parts_count_by_their_share_of_the_work(desk: Actions) -> None:
    assert fractions(desk.tell(0, step("a", 2))) == [0.375]
    assert fractions(desk.tell(1, step("c", 2))) == [0.5]
    assert fractions(desk.tell(0, step("a", 4))) == [0.875]
    assert fractions(desk.tell(1, step("c", 4))) == [1.0]


def test_a_part_that_begins_again_goes_on_from_where_it_was(desk: Actions) -> None:
    desk.report.resume(0)
    assert fractions(desk.tell(0, step("a", 2))) == [0.375]
    desk.report.resume(0)
    assert fractions(desk.tell(0, step("b", 1, 2), step("b", 2, 2))) == [0.5625, 0.75]


def test_a_part_whose_steps_become_more_does_not_go_back(desk: Actions) -> None:
    assert fractions(desk.tell(0, step("a", 2, 4), step("a", 3, 12))) == [0.375, 0.375]


def test_a_frame_that_is_painted_again_for_others_is_not_taken_for_itself(desk: Actions) -> None:
    (own,) = desk.tell(0, step("a", 1))
    (copy,) = desk.tell(1, step("a", 1))
    assert isinstance(own, JobProgress) and own.frame_id == "a"
    assert isinstance(copy, JobProgress) and copy.frame_id == f"a{COPY_MARK}"
    assert desk.tell(1, FrameStarted("a"), Notice("prompt", "a", "words")) == []


def test_nothing_is_said_twice(desk: Actions) -> None:
    loading, begun = ModelLoading("miniature"), FrameStarted("a")
    unread = Notice("prompt", "a", "of the city")
    assert desk.tell(0, loading, unread, begun) == [loading, unread, FrameBegun("a")]
    assert desk.tell(1, loading) == []
    assert desk.tell(0, unread, begun) == []


def test_a_worker_that_loads_late_does_not_stop_the_others(desk: Actions) -> None:
    desk.tell(0, step("a", 1))
    assert desk.tell(1, ModelLoading("miniature")) == []


def test_a_frame_gets_one_take(desk: Actions) -> None:
    (saved,) = desk.tell(0, desk.done("a"))
    assert isinstance(saved, TakeSaved)
    assert desk.tell(0, desk.done("a")) == []
    assert [take.id for take in desk.job.project.takes()] == [saved.take.id]
    assert desk.report.saved == {"a"}


def test_frames_are_shown_until_they_have_their_take(desk: Actions) -> None:
    preview = Preview("a", desk.done("a").image)
    (shown,) = desk.tell(0, preview)
    assert shown == FramePreview("a", preview.image)
    assert desk.tell(1, preview) == []  # its take comes from the other part
    desk.tell(0, desk.done("a"))
    assert desk.tell(0, preview) == []
