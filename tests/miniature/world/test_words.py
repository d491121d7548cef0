"""The file of the miniature's words: it is the current one, and prompts have no others."""

import json
import re
from pathlib import Path

import pytest

from miniature.model.tokens import sample_prompts
from miniature.world import vocabulary as v
from miniature.world import words
from pipelines.models.catalog import MINIATURE


def test_the_committed_file_is_the_current_one(tmp_path: Path) -> None:
    words.main(["--out", str(tmp_path / words.FILE_NAME)])
    written = (tmp_path / words.FILE_NAME).read_text(encoding="utf-8")
    assert Path(MINIATURE.vocabulary).read_text(encoding="utf-8") == written


@pytest.mark.parametrize("wordings", ["training", "held_out"])
def test_prompts_of_the_world_have_no_other_words(wordings: str) -> None:
    known = set(words.known_words()["words"])
    texts = [prompt.text for prompt in sample_prompts(2000, 3, wordings=wordings)]
    assert {word for text in texts for word in re.findall(r"[^\s,]+", text.lower())} <= known


def test_the_tokenizer_knows_every_word() -> None:
    tokenizer = json.loads((Path(MINIATURE.source) / "tokenizer_2/tokenizer.json").read_text())
    pieces = {piece for piece, _ in tokenizer["model"]["vocab"]}
    assert {f"▁{word}" for word in words.known_words()["words"]} <= pieces


def test_every_place_and_action_has_a_phrase() -> None:
    lists = words.known_words()
    assert len(set(lists["locations"])) == len(v.PLACES)
    assert len(set(lists["actions"])) == len(v.ACTIONS)
    phrases = [*lists["locations"], *lists["actions"]]
    assert {word for phrase in phrases for word in phrase.split()} <= set(lists["words"])
