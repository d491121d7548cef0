"""Action part of a prompt: what figures do, their view, facing and position.

Knows nothing of places; of looks only the phrases that distinguish two figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from miniature.world import wordings as w
from miniature.world.looks import Look, pick
from miniature.world.spec import Figure

_SAID = 0.9  # how often a position and a three-quarter view are said
_FACING_SAID = 0.6
_TURNS = ("facing ", "looking ")
_PLACED = frozenset(words for phrases in w.POSITION_WORDS.values() for words in phrases)

Piece = tuple[str, tuple[int, ...]]
"""Words of a prompt, and the numbers of the figures that they belong to."""


@dataclass(frozen=True)
class ActionPhrases:
    """Phrases for a figure's action.

    Attributes:
        words: the action; starts with a participle where the sentence needs one.
        details: facing, view and position, in this order, as far as they are stated.
        hidden: names of the figure's attributes that are not stated.
    """

    words: str
    details: tuple[str, ...]
    hidden: frozenset[str]


def action_phrases(
    figure: Figure,
    random: Random,
    *,
    position: bool = True,
    plain: bool = False,
    terse: bool = False,
) -> ActionPhrases:
    """Choose the phrases for an action.

    Args:
        figure: the figure.
        random: source of randomness.
        position: allow the position.
        plain: choose a phrase that can follow "is".
        terse: state only unusual views.
    """
    options = w.ACTION_WORDS[figure.action]
    if figure.view == "back":
        options = tuple(words for words in options if "camera" not in words)
    if plain:
        options = tuple(words for words in options if not words.startswith("with "))
    words, details, hidden = pick(random, options), [], {"facing", "view", "position"}
    if _turned(figure) and random.random() < _FACING_SAID:
        hidden.remove("facing")
        if figure.action == "pointing":
            words = pick(random, w.POINTING_WORDS[figure.facing])
        else:
            table = w.HEAD_WORDS if figure.action == "lying" else w.FACING_WORDS
            details.append(pick(random, table[figure.facing]))
    rarely = 0.0 if figure.action == "lying" else 0.08
    share = {"front": rarely, "side": 0.25, "three-quarter": _SAID, "back": 1.0}[figure.view]
    if terse and figure.view in ("front", "side"):
        share = 0.0
    if said := random.random() < share:
        options = w.VIEW_WORDS[figure.view]
        if terse:
            options = tuple(words for words in options if not _stands_apart(words))
        details.append(pick(random, options))
    if said or figure.view in ("front", "side"):
        hidden.remove("view")
    share = (0.1 if figure.position == "center" else _SAID) if position else 0.0
    if said := random.random() < share:
        details.append(pick(random, w.POSITION_WORDS[figure.position]))
    if said or figure.position == "center":
        hidden.remove("position")
    return ActionPhrases(words, tuple(details), frozenset(hidden))


def _stands_apart(words: str) -> bool:
    """Return whether a detail needs a comma: "back view", but not "in three-quarter view"."""
    return words.endswith(" view") and not words.startswith("in ")


def shot_words(shot: str, random: Random) -> str:
    """Return words for the shot; a full one is rarely stated."""
    return pick(random, w.SHOT_WORDS[shot]) if shot != "full" or random.random() < 0.1 else ""


def _clause(phrases: ActionPhrases, random: Random) -> str:
    """Return an action with its details, the first of them often without a comma."""
    clause, details = phrases.words, phrases.details
    if len(details) > 1 and random.random() < 0.3:
        details = details[::-1]
    for number, detail in enumerate(details):
        close = number == 0 and random.random() < 0.6 and not _stands_apart(detail)
        clause += (" " if close else ", ") + detail
    return clause


def _terse_clause(phrases: ActionPhrases) -> str:
    """Return an action with its details and without commas, for two figures."""
    placed = [detail for detail in phrases.details if detail in _PLACED]
    others = [detail for detail in phrases.details if detail not in _PLACED]
    turned = [f"and {detail}" if detail.startswith(_TURNS) else detail for detail in others]
    return " ".join((phrases.words, *placed, *turned))


def action_of_one(
    figure: Figure, look: Look, shot: str, random: Random, wordings: str
) -> tuple[list[Piece], frozenset[str]]:
    """Return the action part of a prompt with one figure, and the attributes not stated there.

    Args:
        figure, look: the figure, and its look in the prompt.
        shot: words for the shot, or "".
        random: source of randomness.
        wordings: "training" or "held_out", which have no sentence in common.
    """
    draw = random.random()
    subject = pick(random, (*w.PRONOUNS[figure.character.kind], f"the {look.noun}"))
    if wordings == "training":
        opening = f"{subject} is " if draw < 0.12 else "is " if draw < 0.25 else ""
        phrases = action_phrases(figure, random, plain=bool(opening))
        return [(opening + _clause(phrases, random), (0,)), *_ending(shot)], phrases.hidden
    phrases = action_phrases(figure, random, plain=True)
    opening = pick(random, ("who is ", f"and {subject} is ", f"while {subject} is "))
    if phrases.details and draw < 0.5:
        clause = f"{', '.join(phrases.details)}, {opening}{phrases.words}"
    else:
        clause = opening + _clause(phrases, random)
    if shot and draw < 0.7:
        return [(f"{shot}, ", ()), (clause, (0,))], phrases.hidden
    return [(clause, (0,)), *_ending(shot)], phrases.hidden


def action_of_two(
    figures: Sequence[Figure],
    looks: Sequence[Look],
    shot: str,
    random: Random,
    wordings: str,
    *,
    placed: bool,
) -> tuple[list[Piece], tuple[frozenset[str], ...]]:
    """Return the action part of a prompt with two figures, each named unambiguously.

    Args:
        figures, looks: the left and the right one, and their looks in the prompt.
        shot: words for the shot, or "".
        random: source of randomness.
        wordings: "training" or "held_out", which have no sentence in common.
        placed: the prompt states already which figure is on which side.

    Returns:
        The words, and for each figure the attributes that they do not state.
    """
    if _alike(figures) and random.random() < 0.6:
        phrases = action_phrases(figures[0], random, position=False, plain=True, terse=True)
        openings = ("both are ", "both ", "they are ", "they are both ")
        new = ("while both are ", "and both are ", "and they are both ")
        opening = pick(random, openings if wordings == "training" else new)
        hidden = phrases.hidden - {"position"} if placed else phrases.hidden
        return [(opening + _terse_clause(phrases), (0, 1)), *_ending(shot)], (hidden,) * 2
    names, sided = _references(figures, looks, random, placed)
    verb = " " if wordings == "training" and random.random() < 0.3 else " is "
    if wordings == "held_out" and random.random() < 0.4:
        verb = " "
    position = not placed and not sided
    actions = [
        action_phrases(f, random, position=position, plain=verb != " ", terse=True) for f in figures
    ]
    clauses = [
        name + verb + _terse_clause(phrases) for name, phrases in zip(names, actions, strict=True)
    ]
    if wordings == "training":
        opening, between, order = "", pick(random, (", ", " and ", ", and ")), (0, 1)
    else:
        between = " while " if verb == " is " else " and "
        opening = "" if verb == " is " else "with "
        order = (0, 1) if random.random() < 0.5 else (1, 0)
    pieces: list[Piece] = [
        (opening, ()),
        (clauses[order[0]], (order[0],)),
        (between, ()),
        (clauses[order[1]], (order[1],)),
    ]
    said = {"position"} if placed or sided else set()
    return [*pieces, *_ending(shot)], tuple(phrases.hidden - said for phrases in actions)


def _ending(shot: str) -> list[Piece]:
    return [(f", {shot}", ())] if shot else []


def _turned(figure: Figure) -> bool:
    """Return whether the figure's facing is visible in the picture."""
    return figure.view == "side" or figure.action in ("lying", "pointing")


def _alike(figures: Sequence[Figure]) -> bool:
    first, second = ((f.action, f.view, _turned(f) and f.facing) for f in figures)
    return first == second


def _references(
    figures: Sequence[Figure], looks: Sequence[Look], random: Random, placed: bool
) -> tuple[tuple[str, str], bool]:
    """Return names for two figures, and whether they state the sides."""
    left, right = looks
    first, second = (figure.character for figure in figures)
    draw = random.random()
    if first.kind != second.kind and draw < 0.75:
        return (f"the {left.noun}", f"the {right.noun}"), False
    if left.top and right.top and first.top != second.top and draw < 0.9:
        tops = [look.top.removeprefix("a ").removeprefix("an ") for look in looks]
        return (f"the {left.noun} in the {tops[0]}", f"the {right.noun} in the {tops[1]}"), False
    if draw < 0.3 and placed:
        return ("the left one", "the right one"), True
    nouns = ("one", "one") if random.random() < 0.5 else (left.noun, right.noun)
    return (f"the {nouns[0]} on the left", f"the {nouns[1]} on the right"), True
