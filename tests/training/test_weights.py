"""Trained weights, their averages, and float32 weights of a bfloat16 module."""

import torch
from torch import nn

from training.weights import MasterWeights, TrainedWeights


def new_master(head=None):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    return MasterWeights(module, lambda name, _: name.startswith("0."), 0.01, 0.01, head=head)


def test_changes_too_small_for_bfloat16_add_up():
    master = new_master()
    before = {name: weight.detach().clone() for name, weight in master.values.items()}
    for _ in range(4):
        master.module(torch.ones(2, 8, dtype=torch.bfloat16)).float().sum().backward()
        master.update(1e-4, 0.5)
    for name, parameter in master.module.named_parameters():
        assert parameter.dtype == torch.bfloat16 and parameter.grad is None
        assert torch.equal(parameter, master.values[name].bfloat16())
        assert not torch.equal(master.values[name], before[name])
        between = (master.average[name] - before[name]).norm()
        assert 0 < between < (master.values[name] - before[name]).norm()


def test_the_average_is_given_to_another_module_in_its_own_type():
    master = new_master()
    master.module(torch.ones(2, 8, dtype=torch.bfloat16)).float().sum().backward()
    master.update(1.0, 0.9)
    other = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    master.copy_average_to(other)
    for name, parameter in other.named_parameters():
        assert torch.equal(parameter, master.average[name])


def test_a_head_learns_in_float32():
    head = nn.Linear(4, 1)
    master = new_master(head)
    before = head.weight.detach().clone()
    head(master.module(torch.ones(2, 8, dtype=torch.bfloat16)).float()).sum().backward()
    master.update(1.0, 0.9)
    assert head.weight.dtype == torch.float32 and head.weight.grad is None
    assert not torch.equal(head.weight, before)


def test_large_gradients_are_clipped_together():
    steps = []
    for factor in (1e2, 1e4):
        master = new_master()
        loss = master.module(torch.ones(2, 8, dtype=torch.bfloat16)).float().sum()
        (factor * loss).backward()
        master.update(1.0, 0.9)
        steps.append(master.values["1.weight"].detach())
    assert torch.allclose(*steps, rtol=1e-3)


def test_float32_weights_are_trained_in_place_and_averaged():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    weights = TrainedWeights(module.state_dict(), [torch.optim.SGD(module.parameters(), lr=1.0)])
    before = {name: value.clone() for name, value in module.state_dict().items()}
    module(torch.randn(8, 4)).square().sum().backward()
    gradient = module[0].weight.grad.clone()
    weights.update(0.5, 0.75)
    assert torch.equal(module[0].weight, before["0.weight"] - 0.5 * gradient)
    assert module[0].weight.grad is None
    after = module.state_dict()
    assert weights.average.keys() == after.keys() - {"1.num_batches_tracked"}
    for name, average in weights.average.items():
        assert torch.allclose(average, torch.lerp(before[name], after[name], 0.25)), name
