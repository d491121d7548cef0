"""Words that the miniature's prompts are made of, as a file for whoever writes prompts.

    python -m miniature.world.words --out assets/miniature/words.json

Its lists:
    words: every word of a prompt of the world, in lower case, and the words without a meaning in
        a picture that the tokenizers know.
    locations: one phrase for each place.
    actions: one phrase for each action.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from miniature.world import vocabulary as v
from miniature.world import wordings as w

FILE_NAME = "words.json"


def known_words() -> dict[str, list[str]]:
    """Return the lists of the file."""
    words = {word for phrase in w.every_phrase() for word in re.findall(r"[^\s,]+", phrase)}
    return {
        "words": sorted({word.lower() for word in words}),
        "locations": [heads[0] for heads, _ in v.PLACE_WORDS.values()],
        "actions": [w.ACTION_WORDS[action][0] for action in v.ACTIONS],
    }


def save_words(path: Path) -> None:
    """Write the file."""
    path.write_text(json.dumps(known_words(), indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; see the module."""
    parser = argparse.ArgumentParser(description="Write the words that the miniature knows.")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    save_words(parser.parse_args(arguments).out)


if __name__ == "__main__":
    main()
