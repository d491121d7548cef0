"""The drawn world: the same every time, and true in every detail that it states."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.miniature.dataset import part_shares
from pipelines.miniature.world import (
    Character,
    Part,
    Prompt,
    SceneSpec,
    draw_scene,
    prompt_for,
    same_character_elsewhere,
    sample_spec,
)
from pipelines.miniature.world import vocabulary as v

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
    accessory="none",
)


@pytest.fixture(scope="module")
def scenes():
    return [draw_scene(seed) for seed in range(60)]


def test_equal_seeds_give_equal_scenes(scenes):
    for seed in (0, 7, 31):
        again = draw_scene(seed)
        assert np.array_equal(again.image, scenes[seed].image)
        assert np.array_equal(again.parts, scenes[seed].parts)
        assert again.spec == scenes[seed].spec
        assert again.prompt == scenes[seed].prompt


def test_different_seeds_give_different_pictures(scenes):
    assert len({scene.image.tobytes() for scene in scenes}) == len(scenes)


def test_pictures_have_the_stated_form(scenes):
    for scene in scenes:
        assert scene.image.shape == (256, 256, 3)
        assert scene.image.dtype == np.uint8
        assert scene.parts.shape == (256, 256)
        assert scene.parts.max() < len(Part)


def test_the_foreground_is_where_the_parts_are(scenes):
    for scene in scenes:
        assert np.array_equal(scene.foreground, scene.parts > 0)
        assert scene.foreground.any() == (scene.spec.character is not None)


def test_only_the_figure_its_edge_and_its_shadow_differ_from_the_empty_place():
    spec = SceneSpec("kitchen", GIRL, "waving", "left")
    empty = draw_scene(3, replace(spec, character=None))
    scene = draw_scene(3, spec)
    changed = (scene.image != empty.image).any(-1)
    assert (changed & scene.foreground).sum() > 0.95 * scene.foreground.sum()
    above_the_ground = slice(0, 200)
    outside = (changed & ~scene.foreground)[above_the_ground]
    assert outside.sum() < 0.25 * scene.foreground.sum()  # outlines lie outside the labels
    assert not changed[:, 160:].any()


@pytest.mark.parametrize(
    ("color", "value"), [("red", v.CLOTH_COLORS["red"]), ("blue", v.CLOTH_COLORS["blue"])]
)
def test_the_torso_has_the_colour_of_the_top(color, value):
    spec = SceneSpec("park", replace(GIRL, top="t-shirt", top_color=color, hair_style="short"))
    scene = draw_scene(11, spec)
    torso = scene.image[scene.parts == Part.TORSO]
    assert len(torso) > 500
    assert np.abs(np.median(torso, 0) - value).max() <= 2


def test_ordinary_figures_fill_most_of_the_height():
    for kind in v.KINDS:
        spec = SceneSpec("desert", replace(GIRL, kind=kind), "standing")
        rows = np.flatnonzero(draw_scene(2, spec).foreground.any(1))
        assert 0.6 * 256 <= rows[-1] - rows[0] <= 0.85 * 256


@pytest.mark.parametrize("action", v.ACTIONS)
@pytest.mark.parametrize("shot", v.SHOTS)
def test_every_action_shows_a_face_in_every_shot(action, shot):
    scene = draw_scene(5, SceneSpec("beach", GIRL, action, "center", shot))
    assert (scene.parts == Part.FACE).sum() > 300


@pytest.mark.parametrize("place", v.PLACES)
def test_every_place_is_painted_to_the_edges(place):
    scene = draw_scene(1, SceneSpec(place, None))
    assert not scene.foreground.any()
    assert scene.image.reshape(-1, 3).std(0).max() > 8
    assert scene.image.any(-1).all()


def test_prompts_are_their_parts_joined_by_spaces(scenes):
    for scene in scenes:
        prompt = scene.prompt
        parts = [part for part in (prompt.background, prompt.character, prompt.action) if part]
        assert prompt.text == " ".join(parts)
        for name, (start, stop) in prompt.spans.items():
            assert prompt.text[start:stop] == getattr(prompt, name)


def test_spans_of_a_prompt_without_a_background():
    prompt = Prompt("", "a girl,", "waving")
    assert prompt.text == "a girl, waving"
    assert prompt.spans == {"background": (0, 0), "character": (0, 7), "action": (8, 14)}


def test_prompts_say_what_is_not_hidden_and_nothing_that_is():
    spec = SceneSpec("park", replace(GIRL, top_color="purple", bottom_color="orange"), "waving")
    hidden_counts = {"top_color": 0, "hair_style": 0, "bottom": 0}
    for variant in range(200):
        prompt = prompt_for(spec, 0, variant)
        words = prompt.character.replace(",", "").split()
        assert ("purple" in words) == ("top_color" not in prompt.hidden)
        assert ("orange" in words) == ("bottom_color" not in prompt.hidden)
        assert ("long" in words) == ("hair_style" not in prompt.hidden)
        assert ("hoodie" in words) == ("top" not in prompt.hidden)
        for name in hidden_counts:
            hidden_counts[name] += name in prompt.hidden
    assert all(20 < count < 180 for count in hidden_counts.values())


def test_empty_places_have_no_character_in_the_prompt():
    prompt = draw_scene(4, SceneSpec("office", None)).prompt
    assert prompt.character == prompt.action == ""


def test_backgrounds_are_longer_than_a_word_or_two():
    counts = [len(prompt.background.split()) for prompt in _prompts(500) if prompt.character]
    assert max(counts) <= 14
    assert np.mean(counts) > 5


def _prompts(count):
    rng = np.random.default_rng(0)
    return [prompt_for(sample_spec(rng), number) for number in range(count)]


def test_specifications_survive_json(scenes):
    for scene in scenes:
        assert SceneSpec.from_dict(scene.spec.to_dict()) == scene.spec


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="'dragon' is not one of girl, boy"):
        replace(GIRL, kind="dragon")
    with pytest.raises(ValueError, match="'mars'"):
        SceneSpec("mars", GIRL)


def test_the_same_character_elsewhere_keeps_the_character(scenes):
    scene = next(scene for scene in scenes if scene.spec.character is not None)
    other = same_character_elsewhere(scene, seed=99)
    assert other.spec.character == scene.spec.character
    assert not np.array_equal(other.image, scene.image)
    with pytest.raises(ValueError, match="nobody"):
        same_character_elsewhere(draw_scene(0, SceneSpec("park", None)), seed=1)


def test_part_shares_count_the_pixels_of_each_token(scenes):
    parts = scenes[0].parts
    shares = part_shares(parts)
    assert shares.shape == (256, len(Part))
    tile = parts[7 * 16 : 8 * 16, 9 * 16 : 10 * 16]
    for part in Part:
        assert shares[7 * 16 + 9, part] == round(255 * float((tile == part).mean()))
