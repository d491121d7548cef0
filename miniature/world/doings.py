"""Action part of a prompt: what figures do, their view, facing and position.

Knows nothing of places; of looks only the phrases that distinguish two figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from miniature.world import wordings as w
from miniature.world.figure.looks import Look, pick
from miniature.world.spec import Figure

_SAID = 0.9  # how often a position and a three-quarter view are said
_FACING_SAID = 0.6
_TURNS = ("facing ", "looking ")
_PLACED = frozenset(words for phrases in w.POSITION_WORDS.values() for words in phrases)

Piece = tuple[str, tuple[int, ...]]
"""Words of a prompt, and the numbers of the figures that they belong to."""


@dataclass(frozen=True)
class Doing:
    """Phrases for a figure's action.

    Attributes:
        words: the action; starts with a participle where the sentence needs one.
        details: facing, view and position, in this order, as far as they are stated.
        hidden: names of the figure's attributes that are not stated.
    """

    words: str
    details: tuple[str, ...]
    hidden: frozenset[str]


def doing_of(
    figure: Figure, chance: Random, *, place: bool = True, plain: bool = False, terse: bool = False
) -> Doing:
    """Choose the phrases for an action.

    Args:
        figure: the figure.
        chance: source of randomness.
        place: allow the position.
        plain: choose a phrase that can follow "is".
        terse: state only unusual views.
    """
    options = w.ACTION_WORDS[figure.action]
    if figure.view == "back":
        options = tuple(words for words in options if "camera" not in words)
    if plain:
        options = tuple(words for words in options if not words.startswith("with "))
    words, details, hidden = pick(chance, options), [], {"facing", "view", "position"}
    if _turned(figure) and chance.random() < _FACING_SAID:
        hidden.remove("facing")
        if figure.action == "pointing":
            words = pick(chance, w.POINTING_WORDS[figure.facing])
        else:
            table = w.HEAD_WORDS if figure.action == "lying" else w.FACING_WORDS
            details.append(pick(chance, table[figure.facing]))
    rarely = 0.0 if figure.action == "lying" else 0.08
    share = {"front": rarely, "side": 0.25, "three-quarter": _SAID, "back": 1.0}[figure.view]
    if terse and figure.view in ("front", "side"):
        share = 0.0
    if said := chance.random() < share:
        options = w.VIEW_WORDS[figure.view]
        if terse:
            options = tuple(words for words in options if not _stands_apart(words))
        details.append(pick(chance, options))
    if said or figure.view in ("front", "side"):
        hidden.remove("view")
    share = (0.1 if figure.position == "center" else _SAID) if place else 0.0
    if said := chance.random() < share:
        details.append(pick(chance, w.POSITION_WORDS[figure.position]))
    if said or figure.position == "center":
        hidden.remove("position")
    return Doing(words, tuple(details), frozenset(hidden))


def _stands_apart(words: str) -> bool:
    """Return whether a detail needs a comma: "back view", but not "in three-quarter view"."""
    return words.endswith(" view") and not words.startswith("in ")


def shot_words(shot: str, chance: Random) -> str:
    """Return words for the shot; a full one is rarely stated."""
    return pick(chance, w.SHOT_WORDS[shot]) if shot != "full" or chance.random() < 0.1 else ""


def _clause(doing: Doing, chance: Random) -> str:
    """Return an action with its details, the first of them often without a comma."""
    clause, details = doing.words, doing.details
    if len(details) > 1 and chance.random() < 0.3:
        details = details[::-1]
    for number, detail in enumerate(details):
        close = number == 0 and chance.random() < 0.6 and not _stands_apart(detail)
        clause += (" " if close else ", ") + detail
    return clause


def _terse_clause(doing: Doing) -> str:
    """Return an action with its details and without commas, for two figures."""
    placed = [detail for detail in doing.details if detail in _PLACED]
    others = [detail for detail in doing.details if detail not in _PLACED]
    turned = [f"and {detail}" if detail.startswith(_TURNS) else detail for detail in others]
    return " ".join((doing.words, *placed, *turned))


def action_of_one(
    figure: Figure, look: Look, shot: str, chance: Random, wordings: str
) -> tuple[list[Piece], frozenset[str]]:
    """Return the action part of a prompt with one figure, and the attributes not stated there.

    Args:
        figure, look: the figure, and its look in the prompt.
        shot: words for the shot, or "".
        chance: source of randomness.
        wordings: "training" or "held_out", which have no sentence in common.
    """
    draw = chance.random()
    subject = pick(chance, (*w.PRONOUNS[figure.character.kind], f"the {look.noun}"))
    if wordings == "training":
        opening = f"{subject} is " if draw < 0.12 else "is " if draw < 0.25 else ""
        doing = doing_of(figure, chance, plain=bool(opening))
        return [(opening + _clause(doing, chance), (0,)), *_ending(shot)], doing.hidden
    doing = doing_of(figure, chance, plain=True)
    opening = pick(chance, ("who is ", f"and {subject} is ", f"while {subject} is "))
    if doing.details and draw < 0.5:
        clause = f"{', '.join(doing.details)}, {opening}{doing.words}"
    else:
        clause = opening + _clause(doing, chance)
    if shot and draw < 0.7:
        return [(f"{shot}, ", ()), (clause, (0,))], doing.hidden
    return [(clause, (0,)), *_ending(shot)], doing.hidden


def action_of_two(
    figures: Sequence[Figure],
    looks: Sequence[Look],
    shot: str,
    chance: Random,
    wordings: str,
    *,
    placed: bool,
) -> tuple[list[Piece], tuple[frozenset[str], ...]]:
    """Return the action part of a prompt with two figures, each named unambiguously.

    Args:
        figures, looks: the left and the right one, and their looks in the prompt.
        shot: words for the shot, or "".
        chance: source of randomness.
        wordings: "training" or "held_out", which have no sentence in common.
        placed: the prompt states already which figure is on which side.

    Returns:
        The words, and for each figure the attributes that they do not state.
    """
    if _alike(figures) and chance.random() < 0.6:
        doing = doing_of(figures[0], chance, place=False, plain=True, terse=True)
        openings = ("both are ", "both ", "they are ", "they are both ")
        new = ("while both are ", "and both are ", "and they are both ")
        opening = pick(chance, openings if wordings == "training" else new)
        hidden = doing.hidden - {"position"} if placed else doing.hidden
        return [(opening + _terse_clause(doing), (0, 1)), *_ending(shot)], (hidden,) * 2
    names, sided = _references(figures, looks, chance, placed)
    verb = " " if wordings == "training" and chance.random() < 0.3 else " is "
    if wordings == "held_out" and chance.random() < 0.4:
        verb = " "
    unstated = not placed and not sided
    doings = [doing_of(f, chance, place=unstated, plain=verb != " ", terse=True) for f in figures]
    clauses = [
        name + verb + _terse_clause(doing) for name, doing in zip(names, doings, strict=True)
    ]
    if wordings == "training":
        opening, between, order = "", pick(chance, (", ", " and ", ", and ")), (0, 1)
    else:
        between = " while " if verb == " is " else " and "
        opening = "" if verb == " is " else "with "
        order = (0, 1) if chance.random() < 0.5 else (1, 0)
    pieces: list[Piece] = [
        (opening, ()),
        (clauses[order[0]], (order[0],)),
        (between, ()),
        (clauses[order[1]], (order[1],)),
    ]
    said = {"position"} if placed or sided else set()
    return [*pieces, *_ending(shot)], tuple(doing.hidden - said for doing in doings)


def _ending(shot: str) -> list[Piece]:
    return [(f", {shot}", ())] if shot else []


def _turned(figure: Figure) -> bool:
    """Return whether the figure's facing is visible in the picture."""
    return figure.view == "side" or figure.action in ("lying", "pointing")


def _alike(figures: Sequence[Figure]) -> bool:
    first, second = ((f.action, f.view, _turned(f) and f.facing) for f in figures)
    return first == second


def _references(
    figures: Sequence[Figure], looks: Sequence[Look], chance: Random, placed: bool
) -> tuple[tuple[str, str], bool]:
    """Return names for two figures, and whether they state the sides."""
    left, right = looks
    first, second = (figure.character for figure in figures)
    draw = chance.random()
    if first.kind != second.kind and draw < 0.75:
        return (f"the {left.noun}", f"the {right.noun}"), False
    if left.top and right.top and first.top != second.top and draw < 0.9:
        tops = [look.top.removeprefix("a ").removeprefix("an ") for look in looks]
        return (f"the {left.noun} in the {tops[0]}", f"the {right.noun} in the {tops[1]}"), False
    if draw < 0.3 and placed:
        return ("the left one", "the right one"), True
    nouns = ("one", "one") if chance.random() < 0.5 else (left.noun, right.noun)
    return (f"the {nouns[0]} on the left", f"the {nouns[1]} on the right"), True
