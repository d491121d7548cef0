"""Names of the drawn world: colours, kinds of characters, clothes, actions and places.

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
    EAR = 22
    TAIL = 23
    BAG = 24


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
FUR_COLORS: dict[str, Color] = {
    "white": (240, 238, 232),
    "gray": (150, 154, 162),
    "brown": (150, 98, 60),
    "orange": (236, 146, 66),
    "black": (62, 60, 68),
}
METAL_COLORS: dict[str, Color] = {
    "silver": (196, 204, 212),
    "gold": (226, 184, 84),
    "blue": (110, 156, 214),
    "green": (128, 186, 142),
}
PEOPLE = ("girl", "boy", "woman", "man")
CHILDREN = ("girl", "boy")
ANIMALS = ("cat", "rabbit", "bear")
KINDS = (*PEOPLE, *ANIMALS, "robot")
HAIR_STYLES = ("short", "long", "curly", "spiky", "ponytail", "bun")
TOPS = ("t-shirt", "hoodie", "sweater", "jacket", "dress", "coat")
LONG_SLEEVES = ("hoodie", "sweater", "jacket", "coat")
PATTERNS = ("plain", "striped", "dotted", "checked")
BOTTOMS = ("trousers", "shorts", "skirt")
HEADWEAR = ("none", "hat", "cap", "beanie", "crown")
ACCESSORIES = ("none", "glasses", "scarf", "backpack", "bag", "beard")
POSITIONS = ("center", "left", "right")
SHOTS = ("wide", "full", "medium", "close")
VIEWS = ("front", "three-quarter", "side", "back")
FACINGS = ("left", "right")
TIMES = ("day", "evening", "night")
WEATHERS = ("clear", "rain", "snow", "fog")
SHAPES: dict[str, tuple[int, int]] = {
    "square": (256, 256),
    "landscape": (320, 208),
    "portrait": (208, 320),
}

ACTIONS = (
    "standing", "waving", "walking", "running", "sitting", "jumping", "reading", "umbrella",
    "cheering", "lying", "dancing", "hips", "pointing", "kicking", "guitar", "carrying",
    "skateboarding", "cycling", "kneeling", "fishing",
)  # fmt: skip
SIDE_ACTIONS = ("walking", "running", "sitting", "kicking", "skateboarding", "cycling", "kneeling")
FRONT_ACTIONS = ("reading", "lying", "guitar", "carrying", "fishing")  # never seen from behind
WIDE_ACTIONS = ("lying", "kicking", "skateboarding", "cycling", "fishing", "umbrella")

PLACE_WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "beach": (
        ("on a sunny beach", "on a sandy beach", "on the beach", "at the beach", "by the sea"),
        ("with a tall palm tree", "beside the wide sea", "with waves and soft sand"),
    ),
    "forest": (
        ("in a forest", "in the woods", "among tall trees", "in a dense forest"),
        ("with tall fir trees", "with dark green pines", "full of old trees and bushes"),
    ),
    "city": (
        ("on a city street", "in the city", "downtown", "in front of tall buildings"),
        ("with many bright windows", "with tall houses along the road", "beside a wide road"),
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
        (
            "in snowy mountains",
            "high up in the mountains",
            "on a snowy mountain",
            "in winter mountains",
        ),
        ("with white peaks and fir trees", "with high rocky peaks", "with deep snow"),
    ),
    "desert": (
        ("in a desert", "in the desert", "in a sandy desert with cactus"),
        ("with wide sand dunes", "with rolling dunes", "with two green cactus plants"),
    ),
    "hill": (
        ("on a hill", "on a grassy hill", "on top of a hill"),
        ("with other hills far away", "with a lonely tree", "above a valley with a river"),
    ),
    "park": (
        ("in a park", "in the park", "in a quiet park", "on a meadow with flowers"),
        ("with two round trees", "with many little flowers", "with trees and flowers"),
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
    "field": (
        ("in a field", "in a wheat field", "in an open field"),
        ("with long rows of wheat", "with furrows and a windmill", "with an old windmill"),
    ),
    "castle": (
        ("in front of a castle", "at a castle", "at an old castle"),
        ("with two stone towers", "with flags on the towers", "with a big wooden gate"),
    ),
    "farm": (
        ("on a farm", "at a farm", "in front of a barn"),
        ("with a red barn", "with a white fence", "with hay and a wooden fence"),
    ),
    "classroom": (
        ("in a classroom", "at school", "in front of a blackboard"),
        ("with a green blackboard", "with school desks", "with chalk on the blackboard"),
    ),
    "cafe": (
        ("in a cafe", "at a cafe", "in a coffee shop"),
        ("with small round tables", "with hanging lamps", "with cups on the tables"),
    ),
    "harbor": (
        ("at a harbor", "in the harbor", "on a pier"),
        ("with sailing boats", "with a lighthouse", "with boats and wooden planks"),
    ),
    "cave": (
        ("in a cave", "inside a dark cave", "in a cavern"),
        ("with glowing crystals", "with stalactites", "with blue crystals and dark rocks"),
    ),
    "playground": (
        ("on a playground", "at the playground", "on a colorful playground"),
        ("with a slide", "with swings and a slide", "with a sandbox and swings"),
    ),
    "living room": (
        ("in a living room", "in the living room", "in a lounge"),
        ("with a sofa", "with a sofa and a lamp", "with pictures on the wall"),
    ),
    "stage": (
        ("on a stage", "on the stage", "on a theater stage"),
        ("with red curtains", "under bright spotlights", "with heavy curtains"),
    ),
    "volcano": (
        ("near a volcano", "in front of a volcano", "at the foot of a volcano"),
        ("with glowing lava", "with smoke and red lava", "with black rocks"),
    ),
}
PLACES = tuple(PLACE_WORDS)
OUTDOORS = (
    "beach", "forest", "city", "mountain", "desert", "hill", "park", "field", "castle", "farm",
    "harbor", "playground",
)  # fmt: skip


def darker(color: Color, factor: float = 0.62) -> Color:
    """Scale a colour towards black, as outlines and shades use it."""
    return (int(color[0] * factor), int(color[1] * factor), int(color[2] * factor))


def blend(first: Color, second: Color, weight: float) -> Color:
    """Mix two colours; weight 0 gives the first, 1 the second."""
    r, g, b = (int(x * (1 - weight) + y * weight) for x, y in zip(first, second, strict=True))
    return (r, g, b)
