"""A project and a character that an earlier Throughline saved: everything in them is found."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.request import RenderRequest
from storyboard.board import Character, Frame, RenderSettings, Storyboard, Style
from storyboard.freshness import Origin, compare_takes
from storyboard.planning import plan_render
from storyboard.settings import ROOT
from storyboard.storage.archive import write_archive
from storyboard.storage.archive_reading import read_archive
from storyboard.storage.character_file import load_character
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from storyboard.storage.take_files import REQUEST_KEY

DATA = ROOT / "tests" / "data"
PICTURE = "3413a67b59d7f76e77064b0de9b56dda7b8c182fae4d1bff1b69aaf5eb4b1168.png"
FIRST, REPLACED, REDONE = "4ac260af598c", "d7dbd7bb8511", "026f9f44780f"
BOARD = Storyboard(
    title="Maya’s day",
    character=Character(
        name="Maya", description="a girl in a red dress", reference=PICTURE, strength=0.25
    ),
    frames=(
        Frame(
            id="f1",
            action="waving",
            location="on a beach",
            share_background=True,
            seed=3,
            take=FIRST,
        ),
        Frame(
            id="f2",
            action="jumping",
            location="On a beach,",
            share_background=True,
            reference_strength=0.5,
            take=REDONE,
        ),
    ),
    settings=RenderSettings(
        width=128,
        height=128,
        steps=10,
        guidance=3.5,
        shortcut="coarse-probe",
        merge=False,
        styles=(Style(source="ink.safetensors", weight=0.05, trigger="in ink"),),
    ),
)


@pytest.fixture
def project() -> Project:
    return Store(DATA / "projects").open("mayas-day")


def test_the_storyboard_is_read_whole(project: Project) -> None:
    assert project.load() == BOARD
    infos = {info.id: info for info in Store(DATA / "projects").projects()}
    assert infos.keys() == {"mayas-day", "portrait-first"}
    assert (infos["mayas-day"].title, infos["mayas-day"].frames) == (BOARD.title, 2)


def test_every_take_has_its_request_picture_and_mask(project: Project) -> None:
    takes = project.takes()
    assert [(take.id, take.frame_id, take.matches) for take in takes] == [
        (FIRST, "f1", None),
        (REPLACED, "f2", 6),
        (REDONE, "f2", 8),
    ]
    for take in takes:
        request = project.request(take.id)
        stored = json.loads((project.path / "takes" / take.id / "take.json").read_text("utf-8"))
        assert request == RenderRequest.from_dict(stored["request"])
        assert [f["seed"] for f in stored["request"]["frames"]] == [f.seed for f in request.frames]
        frame = next(frame for frame in request.frames if frame.frame_id == take.frame_id)
        assert (frame.prompt.text, frame.seed) == (take.prompt, take.seed)
        assert frame.reference == PICTURE
        with Image.open(project.image_path(take.id)) as image:
            image.load()
            assert (image.size, image.mode) == ((128, 128), "RGB")
            assert RenderRequest.from_dict(json.loads(image.info[REQUEST_KEY])) == request
        with Image.open(project.mask_path(take.id)) as mask:
            assert np.mean(np.asarray(mask) == 255) == take.foreground > 0


def test_a_frame_can_be_redone_from_what_the_first_take_was_rendered_from(
    project: Project,
) -> None:
    chosen = {frame.id: project.request(frame.take) for frame in BOARD.frames if frame.take}
    request = plan_render(BOARD, ["f2"], chosen, random.Random(0))
    (first, second) = request.frames
    assert first.prompt == chosen["f1"].frames[0].prompt
    assert (first.seed, second.identity_from, request.targets) == (3, first.frame_id, ("f2",))
    # Nothing else has changed since the take was made.
    before = chosen["f2"].to_dict()
    before["frames"][1]["seed"] = second.seed
    assert request.to_dict() == before


def test_a_frame_without_words_that_was_the_identity_frame_still_is() -> None:
    project = Store(DATA / "projects").open("portrait-first")
    board = project.load()
    assert board.settings.identity == "f1" and not board.frames[0].has_words
    assert not any(frame.locked for frame in board.frames)
    chosen = {frame.id: project.request(frame.take) for frame in board.frames if frame.take}
    found = compare_takes(board, chosen)
    assert found.fresh == {"f1", "f2", "f3"}
    assert found.identity == dict.fromkeys(("f2", "f3"), Origin("f1", current=True))
    assert found.location == {"f3": Origin("f2", current=True)}


def test_earlier_takes_are_fresh(project: Project) -> None:
    chosen = {frame.id: project.request(frame.take) for frame in BOARD.frames if frame.take}
    assert compare_takes(project.load(), chosen).fresh == {"f1", "f2"}


def test_the_reference_picture_is_what_its_name_says(project: Project) -> None:
    reference = project.references.load(PICTURE)
    assert (reference.name, reference.image.size) == (PICTURE, (88, 88))
    assert reference.source.size == reference.mask.size == (120, 128)
    with Image.open(DATA / "stories" / "hero.png") as hero:
        assert reference.source.tobytes() == hero.tobytes()


def test_all_takes_are_packed_and_come_back(project: Project, tmp_path: Path) -> None:
    path = write_archive(project, tmp_path / "board.zip")
    again, notes = read_archive(path, Store(tmp_path / "others"), lambda board: board)
    assert (again.load(), again.takes(), notes) == (project.load(), project.takes(), [])


def test_the_character_file_holds_the_character_and_its_picture(project: Project) -> None:
    portable = load_character(DATA / "stories" / "maya.character")
    assert portable.character == BOARD.character.model_copy(update={"reference": ""})
    kept = project.references.load(PICTURE)
    assert portable.reference is not None
    assert portable.reference.name == PICTURE
    for part in ("image", "source", "mask"):
        assert getattr(portable.reference, part).tobytes() == getattr(kept, part).tobytes()
