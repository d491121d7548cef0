"""Takes that a person marks, removes and brings back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.request import FrameRequest, Prompt, RenderRequest
from storyboard.board import Frame, Storyboard, Take
from storyboard.errors import ProjectError
from storyboard.storage.project import Project
from storyboard.storage.projects import Store

REQUEST = RenderRequest(
    "miniature", (FrameRequest("a", Prompt("", "a girl", "waving"), 1, 16, 16),), ("a",), steps=1
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project whose frame "a" has two takes."""
    project = Store(tmp_path).create(Storyboard(frames=(Frame(id="a"), Frame(id="b"))))
    for name in ("one", "two"):
        take = Take(
            id=name, frame_id="a", seconds=1, seed=1, foreground=0.5, prompt="x", model="miniature"
        )
        project.add_take(take, Image.new("RGB", (16, 16)), np.ones((1, 1), bool), REQUEST)
    return project


def test_a_star_stays_until_it_is_taken_back(project: Project) -> None:
    assert not project.is_starred("one")
    project.star("one", True)
    project.star("one", True)
    assert project.is_starred("one") and not project.is_starred("two")
    project.star("one", False)
    project.star("one", False)
    assert not project.is_starred("one")
    for name in ("none", "../one"):
        with pytest.raises(ProjectError):
            project.star(name, True)


def test_a_removed_take_leaves_its_frame_to_the_newest_other_one(project: Project) -> None:
    assert project.remove_take("two").frames[0].take == "one"
    assert [take.id for take in project.takes()] == ["one"]
    assert project.remove_take("one").frames[0].take is None
    assert project.takes() == [] and project.load().frames[0].take is None
    with pytest.raises(ProjectError):
        project.remove_take("one")


def test_a_removed_take_that_was_not_chosen_changes_no_choice(project: Project) -> None:
    assert project.remove_take("one").frames[0].take == "two"


def test_a_take_comes_back_whole_and_is_chosen(project: Project) -> None:
    project.star("one", True)
    project.remove_take("one")
    assert project.bring_back_take("one").frames[0].take == "one"
    assert {take.id for take in project.takes()} == {"one", "two"}
    assert project.is_starred("one") and project.request("one") == REQUEST
    with pytest.raises(ProjectError, match="not there any more"):
        project.bring_back_take("two")
