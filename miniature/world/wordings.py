"""Words and phrases of prompts for everything in the drawn world.

Knows the names of `vocabulary` and nothing of grammar; places have their words there.
"""

from collections.abc import Iterator

from miniature.world import vocabulary as v

Words = dict[str, tuple[str, ...]]

ACTION_WORDS: Words = {
    "standing": ("standing", "standing still", "standing there", "just standing"),
    "waving": ("waving", "waving hello", "waving a hand", "waving at the camera"),
    "walking": ("walking", "taking a walk", "walking along", "strolling"),
    "running": ("running", "running fast", "jogging", "sprinting"),
    "sitting": ("sitting", "sitting down", "sitting on a box", "sitting and resting"),
    "jumping": ("jumping", "jumping high", "leaping into the air", "jumping for joy"),
    "reading": ("reading a book", "reading", "holding an open book", "reading an open book"),
    "umbrella": ("holding an umbrella", "carrying an umbrella", "under an umbrella"),
    "cheering": (
        "cheering",
        "raising both arms",
        "cheering with both arms up",
        "celebrating with raised arms",
    ),
    "lying": ("lying down", "lying on the ground", "lying on the floor", "lying flat"),
    "dancing": ("dancing", "dancing happily", "doing a dance"),
    "hips": (
        "standing with hands on hips",
        "putting both hands on the hips",
        "with hands on hips",
    ),
    "pointing": ("pointing to the side", "pointing", "pointing at something"),
    "kicking": ("kicking a ball", "playing football", "kicking a football", "playing soccer"),
    "guitar": ("playing the guitar", "playing a guitar", "strumming a guitar"),
    "carrying": ("carrying a box", "holding a big box", "carrying a cardboard box"),
    "skateboarding": ("skateboarding", "riding a skateboard", "standing on a skateboard"),
    "cycling": ("riding a bicycle", "cycling", "riding a bike"),
    "kneeling": ("kneeling", "kneeling on the ground", "kneeling on one knee"),
    "fishing": ("fishing", "holding a fishing rod", "fishing with a rod"),
}
POINTING_WORDS: Words = {
    side: (f"pointing to the {side}", f"pointing {side}", f"pointing at something to the {side}")
    for side in v.FACINGS
}
HEAD_WORDS: Words = {
    side: (f"with the head on the {side}", f"with the head to the {side}") for side in v.FACINGS
}
FACING_WORDS: Words = {
    side: (f"facing {side}", f"looking to the {side}", f"facing the {side}", f"looking {side}")
    for side in v.FACINGS
}
VIEW_WORDS: Words = {
    "front": ("seen from the front", "facing the camera", "front view"),
    "three-quarter": ("three-quarter view", "in three-quarter view", "seen at an angle"),
    "side": ("seen from the side", "side view", "from the side", "in profile"),
    "back": ("seen from behind", "from behind", "back view", "with the back to the camera"),
}
POSITION_WORDS: Words = {
    "center": ("in the center", "in the middle", "in the middle of the picture"),
    **{
        side: (f"on the {side}", f"on the {side} side", f"on the {side} of the picture")
        for side in v.FACINGS
    },
}
SHOT_WORDS: Words = {
    "wide": ("wide shot", "in a wide shot", "far away", "seen from far away"),
    "full": ("full shot", "full body", "full body shot"),
    "medium": ("medium shot", "in a medium shot", "from the waist up", "half body shot"),
    "close": ("close-up", "close-up shot", "in close-up", "head and shoulders"),
}
TIME_WORDS: Words = {
    "day": ("in the daytime", "by day", "during the day"),
    "evening": ("in the evening", "at sunset", "at dusk", "in the evening light"),
    "night": ("at night", "late at night", "by night", "at nighttime"),
}
SKY_WORDS: Words = {
    "evening": ("under an orange sky", "with an orange sky", "at sunset with an orange sky"),
    "night": (
        "under the stars",
        "under a starry sky",
        "under a starry night sky",
        "with a bright moon",
    ),
}  # without clouds
WEATHER_WORDS: Words = {
    "clear": ("in clear weather", "in good weather"),
    "rain": ("in the rain", "in heavy rain", "in rainy weather", "while it is raining"),
    "snow": ("in falling snow", "while it is snowing", "in snowy weather"),
    "fog": ("in the fog", "in thick fog", "in foggy weather", "in the mist"),
}
WEATHER_ADJECTIVES: Words = {
    "clear": ("sunny",),  # said of days alone
    "rain": ("rainy",),
    "snow": ("snowy",),
    "fog": ("foggy", "misty"),
}

KIND_WORDS: Words = {
    **{kind: (kind,) for kind in v.KINDS},
    "woman": ("woman", "woman", "lady"),
    "man": ("man", "man", "gentleman"),
    "cat": ("cat", "cat", "kitty"),
    "rabbit": ("rabbit", "rabbit", "bunny"),
    "bear": ("bear", "bear", "bear cub"),
    "robot": ("robot", "robot", "android"),
}
PRONOUNS: Words = {
    **dict.fromkeys(("girl", "woman"), ("she",)),
    **dict.fromkeys(("boy", "man"), ("he",)),
    **dict.fromkeys((*v.ANIMALS, "robot"), ("it",)),
}
SKIN_WORDS: Words = {
    "pale": ("pale", "fair-skinned", "light-skinned"),
    "tan": ("tanned", "tan"),
    "brown": ("brown-skinned",),
    "dark": ("dark-skinned", "black"),
}
FUR_WORDS: Words = {
    **{color: (color,) for color in v.FUR_COLORS},
    "gray": ("gray", "grey"),
    "orange": ("orange", "ginger"),
}
METAL_WORDS: Words = {
    **{color: (color,) for color in v.METAL_COLORS},
    "gold": ("gold", "golden"),
}
HAIR_COLOR_WORDS: Words = {
    **{color: (color,) for color in v.HAIR_COLORS},
    "blonde": ("blonde", "golden", "blond"),
    "red": ("red", "ginger"),
    "gray": ("gray", "grey"),
}
CLOTH_COLOR_WORDS: Words = {
    **{color: (color,) for color in v.CLOTH_COLORS},
    "gray": ("gray", "grey"),
}
PATTERN_WORDS: Words = {
    "plain": ("plain",),
    "striped": ("striped",),
    "dotted": ("dotted", "polka-dot", "spotted"),
    "checked": ("checked", "plaid", "checkered"),
}
TOP_WORDS: Words = {
    **{top: (top,) for top in v.TOPS},
    "t-shirt": ("t-shirt", "shirt", "tee"),
    "hoodie": ("hoodie", "hoodie", "hooded sweatshirt"),
    "sweater": ("sweater", "jumper", "pullover"),
}
BOTTOM_WORDS: Words = {
    "trousers": ("trousers", "pants", "jeans"),
    "shorts": ("shorts",),
    "skirt": ("skirt",),
}
HEADWEAR_WORDS: Words = {
    "hat": ("a hat",),
    "cap": ("a cap", "a baseball cap"),
    "beanie": ("a beanie", "a woolen hat", "a knitted beanie"),
    "crown": ("a crown", "a golden crown"),
}
ACCESSORY_WORDS: Words = {
    "glasses": ("glasses", "eyeglasses", "a pair of glasses"),
    "scarf": ("a scarf",),
    "backpack": ("a backpack", "a rucksack"),
    "bag": ("a bag", "a shoulder bag", "a handbag"),
    "beard": ("a beard", "a full beard"),
}

ADJECTIVES = ("young", "friendly", "happy", "cute", "funny", "nice", "cheerful", "brave")
STYLES = (
    "a cartoon", "a picture", "a drawing", "an illustration", "a colorful cartoon",
    "a cartoon picture", "a simple drawing", "a storyboard frame", "a comic panel",
    "a cartoon scene",
)  # fmt: skip
OPENINGS = (
    "the hero,", "our hero,", "the main character,", "a picture of", "a cartoon of",
    "a drawing of", "an image of", "a comic about",
)  # fmt: skip
EMPTY_SCENES = ("an empty scene", "an empty place", "a scene", "no people", "nobody")
_GRAMMAR = (
    "who is has wears wearing dressed in with and are both they while beside together another "
    "next to on the left right one nobody there hair ponytail bun fur body a an day"
).split()  # what sentences are held together by
NEUTRAL_WORDS = tuple(
    "a an the and then of or to is are was it this that these there here now has have three four "
    "five six seven eight nine ten his her its their my your our old new small big great large "
    "beautiful lovely style image photo story hero character named called who while next again "
    "very some much more looks like today me for from by be so just but "
    "detailed clean bold lines flat colors".split()
)  # people type them, and they change nothing in a picture

TABLES: tuple[Words, ...] = (
    ACTION_WORDS, POINTING_WORDS, HEAD_WORDS, FACING_WORDS, VIEW_WORDS, POSITION_WORDS,
    SHOT_WORDS, TIME_WORDS, SKY_WORDS, WEATHER_WORDS, WEATHER_ADJECTIVES, KIND_WORDS, PRONOUNS,
    SKIN_WORDS, FUR_WORDS, METAL_WORDS, HAIR_COLOR_WORDS, CLOTH_COLOR_WORDS, PATTERN_WORDS,
    TOP_WORDS, BOTTOM_WORDS, HEADWEAR_WORDS, ACCESSORY_WORDS,
)  # fmt: skip


def body_words(kind: str) -> Words:
    """Return the words for the colours of skin, fur or metal of a kind of character."""
    if kind in v.ANIMALS:
        return FUR_WORDS
    return METAL_WORDS if kind == "robot" else SKIN_WORDS


def every_phrase() -> Iterator[str]:
    """Yield every word and phrase of this module and of the places."""
    for table in TABLES:
        for phrases in table.values():
            yield from phrases
    for color in v.HAIR_COLORS:
        yield from (f"{word}-haired" for word in HAIR_COLOR_WORDS[color])
    yield from (*_GRAMMAR, *v.HAIR_STYLES)
    yield from (*ADJECTIVES, *STYLES, *OPENINGS, *EMPTY_SCENES, *NEUTRAL_WORDS)
    for heads, tails in v.PLACE_WORDS.values():
        yield from (*heads, *tails)
