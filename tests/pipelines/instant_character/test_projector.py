"""The projector: its two halves are the whole, its timesteps, its parts and its published names."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.instant_character.adapters import SubjectAdapters
from pipelines.instant_character.projector import SubjectProjector
from tests.pipelines.tiny_character import PROJECTOR, tiny_features

KEYS = Path(__file__).resolve().parents[2] / "data" / "instantcharacter" / "published_keys.json"


def tiny_projector(**parts: bool) -> SubjectProjector:
    torch.manual_seed(4)
    return SubjectProjector(replace(PROJECTOR, **parts)).eval().requires_grad_(False)


def test_both_halves_are_the_whole():
    projector, features = tiny_projector(), tiny_features(2)
    prepared = projector.prepare(features)
    for timestep in (1000.0, 412.5, 0.0):
        assert torch.equal(projector.tokens(prepared, timestep), projector(features, timestep))
    assert projector(features, 3.0).shape == (2, PROJECTOR.queries, PROJECTOR.token_width)


def test_a_timestep_may_be_a_number_or_a_tensor():
    projector, features = tiny_projector(), tiny_features(2)
    expected = projector(features, 625.0)
    for timestep in (625, torch.tensor(625.0), torch.tensor([625.0]), torch.full((2,), 625.0)):
        assert torch.equal(projector(features, timestep), expected)
    assert not torch.allclose(projector(features, 0.625), expected, atol=1e-2)


def test_every_picture_may_have_its_own_timestep():
    projector, features = tiny_projector(), tiny_features(2)
    together = projector(features, torch.tensor([875.0, 12.5]))
    torch.testing.assert_close(together[0], projector(features, 875.0)[0])
    torch.testing.assert_close(together[1], projector(features, 12.5)[1])
    with pytest.raises(ValueError, match="3 timesteps for 2 pictures"):
        projector(features, torch.zeros(3))


@pytest.mark.parametrize("use_low_level", [True, False])
@pytest.mark.parametrize("use_region", [True, False])
def test_an_encoder_that_is_left_out_is_not_there_and_reads_nothing(use_low_level, use_region):
    projector = tiny_projector(use_low_level=use_low_level, use_region=use_region)
    names = projector.state_dict()
    assert any("cross_layer" in name for name in names) == use_low_level
    assert any("cross_scale" in name for name in names) == use_region
    features, other = tiny_features(seed=0), tiny_features(seed=1)
    for part, is_read in (
        ("low_shallow", use_low_level),
        ("high_deep", use_region),
        ("low_deep", True),
    ):
        changed = replace(features, **{part: getattr(other, part)})
        same = torch.equal(projector(features, 500.0), projector(changed, 500.0))
        assert same != is_read
    tokens = 4 * (2 if use_low_level else 1)
    assert projector.combine(features).shape == (1, tokens, PROJECTOR.width)


def test_a_resampler_that_knows_no_time_gives_the_same_at_every_step():
    timed, timeless = tiny_projector(), tiny_projector(use_time=False)
    features = tiny_features()
    assert torch.equal(timeless(features, 1000.0), timeless(features, 10.0))
    assert not torch.equal(timed(features, 1000.0), timed(features, 10.0))
    missing = set(timed.state_dict()) - set(timeless.state_dict())
    assert not set(timeless.state_dict()) - set(timed.state_dict())
    layers = {f"resampler.layers.{i}.2.1.{part}" for i in (0, 1) for part in ("weight", "bias")}
    time = "resampler.time_embedding."
    assert missing == layers | {name for name in timed.state_dict() if name.startswith(time)}


def test_the_published_names_and_shapes_are_ours():
    published = json.loads(KEYS.read_text("utf-8"))
    with torch.device("meta"):
        ours = {
            "ip_adapter": SubjectAdapters.of_size(19 + 38, 24, 128, 4096),
            "image_proj": SubjectProjector(),
        }
    for group, module in ours.items():
        shapes = {name: list(tensor.shape) for name, tensor in module.state_dict().items()}
        assert shapes == published[group]
    parameters = sum(p.numel() for module in ours.values() for p in module.parameters())
    assert parameters == 2_794_932_864
