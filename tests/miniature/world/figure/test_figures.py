"""The figures of the drawn world: recognisable in every action, view and shot."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from miniature.world import vocabulary as v
from miniature.world.scene import draw_scene
from miniature.world.spec import Character, Figure, SceneSpec, body_colors, views_of
from miniature.world.vocabulary import Part

GIRL = Character(
    kind="girl",
    skin="pale",
    hair_style="short",
    hair_color="red",
    top="t-shirt",
    top_color="green",
    pattern="plain",
    bottom="trousers",
    bottom_color="blue",
    shoes="brown",
    headwear="none",
    accessory="none",
)


def somebody(kind: str) -> Character:
    """Return a plainly dressed character of a kind."""
    if kind in v.PEOPLE:
        return replace(GIRL, kind=kind)
    skin = body_colors(kind)[0]
    return replace(GIRL, kind=kind, skin=skin, hair_style="none", hair_color="none")


def drawn(figure, shot="full", shape="square", seed=5):
    """A figure in the desert."""
    return draw_scene(seed, SceneSpec("desert", (figure,), shot, shape=shape))


def cut_out(mask):
    """The part of a mask that is not empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@pytest.mark.parametrize(("view", "action"), [(x, "standing") for x in v.VIEWS if x != "side"])
@pytest.mark.parametrize("color", ["red", "blue", "white", "black"])
def test_the_torso_has_the_colour_of_the_top(view, action, color):
    figure = Figure(replace(GIRL, top_color=color), action, view=view)
    scene = drawn(figure)
    torso = scene.image[scene.parts == Part.TORSO]
    assert len(torso) > 500
    assert np.abs(np.median(torso, 0) - v.CLOTH_COLORS[color]).max() <= 2


def test_the_torso_has_the_colour_of_the_top_in_profile():
    for action in v.SIDE_ACTIONS:
        scene = drawn(Figure(GIRL, action, view="side"))
        torso = scene.image[scene.parts == Part.TORSO]
        assert len(torso) > 400
        assert np.abs(np.median(torso, 0) - v.CLOTH_COLORS["green"]).max() <= 2


@pytest.mark.parametrize("kind", v.KINDS)
def test_ordinary_figures_fill_most_of_the_height(kind):
    for shape in ("square", "landscape"):
        scene = drawn(Figure(somebody(kind)), shape=shape)
        rows = np.flatnonzero(scene.foreground.any(1))
        assert 0.6 <= (rows[-1] - rows[0]) / len(scene.image) <= 0.87


@pytest.mark.parametrize("action", v.ACTIONS)
@pytest.mark.parametrize("shot", v.SHOTS)
def test_every_action_shows_a_face_in_every_view_but_the_back_and_every_shot(action, shot):
    for view in views_of(action):
        for kind in ("woman", "cat", "robot"):
            faces = (
                drawn(Figure(somebody(kind), action, view=view), shot).parts == Part.FACE
            ).sum()
            assert faces == 0 if view == "back" else faces > 300


@pytest.mark.parametrize("shape", v.SHAPES)
@pytest.mark.parametrize("action", v.ACTIONS)
def test_all_of_a_figure_is_in_the_picture(action, shape):
    wearing = replace(somebody("man"), headwear="hat")
    for character, facing in itertools.product((wearing, somebody("rabbit")), v.FACINGS):
        for position in v.POSITIONS:
            figure = Figure(character, action, position, views_of(action)[0], facing)
            mask = drawn(figure, shape=shape).foreground
            assert not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


@pytest.mark.parametrize("action", v.ACTIONS)
def test_facing_mirrors_the_figure(action):
    for view in views_of(action):
        right = drawn(Figure(GIRL, action, view=view, facing="right"))
        left = drawn(Figure(GIRL, action, view=view, facing="left"))
        one, other = cut_out(right.foreground), cut_out(left.foreground)[:, ::-1]
        rows, columns = (min(pair) for pair in zip(one.shape, other.shape, strict=True))
        assert max(one.shape[0], other.shape[0]) - rows <= 2
        assert max(one.shape[1], other.shape[1]) - columns <= 2
        one, other = one[:rows, :columns], other[:rows, :columns]
        assert (one & other).sum() > 0.95 * (one | other).sum()


@pytest.mark.parametrize("action", ["waving", "pointing", "umbrella", "guitar", "fishing"])
def test_the_hand_is_on_the_side_that_is_faced(action):
    for facing, side in (("left", -1), ("right", 1)):
        parts = drawn(Figure(somebody("bear"), action, facing=facing)).parts
        middle = np.nonzero(parts == Part.FACE)[1].mean()
        reach = np.nonzero(parts > 0)[1] - middle
        assert side * (reach.max() + reach.min()) > 6


def test_profiles_look_where_they_face():
    for action in v.SIDE_ACTIONS:
        for facing, side in (("left", -1), ("right", 1)):
            parts = drawn(Figure(GIRL, action, view="side", facing=facing)).parts
            face = np.nonzero(parts == Part.FACE)[1].mean()
            assert side * (face - np.nonzero(parts == Part.HAIR)[1].mean()) > 8


def test_the_head_of_a_sleeper_is_where_it_faces():
    for facing, side in (("left", -1), ("right", 1)):
        scene = drawn(Figure(GIRL, "lying", facing=facing))
        face, shoes = (np.nonzero(scene.parts == p)[1].mean() for p in (Part.FACE, Part.SHOE))
        assert side * (face - shoes) > 90
        height, width = cut_out(scene.foreground).shape
        assert width > 1.7 * height


def test_every_two_actions_differ_in_outline():
    masks = {
        action: drawn(Figure(GIRL, action, view=views_of(action)[0])).foreground
        for action in v.ACTIONS
    }
    for one, other in itertools.combinations(v.ACTIONS, 2):
        union = (masks[one] | masks[other]).sum()
        assert (masks[one] & masks[other]).sum() < 0.9 * union, (one, other)


def test_every_two_kinds_of_headwear_differ_in_outline():
    for kind in ("boy", "bear", "robot"):
        masks = {
            worn: drawn(Figure(replace(somebody(kind), headwear=worn))).foreground[:96]
            for worn in v.HEADWEAR
        }
        for one, other in itertools.combinations(v.HEADWEAR, 2):
            apart = (masks[one] ^ masks[other]).sum()
            assert apart > 250, (kind, one, other, apart)


@pytest.mark.parametrize(
    ("worn", "part", "views"),
    [
        ("glasses", Part.GLASSES, ("front", "three-quarter", "side")),
        ("scarf", Part.SCARF, v.VIEWS),
        ("backpack", Part.BACKPACK, v.VIEWS),
        ("bag", Part.BAG, v.VIEWS),
        ("beard", Part.BEARD, ("front", "three-quarter", "side")),
    ],
)
def test_accessories_are_seen(worn, part, views):
    character = replace(somebody("man"), accessory=worn)
    for view in v.VIEWS:
        action = "walking" if view == "side" else "standing"
        count = (drawn(Figure(character, action, view=view)).parts == part).sum()
        assert count > 120 if view in views else count == 0


@pytest.mark.parametrize("pattern", v.PATTERNS[1:])
@pytest.mark.parametrize("color", v.CLOTH_COLORS)
def test_patterns_are_bold(pattern, color):
    plain = drawn(Figure(replace(GIRL, top_color=color)))
    patterned = drawn(Figure(replace(GIRL, top_color=color, pattern=pattern)))
    torso = plain.parts == Part.TORSO
    assert np.array_equal(torso, patterned.parts == Part.TORSO)
    contrast = np.abs(plain.image.astype(int) - patterned.image).max(-1)[torso] > 60
    assert 0.2 < contrast.mean() < 0.6


def test_only_animals_have_tails_and_only_people_have_hair():
    for kind in v.KINDS:
        parts = drawn(Figure(somebody(kind), "walking", view="side")).parts
        assert (parts == Part.TAIL).any() == (kind in v.ANIMALS)
        assert (parts == Part.EAR).any()
        assert (parts == Part.HAIR).any() == (kind in v.PEOPLE)


def test_shots_come_nearer():
    heads = []
    for shot in v.SHOTS:
        parts = drawn(Figure(GIRL), shot).parts
        heads.append(np.isin(parts, (Part.FACE, Part.HAIR)).sum())
        feet = (parts == Part.SHOE).any()
        assert feet == (shot in ("wide", "full"))
    assert all(near > 1.3 * far for far, near in itertools.pairwise(heads))
