"""What the drawn world is made of: colours, kinds of people, clothes, and the words for them.

Knows nothing of drawing or of tensors; every other module of the world reads these tables.
"""

from enum import IntEnum

Color = tuple[int, int, int]


class Part(IntEnum):
    """Labels of the part picture; everything above BACKGROUND belongs to the character."""

    BACKGROUND = 0
    FACE = 1
    HAIR = 2
    TORSO = 3
    LEFT_UPPER_ARM = 4
    LEFT_FOREARM = 5
    RIGHT_UPPER_ARM = 6
    RIGHT_FOREARM = 7
    HAND = 8
    LEFT_THIGH = 9
    LEFT_SHIN = 10
    RIGHT_THIGH = 11
    RIGHT_SHIN = 12
    SHOE = 13
    SKIRT = 14
    HAT = 15
    GLASSES = 16
    SCARF = 17
    BACKPACK = 18
    BEARD = 19
    NECK = 20
    PROP = 21


CLOTH_COLORS: dict[str, Color] = {
    "red": (214, 48, 49),
    "orange": (240, 135, 40),
    "yellow": (245, 208, 66),
    "green": (58, 160, 80),
    "blue": (52, 104, 205),
    "purple": (132, 70, 178),
    "pink": (244, 140, 180),
    "white": (242, 242, 240),
    "black": (45, 45, 52),
    "brown": (130, 84, 52),
    "gray": (140, 144, 150),
}
HAIR_COLORS: dict[str, Color] = {
    "black": (38, 34, 36),
    "brown": (108, 66, 38),
    "blonde": (238, 200, 100),
    "red": (196, 74, 30),
    "gray": (168, 168, 172),
    "blue": (60, 110, 220),
    "pink": (240, 120, 175),
    "green": (70, 165, 95),
}
SKIN_COLORS: dict[str, Color] = {
    "pale": (255, 224, 200),
    "tan": (226, 176, 132),
    "brown": (166, 112, 76),
    "dark": (104, 68, 48),
}
SHOE_COLORS: dict[str, Color] = {
    "brown": (96, 62, 48),
    "white": (235, 235, 235),
    "red": (150, 50, 50),
    "blue": (50, 70, 120),
}
KINDS = ("girl", "boy", "woman", "man")
CHILDREN = ("girl", "boy")
HAIR_STYLES = ("short", "long", "curly", "spiky", "ponytail", "bun")
TOPS = ("t-shirt", "hoodie", "sweater", "jacket", "dress", "coat")
LONG_SLEEVES = ("hoodie", "sweater", "jacket", "coat")
PATTERNS = ("plain", "striped", "dotted")
BOTTOMS = ("trousers", "shorts", "skirt")
ACCESSORIES = ("none", "glasses", "hat", "scarf", "backpack", "beard")
POSITIONS = ("center", "left", "right")
SHOTS = ("full", "wide", "close")

ACTION_WORDS: dict[str, tuple[str, ...]] = {
    "standing": ("standing", "standing still", "standing there", "just standing"),
    "waving": ("waving", "waving hello", "waving a hand", "waving at the camera"),
    "walking": ("walking", "taking a walk", "walking along", "strolling"),
    "running": ("running", "running fast", "jogging", "sprinting"),
    "sitting": ("sitting", "sitting down", "sitting on a box", "sitting and resting"),
    "jumping": ("jumping", "jumping high", "leaping in the air", "jumping for joy"),
    "reading": ("reading a book", "reading", "holding an open book", "reading a red book"),
    "umbrella": (
        "holding an umbrella",
        "carrying an umbrella",
        "with an umbrella",
        "under an umbrella",
    ),
    "cheering": (
        "raising both arms",
        "cheering",
        "with both arms up",
        "celebrating with raised arms",
    ),
    "lying": ("lying down", "lying on the ground", "sleeping", "lying on the floor"),
    "dancing": ("dancing", "dancing happily", "doing a dance"),
    "hips": ("with hands on hips", "putting hands on hips", "hands on the hips"),
    "pointing": ("pointing to the side", "pointing", "pointing at something"),
    "kicking": ("kicking a ball", "playing football", "kicking a football"),
    "guitar": ("playing the guitar", "playing a guitar", "strumming a guitar"),
}
ACTIONS = tuple(ACTION_WORDS)

PLACE_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "beach": (
        ("on a sunny beach", "on the beach", "at the beach", "by the sea"),
        ("with a tall palm tree", "beside the blue sea", "with white waves and yellow sand"),
    ),
    "forest": (
        ("in a forest", "in the woods", "among tall trees", "in a green forest"),
        ("with tall fir trees", "with dark green pines", "full of old trees and bushes"),
    ),
    "city": (
        ("on a city street", "in the city", "downtown", "in front of tall buildings"),
        ("with many bright windows", "with tall houses along the road", "beside a gray road"),
    ),
    "bedroom": (
        ("in a bedroom", "in a cozy bedroom", "in the bedroom next to a bed"),
        ("with a soft bed and a window", "with curtains at the window", "with a wooden floor"),
    ),
    "office": (
        ("in an office", "at the office", "in a modern office"),
        ("with a desk and a computer", "with big windows", "with a desk and a green plant"),
    ),
    "mountain": (
        ("in snowy mountains", "in the snow", "on a snowy mountain", "in winter mountains"),
        ("with white peaks and fir trees", "under a cold blue sky", "with deep white snow"),
    ),
    "desert": (
        ("in a desert", "in the desert", "in a sandy desert with cactus"),
        ("under a hot sun", "with golden dunes", "with two green cactus plants"),
    ),
    "night": (
        ("under a starry night sky", "at night under the stars", "on a hill at night"),
        ("with a bright moon", "with a yellow moon over dark hills", "in the dark blue night"),
    ),
    "park": (
        ("in a park", "in the park", "in a green park", "on a meadow with flowers"),
        ("with round trees and clouds", "with fresh grass and flowers", "under a blue sky"),
    ),
    "library": (
        ("in a library", "in the library", "in front of bookshelves"),
        ("with many colorful books", "with old wooden shelves", "on a red carpet"),
    ),
    "space": (
        ("in outer space", "on the moon", "in space", "on another planet"),
        ("with a big planet in the sky", "with craters and stars", "far away from the earth"),
    ),
    "underwater": (
        ("underwater", "under the sea", "at the bottom of the ocean"),
        ("with fish and green seaweed", "with bubbles in the deep water", "among little fish"),
    ),
    "kitchen": (
        ("in a kitchen", "in the kitchen", "in a bright kitchen"),
        ("with cupboards and a stove", "with a tiled floor", "with a pot on the counter"),
    ),
    "sunset": (
        ("at sunset", "in a field at sunset", "in the evening sun"),
        ("with an orange sky", "with purple clouds and a low sun", "on a warm evening"),
    ),
}
PLACES = tuple(PLACE_WORDS)

SKIN_WORDS: dict[str, tuple[str, ...]] = {
    "pale": ("pale", "fair-skinned"),
    "tan": ("tanned", "tan"),
    "brown": ("brown-skinned",),
    "dark": ("dark-skinned", "black"),
}
HAIR_COLOR_WORDS: dict[str, tuple[str, ...]] = {
    "blonde": ("blonde", "golden"),
    "red": ("red", "ginger"),
    "gray": ("gray", "grey"),
}
CLOTH_COLOR_WORDS: dict[str, tuple[str, ...]] = {"gray": ("gray", "grey")}
TOP_WORDS: dict[str, tuple[str, ...]] = {
    "t-shirt": ("t-shirt", "shirt"),
    "sweater": ("sweater", "jumper"),
}
BOTTOM_WORDS: dict[str, tuple[str, ...]] = {"trousers": ("trousers", "pants", "jeans")}


def darker(color: Color, factor: float = 0.62) -> Color:
    """Scale a colour towards black, as outlines and shades use it."""
    return (int(color[0] * factor), int(color[1] * factor), int(color[2] * factor))


def blend(first: Color, second: Color, weight: float) -> Color:
    """Mix two colours; weight 0 gives the first, 1 the second."""
    r, g, b = (int(x * (1 - weight) + y * weight) for x, y in zip(first, second, strict=True))
    return (r, g, b)
