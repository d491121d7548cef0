"""The places of the drawn world, painted behind the character.

Each painter fills the whole canvas with broad, flat shapes: what repeats from picture to
picture (which wall, which side the bed stands on) is few and discrete, so that a small model
can paint it sharply. The ground on which people stand is at GROUND in every place.
"""

import math
from collections.abc import Callable

import numpy as np

from pipelines.miniature.world.canvas import SIZE, Canvas, ellipse, points
from pipelines.miniature.world.vocabulary import Color, blend, darker

GROUND = 226.0
_WHITE: Color = (250, 252, 255)
_scatter = np.random.default_rng(20)
_STARS = _scatter.uniform((4, 4, 0.8), (252, 190, 1.9), (34, 3))
_FLOWERS = _scatter.uniform((4, 182, 2.4), (252, 250, 3.6), (14, 3))
_BUBBLES = _scatter.uniform((8, 12, 2.5), (248, 190, 5.0), (11, 3))
_SNOWFLAKES = _scatter.uniform((4, 6, 1.4), (252, 245, 2.4), (20, 3))
_BOOKS = _scatter.permutation(40)
_BOOK_COLORS: tuple[Color, ...] = (
    (180, 60, 55), (205, 150, 60), (70, 120, 85), (70, 95, 165), (125, 75, 140), (220, 205, 170),
)  # fmt: skip


def draw_place(canvas: Canvas, place: str, rng: np.random.Generator) -> None:
    """Fill a canvas with a place.

    Args:
        canvas: what to paint on; everything on it is covered.
        place: a name of `vocabulary.PLACES`.
        rng: chooses colours, small shifts and the side.
    """
    _PAINTERS[place](canvas, rng)
    if rng.random() < 0.5:
        canvas.mirror()


def _pick(rng: np.random.Generator, *colors: Color) -> Color:
    return colors[int(rng.integers(len(colors)))]


def _hills(canvas: Canvas, level: float, height: float, phase: float, color: Color) -> None:
    """Everything below a wavy line."""
    crest = [(x, level + height * math.sin(x / 42 + phase)) for x in range(0, SIZE + 1, 16)]
    canvas.polygon(points([(0, SIZE), *crest, (SIZE, SIZE)]), color)


def _fir(canvas: Canvas, x: float, base: float, width: float, color: Color) -> None:
    canvas.rectangle(x - width * 0.14, base - 8, x + width * 0.14, base + 8, (105, 75, 50))
    for tier in range(3):
        half, y = width * (1 - 0.2 * tier), base - width * 0.85 * tier
        tip = y - width * 1.35
        canvas.polygon(points([(x - half, y), (x + half, y), (x, tip)]), color)


def _window(canvas: Canvas, x0: float, y0: float, x1: float, y1: float, frame: Color) -> None:
    canvas.rectangle(x0, y0, x1, y1, (160, 212, 245), frame)
    canvas.rectangle((x0 + x1) / 2 - 1.5, y0, (x0 + x1) / 2 + 1.5, y1, frame)


def _beach(canvas: Canvas, rng: np.random.Generator) -> None:
    horizon = 118 + rng.uniform(-4, 4)
    shore = horizon + 46
    canvas.gradient((110, 190, 245), (205, 235, 252), 0, horizon)
    canvas.gradient((30, 130, 190), (90, 195, 220), horizon, shore)
    canvas.gradient((246, 226, 165), (232, 205, 140), shore, SIZE)
    foam = [(x, shore + 2.5 * math.sin(x / 15)) for x in range(-5, 265, 10)]
    canvas.stroke(points(foam), 5, _WHITE)
    canvas.disc(204, 40, 21, (255, 236, 130))
    canvas.stroke(points([(26, 228), (30, 160), (42, 92)]), 10, (140, 100, 60))
    for turn in np.linspace(-2.9, -0.2, 6):
        x, y = 42 + 22 * math.cos(turn), 94 + 15 * math.sin(turn)
        canvas.polygon(ellipse(x, y, 26, 7, float(turn)), (60, 150, 70))


def _forest(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.gradient((160, 212, 178), (206, 232, 186), 0, 186)
    canvas.gradient((92, 142, 66), (62, 108, 50), 172, SIZE)
    near, far = (38, 104, 56), (74, 146, 92)
    shift = rng.uniform(-6, 6)
    for x in (34, 98, 162, 226):
        _fir(canvas, x + shift, 166, 30, far)
    for x in (2, 64, 192, 254):
        _fir(canvas, x + shift, 190, 36, near)
    for x, y in ((24, 238), (96, 246), (168, 240), (236, 232)):
        canvas.polygon(ellipse(x, y, 13, 7), (50, 118, 52))


def _city(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.gradient((160, 200, 234), (222, 232, 240), 0, 190)
    light = _pick(rng, (250, 235, 160), (200, 226, 244))
    walls: tuple[Color, ...] = ((176, 112, 92), (112, 140, 164), (196, 182, 156), (134, 132, 152))
    order = rng.permutation(4)
    for number, (x, roof, width) in enumerate(
        ((0, 62, 62), (64, 28, 48), (112, 84, 48), (160, 40, 48), (208, 70, 48))
    ):
        wall = walls[order[number % 4]]
        canvas.rectangle(x, roof, x + width - 2, 196, wall, darker(wall))
        for y in range(roof + 10, 176, 24):
            for left in range(x + 8, x + width - 14, 18):
                canvas.rectangle(left, y, left + 10, y + 13, light)
    canvas.rectangle(0, 194, SIZE, 208, (186, 184, 178))
    canvas.rectangle(0, 208, SIZE, SIZE, (90, 92, 98))
    for x in (8, 80, 152, 224):
        canvas.rectangle(x, 240, x + 36, 246, (240, 235, 200))


def _bedroom(canvas: Canvas, rng: np.random.Generator) -> None:
    wall = _pick(rng, (240, 208, 214), (206, 222, 242), (244, 232, 198))
    quilt = _pick(rng, (205, 80, 92), (80, 122, 196), (112, 166, 122))
    canvas.rectangle(0, 0, SIZE, 184, wall)
    canvas.rectangle(0, 184, SIZE, SIZE, (182, 136, 94))
    for y in (208, 232):
        canvas.rectangle(0, y, SIZE, y + 2, (152, 110, 76))
    _window(canvas, 166, 34, 224, 98, _WHITE)
    canvas.rectangle(150, 26, 168, 112, quilt)
    canvas.rectangle(222, 26, 240, 112, quilt)
    canvas.rectangle(0, 116, 9, 216, (120, 80, 50))
    canvas.rectangle(9, 162, 104, 206, quilt, darker(quilt))
    canvas.rectangle(9, 148, 44, 168, _WHITE, (170, 170, 170))
    canvas.rectangle(98, 156, 107, 216, (120, 80, 50))


def _office(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.rectangle(0, 0, SIZE, 184, _pick(rng, (224, 228, 230), (214, 226, 222)))
    canvas.rectangle(0, 184, SIZE, SIZE, (120, 132, 148))
    for x in (14, 98, 182):
        _window(canvas, x, 20, x + 60, 92, (92, 98, 108))
    wood, leg = (166, 116, 72), (110, 76, 46)
    canvas.rectangle(0, 148, 96, 158, wood, leg)
    for x in (8, 80):
        canvas.rectangle(x, 158, x + 8, 216, leg)
    canvas.rectangle(24, 108, 74, 140, (40, 44, 52))
    canvas.rectangle(28, 112, 70, 136, (110, 184, 224))
    canvas.rectangle(45, 140, 53, 148, (40, 44, 52))
    canvas.rectangle(212, 178, 240, 210, (204, 112, 72))
    canvas.disc(226, 158, 24, (60, 140, 80))


def _mountain(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.gradient((140, 184, 236), (226, 240, 250), 0, 190)
    shift = rng.uniform(-8, 8)
    for middle, peak, half, color in (
        (40, 72, 84, (118, 134, 166)),
        (206, 62, 92, (110, 126, 158)),
        (126, 44, 88, (136, 150, 180)),
    ):
        x = middle + shift
        canvas.polygon(points([(x - half, 200), (x, peak), (x + half, 200)]), color)
        cap = 0.36
        low, side = peak + (200 - peak) * cap, half * cap
        snow = [
            (x - side, low),
            (x, peak),
            (x + side, low),
            (x + side * 0.3, low - 12),
            (x - side * 0.3, low),
        ]
        canvas.polygon(points(snow), _WHITE)
    canvas.gradient((240, 246, 252), (220, 231, 244), 184, SIZE)
    for x in (18, 240):
        _fir(canvas, x, 196, 17, (60, 112, 96))
    for x, y, radius in _SNOWFLAKES:
        canvas.disc(x, y, radius, (255, 255, 255))


def _desert(canvas: Canvas, rng: np.random.Generator) -> None:
    level = 148 + rng.uniform(-6, 6)
    canvas.gradient((250, 190, 110), (255, 232, 180), 0, level + 14)
    canvas.disc(198, 44, 23, (255, 250, 215))
    _hills(canvas, level, 11, 0.4, (222, 160, 90))
    _hills(canvas, level + 46, 8, 2.2, (238, 184, 110))
    for x, base, tall in ((30, 212, 1.2), (232, 194, 0.85)):
        for line in (
            [(0, 0), (0, -66)],
            [(0, -24), (19, -24), (19, -48)],
            [(0, -14), (-18, -14), (-18, -36)],
        ):
            stem = points([(x + tall * dx, base + tall * dy) for dx, dy in line])
            canvas.stroke(stem, 11 * tall, (60, 136, 76))


def _night(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.gradient((14, 18, 54), (54, 60, 118), 0, SIZE)
    for x, y, radius in _STARS:
        canvas.disc(x, y, radius, (250, 250, 225))
    x, y = 204 + rng.uniform(-6, 6), 46
    canvas.disc(x, y, 23, (250, 244, 205))
    canvas.disc(x + 11, y - 4, 20, (22, 27, 66))
    _hills(canvas, 192, 13, 1.0, (36, 68, 66))
    _hills(canvas, 222, 6, 3.0, (27, 52, 52))


def _park(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.gradient((120, 192, 246), (212, 237, 250), 0, 164)
    canvas.gradient((134, 204, 98), (96, 172, 76), 156, SIZE)
    shift = rng.uniform(-8, 8)
    for x, y in ((66, 36), (186, 26)):
        for dx, dy, rx in ((-18, 0, 18), (18, 0, 18), (0, -7, 20)):
            canvas.polygon(ellipse(x + dx + shift, y + dy, rx, 12), _WHITE)
    for x, wide in ((24, 1.0), (230, 0.85)):
        canvas.rectangle(x - 7, 110, x + 7, 186, (125, 85, 55))
        for dx, dy in ((-20, 4), (20, 4), (0, -20), (0, 8)):
            canvas.disc(x + dx * wide, 88 + dy * wide, 27 * wide, (66, 150, 70))
    petals: tuple[Color, ...] = ((240, 80, 100), (250, 220, 80), (250, 250, 250))
    for number, (x, y, radius) in enumerate(_FLOWERS):
        canvas.disc(x, y, radius, petals[number % 3])


def _library(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.rectangle(0, 0, SIZE, SIZE, (132, 90, 58))
    canvas.rectangle(0, 192, SIZE, SIZE, _pick(rng, (168, 60, 56), (70, 100, 80)))
    first = int(rng.integers(4)) * 6
    for shelf, y in enumerate((8, 54, 100, 146)):
        canvas.rectangle(0, y, SIZE, y + 38, (82, 52, 36))
        for book in range(16):
            number = int(_BOOKS[(first + 7 * shelf + book) % len(_BOOKS)])
            height = 26 + 4 * (number % 3)
            color = _BOOK_COLORS[number % len(_BOOK_COLORS)]
            canvas.rectangle(16 * book, y + 38 - height, 16 * book + 14, y + 38, color)
    for x in (82, 170):
        canvas.rectangle(x, 0, x + 8, 192, (104, 70, 44))


def _space(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.gradient((10, 8, 28), (34, 20, 62), 0, SIZE)
    for x, y, radius in _STARS:
        canvas.disc(x, y, radius, (255, 255, 255))
    planet = _pick(rng, (90, 150, 220), (220, 130, 90), (160, 110, 200))
    canvas.disc(54, 52, 30, planet)
    canvas.polygon(ellipse(48, 46, 18, 15), blend(planet, (255, 255, 255), 0.25))
    canvas.stroke(ellipse(54, 52, 50, 10, -0.3)[:15], 4, (235, 220, 180))
    dome = [(x, 196 - 12 * math.sin(math.pi * x / SIZE)) for x in range(0, SIZE + 1, 16)]
    canvas.polygon(points([(0, SIZE), *dome, (SIZE, SIZE)]), (160, 158, 166))
    for x, y, radius in ((34, 216, 13), (96, 240, 16), (200, 210, 14), (226, 244, 12)):
        canvas.polygon(ellipse(x, y, radius, radius * 0.36), (128, 126, 136))


def _underwater(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.gradient((72, 194, 224), (14, 76, 148), 0, 216)
    canvas.gradient((208, 194, 144), (182, 166, 120), 208, SIZE)
    for x, tall in ((20, 92), (48, 56), (212, 70), (238, 104)):
        weed = [(x + 6 * math.sin(t / 11), 226 - t) for t in range(0, tall, 7)]
        canvas.stroke(points(weed), 8, (40, 152, 92))
    skin = _pick(rng, (250, 150, 60), (250, 220, 80), (240, 100, 120))
    for x, y in ((38, 60), (214, 44), (200, 128)):
        canvas.polygon(points([(x - 13, y), (x - 25, y - 10), (x - 25, y + 10)]), skin)
        canvas.polygon(ellipse(x, y, 17, 10), skin)
        canvas.disc(x + 9, y - 2, 2.4, (20, 20, 20))
    for x, y, radius in _BUBBLES:
        canvas.disc(x, y, radius, (158, 224, 242))


def _kitchen(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.rectangle(0, 0, SIZE, 190, (250, 240, 215))
    canvas.rectangle(0, 190, SIZE, SIZE, (208, 203, 192))
    for row, y in enumerate((190, 212, 234)):
        for column in range(row % 2, 8, 2):
            canvas.rectangle(32 * column, y, 32 * column + 32, y + 22, (176, 172, 164))
    door = _pick(rng, (110, 168, 152), (196, 112, 92), (110, 142, 184))
    for x in (0, 64, 128, 192):
        for y, knob in ((8, 52), (142, 154)):
            canvas.rectangle(x + 2, y, x + 62, y + 54, door, darker(door))
            canvas.disc(x + 52, knob, 3.4, (242, 242, 242))
    canvas.rectangle(0, 130, SIZE, 142, (236, 236, 233), (170, 170, 170))
    canvas.rectangle(20, 104, 56, 130, (90, 95, 106))
    canvas.rectangle(56, 110, 74, 116, (60, 60, 66))


def _sunset(canvas: Canvas, rng: np.random.Generator) -> None:
    horizon = 164 + rng.uniform(-5, 5)
    canvas.gradient((96, 62, 136), (255, 150, 90), 0, horizon)
    canvas.disc(190, horizon - 8, 32, (255, 226, 132))
    canvas.gradient((124, 94, 54), (82, 64, 42), horizon, SIZE)
    for x, y, wide in ((56, 40, 44), (196, 66, 40), (92, 100, 36)):
        canvas.polygon(ellipse(x, y, wide, 7), (250, 152, 142))
    for number, y in enumerate((184, 202, 220, 240)):
        canvas.rectangle(24 * number, y, 24 * number + 110, y + 3, (156, 116, 64))


_PAINTERS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "beach": _beach,
    "forest": _forest,
    "city": _city,
    "bedroom": _bedroom,
    "office": _office,
    "mountain": _mountain,
    "desert": _desert,
    "night": _night,
    "park": _park,
    "library": _library,
    "space": _space,
    "underwater": _underwater,
    "kitchen": _kitchen,
    "sunset": _sunset,
}
