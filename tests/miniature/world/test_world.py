"""The drawn world: the same every time, and true in every detail that it states."""

import json
from dataclasses import replace

import numpy as np
import pytest

from miniature.dataset import part_shares
from miniature.world import vocabulary as v
from miniature.world.scene import draw_scene, prompt_for, same_character_elsewhere
from miniature.world.spec import WHOLE, Character, Figure, SceneSpec, sample_spec, views_of
from miniature.world.vocabulary import Part

GIRL = Character(
    kind="girl",
    skin="pale",
    hair_style="long",
    hair_color="red",
    top="hoodie",
    top_color="green",
    pattern="plain",
    bottom="trousers",
    bottom_color="blue",
    shoes="brown",
    headwear="none",
    accessory="none",
)
PAIR = (Figure(GIRL, "waving", "left"), Figure(replace(GIRL, kind="boy"), "hips", "right"))


@pytest.fixture(scope="module")
def scenes():
    shapes = tuple(v.SHAPES)
    return [draw_scene(seed, shape=shapes[seed % 3]) for seed in range(90)]


def test_equal_seeds_give_equal_scenes(scenes):
    for seed in (0, 7, 31):
        again = draw_scene(seed, shape=scenes[seed].spec.shape)
        assert np.array_equal(again.image, scenes[seed].image)
        assert np.array_equal(again.parts, scenes[seed].parts)
        assert np.array_equal(again.owners, scenes[seed].owners)
        assert again.spec == scenes[seed].spec
        assert again.prompt == scenes[seed].prompt


def test_a_scene_can_be_drawn_again_from_its_specification(scenes):
    for seed in (2, 3, 4):
        again = draw_scene(seed, SceneSpec.from_dict(scenes[seed].spec.to_dict()))
        assert np.array_equal(again.image, scenes[seed].image)
        assert again.prompt == scenes[seed].prompt


def test_different_seeds_give_different_pictures(scenes):
    assert len({scene.image.tobytes() for scene in scenes}) == len(scenes)


def test_pictures_have_the_stated_form(scenes):
    for scene in scenes:
        width, height = v.SHAPES[scene.spec.shape]
        assert scene.image.shape == (height, width, 3)
        assert scene.image.dtype == scene.parts.dtype == scene.owners.dtype == np.uint8
        assert scene.parts.shape == scene.owners.shape == (height, width)
        assert scene.parts.max() < len(Part)
    assert {scene.spec.shape for scene in scenes} == set(v.SHAPES)


def test_owners_and_parts_agree(scenes):
    for scene in scenes:
        assert np.array_equal(scene.owners > 0, scene.parts > 0)
        assert np.array_equal(scene.foreground, scene.owners > 0)
        present = set(np.unique(scene.owners)) - {0}
        assert present == set(range(1, len(scene.spec.figures) + 1))
        for number in present:
            assert np.array_equal(scene.mask(number), scene.owners == number)


def test_a_figure_that_is_not_there_has_no_mask():
    scene = draw_scene(1, SceneSpec("park", (Figure(GIRL),)))
    for number in (0, 2):
        with pytest.raises(ValueError, match=f"no figure {number} in a scene with 1"):
            scene.mask(number)


def test_only_the_figure_its_edge_and_its_shadow_differ_from_the_empty_place():
    spec = SceneSpec("kitchen", (Figure(GIRL, "waving", "left"),))
    empty = draw_scene(3, replace(spec, figures=()))
    scene = draw_scene(3, spec)
    changed = (scene.image != empty.image).any(-1)
    assert (changed & scene.foreground).sum() > 0.95 * scene.foreground.sum()
    above_the_ground = slice(0, 200)
    outside = (changed & ~scene.foreground)[above_the_ground]
    assert outside.sum() < 0.25 * scene.foreground.sum()  # outlines lie outside the labels
    assert not changed[:, 160:].any()


@pytest.mark.parametrize("shape", v.SHAPES)
@pytest.mark.parametrize("shot", ["full", "wide"])
def test_two_figures_have_a_side_each(shape, shot):
    rng = np.random.default_rng(1)
    pairs = replace(WHOLE, pair_share=1.0, shots=(shot,))
    for seed in range(6):
        scene = draw_scene(seed, sample_spec(rng, pairs, shape))
        first, second = scene.mask(1), scene.mask(2)
        width, height = scene.spec.size
        assert min(first.sum(), second.sum()) > 0.01 * width * height
        assert np.flatnonzero(first.any(0)).max() < 0.53 * width
        assert np.flatnonzero(second.any(0)).min() > 0.47 * width


def test_what_one_of_two_wears_leaves_the_other_alone():
    scene = draw_scene(4, SceneSpec("beach", PAIR))
    red = replace(PAIR[1], character=replace(PAIR[1].character, top_color="red"))
    other = draw_scene(4, SceneSpec("beach", (PAIR[0], red)))
    assert np.array_equal(scene.owners, other.owners)
    changed = (scene.image != other.image).any(-1)
    assert changed.any()
    assert not (changed & scene.mask(1)).any()


def test_positions_scale_with_the_width():
    for shape, (width, _) in v.SHAPES.items():
        middles = []
        for position in ("left", "center", "right"):
            spec = SceneSpec("desert", (Figure(GIRL, position=position),), shape=shape)
            middles.append(np.flatnonzero(draw_scene(6, spec).foreground.any(0)).mean() / width)
        assert middles[0] < 0.4 < middles[1] < 0.6 < middles[2]


def test_specifications_survive_json(scenes):
    for scene in scenes:
        text = json.dumps(scene.spec.to_dict())
        assert SceneSpec.from_dict(json.loads(text)) == scene.spec


def test_unknown_and_impossible_things_are_refused():
    with pytest.raises(ValueError, match="'dragon' is not one of girl, boy"):
        replace(GIRL, kind="dragon")
    with pytest.raises(ValueError, match="'mars'"):
        SceneSpec("mars")
    with pytest.raises(ValueError, match="'back' is not one of side"):
        Figure(GIRL, "cycling", view="back")
    with pytest.raises(ValueError, match="'rain' is not one of clear"):
        SceneSpec("kitchen", weather="rain")
    with pytest.raises(ValueError, match="3 figures"):
        SceneSpec("park", (*PAIR, PAIR[0]))
    with pytest.raises(ValueError, match="first is on the left"):
        SceneSpec("park", PAIR[::-1])


def test_random_scenes_show_everything_there_is():
    rng = np.random.default_rng(5)
    specs = [sample_spec(rng) for _ in range(3000)]
    figures = [figure for spec in specs for figure in spec.figures]
    people = [figure.character for figure in figures]
    assert {spec.place for spec in specs} == set(v.PLACES)
    assert {spec.shot for spec in specs} == set(v.SHOTS)
    assert {(spec.time, spec.weather) for spec in specs} == {
        (time, weather) for time in v.TIMES for weather in v.WEATHERS
    }
    assert {len(spec.figures) for spec in specs} == {0, 1, 2}
    assert {(f.action, f.view) for f in figures} == {
        (action, view) for action in v.ACTIONS for view in views_of(action)
    }
    for name, names in (
        ("kind", v.KINDS),
        ("top", v.TOPS),
        ("bottom", v.BOTTOMS),
        ("pattern", v.PATTERNS),
        ("headwear", v.HEADWEAR),
        ("accessory", v.ACCESSORIES),
        ("hair_style", (*v.HAIR_STYLES, "none")),
    ):
        assert {getattr(person, name) for person in people} == set(names)


def test_random_scenes_never_hide_who_is_there():
    rng = np.random.default_rng(6)
    for spec in (sample_spec(rng) for _ in range(3000)):
        if spec.shot in ("medium", "close"):
            assert len(spec.figures) == 1
            assert spec.figures[0].action not in v.WIDE_ACTIONS
        if spec.shot == "close":
            assert spec.figures[0].view != "back"


def test_the_same_character_elsewhere_keeps_the_character(scenes):
    for scene in [scene for scene in scenes if scene.spec.figures][:20]:
        other = same_character_elsewhere(scene, seed=99)
        (figure,) = other.spec.figures
        assert figure.character == scene.spec.figures[0].character
        assert other.spec.place != scene.spec.place
        assert other.image.shape == scene.image.shape
        assert set(np.unique(other.owners)) == {0, 1}
    with pytest.raises(ValueError, match="nobody"):
        same_character_elsewhere(draw_scene(0, SceneSpec("park")), seed=1)


def test_a_scenes_prompt_is_its_first_wording():
    scene = draw_scene(8)
    assert scene.prompt == prompt_for(scene.spec, 8)
    variants = {prompt_for(scene.spec, 8, variant).text for variant in range(20)}
    assert len(variants) > 10


@pytest.mark.parametrize("number", [0, 1, 2])
def test_part_shares_count_the_pixels_of_each_token(scenes, number):
    parts = scenes[number].parts
    shares = part_shares(parts)
    rows, columns = parts.shape[0] // 16, parts.shape[1] // 16
    assert shares.shape == (rows * columns, len(Part))
    tile = parts[7 * 16 : 8 * 16, 9 * 16 : 10 * 16]
    for part in Part:
        assert shares[7 * columns + 9, part] == round(255 * float((tile == part).mean()))
