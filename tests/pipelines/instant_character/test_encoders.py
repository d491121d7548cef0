"""The pictures that the encoders see, and what is taken from their layers."""

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.instant_character.config import EncoderConfig
from pipelines.instant_character.encoders import SubjectEncoders, picture_views
from tests.pipelines.tiny_character import ENCODERS, tiny_encoders


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def encoders():
    return tiny_encoders()


def test_crops_go_row_by_row():
    corners = np.zeros((56, 56, 3), dtype=np.uint8)
    corners[:28, 28:], corners[28:, :28], corners[28:, 28:] = 60, 120, 180
    views = picture_views(Image.fromarray(corners), ENCODERS)
    assert views.low.size == (28, 28)
    assert [np.asarray(crop)[8:20, 8:20].mean() for crop in views.crops] == [0, 60, 120, 180]


def test_an_oblong_picture_is_stretched():
    halves = np.zeros((80, 40, 3), dtype=np.uint8)
    halves[:, 20:] = 200
    seen = np.asarray(picture_views(Image.fromarray(halves), ENCODERS).low)
    assert np.array_equal(seen[:, 2], np.zeros((28, 3)))
    assert np.array_equal(seen[:, -3], np.full((28, 3), 200))


def test_other_modes_are_refused(encoders):
    with pytest.raises(ValueError, match="RGBA"):
        encoders([picture(30, 30).convert("RGBA")])
    with pytest.raises(ValueError, match="no pictures"):
        encoders([])


def test_the_features_are_the_chosen_layers(encoders):
    views = picture_views(picture(50, 40), ENCODERS)
    features = encoders([picture(50, 40)])
    with torch.no_grad():
        pixels = encoders.pixels([views.low])
        siglip = encoders.siglip(pixels[0], output_hidden_states=True)
        dino = encoders.dino(pixels[1], output_hidden_states=True)
        last = [
            torch.cat(
                [
                    encoders.siglip(pixels[0]).last_hidden_state,
                    encoders.dino(pixels[1]).last_hidden_state[:, 1:],
                ],
                dim=2,
            )
            for pixels in (encoders.pixels([crop]) for crop in views.crops)
        ]
    shallow = [
        torch.cat([siglip.hidden_states[i], dino.hidden_states[k][:, 1:]], dim=2)
        for i, k in ((1, 2), (3, 3))
    ]
    deep = torch.cat([siglip.last_hidden_state, dino.last_hidden_state[:, 1:]], dim=2)
    assert encoders.width == deep.shape[2] == 20
    torch.testing.assert_close(features.low_shallow, torch.cat(shallow, dim=1))
    torch.testing.assert_close(features.low_deep, deep)
    torch.testing.assert_close(features.high_deep, torch.cat(last, dim=1))


def test_several_pictures_are_encoded_as_each_alone(encoders):
    pictures = [picture(50, 40, 1), picture(30, 64, 2), picture(28, 28, 3)]
    together = encoders(pictures)
    assert together.pictures == 3
    for number, one in enumerate(pictures):
        alone = encoders([one])
        for name in ("low_shallow", "low_deep", "high_deep"):
            ours = getattr(together, name)[number : number + 1]
            torch.testing.assert_close(ours, getattr(alone, name), atol=1e-5, rtol=1e-5)


def test_a_layer_that_is_not_there_is_refused(encoders):
    parts = encoders.siglip, encoders.dino, encoders.siglip_processor, encoders.dino_processor
    with pytest.raises(ValueError, match="hidden state 5 of a DINOv2 with 4 layers"):
        SubjectEncoders(*parts, EncoderConfig(siglip_layers=(1,), dino_layers=(5,)))
    with pytest.raises(ValueError, match="2 layers of SigLIP .* 1 of DINOv2"):
        EncoderConfig(siglip_layers=(1, 2), dino_layers=(1,))
