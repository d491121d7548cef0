"""Pictures that leave a project say no more than what they show."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.pictures import png_bytes
from pipelines.request import FrameRequest, Prompt, RenderRequest, StyleLora
from storyboard.board import Frame, Storyboard, Take
from storyboard.storage.own_pictures import NOTE_KEY, own_part, own_picture, with_texts
from storyboard.storage.project import Project
from storyboard.storage.projects import Store
from storyboard.storage.take_files import REQUEST_KEY

WHOLE = RenderRequest(
    model="/home/zoe/models/my-flux",
    frames=(
        FrameRequest("a", Prompt("beach,", "a spy,", "hiding the secret"), 7, 48, 32),
        FrameRequest("b", Prompt("forest,", "ä girl,", "waving"), 8, 48, 32, identity_from="a"),
    ),
    targets=("a", "b"),
    steps=4,
    styles=(StyleLora("C:\\loras\\ink.safetensors"), StyleLora("owner/name")),
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Store(tmp_path).create(Storyboard(frames=(Frame(id="a"), Frame(id="b"))))
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 255, (32, 48, 3), dtype=np.uint8))
    take = Take(id="t", frame_id="b", seconds=1, seed=8, foreground=0, prompt="p", model="m")
    project.add_take(take, image, np.ones((2, 3), dtype=bool), WHOLE)
    return project


def test_a_picture_carries_its_own_frame_alone(project: Project) -> None:
    content = own_picture(project, "t")
    with Image.open(project.image_path("t")) as kept, Image.open(io.BytesIO(content)) as shared:
        assert np.array_equal(np.asarray(kept), np.asarray(shared))
        assert "secret" in kept.info[REQUEST_KEY]
        assert set(shared.info) == {REQUEST_KEY, NOTE_KEY}
        request = RenderRequest.from_dict(json.loads(shared.info[REQUEST_KEY]))
    assert [frame.prompt.text for frame in request.frames] == ["forest, ä girl, waving"]
    assert (request.frames[0].seed, request.steps) == (8, 4)
    for word in ("secret", "spy", "zoe", "loras\\"):
        assert word.encode() not in content


def test_names_on_the_hub_stay_and_folders_of_a_machine_go() -> None:
    part = own_part(WHOLE, "b")
    assert part.model == "my-flux"
    assert [style.source for style in part.styles] == ["ink.safetensors", "owner/name"]
    with pytest.raises(KeyError):
        own_part(WHOLE, "c")


def test_only_pixels_and_the_given_texts_are_kept() -> None:
    image = Image.new("RGB", (5, 4), (1, 2, 3))
    mixed = png_bytes(image, Comment="from elsewhere", **{REQUEST_KEY: "old"})
    with Image.open(io.BytesIO(with_texts(mixed, {"a": "ü"}))) as found:
        found.load()
        assert (found.info, found.getpixel((4, 3))) == ({"a": "ü"}, (1, 2, 3))


@pytest.mark.parametrize("cut", [0, 4, 20, 60])
def test_a_picture_that_is_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(ValueError, match="PNG|cut off"):
        with_texts(png_bytes(Image.new("RGB", (50, 40)))[:cut], {})
