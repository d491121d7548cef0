"""Places outdoors where nobody lives: beach, forest, mountain, desert, hill, park and field."""

import math

import numpy as np

from miniature.world.place.setting import SIDE, WHITE, Pair, Setting, ring
from miniature.world.place.sky import draw_clouds, draw_sky
from miniature.world.vocabulary import Color, blend, darker

_FLOWERS: tuple[Pair, ...] = (
    (12, 206), (40, 196), (66, 214), (92, 196), (120, 246), (34, 240), (82, 238), (150, 200),
    (172, 236), (196, 206), (214, 244), (240, 216), (246, 250), (58, 176), (186, 178), (6, 184),
)  # fmt: skip


def _crest(level: float, height: float, phase: float, length: float = 42) -> list[Pair]:
    """Return everything below a wavy line as a polygon."""
    wave = [(x, level + height * math.sin(x / length + phase)) for x in range(0, 257, 16)]
    return [(0, SIDE), *((float(x), y) for x, y in wave), (SIDE, SIDE)]


def _fir(s: Setting, x: float, base: float, width: float, color: Color) -> None:
    """Draw a fir of three tiers; its branches carry snow when it snows."""
    s.box(x - width * 0.14, base - 8, x + width * 0.14, base + 8, (105, 75, 50))
    for tier in range(3):
        half, y = width * (1 - 0.2 * tier), base - width * 0.85 * tier
        tip = y - width * 1.35
        s.shape([(x - half, y), (x + half, y), (x, tip)], color)
        if s.weather == "snow":
            side, low = half * 0.45, tip + width * 0.6
            s.shape([(x - side, low), (x, low - 5), (x + side, low), (x, tip)], WHITE)


def _tree(s: Setting, x: float, base: float, wide: float, color: Color = (66, 150, 70)) -> None:
    """Draw a tree with a round crown."""
    crown = base - 98 * wide
    s.box(x - 7 * wide, crown, x + 7 * wide, base, (125, 85, 55))
    for dx, dy, radius in ((-20, 6, 27), (20, 6, 27), (0, 10, 27), (0, -18, 28)):
        leaves = ring(radius * wide, radius * wide, 24, dx * wide, dy * wide)
        s.solid(x, crown, leaves, color)
    if s.weather == "snow":
        snow = [(rx * wide, ry * 0.7 * wide - 29 * wide) for rx, ry in ring(23, 23, 24)]
        s.solid(x, crown, snow, WHITE)
    else:
        light = blend(color, (190, 230, 110), 0.35)
        shine = [((rx - 7) * wide, (ry - 25) * wide) for rx, ry in ring(15, 15, 24)]
        s.solid(x, crown, shine, light)


def draw_beach(s: Setting) -> None:
    """Draw sand, sea and a palm tree."""
    horizon = 118 + s.shift(4)
    shore = horizon + 46
    draw_sky(s, horizon, ((110, 190, 245), (205, 235, 252)), (204, 40), (190, horizon - 10))
    s.fade((30, 130, 190), (90, 195, 220), horizon, shore)
    s.ground((246, 226, 165), (232, 205, 140), shore)
    foam = [(float(x), shore + 2.5 * math.sin(x / 15)) for x in range(-5, 265, 10)]
    s.line(foam, 5, WHITE)
    for x in (96, 186):
        s.line([(x, horizon + 18), (x + 34, horizon + 18)], 3, (150, 215, 235))
    s.line([(26, 228), (30, 160), (42, 92)], 10, (140, 100, 60))
    for turn in np.linspace(-2.9, -0.2, 6):
        dx, dy = 22 * math.cos(turn), 2 + 15 * math.sin(turn)
        c, sin = math.cos(turn), math.sin(turn)
        leaf = [
            (dx + 26 * rx * c - 7 * ry * sin, dy + 26 * rx * sin + 7 * ry * c)
            for rx, ry in ring(1, 1, 24)
        ]
        s.solid(42, 92, leaf, s.snowy((60, 150, 70), 0.4))


def draw_forest(s: Setting) -> None:
    """Draw two rows of firs on a green ground."""
    draw_sky(s, 186, ((160, 212, 178), (206, 232, 186)), None, (130, 112))
    s.ground((92, 142, 66), (62, 108, 50), 172)
    s.fade((126, 184, 130), (104, 164, 104), 140, 174)
    near, far = (38, 104, 56), (74, 146, 92)
    shift = s.shift(6)
    for x in (34, 98, 162, 226):
        _fir(s, x + shift, 166, 30, far)
    for x in (2, 64, 192, 254):
        _fir(s, x + shift, 190, 36, near)
    for x, y in ((24, 238), (96, 246), (168, 240), (236, 232)):
        s.oval(x, y, 15, 8, s.snowy((46, 116, 50), 0.5))


def draw_mountain(s: Setting) -> None:
    """Draw white peaks above deep snow."""
    draw_sky(s, 190, ((140, 184, 236), (226, 240, 250)), None, (72, 92))
    shift = s.shift(8)
    for middle, peak, half, color in (
        (40, 72, 84, (118, 134, 166)),
        (206, 62, 92, (110, 126, 158)),
        (126, 44, 88, (136, 150, 180)),
    ):
        x = middle + shift
        s.shape([(x - half, 200), (x, peak), (x + half, 200)], color)
        s.shape([(x, 200), (x, peak), (x + half, 200)], darker(color, 0.88))
        cap = 0.36
        low, side = peak + (200 - peak) * cap, half * cap
        snow: list[Pair] = [
            (x - side, low),
            (x, peak),
            (x + side, low),
            (x + side * 0.3, low - 12),
            (x - side * 0.3, low),
        ]
        s.shape(snow, WHITE)
    s.fade((240, 246, 252), (214, 227, 243), 184, SIDE)
    for x, wide in ((18, 17), (240, 17)):
        _fir(s, x, 196, wide, (60, 112, 96))


def draw_desert(s: Setting) -> None:
    """Draw dunes and two cactus plants."""
    level = 148 + s.shift(6)
    draw_sky(s, level + 14, ((134, 204, 228), (255, 232, 180)), (198, 44), (186, level - 18))
    s.shape(_crest(level, 11, 0.4), s.snowy((222, 160, 90), 0.7))
    s.shape(_crest(level + 46, 8, 2.2), s.snowy((238, 184, 110)))
    for x, base, tall in ((30.0, 212.0, 1.2), (232.0, 194.0, 0.85)):
        arms: tuple[list[Pair], ...] = (
            [(0, 0), (0, -66)],
            [(0, -24), (19, -24), (19, -48)],
            [(0, -14), (-18, -14), (-18, -36)],
        )
        for line in arms:
            s.wire(x, base, [(tall * dx, tall * dy) for dx, dy in line], 11 * tall, (60, 136, 76))
        if s.weather == "snow":
            s.wire(x, base, [(-2 * tall, -69 * tall), (2 * tall, -69 * tall)], 9 * tall, WHITE)


def draw_hill(s: Setting) -> None:
    """Draw the top of a grassy hill above a valley with a river."""
    draw_sky(s, 176)
    draw_clouds(s, (76, 40), (176, 62))
    s.shape(_crest(138, 15, 1.0 + s.shift(0.3)), s.snowy((88, 128, 152), 0.5))
    s.shape(_crest(160, 10, 3.2), s.snowy((98, 150, 138), 0.6))
    river: list[Pair] = [
        (206, 158),
        (214, 158),
        (206, 168),
        (168, 174),
        (150, 200),
        (104, 200),
        (140, 172),
        (190, 166),
    ]
    s.shape(river, (150, 206, 236))
    top: list[Pair] = [(0.0, SIDE)]
    top += [(float(x), 198 - 16 * math.sin(math.pi * (x + 30) / 300)) for x in range(0, 257, 16)]
    s.shape([*top, (SIDE, SIDE)], s.snowy((126, 176, 78)))
    s.shape([(x, y + 40) for x, y in top] + [(SIDE, SIDE + 40)], s.snowy((102, 152, 66), 0.75))
    _tree(s, 34, 204, 1.0, (54, 128, 92))


def draw_park(s: Setting) -> None:
    """Draw round trees on a meadow with flowers."""
    draw_sky(s, 164, ((120, 192, 246), (212, 237, 250)), None, (176, 132))
    draw_clouds(s, (66, 36), (186, 26))
    s.ground((134, 204, 98), (96, 172, 76), 156)
    for x, base, wide in ((24.0, 186.0, 1.0), (230.0, 178.0, 0.85)):
        _tree(s, x, base, wide)
    petals: tuple[Color, ...] = ((240, 80, 100), (250, 220, 80), (250, 250, 250))
    for number, (x, y) in enumerate(_FLOWERS):
        s.disc(x, y, 3.6 if y > 190 else 2.6, petals[number % 3])


def draw_field(s: Setting) -> None:
    """Draw golden rows that run to the horizon, and a windmill."""
    horizon = 150 + s.shift(4)
    draw_sky(s, horizon + 4, None, (206, 44))
    draw_clouds(s, (140, 34))
    s.shape(_crest(horizon - 4, 5, 0.8), s.snowy((128, 166, 98), 0.6))
    s.ground((238, 196, 92), (222, 168, 62), horizon)
    far, near = 128.0, 128.0
    for row in range(-6, 7):
        left, right = near + 44 * row - 9, near + 44 * row + 9
        tip = far + 15 * row
        furrow = s.snowy((184, 128, 50), 0.6)
        s.shape([(tip - 2, horizon), (tip + 2, horizon), (right, SIDE), (left, SIDE)], furrow)
    x, y = 46.0, 96.0
    s.shape(
        [(x - 12, y), (x + 12, y), (x + 20, horizon + 12), (x - 20, horizon + 12)], (236, 228, 214)
    )
    s.shape([(x - 15, y + 1), (x + 15, y + 1), (x, y - 18)], s.snowy((178, 66, 54)))
    s.box(x - 5, horizon - 8, x + 5, horizon + 12, (126, 84, 52))
    for turn in (0.6, 2.17, 3.74, 5.31):
        c, sin = math.cos(turn), math.sin(turn)
        blade: list[Pair] = [(0, 0), (44, -2), (44, 9), (8, 9)]
        turned = [(dx * c - dy * sin, dx * sin + dy * c) for dx, dy in blade]
        s.solid(x, y, turned, (250, 244, 228), (126, 84, 52))
