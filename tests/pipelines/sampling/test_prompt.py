"""Text lengths: CharaConsist's rule, also where the text is cut off."""

import pytest

from pipelines.request import Prompt
from pipelines.sampling.prompt import text_lengths, unread_words
from tests.pipelines.tiny import tiny_pipeline


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_pipeline().tokenizer_2


@pytest.mark.parametrize(
    ("prompt", "background", "real"),
    [
        (Prompt("on the beach", "a girl", "runs"), 3, 6),
        (Prompt("on the beach ", " a girl", " runs "), 3, 6),
        (Prompt("", "a girl", "runs"), 0, 3),
        (Prompt("on the beach", "", ""), 3, 3),
    ],
)
def test_parts_are_counted_in_tokens_without_the_end(tokenizer, prompt, background, real):
    lengths = text_lengths(tokenizer, prompt, 24)
    assert (lengths.background, lengths.real) == (background, real)
    assert unread_words(tokenizer, prompt, 24) == ""


def test_a_text_that_is_cut_off(tokenizer):
    prompt = Prompt("on the beach", "a girl in a red hat", "runs")
    lengths = text_lengths(tokenizer, prompt, 6)
    assert (lengths.background, lengths.real) == (3, 5)
    assert unread_words(tokenizer, prompt, 6) == "in a red hat runs"
    lengths = text_lengths(tokenizer, prompt, 3)
    assert (lengths.background, lengths.real) == (2, 2)
