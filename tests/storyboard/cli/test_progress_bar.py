"""The progress bar of the command line."""

from __future__ import annotations

import io
import sys
from contextlib import closing

import pytest

from pipelines.events import FrameStarted, ModelLoading, Notice
from storyboard.board import Character, Frame, Storyboard, Take
from storyboard.cli.progress_bar import ProgressBar
from storyboard.jobs.events import JobProgress, TakeSaved


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def board_of(actions: str) -> Storyboard:
    return Storyboard(
        character=Character(description="a girl"),
        frames=tuple(Frame(action=action) for action in actions),
    )


def progress(frame_id: str, fraction: float) -> JobProgress:
    return JobProgress(frame_id, "render", 1, 2, fraction, None)


def saved(frame_id: str) -> TakeSaved:
    take = Take(
        frame_id=frame_id, seconds=0.5, seed=1, model="miniature", foreground=0.3, prompt="a girl"
    )
    return TakeSaved(frame_id, take)


def show(*groups: str) -> None:
    """Show events of all groups, one group after another."""
    boards = [board_of(actions) for actions in groups]
    with closing(ProgressBar(boards)) as bar:
        for number, board in enumerate(boards):
            bar.show(number, ModelLoading("miniature"))
            for i, frame in enumerate(board.frames):
                bar.show(number, FrameStarted(frame.id))
                for half in (0.5, 1.0):
                    bar.show(number, progress(frame.id, (i + half) / len(board.frames)))
                bar.show(number, saved(frame.id))


def test_a_terminal_gets_a_bar_over_all_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    show("ab", "cde")
    shown = terminal.getvalue()
    assert shown.startswith("loading miniature\n")
    assert "frame 5/5 render: 100%" in shown.split("\r")[-1]
    assert "frame 3 of 5 done in 0.5 s" in shown


def test_groups_side_by_side_share_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    boards = [board_of("a"), board_of("bcd")]
    with closing(ProgressBar(boards)) as bar:
        bar.show(1, progress(boards[1].frames[0].id, 0.4))
        bar.show(0, progress(boards[0].frames[0].id, 0.8))
    assert " 50%" in terminal.getvalue().split("\r")[-1]


def test_a_log_gets_a_line_for_each_frame(capsys: pytest.CaptureFixture[str]) -> None:
    show("a", "b")
    assert capsys.readouterr().err == (
        "loading miniature\nframe 1 of 2 done in 0.5 s\nframe 2 of 2 done in 0.5 s\n"
    )


def test_notices_are_shown_once_and_unread_words_of_every_frame(
    capsys: pytest.CaptureFixture[str],
) -> None:
    boards = [board_of("ab"), board_of("c")]
    with closing(ProgressBar(boards)) as bar:
        for number, board in enumerate(boards):
            bar.show(number, Notice("style", "ink.safetensors", "A layer of it is not used."))
            bar.show(number, Notice("memory", "", "It goes on in less."))
            bar.show(number, Notice("prompt", board.frames[-1].id, "with both hands"))
    assert capsys.readouterr().err == (
        "A layer of it is not used.\nIt goes on in less.\n"
        'frame 2 is too long for the model, which skips "with both hands"\n'
        'frame 1 is too long for the model, which skips "with both hands"\n'
    )
