"""The judge in assets/miniature/judge reads fresh drawings as well as it states."""

import json
import math

import pytest
import torch

from miniature.dataset import HELD_OUT_SEED
from miniature.judge.accuracy import measure_accuracy
from miniature.judge.reading import load_judge
from miniature.world.scene import draw_scene
from miniature.world.spec import WorldRange

PICTURES = 64
FRESH_SEED = HELD_OUT_SEED + 9_000_000
LARGEST = 4 * 10**6
GOALS = {"place": 0.99, "top_color": 0.98, "hair_color": 0.97, "action": 0.97}


@pytest.fixture(scope="module")
def folder(miniature_folder):
    return miniature_folder / "judge"


@pytest.fixture(scope="module")
def stated(folder):
    return json.loads((folder / "accuracy.json").read_text())


@pytest.fixture(scope="module")
def measured(folder):
    return measure_accuracy(load_judge(folder), PICTURES, 8, FRESH_SEED)


def pairs(count):
    world = WorldRange(pair_share=1.0)
    return [draw_scene(FRESH_SEED + 1000 + number, world=world) for number in range(count)]


def test_it_is_small(folder):
    assert sum(path.stat().st_size for path in folder.iterdir()) <= LARGEST


@pytest.mark.parametrize("name", GOALS)
def test_it_states_the_accuracy_that_it_is_meant_to_have(stated, name):
    assert stated["pictures"] >= 1000
    assert stated["drawn"]["attributes"][name]["accuracy"] >= GOALS[name]


@pytest.mark.parametrize("kind", ["drawn", "degraded"])
def test_it_reads_fresh_pictures_as_well_as_it_states(stated, measured, kind):
    assert measured[kind]["foreground_iou"] >= stated[kind]["foreground_iou"] - 0.02
    assert measured[kind]["part_agreement"] >= stated[kind]["part_agreement"] - 0.03
    for name, fresh in measured[kind]["attributes"].items():
        known = stated[kind]["attributes"][name]
        share = (known["accuracy"] * known["judged"] + 1) / (known["judged"] + 2)
        count, right = fresh["judged"], round(fresh["accuracy"] * fresh["judged"])
        # How likely so few right readings are if the stated accuracy is true.
        tail = sum(
            math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(right + 1)
        )
        assert tail > 1e-4, name


def test_masks_choose_the_figure_of_a_pair(folder):
    judge = load_judge(folder)
    right = judged = 0
    for scene in pairs(12):
        masks = torch.stack([torch.from_numpy(scene.mask(number)) for number in (1, 2)])
        images = torch.from_numpy(scene.image)[None].expand(2, -1, -1, -1)
        for figure, read in zip(
            scene.spec.figures, judge.read(images, masks).attributes, strict=True
        ):
            judged += 1
            right += read["top_color"] == figure.character.top_color
    assert right / judged >= 0.9
