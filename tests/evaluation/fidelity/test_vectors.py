"""A frequency that another processor rounded otherwise is found, and nothing else is changed."""

import torch

from evaluation.fidelity.vectors import TimeWaves
from tests.pipelines.tiny import tiny_transformer


def embedded(transformer) -> torch.Tensor:
    """The time embedding at the first step, with the strongest guidance."""
    numbers = torch.tensor([1000.0]), torch.tensor([3500.0]), torch.ones(1, 16)
    with torch.no_grad():
        return transformer.time_text_embed(*numbers)


def test_before_a_fit_the_waves_are_the_stock_ones():
    transformer = tiny_transformer()
    stock = embedded(transformer)
    waves = TimeWaves(transformer)
    assert torch.equal(embedded(transformer), stock)
    waves.fit(lambda: embedded(transformer), stock)
    assert waves.changed == []


def test_the_recorded_roundings_are_found():
    transformer = tiny_transformer()
    recording = TimeWaves(transformer)
    planted = list(recording._others)[:2]
    assert 2 <= len(recording._others) <= 30
    stock = recording.frequencies.clone()
    for index in planted:
        recording.frequencies[index] = recording._others[index]
    recorded = embedded(transformer)
    assert not torch.equal(recorded, embedded(tiny_transformer()))

    again = tiny_transformer()
    waves = TimeWaves(again)
    waves.fit(lambda: embedded(again), recorded)
    assert sorted(waves.changed) == planted
    assert torch.equal(waves.frequencies, recording.frequencies)
    assert torch.equal(embedded(again), recorded)
    units = (waves.frequencies - stock).abs() / stock
    assert units.max() < 2**-22
