"""Batch renders: files, manifest, groups, stops and errors, with the fake engine."""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.errors import OutOfMemoryError, UserError
from pipelines.request import RenderRequest
from storyboard import __version__
from storyboard.board import Character, Frame, RenderSettings, Storyboard
from storyboard.cli.batch import render_batch
from storyboard.jobs.events import JobEvent, TakeSaved
from storyboard.jobs.local import LocalRunner
from storyboard.storage.own_pictures import own_part
from storyboard.storage.take_files import REQUEST_KEY
from tests.storyboard.fakes import FakeEngine, picture_of


def group(title: str, actions: str) -> Storyboard:
    return Storyboard(
        title=title,
        character=Character(description="a girl"),
        frames=tuple(
            Frame(action=action, location="beach", seed=ord(action[0]))
            for action in actions.split()
        ),
        settings=RenderSettings(width=64, height=48 + 16),
    )


def run(
    out: Path, *groups: Storyboard, engine: FakeEngine | None = None, stop_at: int = 0
) -> tuple[bool, dict[str, Any]]:
    """Render; stop when that many frames are done, if any."""
    engine = engine or FakeEngine()
    done: list[TakeSaved] = []

    def note(_group: int, event: JobEvent) -> None:
        if isinstance(event, TakeSaved):
            done.append(event)

    def stopped() -> bool:
        wanted = 0 < stop_at <= len(done)
        if wanted and engine.permits is not None:
            # Its next event, soon after the request to stop.
            threading.Timer(0.3, engine.permits.release).start()
        return wanted

    with closing(LocalRunner(engine)) as runner:
        finished = render_batch(groups, out, runner, note, stopped, save_masks=True)
    return finished, json.loads((out / "manifest.json").read_text("utf-8"))


def test_pictures_masks_and_manifest_agree(tmp_path: Path) -> None:
    engine = FakeEngine()
    finished, manifest = run(
        tmp_path / "deep" / "out", group("Maya", "waving running"), engine=engine
    )
    (one,) = engine.requests
    assert finished and manifest["complete"]
    assert (manifest["throughline"], manifest["model"]["name"]) == (__version__, "miniature")
    assert manifest["model"]["ran"] == FakeEngine().describe()
    (record,) = manifest["groups"]
    assert RenderRequest.from_dict(record["request"]) == one
    assert [f["number"] for f in record["frames"]] == [1, 2]
    assert [f["seed"] for f in record["frames"]] == [f.seed for f in one.frames]
    listed = {"manifest.json"}
    for line, frame in zip(record["frames"], one.frames, strict=True):
        assert line["prompt"] == frame.prompt.text
        for kind in ("image", "mask"):
            content = (tmp_path / "deep" / "out" / line[kind]["path"]).read_bytes()
            assert line[kind]["sha256"] == hashlib.sha256(content).hexdigest()
            assert line[kind]["bytes"] == len(content)
            listed.add(line[kind]["path"])
        with Image.open(tmp_path / "deep" / "out" / line["image"]["path"]) as image:
            image.load()
            assert image.tobytes() == picture_of(frame).tobytes()
            carried = RenderRequest.from_dict(json.loads(image.info[REQUEST_KEY]))
            assert carried == own_part(one, frame.frame_id)
    out = tmp_path / "deep" / "out"
    assert {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} == listed
    assert listed >= {"01-waving-beach.png", "masks/02-running-beach.png"}


def test_several_groups_get_folders_of_their_own(tmp_path: Path) -> None:
    finished, manifest = run(tmp_path, group("one", "a b"), group("two", "c"))
    assert finished and manifest["complete"]
    assert [r["title"] for r in manifest["groups"]] == ["one", "two"]
    assert {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png")} == {
        "group-1/01-a-beach.png",
        "group-1/02-b-beach.png",
        "group-1/masks/01-a-beach.png",
        "group-1/masks/02-b-beach.png",
        "group-2/01-c-beach.png",
        "group-2/masks/01-c-beach.png",
    }


def test_a_stop_keeps_the_rendered_frames_and_closes_the_render(tmp_path: Path) -> None:
    # A model that is loaded, and two frames that begin, take two steps, have a mask and are done.
    engine = FakeEngine(permits=threading.Semaphore(1 + 2 * 5))
    finished, manifest = run(
        tmp_path, group("one", "a b c"), group("two", "d"), engine=engine, stop_at=2
    )
    assert not finished and not manifest["complete"]
    assert [len(r["frames"]) for r in manifest["groups"]] == [2]
    assert len(list(tmp_path.rglob("group-1/0*.png"))) == 2
    assert (engine.closed, len(engine.requests)) == (1, 1)


def test_a_stop_after_the_last_frame_loses_nothing(tmp_path: Path) -> None:
    finished, manifest = run(tmp_path, group("one", "a b"), stop_at=2)
    assert not finished and manifest["complete"]


def test_an_error_keeps_the_rendered_frames(tmp_path: Path) -> None:
    engine = FakeEngine(fault=OutOfMemoryError("It does not fit."), fault_at=1)
    with pytest.raises(UserError, match="It does not fit"):
        run(tmp_path, group("one", "a b"), engine=engine)
    manifest = json.loads((tmp_path / "manifest.json").read_text("utf-8"))
    assert not manifest["complete"]
    assert len(manifest["groups"][0]["frames"]) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        run(tmp_path / "out", group("one", "a"))


def test_a_group_that_cannot_be_rendered_is_reported_before_any_is(tmp_path: Path) -> None:
    engine = FakeEngine()
    silent = Storyboard(frames=(Frame(),))
    with pytest.raises(UserError, match="Frame 1 has no words"):
        run(tmp_path / "out", group("one", "a"), silent, engine=engine)
    assert not engine.requests
    assert not (tmp_path / "out").exists()
