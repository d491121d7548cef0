"""References: exact ones are what the preparation makes, rough ones are still of the figure."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from miniature.character.cast import character_scenes
from miniature.character.outsiders import KINDS, draw_outsider
from miniature.character.recipe import CAST_WORLD
from miniature.character.references import STRONG, USUAL, Defects, cut_out
from miniature.world.scene import draw_scene
from miniature.world.spec import SceneSpec
from miniature.world.vocabulary import Part
from pipelines.reference.preparing import put_on_white

CAREFUL = Defects(*[0.0] * 9)


@pytest.fixture(scope="module")
def scenes():
    return [
        draw_scene(seed, spec)
        for seed in (10, 20, 30)
        for spec in character_scenes(seed, 2, CAST_WORLD)
    ]


def test_an_exact_reference_is_the_prepared_picture(scenes):
    for scene in scenes:
        reference = cut_out(scene.image, scene.parts)
        mask = np.where(scene.parts > 0, 255, 0).astype(np.uint8)
        prepared = put_on_white(Image.fromarray(scene.image), mask)
        assert np.array_equal(reference.picture, np.asarray(prepared.image))
        assert np.count_nonzero(reference.parts) == np.count_nonzero(scene.parts)
        assert (reference.picture[reference.parts == 0] == 255).all()


@pytest.mark.parametrize("defects", [USUAL, STRONG])
def test_a_rough_reference_still_shows_the_figure(scenes, defects):
    for number, scene in enumerate(scenes):
        exact = cut_out(scene.image, scene.parts)
        for seed in range(6):
            rough = cut_out(
                scene.image, scene.parts, np.random.default_rng((seed, number)), defects
            )
            side = rough.parts.shape[0]
            assert rough.picture.shape == (side, side, 3) and side >= 48
            assert np.count_nonzero(rough.parts) > 0.08 * rough.parts.size
            assert set(np.unique(rough.parts)) <= set(np.unique(exact.parts))


def test_chance_decides_and_nothing_else(scenes):
    image, parts = scenes[0].image, scenes[0].parts
    before = image.copy()
    one, again, other = (cut_out(image, parts, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.picture, again.picture) and np.array_equal(one.parts, again.parts)
    assert one.picture.shape != other.picture.shape or (one.picture != other.picture).any()
    assert np.array_equal(image, before)


def test_labels_move_with_the_picture(scenes):
    """A mirrored picture's colours lie where its labels say."""
    scene = scenes[0]
    plain = cut_out(scene.image, scene.parts, np.random.default_rng(0), CAREFUL)
    turned = cut_out(
        scene.image, scene.parts, np.random.default_rng(0), replace(CAREFUL, mirrored=1.0)
    )
    assert np.abs(plain.picture[:, ::-1].astype(int) - turned.picture).mean() < 4
    assert (plain.parts[:, ::-1] == turned.parts).mean() > 0.98
    colors = [
        np.median(reference.picture[reference.parts == Part.TORSO], axis=0)
        for reference in (plain, turned, cut_out(scene.image, scene.parts))
    ]
    assert np.abs(colors[0] - colors[2]).max() < 6 and np.abs(colors[1] - colors[2]).max() < 6


def test_a_closer_crop_keeps_enough_of_the_figure(scenes):
    close = replace(CAREFUL, closer=1.0)
    smaller = 0
    for seed in range(20):
        scene = scenes[seed % len(scenes)]
        whole = cut_out(scene.image, scene.parts, np.random.default_rng(seed), CAREFUL)
        part = cut_out(scene.image, scene.parts, np.random.default_rng(seed), close)
        kept = set(np.unique(part.parts)) - {0}
        assert kept
        smaller += len(kept) < len(set(np.unique(whole.parts)) - {0})
    assert smaller > 5


def test_nobody_cannot_be_cut_out():
    scene = draw_scene(0, SceneSpec("forest"))
    with pytest.raises(ValueError, match="nobody is in the picture"):
        cut_out(scene.image, scene.parts)


@pytest.mark.parametrize("kind", KINDS)
def test_outsiders_are_pictures_of_their_own(kind, scenes):
    image, parts = scenes[0].image, scenes[0].parts
    one, again, other = (draw_outsider(kind, n, image, parts) for n in (0, 0, 1))
    assert one.dtype == np.uint8 and one.shape[0] == one.shape[1] and one.shape[2] == 3
    assert np.array_equal(one, again)
    if kind not in ("negative", "sketch"):  # those are made of the figure alone
        assert not np.array_equal(one, other)
    figure = cut_out(image, parts).picture
    assert one.shape != figure.shape or not np.array_equal(one, figure)
