"""Visible attributes, and the true attributes of a scene."""

import numpy as np
import pytest

from miniature.judge.attributes import (
    FIGURE_VALUES,
    SCENE_VALUES,
    true_attributes,
    visible_attributes,
)
from miniature.world.scene import draw_scene
from miniature.world.spec import Figure, SceneSpec, WorldRange, sample_character
from miniature.world.vocabulary import Part

VALUES = {
    "kind": "man", "skin": "tan", "hair_style": "short", "hair_color": "red", "top": "hoodie",
    "top_color": "blue", "pattern": "plain", "bottom": "shorts", "bottom_color": "red",
    "headwear": "none", "accessory": "none", "action": "standing", "position": "left",
    "view": "front", "facing": "left", "shot": "full",
}  # fmt: skip


def parts_with(**pixels):
    """A picture of 100 x 100 labels with so many pixels of each part."""
    labels = np.zeros(10_000, np.uint8)
    start = 0
    for name, count in pixels.items():
        labels[start : start + count] = Part[name]
        start += count
    return labels.reshape(100, 100)


WHOLE = parts_with(FACE=400, HAIR=200, TORSO=500, LEFT_THIGH=100, LEFT_SHIN=100, SHOE=50)


def seen(parts, **changes):
    return visible_attributes({**VALUES, **changes}, parts)


def test_of_a_whole_person_all_is_seen_but_the_facing():
    assert seen(WHOLE) == (SCENE_VALUES | FIGURE_VALUES).keys() - {"facing"}


def test_a_close_up_shows_neither_legs_nor_what_they_do():
    hidden = (SCENE_VALUES | FIGURE_VALUES).keys() - seen(parts_with(FACE=900, TORSO=300))
    assert hidden == {"hair_style", "hair_color", "bottom", "bottom_color", "action", "facing"}


def test_an_empty_picture_shows_its_scene_alone():
    assert seen(parts_with()) == SCENE_VALUES.keys()


@pytest.mark.parametrize(
    ("changes", "name", "visible"),
    [
        ({"top": "dress"}, "bottom_color", False),
        ({"view": "side"}, "facing", True),
        ({"action": "lying"}, "facing", True),
        ({"accessory": "glasses"}, "accessory", False),
        ({"headwear": "crown"}, "headwear", False),
    ],
)
def test_values_decide_too(changes, name, visible):
    assert (name in seen(WHOLE, **changes)) is visible


def test_of_a_top_behind_a_box_only_the_color_is_seen():
    behind = seen(parts_with(FACE=1500, TORSO=80, PROP=700, SHOE=100))
    assert "top_color" in behind
    assert not {"top", "pattern"} & behind


def test_small_things_count():
    glasses = parts_with(FACE=400, GLASSES=8)
    assert "accessory" in seen(glasses, accessory="glasses")


def test_no_hair_is_seen_on_a_head_without_any():
    robot = parts_with(FACE=400, TORSO=100)
    assert "hair_color" in seen(robot, kind="robot", hair_color="none", hair_style="none")


def test_truth_is_taken_from_the_figure_and_its_character():
    rng = np.random.default_rng(0)
    first, second = (sample_character(rng) for _ in range(2))
    spec = SceneSpec(
        place="city",
        figures=(Figure(first, "waving", "left"), Figure(second, "walking", "right", "side")),
        time="night",
    )
    truth = true_attributes(spec, 1)
    assert truth.keys() == (SCENE_VALUES | FIGURE_VALUES).keys()
    assert truth["time"] == "night"
    assert (truth["action"], truth["view"], truth["shot"]) == ("walking", "side", "full")
    assert truth["top_color"] == second.top_color
    assert true_attributes(spec, 2).keys() == SCENE_VALUES.keys()


def test_every_drawn_value_is_known():
    known = SCENE_VALUES | FIGURE_VALUES
    rng = np.random.default_rng(5)
    for _ in range(200):
        person = sample_character(rng, WorldRange())
        spec = SceneSpec("park", (Figure(person),))
        for name, value in true_attributes(spec, 0).items():
            assert value in known[name]


def test_a_drawn_figure_shows_what_it_wears():
    scene = next(
        scene
        for scene in map(draw_scene, range(50))
        if len(scene.spec.figures) == 1 and scene.spec.shot == "full"
    )
    assert "top_color" in visible_attributes(true_attributes(scene.spec, 0), scene.parts)
