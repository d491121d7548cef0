"""Intervals against closed forms, and the Fréchet distance against SciPy-free arithmetic."""

from __future__ import annotations

import math

import pytest
import torch

from evaluation.metrics.statistics import (
    Gaussian,
    Tally,
    difference,
    frechet,
    frechet_distance,
    mean,
)


def test_the_mean_is_over_observations_not_over_characters() -> None:
    found = mean(Tally.of([[1.0, 1.0, 1.0], [0.0]]))
    assert found is not None
    assert found.value == 0.75
    assert (found.low, found.high) == (0.0, 1.0)


def test_an_interval_is_as_wide_as_the_normal_approximation_says() -> None:
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(400, generator=generator, dtype=torch.float64)
    found = mean(Tally(values, torch.ones(400, dtype=torch.float64)))
    assert found is not None
    error = float(values.std()) / math.sqrt(400)
    assert found.value == pytest.approx(float(values.mean()))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_frames_of_one_character_do_not_count_as_independent() -> None:
    characters = [[float(number % 2)] for number in range(40)]
    repeated = [values * 25 for values in characters]
    assert mean(Tally.of(characters)) == mean(Tally.of(repeated))


def test_nothing_observed_gives_nothing() -> None:
    some, nothing = Tally.of([[1.0], [0.0]]), Tally.of([[], []])
    assert mean(nothing) is None
    assert difference(some, nothing) is None
    assert difference(nothing, some) is None


def test_a_character_without_observations_takes_no_part() -> None:
    found = mean(Tally.of([[1.0], [], [1.0]]))
    assert found is not None
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_a_difference_is_paired() -> None:
    generator = torch.Generator().manual_seed(2)
    hard = torch.rand(50, generator=generator, dtype=torch.float64)
    ones = torch.ones(50, dtype=torch.float64)
    found = difference(Tally(hard + 0.25, ones), Tally(hard, ones))
    assert found is not None
    for end in (found.value, found.low, found.high):
        assert end == pytest.approx(0.25)
    with pytest.raises(ValueError, match="50 characters cannot be paired with 1"):
        difference(Tally(hard, ones), Tally.of([[1.0]]))


def test_equal_arguments_give_equal_intervals() -> None:
    tally = Tally.of([[float(i % 3 == 0)] * 4 for i in range(30)])
    assert mean(tally) == mean(tally)


def test_a_tally_is_two_vectors_of_one_length() -> None:
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        Tally(torch.zeros(2), torch.zeros(3))


def test_the_distance_of_gaussians_with_diagonal_covariances_is_known() -> None:
    first = Gaussian(
        torch.tensor([0.0, 1.0]).double(), torch.diag(torch.tensor([4.0, 9.0])).double()
    )
    second = Gaussian(
        torch.tensor([3.0, 1.0]).double(), torch.diag(torch.tensor([1.0, 16.0])).double()
    )
    expected = 3**2 + (2 - 1) ** 2 + (3 - 4) ** 2
    assert frechet_distance(first, second) == pytest.approx(expected)
    assert frechet_distance(second, first) == pytest.approx(expected)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)


def test_the_distance_does_not_depend_on_the_axes() -> None:
    generator = torch.Generator().manual_seed(3)
    samples = torch.randn(2, 60, 5, generator=generator, dtype=torch.float64)
    samples[1] = samples[1] * torch.tensor([1, 2, 3, 1, 0.5]).double() + 1
    turn, _ = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))
    plain = frechet_distance(*(Gaussian.of(sample) for sample in samples))
    turned = frechet_distance(*(Gaussian.of(sample @ turn) for sample in samples))
    assert turned == pytest.approx(plain)


def test_fewer_samples_than_features_are_fine() -> None:
    samples = torch.randn(4, 16, generator=torch.Generator().manual_seed(4))
    few = Gaussian.of(samples)
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="1 samples"):
        Gaussian.of(samples[:1])


def test_nineteen_of_twenty_frechet_intervals_hold_the_true_distance() -> None:
    generator = torch.Generator().manual_seed(5)
    reference = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    held = 0
    for _ in range(40):
        samples = [torch.randn(10, 2, generator=generator) + 2.0 for _ in range(20)]
        found = frechet(samples, reference)
        assert found is not None
        assert found.low < found.value < found.high
        held += found.low < 8 < found.high
    assert 34 <= held <= 40  # 38 on average; fewer than 34 has a chance of one in fifty


def test_two_characters_are_too_few_for_a_jackknife() -> None:
    reference = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    assert frechet([torch.eye(2), torch.eye(2)], reference) is None
