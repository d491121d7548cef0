"""Character part of a prompt: the stated attributes, and the sentence that states them.

Knows nothing of places and actions.
"""

from dataclasses import dataclass
from random import Random

from miniature.world import vocabulary as v
from miniature.world import wordings as w
from miniature.world.spec import Character

_HAIR = ("hair_style", "hair_color")
_CLOTHES = ("top", "top_color", "pattern", "bottom", "bottom_color")
LOOK_NAMES = ("skin", *_HAIR, *_CLOTHES, "headwear", "accessory")


@dataclass(frozen=True)
class Look:
    """Phrases for a character; an empty one is not stated.

    Attributes:
        noun: noun of the character, "girl".
        name: the noun with its adjectives, without an article, "pale young girl".
        features: hair or fur, and a beard, "long red hair".
        top, bottom: clothes, articles included, "a green hoodie".
        extras: headwear and scarf, articles included, "a hat".
        carried: other accessories, articles included, "glasses", "a bag".
    """

    noun: str
    name: str
    features: tuple[str, ...]
    top: str
    bottom: str
    extras: tuple[str, ...]
    carried: tuple[str, ...]

    @property
    def worn(self) -> tuple[str, ...]:
        """Clothes that are stated, the top first."""
        return tuple(piece for piece in (self.top, self.bottom) if piece)


def pick(random: Random, options: tuple[str, ...]) -> str:
    """Return one of the options, all equally likely."""
    return options[int(random.random() * len(options))]


def left_out(character: Character, random: Random, brevity: float) -> set[str]:
    """Choose the attributes that a prompt does not state: mostly few, sometimes nearly all.

    `brevity` is an additional share to leave out, in [0, 1].
    """
    draw = random.random()
    share = 0.07 if draw < 0.6 else 0.4 if draw < 0.8 else 0.85
    share += brevity * (1 - share)
    hidden = {name for name in LOOK_NAMES if random.random() < share}
    if character.is_person and random.random() < 0.5:
        hidden.add("skin")
    if character.top == "dress" or "bottom" in hidden:
        hidden |= {"bottom", "bottom_color"}
    if "top" in hidden:
        hidden |= {"top_color", "pattern"}
    return hidden - {name for name in LOOK_NAMES if getattr(character, name) == "none"}


def look_of(character: Character, hidden: set[str], random: Random) -> Look:
    """Choose phrases for the attributes that are not hidden."""
    noun = pick(random, w.KIND_WORDS[character.kind])
    adjectives, features = [], []
    if "skin" not in hidden:
        color = pick(random, w.body_words(character.kind)[character.skin])
        if character.is_person or random.random() < 0.8:
            adjectives.append(color)
        else:
            body = "fur" if character.kind in v.ANIMALS else "body"
            features.append(f"{color} fur" if body == "fur" else _article(f"{color} {body}"))
    elif random.random() < 0.3:
        little = character.kind in v.CHILDREN and random.random() < 0.4
        adjectives.append("little" if little else pick(random, w.ADJECTIVES))
    if character.is_person:
        as_adjective = "hair_color" not in hidden and random.random() < 0.12
        if as_adjective:
            adjectives.append(f"{_hair_color(character, random)}-haired")
        if hair := _hair(character, hidden | ({"hair_color"} if as_adjective else set()), random):
            features.append(hair)
    extras: list[str] = []
    carried: list[str] = []
    if character.headwear != "none" and "headwear" not in hidden:
        extras.append(pick(random, w.HEADWEAR_WORDS[character.headwear]))
    if character.accessory != "none" and "accessory" not in hidden:
        kept = {"beard": features, "scarf": extras}.get(character.accessory, carried)
        kept.append(pick(random, w.ACCESSORY_WORDS[character.accessory]))
    top = "" if "top" in hidden else _top(character, hidden, random)
    bottom = "" if "bottom" in hidden else _bottom(character, hidden, random)
    name = " ".join((*adjectives, noun))
    return Look(noun, name, tuple(features), top, bottom, tuple(extras), tuple(carried))


def _article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _hair_color(character: Character, random: Random) -> str:
    return pick(random, w.HAIR_COLOR_WORDS[character.hair_color])


def _hair(character: Character, hidden: set[str], random: Random) -> str:
    if hidden.issuperset(_HAIR):
        return ""
    color = "" if "hair_color" in hidden else _hair_color(character, random) + " "
    if "hair_style" in hidden:
        return f"{color}hair"
    if character.hair_style == "ponytail":
        return pick(random, (_article(f"{color}ponytail"), f"{color}hair in a ponytail"))
    if character.hair_style == "bun":
        return pick(random, (_article(f"{color}hair bun"), f"{color}hair in a bun"))
    return f"{character.hair_style} {color}hair"


def _top(character: Character, hidden: set[str], random: Random) -> str:
    garment = pick(random, w.TOP_WORDS[character.top])
    color = pattern = ""
    if "top_color" not in hidden:
        color = pick(random, w.CLOTH_COLOR_WORDS[character.top_color])
    if "pattern" not in hidden and (character.pattern != "plain" or random.random() < 0.2):
        pattern = pick(random, w.PATTERN_WORDS[character.pattern])
    if color and random.random() < 0.06:
        return _article(" ".join(filter(None, (pattern, garment)))) + f" in {color}"
    first = (pattern, color) if random.random() < 0.5 else (color, pattern)
    return _article(" ".join(filter(None, (*first, garment))))


def _bottom(character: Character, hidden: set[str], random: Random) -> str:
    garment = pick(random, w.BOTTOM_WORDS[character.bottom])
    if "bottom_color" not in hidden:
        garment = f"{pick(random, w.CLOTH_COLOR_WORDS[character.bottom_color])} {garment}"
    return _article(garment) if character.bottom == "skirt" else garment


def listed(phrases: tuple[str, ...]) -> str:
    """Join phrases to a list in words: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(phrases[:-1]), *phrases[-1:])))


def sentence(look: Look, random: Random, wordings: str, *, alone: bool, article: str = "") -> str:
    """Write a sentence for a look.

    Args:
        look: the phrases.
        random: source of randomness.
        wordings: "training" or "held_out", which share no sentence but the bare name.
        alone: the character is the only one, so that the sentence may be a list.
        article: article of the name instead of "a" or "an".
    """
    name = f"{article} {look.name}" if article else _article(look.name)
    if wordings == "training":
        return _known_sentence(look, name, random, alone)
    return _new_sentence(look, name, random, alone)


def _known_sentence(look: Look, name: str, random: Random, alone: bool) -> str:
    worn = look.worn if random.random() < 0.7 else look.worn[::-1]
    draw, clothes = random.random(), (*worn, *look.extras)
    if alone and draw < 0.1:
        bare = (piece.removeprefix("a ").removeprefix("an ") for piece in clothes)
        return ", ".join((name, *look.features, *bare, *look.carried))
    if draw < 0.16 and look.worn:
        return f"{name} with {listed((*look.features, *clothes, *look.carried))}"
    if draw < 0.26:
        has = listed((*look.features, *look.carried))
        wears = f"{'and' if has else 'who'} wears {listed(clothes)}" if clothes else ""
        return " ".join(filter(None, (name, f"who has {has}" if has else "", wears)))
    dressed = pick(random, ("wearing", "wearing", "dressed in", "in"))
    comma = "," if random.random() < 0.5 else ""
    if draw < 0.44 and look.worn:
        more = f", with {listed((*look.features, *look.carried))}"
        return f"{name} {dressed} {listed(clothes)}{more if look.features or look.carried else ''}"
    if not look.worn:
        has = listed((*look.features, *look.extras, *look.carried))
        return f"{name} with {has}" if has else name
    last = look.carried if random.random() < 0.4 else ()
    if first := (*look.features, *(() if last else look.carried)):
        name = f"{name} with {listed(first)}{comma}"
    return f"{name} {dressed} {listed(clothes)}{f' and with {listed(last)}' if last else ''}"


def _new_sentence(look: Look, name: str, random: Random, alone: bool) -> str:
    draw, kept = random.random(), (*look.carried, *look.extras)
    if draw < 0.35 and kept:
        name = f"{name} with {listed((*kept, *look.features))}"
        return f"{name} who is wearing {listed(look.worn[::-1])}" if look.worn else name
    has = listed((*look.carried, *look.features))
    clothes = listed((*look.extras, *look.worn[::-1]))
    if alone and draw < 0.6 and look.worn:
        return f"dressed in {clothes}, {name}{f' with {has}' if has else ''}"
    if clothes and (draw < 0.8 or not has):
        return f"{name} who is wearing {clothes}{f' and has {has}' if has else ''}"
    if has:
        name = f"{name} who has {has}"
    return f"{name} and is wearing {clothes}" if clothes else name
