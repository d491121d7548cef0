"""Prompts for scenes: three parts in many wordings, with attributes left out at random.

A prompt is always `background + " " + character + " " + action`, empty parts dropped; the
parts usually end in a comma. That is how the storyboard application composes its prompts.

There are two sets of wordings. "held_out" has the words of "training" in other sentences, and other
pairs of phrases for places.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

import numpy as np

from miniature.world import vocabulary as v
from miniature.world import wordings as w
from miniature.world.actions import Piece, action_of_one, action_of_two, shot_words
from miniature.world.looks import Look, left_out, look_of, pick, sentence
from miniature.world.spec import SceneSpec

Wordings = Literal["training", "held_out"]
Span = tuple[int, int]

_LONGEST = 62  # words and commas that fit into the text encoders
_BREVITIES = (0.0, 0.3, 0.6, 1.0)  # a prompt that is too long is written anew, with less in it
_FAIR_WEATHER = ("sun", "blue sky")  # used on clear days only


class Marks(NamedTuple):
    """Positions of a figure's words in a prompt.

    Attributes:
        character: start and end in the character part, in characters.
        action: start and end in the action part, in characters.
    """

    character: Span
    action: Span


@dataclass(frozen=True)
class ScenePrompt:
    """Prompt of a drawn scene, in three parts.

    Attributes:
        background: the place; the part's own punctuation included.
        character: the characters; empty where nobody is.
        action: their actions; empty where nobody is.
        hidden: names of the first figure's attributes that the prompt does not state: of its
            character (but the shoes, which are never stated), position, view and facing. Usual
            values are not hidden: no headwear, a plain pattern, the front view, the middle of
            the picture.
        hidden_second: the same for the second figure.
        marks: positions of each figure's words.
    """

    background: str
    character: str = ""
    action: str = ""
    hidden: frozenset[str] = frozenset()
    hidden_second: frozenset[str] = frozenset()
    marks: tuple[Marks, ...] = ()

    @property
    def text(self) -> str:
        """Prompt as one text."""
        return " ".join(part for part in (self.background, self.character, self.action) if part)

    @property
    def spans(self) -> dict[str, Span]:
        """Start and end of each part in `text`, in characters; empty parts have length 0."""
        spans, position = {}, 0
        for name in ("background", "character", "action"):
            part = getattr(self, name)
            if part and position:
                position += 1
            spans[name] = (position, position + len(part))
            position += len(part)
        return spans

    @property
    def figure_spans(self) -> tuple[dict[str, Span], ...]:
        """Start and end of the words of each figure, in characters of `text`.

        The keys are "character" and "action". Two figures who do the same share an action.
        """
        starts = {name: start for name, (start, _) in self.spans.items()}
        return tuple(
            {
                name: (starts[name] + start, starts[name] + stop)
                for name, (start, stop) in figure._asdict().items()
            }
            for figure in self.marks
        )


def write_prompt(
    spec: SceneSpec,
    rng: np.random.Generator,
    wordings: Wordings = "training",
    brevity: float = 0.0,
) -> ScenePrompt:
    """Describe a scene in random words, with some attributes left out.

    Args:
        spec: the scene.
        rng: source of randomness.
        wordings: set of sentences.
        brevity: additional share of the characters' attributes to leave out, in [0, 1]; at 1
            only their kind is stated.

    Raises:
        ValueError: for unknown wordings.
    """
    if wordings not in ("training", "held_out"):
        raise ValueError(f"wordings {wordings!r} are neither 'training' nor 'held_out'")
    random = Random(int(rng.integers(2**62)))
    for least in _BREVITIES:
        prompt = _write(spec, random, wordings, max(brevity, least), brief=least > 0)
        if prompt.text.count(" ") + 1 + prompt.text.count(",") <= _LONGEST:
            break
    return prompt


def _write(
    spec: SceneSpec, random: Random, wordings: Wordings, brevity: float, *, brief: bool
) -> ScenePrompt:
    background = _background(spec, random, wordings, brief=brief)
    if not spec.figures:
        return ScenePrompt(_empty(background, random, wordings))
    shot = shot_words(spec.shot, random)
    if len(spec.figures) == 2:
        brevity = max(brevity, 0.3)
    hidden = [left_out(figure.character, random, brevity) for figure in spec.figures]
    looks = [
        look_of(figure.character, names, random)
        for figure, names in zip(spec.figures, hidden, strict=True)
    ]
    if len(spec.figures) == 1:
        who: list[Piece] = [(_opening(random, wordings), ())]
        who.append((sentence(looks[0], random, wordings, alone=True), (0,)))
        does, unsaid = action_of_one(spec.figures[0], looks[0], shot, random, wordings)
        unsaids: tuple[frozenset[str], ...] = (unsaid,)
    else:
        placed = random.random() < 0.35
        who = _both(looks, random, wordings, placed=placed)
        does, unsaids = action_of_two(spec.figures, looks, shot, random, wordings, placed=placed)
    character, look_spans = _joined(who, len(looks))
    action, action_spans = _joined(does, len(looks))
    comma = "," if len(looks) == 2 or random.random() < 0.85 else ""
    runs_on = action.startswith(("is ", "who ")) and random.random() < 0.7
    clear = action.split()[0].endswith("ing") and ", " not in character
    after = "" if runs_on or (clear and not comma) else ","
    all_hidden = [frozenset(names) | more for names, more in zip(hidden, unsaids, strict=True)]
    return ScenePrompt(
        background + comma,
        character + after,
        action,
        all_hidden[0],
        all_hidden[1] if len(looks) == 2 else frozenset(),
        tuple(map(Marks, look_spans, action_spans)),
    )


def _background(spec: SceneSpec, random: Random, wordings: Wordings, *, brief: bool) -> str:
    heads, tails = v.PLACE_WORDS[spec.place]
    fair = spec.time == "day" and spec.weather == "clear"
    pairs = [
        (head, tail)
        for i, head in enumerate(heads)
        for j, tail in enumerate(tails)
        if ((i + j) % 3 == 2) == (wordings == "held_out")
        and (fair or not any(word in head + tail for word in _FAIR_WEATHER))
    ]
    head, tail = pairs[int(random.random() * len(pairs))]
    when = _when(spec, random) if spec.place in v.OUTDOORS else ""
    tail = "" if brief or random.random() < 0.3 else tail
    draw = random.random()
    if wordings == "held_out":
        words = f"{when}, {head} {tail}" if when and draw < 0.5 else f"{head} {tail}"
        return words.strip() + (f", {when}" if when and draw >= 0.5 else "")
    order = (head, when, tail) if draw < 0.3 else (head, tail, when)
    words = " ".join(filter(None, (when, head, tail) if draw > 0.9 else order))
    if random.random() < 0.05:
        words = pick(random, w.STYLES) + pick(random, (", ", " ")) + words
    return words


def _when(spec: SceneSpec, random: Random) -> str:
    """Return words for time and weather; a clear day is rarely stated."""
    time, weather, draw = spec.time, spec.weather, random.random()
    if (time, weather) == ("day", "clear"):
        if draw < 0.88:
            return ""
        if draw < 0.94:
            return "on a sunny day"
        return pick(random, w.TIME_WORDS["day"] if draw < 0.97 else w.WEATHER_WORDS["clear"])
    if weather == "clear":
        return pick(random, (w.SKY_WORDS if draw < 0.2 else w.TIME_WORDS)[time])
    if draw < 0.4:
        return f"on a {pick(random, w.WEATHER_ADJECTIVES[weather])} {time}"
    words = pick(random, w.WEATHER_WORDS[weather])
    if time == "day":
        return words
    first = (pick(random, w.TIME_WORDS[time]), words)
    return " ".join(first if random.random() < 0.5 or "while" in words else first[::-1])


def _empty(background: str, random: Random, wordings: Wordings) -> str:
    if wordings == "held_out":
        return background + pick(random, (" with nobody there", ", nobody is there"))
    draw = random.random()
    if draw < 0.4:
        return f"{pick(random, w.EMPTY_SCENES)} {background}"
    return background + (", no people" if draw < 0.5 else "")


def _opening(random: Random, wordings: Wordings) -> str:
    if wordings == "held_out" or random.random() > 0.06:
        return ""
    return pick(random, w.OPENINGS) + " "


def _both(
    looks: Sequence[Look], random: Random, wordings: Wordings, *, placed: bool
) -> list[Piece]:
    """Return the character part of two figures."""
    another = looks[0].noun == looks[1].noun and random.random() < 0.7
    phrases = [
        sentence(looks[0], random, wordings, alone=False),
        sentence(looks[1], random, wordings, alone=False, article="another" if another else ""),
    ]
    known: tuple[str, ...] = (", and ", ", together with ", " next to ")
    if " and " not in phrases[0]:
        known = (" and ", " and ", *known)
    between = pick(random, known if wordings == "training" else (" beside ", ", beside "))
    if not placed:
        return [(phrases[0], (0,)), (between, ()), (phrases[1], (1,))]
    sides = ("on the left", "on the right")
    if wordings == "training" and random.random() < 0.3:
        phrases = [f"{side} {words}" for side, words in zip(sides, phrases, strict=True)]
        return [(phrases[0], (0,)), (pick(random, (", ", " and ")), ()), (phrases[1], (1,))]
    phrases = [f"{words} {side}" for side, words in zip(sides, phrases, strict=True)]
    first = 1 if not another and random.random() < 0.3 else 0
    return [(phrases[first], (first,)), (between, ()), (phrases[1 - first], (1 - first,))]


def _joined(pieces: Sequence[Piece], figures: int) -> tuple[str, list[Span]]:
    """Join pieces to a text, and return the span of each figure's piece in it."""
    text, spans = "", [(0, 0)] * figures
    for words, owners in pieces:
        for owner in owners:
            spans[owner] = (len(text), len(text) + len(words))
        text += words
    return text, spans
