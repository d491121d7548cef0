"""A subject works everything out once, and gives what working it out every time gives."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F

from pipelines.instant_character.adapters import HeadNorm, Subject, SubjectTokens
from pipelines.instant_character.projector import SubjectProjector
from tests.pipelines.tiny import tiny_transformer
from tests.pipelines.tiny_character import PROJECTOR, tiny_character, tiny_features

HEADS, DIM, BLOCKS = 2, 16, 6


@pytest.fixture(scope="module")
def character():
    return tiny_character(tiny_transformer())


def timestep(value: float) -> torch.Tensor:
    return torch.tensor([value])


def plain_term(character, block, query, tokens, scale):
    """The formula, without any of our classes' methods."""
    adapter = character.adapters[block]

    def norm(heads, scale):
        return scale * heads / ((heads**2).mean(-1, keepdim=True).sqrt() + 1e-6)

    def heads(channels):
        return channels.view(*channels.shape[:2], HEADS, DIM).transpose(1, 2)

    key = norm(heads(adapter.to_k_ip(tokens)), adapter.norm_ip_k.scale)
    value = heads(adapter.to_v_ip(tokens))
    weights = norm(query.transpose(1, 2), adapter.norm_ip_q.scale) @ key.transpose(2, 3)
    seen = F.softmax(weights / DIM**0.5, dim=-1) @ value
    return scale * seen.transpose(1, 2).flatten(2)


def test_the_norms_epsilon_is_outside_the_root():
    heads = torch.tensor([[3e-6, 4e-6]])
    root = torch.tensor(12.5).sqrt() * 1e-6
    torch.testing.assert_close(HeadNorm(2)(heads), heads / (root + 1e-6))


@pytest.mark.parametrize("pictures", [1, 3])
def test_a_subjects_term_is_the_formulas(character, pictures):
    tokens = character.tokens(tiny_features(pictures))
    subject = Subject(character.adapters, tokens, 0.7)
    query = torch.randn(3, 9, HEADS, DIM)
    for value in (900.0, 30.0):
        subject.begin_step(timestep(value))
        for block in range(BLOCKS):
            expected = plain_term(character, block, query, tokens(timestep(value)), 0.7)
            torch.testing.assert_close(subject.attend(block, query), expected)


def test_as_many_pictures_as_frames_or_one(character):
    subject = character.subject(tiny_features(2))
    subject.begin_step(timestep(5.0))
    with pytest.raises(ValueError, match="2 subject pictures for a batch of 3"):
        subject.attend(0, torch.randn(3, 9, HEADS, DIM))


def test_a_subject_needs_its_first_step(character):
    subject = character.subject(tiny_features())
    with pytest.raises(RuntimeError, match="first step"):
        subject.attend(0, torch.randn(1, 9, HEADS, DIM))


class CountingProjector(SubjectProjector):
    """Counts its calls."""

    def __init__(self, config):
        super().__init__(config)
        self.calls = Counter()

    def prepare(self, features):
        self.calls["prepare"] += 1
        return super().prepare(features)

    def tokens(self, prepared, timestep):
        self.calls["tokens"] += 1
        return super().tokens(prepared, timestep)


def test_tokens_are_worked_out_once_a_timestep_for_all_subjects(character):
    projector = CountingProjector(PROJECTOR).requires_grad_(False)
    tokens = SubjectTokens(projector, tiny_features())
    steps = [timestep(value) for value in (1000.0, 700.0, 200.0)]
    terms = []
    for scale in (0.8, 0.8, 1.6):  # frames, the last of another strength
        subject = Subject(character.adapters, tokens, scale)
        for step in steps:
            subject.begin_step(step)
            terms.append(subject.attend(3, torch.ones(1, 9, HEADS, DIM)))
    assert projector.calls == {"prepare": 1, "tokens": 3}
    first, second, third = terms[:3], terms[3:6], terms[6:]
    for one, other, doubled in zip(first, second, third, strict=True):
        assert torch.equal(one, other)
        torch.testing.assert_close(doubled, 2 * one)
    assert not torch.equal(first[0], first[1])


def test_a_timeless_resampler_runs_once(character):
    config = tiny_character(tiny_transformer()).projector.config
    projector = CountingProjector(type(config)(**{**vars(config), "use_time": False}))
    tokens = SubjectTokens(projector, tiny_features())
    assert tokens(timestep(1000.0)) is tokens(timestep(3.0))
    assert projector.calls == {"prepare": 1, "tokens": 1}


def test_keys_and_values_are_worked_out_once_a_step_and_block(character):
    subject = character.subject(tiny_features())
    counted = Counter()
    hooks = [
        layer.register_forward_hook(lambda module, *_, key=(block, name): counted.update([key]))
        for block, adapter in enumerate(character.adapters)
        for name, layer in (("key", adapter.to_k_ip), ("value", adapter.to_v_ip))
    ]
    for step in (1000.0, 700.0):
        subject.begin_step(timestep(step))
        for _ in ("prompt", "negative prompt"):
            for block in range(BLOCKS):
                subject.attend(block, torch.randn(4, 9, HEADS, DIM))
    for hook in hooks:
        hook.remove()
    assert set(counted.values()) == {2}
    assert len(counted) == 2 * BLOCKS
