"""A subject's folder: what is saved is what is loaded, and nothing else is taken."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image
from transformers import (
    BitImageProcessorPil,
    Dinov2Config,
    Dinov2Model,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from pipelines.instant_character.adapters import SubjectAdapters
from pipelines.instant_character.bundle import (
    CONFIGURATION,
    FAMILIARITY,
    SubjectBundle,
    load_bundle,
    save_bundle,
)
from pipelines.instant_character.checkpoint import CheckpointError, InstantCharacter
from pipelines.instant_character.config import EncoderConfig, ProjectorConfig
from pipelines.instant_character.encoders import SubjectEncoders
from pipelines.instant_character.familiarity import fit_familiarity, summary
from pipelines.instant_character.projector import SubjectProjector
from tests.pipelines.tiny import tiny_transformer

PROJECTOR = ProjectorConfig(
    width=16, blocks=1, heads=2, head_dim=8, resampler_width=8, resampler_layers=1,
    resampler_heads=2, resampler_head_dim=4, time_channels=4, queries=3, token_width=8,
    use_region=False,
)  # fmt: skip
ENCODERS = EncoderConfig(siglip_layers=(1,), dino_layers=(2,), side=16)


@pytest.fixture(scope="module")
def transformer():
    return tiny_transformer()


@pytest.fixture
def bundle(transformer):
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "patch_size": 8}
    siglip = SiglipVisionConfig(**sizes, image_size=16, intermediate_size=8, vision_use_head=False)
    encoders = SubjectEncoders(
        SiglipVisionModel(siglip),
        Dinov2Model(Dinov2Config(**sizes, image_size=16, use_mask_token=False)),
        SiglipImageProcessorPil(),
        BitImageProcessorPil(image_mean=[0.4, 0.5, 0.6]),
        ENCODERS,
    )
    weights = InstantCharacter(
        SubjectProjector(PROJECTOR),
        SubjectAdapters.for_transformer(transformer, PROJECTOR.token_width),
    )
    return SubjectBundle(encoders, weights, fit_familiarity(torch.randn(20, 4), 1.5))


def test_a_bundle_comes_back_as_it_was_saved(bundle, transformer, tmp_path):
    save_bundle(tmp_path, bundle)
    loaded = load_bundle(tmp_path, transformer)
    assert loaded.encoders.config == ENCODERS
    assert loaded.weights.projector.config == PROJECTOR
    assert list(loaded.encoders.dino_processor.image_mean) == [0.4, 0.5, 0.6]
    assert loaded.familiarity is not None and loaded.familiarity.bound == 1.5
    for ours, theirs in (
        (bundle.encoders, loaded.encoders),
        (bundle.weights.projector, loaded.weights.projector),
        (bundle.weights.adapters, loaded.weights.adapters),
    ):
        state = theirs.state_dict()
        for name, value in ours.state_dict().items():
            assert state[name].dtype == transformer.dtype
            assert torch.equal(state[name], value.float()), name
        assert not any(parameter.requires_grad for parameter in theirs.parameters())
        assert not theirs.training


def test_bounds_are_optional(bundle, transformer, tmp_path):
    save_bundle(tmp_path, bundle)
    (tmp_path / FAMILIARITY).unlink()
    loaded = load_bundle(tmp_path, transformer)
    assert loaded.familiarity is None
    assert not loaded.doubt(loaded.encoders([Image.new("RGB", (16, 16), "red")]))


@pytest.mark.parametrize(("bound", "words"), [(1e6, ""), (0.0, "unlike the drawings")])
def test_a_picture_beyond_the_bound_is_doubted(bundle, bound, words):
    features = bundle.encoders([Image.new("RGB", (16, 16), "red")])
    summaries = torch.randn(80, summary(features).shape[1])
    bounded = replace(bundle, familiarity=fit_familiarity(summaries, bound))
    doubt = bounded.doubt(features)
    assert words in doubt and bool(words) == bool(doubt)


def test_weights_of_other_sizes_are_refused(bundle, transformer, tmp_path):
    save_bundle(tmp_path, bundle)
    sizes = json.loads((tmp_path / CONFIGURATION).read_text())
    sizes["projector"]["queries"] = 4
    (tmp_path / CONFIGURATION).write_text(json.dumps(sizes))
    with pytest.raises(CheckpointError, match="resampler.latents is"):
        load_bundle(tmp_path, transformer)
