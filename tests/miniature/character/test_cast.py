"""The drawn characters: the same from the same seed, the same person in every scene."""

from dataclasses import replace

import numpy as np
import pytest

from miniature.character.cast import (
    HELD_OUT_SEED,
    TRAINING_SEED,
    character_scenes,
    draw_cast,
    load_cast,
    picture_seed,
)
from miniature.character.recipe import CAST_WORLD
from miniature.world.scene import draw_scene


def test_everyone_is_the_same_person_elsewhere():
    for seed in range(0, 400, 10):
        specs = character_scenes(seed, 3, CAST_WORLD)
        assert all(len(spec.figures) == 1 for spec in specs)
        assert len({spec.figures[0].character for spec in specs}) == 1
        assert len({spec.place for spec in specs}) == 3


def test_the_first_scene_shows_all_of_the_character():
    for seed in range(0, 400, 10):
        spec = character_scenes(seed, 2, CAST_WORLD)[0]
        figure = spec.figures[0]
        assert spec.shot == "full" and figure.view in ("front", "three-quarter")
        assert figure.action not in ("lying", "reading", "carrying", "guitar")


def test_more_scenes_leave_the_others_as_they_are():
    assert character_scenes(70, 4, CAST_WORLD)[:2] == character_scenes(70, 2, CAST_WORLD)
    assert picture_seed(TRAINING_SEED, 4, 2) == picture_seed(TRAINING_SEED, 6, 3)


def test_a_world_of_one_place_is_enough():
    specs = character_scenes(0, 3, replace(CAST_WORLD, places=("forest",)))
    assert [spec.place for spec in specs] == ["forest"] * 3


@pytest.mark.parametrize("scenes", [0, 11])
def test_impossible_numbers_of_scenes_are_refused(scenes):
    with pytest.raises(ValueError, match=f"{scenes} scenes"):
        character_scenes(0, scenes, CAST_WORLD)


def test_the_cast_on_disk_is_what_its_specifications_draw(tmp_path):
    for name, seed in (("training", TRAINING_SEED), ("held_out", HELD_OUT_SEED)):
        draw_cast(tmp_path / name, 3, 2, CAST_WORLD, 1, seed)
    cast, held_out = load_cast(tmp_path / "training"), load_cast(tmp_path / "held_out")
    assert cast.characters == 3
    for row, spec in enumerate(cast.specs):
        scene = draw_scene(picture_seed(TRAINING_SEED, row, 2), spec)
        assert np.array_equal(scene.image, cast.images[row])
        assert np.array_equal(scene.parts, cast.parts[row])
    people = {spec.figures[0].character for spec in cast.specs}
    assert not people & {spec.figures[0].character for spec in held_out.specs}


def test_two_drawings_of_a_cast_are_equal(tmp_path):
    for name in ("one", "two"):
        draw_cast(tmp_path / name, 2, 2, CAST_WORLD, 1)
    one, two = load_cast(tmp_path / "one"), load_cast(tmp_path / "two")
    assert one.specs == two.specs
    assert np.array_equal(one.images, two.images)
