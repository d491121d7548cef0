"""Words that a model knows, read from a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.errors import ModelError
from pipelines.models.catalog import FLUX1_DEV, MINIATURE
from pipelines.models.vocabulary import read_vocabulary


def test_the_miniature_knows_some_words_and_flux_the_language() -> None:
    known = MINIATURE.known_words
    assert known is not None and FLUX1_DEV.known_words is None
    assert {"beach", "waving", "girl"} <= set(known.words)
    assert "on a sunny beach" in known.locations and "reading a book" in known.actions


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"words": [], "locations": [], "actions": [1]}', "\xff"]
)
def test_a_damaged_file_is_reported(tmp_path: Path, text: str) -> None:
    path = tmp_path / "words.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match=r"words\.json.* Copy it again\.") as caught:
        read_vocabulary(path, "Copy it again.")
    assert caught.value.reason == "broken"
    with pytest.raises(ModelError, match="cannot be read"):
        read_vocabulary(tmp_path / "none.json", "")
