"""Prompts for scenes: three parts in many wordings, with attributes left out at random.

A prompt is always `background + " " + character + " " + action`, empty parts dropped; the
parts usually end in a comma. That is how the storyboard application composes its prompts.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.miniature.world import vocabulary as v
from pipelines.miniature.world.spec import Character, SceneSpec, choose

HIDEABLE = ("skin", "hair_style", "hair_color", "top", "top_color", "pattern", "bottom",
            "bottom_color", "accessory")  # fmt: skip


@dataclass(frozen=True)
class Prompt:
    """A prompt in its three parts.

    Attributes:
        background: where it is; the part's own punctuation included.
        character: who is there; empty where nobody is.
        action: what the character does; empty where nobody is.
        hidden: names of the character's attributes that the prompt does not mention.
    """

    background: str
    character: str = ""
    action: str = ""
    hidden: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        """The prompt as the text encoders get it."""
        return " ".join(part for part in (self.background, self.character, self.action) if part)

    @property
    def spans(self) -> dict[str, tuple[int, int]]:
        """Start and end of each part in `text`, in characters; empty parts have length 0."""
        spans, position = {}, 0
        for name in ("background", "character", "action"):
            part = getattr(self, name)
            if part and position:
                position += 1
            spans[name] = (position, position + len(part))
            position += len(part)
        return spans


def write_prompt(spec: SceneSpec, rng: np.random.Generator) -> Prompt:
    """Describe a scene in random words, leaving out what chance says.

    Args:
        spec: the scene.
        rng: chooses wordings and what is left out.
    """
    background = _background(spec.place, rng)
    if spec.character is None:
        if rng.random() < 0.4:
            background = "an empty scene " + background
        return Prompt(background)
    hidden = _hidden(spec.character, rng)
    commas = "," if rng.random() < 0.85 else ""
    character = _character(spec.character, hidden, rng)
    return Prompt(background + commas, character + commas, _action(spec, rng), frozenset(hidden))


def _background(place: str, rng: np.random.Generator) -> str:
    heads, tails = v.PLACE_WORDS[place]
    head = choose(rng, heads)
    if rng.random() < 0.3:
        return head
    return f"{head} {choose(rng, tails)}"


def _hidden(character: Character, rng: np.random.Generator) -> set[str]:
    """What a prompt does not mention: now and then nearly everything, else a little."""
    share = choose(rng, ("little", "little", "little", "some", "most"))
    chance = {"little": 0.07, "some": 0.4, "most": 0.85}[share]
    hidden = {name for name in HIDEABLE if rng.random() < chance}
    if rng.random() < 0.5:
        hidden.add("skin")
    if character.top == "dress" or "bottom" in hidden:
        hidden |= {"bottom", "bottom_color"}
    if "top" in hidden:
        hidden |= {"top_color", "pattern"}
    if character.accessory == "none":
        hidden.discard("accessory")
    return hidden


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _character(character: Character, hidden: set[str], rng: np.random.Generator) -> str:
    noun = character.kind
    if "skin" not in hidden:
        noun = f"{choose(rng, v.SKIN_WORDS[character.skin])} {noun}"
    elif rng.random() < 0.3:
        noun = f"{choose(rng, ('young', 'friendly', 'happy'))} {noun}"
    words = [_article(noun)]
    if hair := _hair(character, hidden, rng):
        words.append(f"with {hair}")
    worn = _clothes(character, hidden, rng)
    extra = _accessory(character, hidden, rng)
    if worn:
        words.append(f"{choose(rng, ('wearing', 'dressed in', 'in'))} {' and '.join(worn)}")
        if extra:
            words.append(
                f"{'with' if extra == 'a beard' else choose(rng, ('and', 'with'))} {extra}"
            )
    elif extra:
        words.append(f"with {extra}" if not hair else f"and {extra}")
    if len(words) > 1 and rng.random() < 0.6:
        clause = -1 if not (worn and extra) else -2
        words[clause - 1] += ","
    return " ".join(words)


def _hair(character: Character, hidden: set[str], rng: np.random.Generator) -> str:
    if {"hair_style", "hair_color"} <= hidden:
        return ""
    color = ""
    if "hair_color" not in hidden:
        tones = v.HAIR_COLOR_WORDS.get(character.hair_color, (character.hair_color,))
        color = choose(rng, tones) + " "
    if "hair_style" in hidden:
        return f"{color}hair"
    if character.hair_style == "ponytail":
        return choose(rng, (_article(f"{color}ponytail"), f"{color}hair in a ponytail"))
    if character.hair_style == "bun":
        return choose(rng, (_article(f"{color}hair bun"), f"{color}hair in a bun"))
    return f"{character.hair_style} {color}hair"


def _clothes(character: Character, hidden: set[str], rng: np.random.Generator) -> list[str]:
    worn = []
    if "top" not in hidden:
        garment = choose(rng, v.TOP_WORDS.get(character.top, (character.top,)))
        adjectives = []
        if "top_color" not in hidden:
            adjectives.append(_cloth_color(character.top_color, rng))
        if "pattern" not in hidden and character.pattern != "plain":
            adjectives.insert(int(rng.integers(2)), character.pattern)
        worn.append(_article(" ".join([*adjectives, garment])))
    if "bottom" not in hidden:
        garment = choose(rng, v.BOTTOM_WORDS.get(character.bottom, (character.bottom,)))
        color = "" if "bottom_color" in hidden else _cloth_color(character.bottom_color, rng) + " "
        worn.append(_article(color + garment) if character.bottom == "skirt" else color + garment)
    return worn


def _cloth_color(name: str, rng: np.random.Generator) -> str:
    return choose(rng, v.CLOTH_COLOR_WORDS.get(name, (name,)))


def _accessory(character: Character, hidden: set[str], rng: np.random.Generator) -> str:
    if character.accessory == "none" or "accessory" in hidden:
        return ""
    if character.accessory == "glasses":
        return "glasses"
    return _article(character.accessory)


def _action(spec: SceneSpec, rng: np.random.Generator) -> str:
    words = choose(rng, v.ACTION_WORDS[spec.action])
    if words.split()[0].endswith("ing") and rng.random() < 0.15:
        words = f"is {words}"
    if spec.from_behind:
        words += choose(rng, (" seen from behind", " from behind", ", back view"))
    if spec.position != "center" and rng.random() < 0.8:
        words += choose(rng, (f" on the {spec.position}", f", on the {spec.position} side"))
    if spec.shot == "wide" and rng.random() < 0.9:
        words += choose(rng, (", wide shot", ", far away"))
    elif spec.shot == "close" and rng.random() < 0.9:
        words += choose(rng, (", close-up", ", medium shot"))
    return words
