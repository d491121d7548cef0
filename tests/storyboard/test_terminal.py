"""What the command line shows while it paints."""

from __future__ import annotations

import io
import random
import sys

import pytest

from pipelines.events import FrameStarted, MemoryNoted
from storyboard.batch import Group
from storyboard.board import Character, Frame, RenderSettings, Storyboard, Style
from storyboard.planning import plan_render
from storyboard.terminal import ProgressBar
from tests.storyboard.fakes import FakeEngine


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def show(actions: tuple[str, ...]) -> None:
    boards = [
        Storyboard(
            character=Character(description="a girl"),
            frames=tuple(Frame(action=action) for action in group),
        )
        for group in actions
    ]
    groups = [Group(b, plan_render(b, None, {}, random.Random(0))) for b in boards]
    with ProgressBar(groups) as bar:
        for number, group in enumerate(groups):
            for event in FakeEngine(steps=4).render(group.request):
                bar.show(number, event)


def test_a_terminal_gets_a_bar_over_all_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    show(("ab", "cde"))
    shown = terminal.getvalue()
    assert shown.startswith("loading miniature\n")
    last = shown.split("\r")[-1]
    assert "frame 5/5 render: 100%" in last
    # 2 frames and 3 frames of 4 steps.
    assert "20/20" in last
    assert "frame 3 of 5 done in 0.5 s" in shown


def test_a_log_gets_a_line_for_each_frame(capsys: pytest.CaptureFixture[str]) -> None:
    show(("ab",))
    assert capsys.readouterr().err == (
        "loading miniature\nframe 1 of 2 done in 0.5 s\nframe 2 of 2 done in 0.5 s\n"
    )


def test_words_that_are_not_read_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    board = Storyboard(
        character=Character(description="a girl"),
        frames=(Frame(action="waves"), Frame(action="waves with both hands")),
    )
    group = Group(board, plan_render(board, None, {}, random.Random(0)))
    with ProgressBar([group]) as bar:
        for event in FakeEngine(reads=3).render(group.request):
            bar.show(0, event)
    told = [line for line in capsys.readouterr().err.splitlines() if "too long" in line]
    assert told == ['frame 2 is too long for the model, which skips "with both hands"']


def test_frames_that_begin_again_after_memory_ran_out_count_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    board = Storyboard(character=Character(description="a girl"), frames=(Frame(action="waves"),))
    group = Group(board, plan_render(board, None, {}, random.Random(0)))
    with ProgressBar([group]) as bar:
        bar.show(0, FrameStarted(board.frames[0].id))
        bar.show(0, MemoryNoted("Memory ran out, so it goes on in less."))
        for event in FakeEngine().render(group.request):
            bar.show(0, event)
    told = capsys.readouterr().err
    assert "Memory ran out, so it goes on in less.\n" in told
    assert "frame 1 of 1 done" in told


def test_doubts_about_pictures_and_styles_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    board = Storyboard(
        character=Character(description="a girl", reference="a" * 64 + ".png"),
        frames=(Frame(action="waves"),),
        settings=RenderSettings(model="flux1-dev", styles=(Style(source="owner/ink"),)),
    )
    group = Group(board, plan_render(board, None, {}, random.Random(0)))
    with ProgressBar([group]) as bar:
        for event in FakeEngine(doubt="It may look different.").render(group.request):
            bar.show(0, event)
    assert capsys.readouterr().err.count("It may look different.\n") == 2
