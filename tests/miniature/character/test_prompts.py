"""Prompts beside a reference: what they leave out, and how often."""

import numpy as np
import pytest

from miniature.character.cast import character_scenes
from miniature.character.prompts import prompt_beside_reference
from miniature.character.recipe import CAST_WORLD
from miniature.world.looks import LOOK_NAMES
from miniature.world.prompts import write_prompt
from miniature.world.scene import prompt_for


@pytest.fixture(scope="module")
def specs():
    return [spec for seed in range(0, 900, 10) for spec in character_scenes(seed, 2, CAST_WORLD)]


def unsaid(spec):
    """Looks that a prompt for this scene could leave out."""
    return {name for name in LOOK_NAMES if getattr(spec.figures[0].character, name) != "none"}


def test_the_first_wording_says_the_kind_and_no_more(specs):
    for seed, spec in enumerate(specs):
        prompt = prompt_beside_reference(spec, seed)
        assert prompt.hidden >= unsaid(spec)
        assert "kind" not in prompt.hidden and prompt.character and prompt.action


def test_other_wordings_say_nothing_little_or_as_much_as_always(specs):
    prompts = [(s, prompt_beside_reference(s, k, 1 + k % 3)) for k, s in enumerate(specs)]
    bare = sum(p.hidden >= unsaid(s) for s, p in prompts) / len(prompts)
    nameless = sum(not p.character for _, p in prompts) / len(prompts)
    assert 0.45 < bare < 0.8
    assert 0.02 < nameless < 0.2
    for _, prompt in prompts:
        if not prompt.character:
            assert "kind" in prompt.hidden
            assert prompt.text == f"{prompt.background} {prompt.action}"


def test_wordings_depend_on_seed_and_number_alone(specs):
    one, again, other, elsewhere = (
        prompt_beside_reference(specs[0], seed, variant)
        for seed, variant in ((5, 2), (5, 2), (5, 3), (6, 2))
    )
    assert one == again
    assert len({one.text, other.text, elsewhere.text}) > 1


def test_no_brevity_changes_no_prompt(specs):
    """The prompts that the miniature is trained on stay as they are."""
    for seed, spec in enumerate(specs[:30]):
        rng = np.random.default_rng((seed, 1, 0))
        assert prompt_for(spec, seed) == write_prompt(spec, rng, brevity=0.0)


def test_brevity_leaves_the_place_its_words(specs):
    """Only the character gets fewer words."""
    lengths = [
        [
            len(write_prompt(spec, np.random.default_rng(seed), brevity=brevity).background)
            for seed, spec in enumerate(specs)
        ]
        for brevity in (0.0, 1.0)
    ]
    assert abs(np.mean(lengths[0]) - np.mean(lengths[1])) < 2
