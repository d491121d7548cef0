"""The judge's pictures, losses and training command, at toy size."""

import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from miniature.judge import train
from miniature.judge.attributes import FIGURE_VALUES
from miniature.judge.batches import UNKNOWN, GroupSource
from miniature.judge.degrade import degrade, wobble
from miniature.judge.groups import draw_group, load_groups
from miniature.judge.network import FinderOutput
from miniature.judge.reading import load_judge
from miniature.judge.trainer import JudgeTrainer, foreground_loss, identity_loss, part_loss

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judge")
    train.main(["--out", str(folder), "--recipe", "toy", "--processes", "1", "--held-out", "5"])
    return folder


@pytest.fixture(scope="module")
def source(run_folder):
    return GroupSource(load_groups(run_folder / "pictures"), CPU)


def test_a_group_shows_two_look_alikes_twice_each():
    for seed in range(0, 40, 4):
        scenes = draw_group(seed, "landscape")
        assert all(scene.image.shape == (208, 320, 3) for scene in scenes)
        if not all(scene.spec.figures for scene in scenes):
            continue
        one, again, other, other_again = (scene.spec.figures[0].character for scene in scenes)
        assert (one, other) == (again, other_again)
        differing = [f.name for f in fields(one) if getattr(one, f.name) != getattr(other, f.name)]
        assert 1 <= len(differing) <= 2
        assert "kind" not in differing


def test_the_command_leaves_a_judge_and_its_accuracy(run_folder):
    judge = load_judge(run_folder)
    assert judge.read(np.zeros((1, 64, 64, 3), np.uint8)).attributes[0]["place"]
    accuracy = json.loads((run_folder / "accuracy.json").read_text())
    assert accuracy["pictures"] == 5
    for kind in ("drawn", "degraded"):
        assert accuracy[kind]["attributes"]["place"]["judged"] == 5
        assert 0 <= accuracy[kind]["foreground_iou"] <= 1
    lines = [json.loads(line) for line in (run_folder / "judge.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]


def test_an_interrupted_run_ends_like_an_uninterrupted_one(source, tmp_path):
    straight = JudgeTrainer(train.TOY, source, CPU)
    losses = [straight.step() for _ in range(4)]
    broken = JudgeTrainer(train.TOY, source, CPU)
    assert [broken.step() for _ in range(2)] == losses[:2]
    broken.save(tmp_path / "judge.pt")
    resumed = JudgeTrainer(train.TOY, source, CPU)
    resumed.load(tmp_path / "judge.pt")
    assert [resumed.step() for _ in range(2)] == losses[2:]
    for whole, part in (
        (straight.network, resumed.network),
        (straight.averaged(), resumed.averaged()),
    ):
        for name, value in whole.state_dict().items():
            assert torch.equal(value, part.state_dict()[name]), name


def test_training_lowers_the_losses(source):
    trainer = JudgeTrainer(replace(train.TOY, steps=40), source, CPU)
    losses = [trainer.step() for _ in range(40)]
    for name in ("parts", "foreground", "attributes"):
        before, after = (
            np.mean([step[name] for step in part]) for part in (losses[:8], losses[-8:])
        )
        assert after < 0.95 * before, name


def test_a_batch_is_decided_by_its_step(source):
    first, again, other = source.training(3, 2), source.training(3, 2), source.training(4, 2)
    for field in fields(first):
        assert torch.equal(getattr(first, field.name), getattr(again, field.name))
    assert first.images.shape != other.images.shape or not torch.equal(first.images, other.images)


def test_a_batch_has_the_identities_of_its_figures(source):
    for step in range(6):
        batch = source.training(step, 2)
        assert batch.figure.shape == (8, len(FIGURE_VALUES))
        for row, identity in enumerate(batch.identity.tolist()):
            if identity == UNKNOWN:
                continue
            assert batch.figures[row].any()
            same = (batch.identity == identity).nonzero().ravel().tolist()
            assert all(other // 2 == row // 2 for other in same)
        assert not (batch.figures & (batch.parts == 0)).any()


def test_degraded_pictures_differ_little_and_by_their_chance_alone():
    image = draw_group(0, "square")[0].image
    for seed in range(12):
        first, again = (degrade(image, np.random.default_rng(seed)) for _ in range(2))
        assert np.array_equal(first, again)
        assert first.shape == image.shape and first.dtype == np.uint8
        assert np.abs(first.astype(int) - image).mean() < 25


def test_labels_wobble_with_their_picture():
    labels = np.zeros((64, 80), np.uint8)
    labels[20:40, 30:50] = 200
    image = np.repeat(labels[..., None], 3, 2)
    bent, bent_labels = wobble(image, labels, np.random.default_rng(2), 3.0)
    assert not np.array_equal(bent_labels, labels)
    assert set(np.unique(bent_labels)) == {0, 200}
    assert ((bent[..., 0] > 100) == (bent_labels > 0)).mean() > 0.99
    still, still_labels = wobble(image, labels, np.random.default_rng(2), 0.0)
    assert np.array_equal(still, image) and np.array_equal(still_labels, labels)


def found_with(parts, foreground):
    return FinderOutput(parts, foreground, {}, torch.zeros(1, 1))


def test_part_loss_counts_figures_alone():
    truth = torch.zeros(1, 8, 8, dtype=torch.uint8)
    truth[:, 2:6, 2:6] = 2
    right = torch.zeros(1, 3, 4, 4)
    right[:, 1, 1:3, 1:3] = 50.0
    for step in range(4):
        assert part_loss(found_with(right, truth), truth, step).item() == pytest.approx(0)
        even = part_loss(found_with(torch.zeros(1, 3, 4, 4), truth), truth, step)
        assert even.item() == pytest.approx(math.log(3))


def test_outline_loss_of_certainty_is_nothing():
    truth = torch.zeros(1, 8, 8, dtype=torch.uint8)
    truth[:, 2:6, 2:6] = 2
    logits = torch.where(truth > 0, 50.0, -50.0)
    assert foreground_loss(found_with(truth, logits), truth).item() == pytest.approx(0)
    assert foreground_loss(found_with(truth, -logits), truth).item() == pytest.approx(50)


def test_identity_loss_in_closed_form():
    embedding = torch.eye(4)
    identity = torch.tensor([0, 0, UNKNOWN, UNKNOWN])
    assert identity_loss(embedding, identity).item() == pytest.approx(math.log(3))
    together = embedding[[0, 0, 2, 3]]
    expected = math.log(math.exp(10) + 2) - 10
    assert identity_loss(together, identity).item() == pytest.approx(expected, abs=1e-5)
    assert identity_loss(embedding, torch.full((4,), UNKNOWN)).item() == 0
