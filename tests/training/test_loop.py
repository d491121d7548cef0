"""The training loop: its steps, its log, and a continuation that ends like one run."""

import json
import weakref

import pytest
import torch
from torch import nn

from training.budget import TrainingSchedule
from training.loop import Trainer, train_until_done
from training.weights import TrainedWeights

SCHEDULE = TrainingSchedule(
    minutes=1.0,
    steps=6,
    batch=4,
    warmup=2,
    cooldown=0.5,
    log_every=2,
    checkpoint_every=0.0,
    ema_decay=0.9,
)


class LineTrainer(Trainer):
    """Trainer of a line that can be interrupted before a step."""

    def __init__(self, stop=None, **loss_weights):
        torch.manual_seed(0)
        self.line, self.stop = nn.Linear(2, 1), stop
        optimizer = torch.optim.AdamW(self.line.parameters(), lr=0.1)
        weights = TrainedWeights(self.line.state_dict(), [optimizer], self.line.parameters())
        super().__init__(SCHEDULE, weights, loss_weights=loss_weights)

    def step_losses(self):
        if self.budget.step == self.stop:
            raise KeyboardInterrupt
        generator = torch.Generator().manual_seed(self.budget.step)
        inputs = torch.randn(4, 2, generator=generator)
        errors = self.line(inputs).squeeze(1) - inputs.sum(1)
        return {"squares": errors.square().mean(), "sizes": errors.abs().mean()}


def test_an_interrupted_run_ends_like_an_uninterrupted_one(tmp_path):
    straight, resumed = LineTrainer(), LineTrainer()
    train_until_done(straight, tmp_path, "straight")
    with pytest.raises(KeyboardInterrupt):
        train_until_done(LineTrainer(stop=3), tmp_path, "resumed")
    train_until_done(resumed, tmp_path, "resumed")
    assert straight.budget.step == resumed.budget.step == SCHEDULE.steps
    for name, value in straight.weights.values.items():
        assert torch.equal(value, resumed.weights.values[name])
        assert torch.equal(straight.weights.average[name], resumed.weights.average[name])


def test_the_log_has_means_of_the_losses_and_what_a_report_measures(tmp_path):
    other = LineTrainer()
    losses = [other.step()["squares"].item() for _ in range(6)]
    trainer = LineTrainer()
    train_until_done(trainer, tmp_path, "line", lambda: {"measured": 1.0})
    lines = [json.loads(line) for line in (tmp_path / "line.jsonl").read_text().splitlines()]
    logged = [line for line in lines if "squares" in line]
    assert [line["step"] for line in logged] == [2, 4, 6]
    assert [line["seen"] for line in logged] == [8, 16, 24]
    assert logged[1]["squares"] == pytest.approx((losses[2] + losses[3]) / 2, rel=1e-4)
    assert sum("measured" in line for line in lines) == 6


def test_losses_add_up_by_their_weights():
    trainer, other = LineTrainer(squares=3.0, sizes=0.0), LineTrainer()
    (3 * other.step_losses()["squares"]).backward()
    expected = other.line.weight.grad.clone()
    found = []
    trainer.line.weight.register_post_accumulate_grad_hook(lambda w: found.append(w.grad.clone()))
    trainer.step()
    assert torch.equal(found[0], expected)


def test_the_rate_rises_stays_and_falls():
    trainer = LineTrainer()
    rates = []
    for _ in range(6):
        rates.append(trainer.rate())
        trainer.step()
    assert rates[0] == 0.5 and rates[1:4] == [1.0, 1.0, 1.0]
    assert 1 > rates[4] > rates[5] > 0.02


def test_a_process_that_does_not_log_keeps_no_losses(tmp_path):
    trainer, losses, alive = LineTrainer(), [], []
    step, trainer.rank = trainer.step, 1

    def watched_step():
        alive.append(sum(loss() is not None for loss in losses))
        found = step()
        losses.extend(weakref.ref(loss) for loss in found.values())
        return found

    trainer.step = watched_step
    train_until_done(trainer, tmp_path, "line")
    assert len(alive) == 6 and max(alive) <= 2  # those of the last step
