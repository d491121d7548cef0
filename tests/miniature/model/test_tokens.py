"""The shipped and freshly made tokenizers: no word of the world is lost."""

from dataclasses import replace

import pytest

from miniature.model.sample import DEFAULT_MODEL
from miniature.model.tokens import load_tokenizers, sample_prompts, train_tokenizers
from miniature.world.prompts import ScenePrompt
from miniature.world.spec import WHOLE
from miniature.world.wordings import NEUTRAL_WORDS

UNKNOWN = 2  # T5's <unk>


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizers")
    train_tokenizers(folder, text_tokens=64, prompts=300)
    return load_tokenizers(folder, 64)


@pytest.fixture(scope="module", params=["shipped", "made"])
def tokenizers(request, made):
    return made if request.param == "made" else load_tokenizers(DEFAULT_MODEL, 64)


def test_every_word_is_kept(tokenizers):
    for prompt in sample_prompts(300, seed=77):
        ids = tokenizers.t5(prompt.text).input_ids
        assert UNKNOWN not in ids
        assert tokenizers.t5.decode(ids, skip_special_tokens=True) == prompt.text
        clip = tokenizers.clip(prompt.text).input_ids
        kept = tokenizers.clip.decode(clip, skip_special_tokens=True)
        assert kept.replace(" ", "") == prompt.text.replace(" ", "")


@pytest.mark.parametrize("wordings", ["training", "held_out"])
def test_few_prompts_are_enough_to_know_every_word(tmp_path, wordings):
    train_tokenizers(tmp_path, text_tokens=64, prompts=10)
    known = load_tokenizers(tmp_path, 64).t5.get_vocab()
    prompts = sample_prompts(5000, seed=80, wordings=wordings)
    words = {word for prompt in prompts for word in prompt.text.replace(",", " ").split()}
    assert words <= {piece.removeprefix("▁") for piece in known if piece.startswith("▁")}
    assert all("▁" + word in known for word in NEUTRAL_WORDS)
    assert len(NEUTRAL_WORDS) == len(set(NEUTRAL_WORDS)) <= 80


def test_prompts_of_a_smaller_world_stay_in_it():
    world = replace(WHOLE, kinds=("robot",), empty_share=0.0, pair_share=0.0)
    for prompt in sample_prompts(50, seed=81, world=world):
        assert "robot" in prompt.character or "android" in prompt.character


def test_prompts_fit_into_the_sequence(made):
    prompts = sample_prompts(1000, seed=78)
    assert max(len(made.t5(prompt.text).input_ids) for prompt in prompts) <= 64


def test_unknown_words_fall_apart_into_characters(tokenizers):
    ids = tokenizers.t5("a wizard named Zyx").input_ids
    assert UNKNOWN not in ids
    assert tokenizers.t5.decode(ids, skip_special_tokens=True) == "a wizard named Zyx"


def test_the_background_is_a_prefix_of_the_prompt(made):
    prompts = sample_prompts(100, seed=79)
    for prompt, (background, whole) in zip(prompts, made.group_lengths(prompts), strict=True):
        ids = made.t5(prompt.text).input_ids
        assert len(ids) == whole + 1
        assert ids[:background] == made.t5(prompt.background + " ").input_ids[:-1]


def test_the_empty_prompt_has_no_words(tokenizers):
    assert tokenizers.group_lengths([ScenePrompt("")]).tolist() == [[0, 0]]
    assert tokenizers.t5_ids([""]).tolist() == [[1] + [0] * 63]
