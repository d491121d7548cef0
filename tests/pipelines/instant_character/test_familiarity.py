"""Familiar pictures: distances of a distribution that is known."""

from __future__ import annotations

import pytest
import torch

from pipelines.instant_character.encoders import SubjectFeatures
from pipelines.instant_character.familiarity import (
    Familiarity,
    fit_familiarity,
    load_familiarity,
    summary,
)


def features(deep, shallow):
    return SubjectFeatures(low_shallow=shallow, low_deep=deep, high_deep=deep)


def test_a_summary_is_of_means_and_deviations_over_tokens():
    deep = torch.tensor([[[1.0, 0.0], [3.0, 0.0]]])
    shallow = torch.tensor([[[2.0, 5.0], [2.0, 5.0], [5.0, 5.0]]])
    expected = [2.0, 0.0, 2**0.5, 0.0, 3.0, 5.0, 3**0.5, 0.0]
    assert torch.allclose(summary(features(deep, shallow)), torch.tensor([expected]))


def test_distances_do_not_ask_how_wide_a_direction_is():
    """As far out along a wide direction as along a narrow one, each in its own deviations."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor([10.0, 8.0, 5.0])
    known = torch.randn(4000, 3, generator=generator) * scales + 7
    found = fit_familiarity(known, 2.0)
    distances = found.distance(known)
    assert abs(distances.square().mean().item() - 1) < 0.1
    for direction, scale in enumerate(scales):
        far = torch.full((1, 3), 7.0)
        far[0, direction] += 6 * scale
        assert abs(found.distance(far).item() - 6 / 3**0.5) < 0.35


def test_a_direction_that_nobody_varies_in_is_no_division_by_zero():
    known = torch.zeros(50, 2)
    known[:, 0] = torch.linspace(-1, 1, 50)
    found = fit_familiarity(known, 1.0)
    assert torch.isfinite(found.distance(known)).all()
    assert found.distance(torch.tensor([[0.0, 1.0]])).item() > 3


def test_the_bound_decides_and_is_kept_on_disk(tmp_path):
    generator = torch.Generator().manual_seed(1)
    deep = torch.randn(200, 6, 2, generator=generator)
    pictures = features(deep, deep)
    fitted = fit_familiarity(summary(pictures), float("inf"))
    distances = fitted.distance(summary(pictures))
    found = fit_familiarity(summary(pictures), distances.quantile(0.9).item())
    assert abs(found.knows(pictures).float().mean().item() - 0.9) < 0.01
    found.save(tmp_path / "familiarity.safetensors")
    loaded = load_familiarity(tmp_path / "familiarity.safetensors")
    assert loaded.bound == torch.tensor(found.bound).item()
    assert torch.allclose(loaded.distance(summary(pictures)), distances, rtol=0.01)
    assert not loaded.knows(features(deep * 5, deep * 5)).any()


def test_a_distribution_that_is_no_number_is_refused(tmp_path):
    file = tmp_path / "familiarity.safetensors"
    Familiarity(torch.zeros(2), torch.full((2, 2), float("nan")), 1.0).save(file)
    with pytest.raises(ValueError, match="no numbers"):
        load_familiarity(file)
