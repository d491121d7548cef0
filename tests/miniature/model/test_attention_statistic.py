"""The recorded attention is FLUX's own, and the statistic is the published one."""

import pytest
import torch

from miniature.model.attention_statistic import attention_loss, foreground_scores, record_attention
from miniature.model.batches import token_positions
from miniature.model.recipe import TOY
from miniature.model.transformer import build_transformer

TEXT = 12


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return [3 * torch.randn(2, 4, 9, TEXT, generator=generator) for _ in range(3)]


def test_recording_does_not_change_the_model():
    torch.manual_seed(0)
    model = build_transformer(TOY.sizes).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    inputs = {
        "hidden_states": torch.randn(2, 256, 64),
        "timestep": torch.tensor([0.3, 0.9]),
        "guidance": torch.ones(2),
        "pooled_projections": torch.randn(2, 32),
        "encoder_hidden_states": torch.randn(2, TEXT, 32),
        "txt_ids": torch.zeros(TEXT, 3),
        "img_ids": token_positions(16, 16),
        "return_dict": False,
    }
    with torch.no_grad():
        stock = model(**inputs)[0]
        records = record_attention(model, TEXT)
        recorded = model(**inputs)[0]
    assert torch.allclose(stock, recorded, atol=1e-5 * stock.abs().max().item())
    assert len(records) == TOY.sizes.single_blocks
    assert all(r.logits.shape == (2, TOY.sizes.heads, 256, TEXT) for r in records)


def test_scores_are_the_published_statistic(logits):
    lengths = torch.tensor([[4, 10], [2, 7]])
    scores = foreground_scores(logits, lengths)
    for sample, (background_end, end) in enumerate(lengths.tolist()):
        backgrounds, characters = [], []
        for block in logits:
            weights = block[sample, :, :, :end].softmax(-1).sum(0)
            backgrounds.append(weights[:, :background_end].mean(1))
            characters.append(weights[:, background_end:].mean(1))
        for number in range(3):
            slow = (characters[number] / backgrounds[number]).log()
            assert torch.allclose(scores[number, sample], slow, atol=1e-5)
        whole = (sum(characters) / sum(backgrounds)).log()
        assert torch.allclose(scores[-1, sample], whole, atol=1e-5)


def test_padding_does_not_matter(logits):
    lengths = torch.tensor([[4, 10], [2, 7]])
    padded = [block.clone() for block in logits]
    for block in padded:
        block[0, :, :, 10:] += 5
        block[1, :, :, 7:] -= 5
    assert torch.equal(foreground_scores(logits, lengths), foreground_scores(padded, lengths))


def test_the_loss_is_small_where_words_attend_to_what_they_name():
    foreground = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    lengths = torch.tensor([[2, 5]])
    right = torch.zeros(1, 2, 4, 6)
    right[:, :, :2, 2:5] = 6
    right[:, :, 2:, :2] = 6
    used = torch.tensor([True])
    good = attention_loss([right], lengths, foreground, used)
    bad = attention_loss([right.flip(2)], lengths, foreground, used)
    assert good < 0.05
    assert bad > 4


def test_samples_that_are_not_used_do_not_count(logits):
    foreground = torch.rand(2, 9, generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([[4, 10], [0, 0]])
    first = attention_loss(
        [block[:1] for block in logits], lengths[:1], foreground[:1], torch.tensor([True])
    )
    both = attention_loss(logits, lengths, foreground, torch.tensor([True, False]))
    assert torch.allclose(first, both)
    assert attention_loss(logits, lengths, foreground, torch.tensor([False, False])) == 0
