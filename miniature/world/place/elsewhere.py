"""Places that are neither rooms nor under the sky: space, underwater, cave and volcano."""

import math

import numpy as np

from miniature.world.place.setting import SIDE, WHITE, Pair, Setting
from miniature.world.place.sky import STARS
from miniature.world.vocabulary import Color, blend, darker

_BUBBLES = np.random.default_rng(4).uniform((8, 12, 2.8), (248, 190, 5.4), (12, 3))


def draw_space(s: Setting) -> None:
    """Draw a gray moon with craters under stars and a big planet."""
    s.fade((10, 8, 28), (34, 20, 62), 0, SIDE)
    for x, y, radius in STARS:
        s.disc(x, y, radius * 1.1, WHITE)
    planet = s.pick((90, 150, 220), (220, 130, 90), (160, 110, 200))
    s.disc(54, 52, 31, planet)
    s.oval(48, 46, 18, 15, blend(planet, WHITE, 0.25))
    turns = [math.pi * step / 14 for step in range(15)]
    ring = [(50 * math.cos(turn), 10 * math.sin(turn)) for turn in turns]
    s.wire(
        54,
        52,
        [(x * 0.955 + y * 0.296, y * 0.955 - x * 0.296) for x, y in ring],
        4,
        (235, 220, 180),
    )
    dome = [(float(x), 196 - 12 * math.sin(math.pi * x / SIDE)) for x in range(0, 257, 16)]
    s.shape([(0, SIDE), *dome, (SIDE, SIDE)], (160, 158, 166))
    for x, y, radius in ((34, 216, 14), (96, 242, 17), (200, 212, 15), (228, 244, 13)):
        s.oval(x, y, radius, radius * 0.36, (128, 126, 136))


def draw_underwater(s: Setting) -> None:
    """Draw fish and seaweed above a sandy bottom."""
    s.fade((72, 194, 224), (14, 76, 148), 0, 216)
    s.fade((208, 194, 144), (182, 166, 120), 208, SIDE)
    for x, tall in ((20, 92), (48, 56), (212, 70), (238, 104)):
        weed = [(x + 6 * math.sin(t / 11), 226.0 - t) for t in range(0, tall, 7)]
        s.line(weed, 8, (40, 152, 92))
    for x, y, radius in _BUBBLES:
        s.disc(x, y, radius, (158, 224, 242))
    skin = s.pick((250, 150, 60), (250, 220, 80), (240, 100, 120))
    for x, y in ((38, 60), (214, 44), (200, 128)):
        s.solid(x, y, [(-13, 0), (-26, -11), (-26, 11)], skin)
        s.oval(x, y, 18, 11, skin)
        s.solid(x, y, [(-6, -4), (2, 0), (-6, 4), (-10, 0)], darker(skin, 0.8))
        s.disc(x + 8, y - 2, 3.4, WHITE)
        s.disc(x + 9, y - 2, 2.2, (20, 20, 20))


def draw_cave(s: Setting) -> None:
    """Draw dark rock with stalactites and glowing crystals."""
    s.box(0, 0, SIDE, SIDE, (48, 40, 62))
    hollow: list[Pair] = [
        (22, 212),
        (30, 110),
        (70, 56),
        (128, 38),
        (186, 56),
        (226, 110),
        (234, 212),
    ]
    s.shape(hollow, (76, 66, 94))
    s.shape(
        [(60, 212), (66, 130), (96, 86), (128, 76), (160, 86), (190, 130), (196, 212)],
        (98, 86, 118),
    )
    for x, wide, tip in (
        (22, 18, 78),
        (62, 14, 62),
        (98, 11, 50),
        (150, 12, 54),
        (192, 15, 72),
        (234, 18, 60),
    ):
        s.shape([(x - wide, 0), (x + wide, 0), (x, tip)], (34, 28, 46))
    s.fade((86, 76, 100), (62, 54, 76), 200, SIDE)
    glow = s.pick((70, 190, 236), (96, 150, 250))
    for x, y in ((32, 196), (226, 188)):
        s.oval(x, y, 52, 44, blend((62, 54, 84), glow, 0.35))
        for dx, tall, lean in ((-22, 40, -12), (20, 46, 10), (0, 74, 0)):
            _crystal(s, x + dx, y + 22, tall, lean, glow)
    for x, wide in ((-4, 46), (258, 52)):
        s.shape(
            [(x - wide, 236), (x - wide * 0.4, 210), (x + wide * 0.5, 212), (x + wide, 240)],
            (34, 28, 46),
        )


def _crystal(s: Setting, x: float, y: float, tall: float, lean: float, color: Color) -> None:
    """Draw a six-sided column with a light and a dark face."""
    top = -tall
    light, dark = blend(color, WHITE, 0.45), darker(color, 0.78)
    s.solid(x, y, [(-9, 0), (lean - 9, top + 14), (lean, top), (lean, top + 16), (0, 0)], light)
    s.solid(x, y, [(9, 0), (lean + 9, top + 14), (lean, top), (lean, top + 16), (0, 0)], dark)


def draw_volcano(s: Setting) -> None:
    """Draw a black mountain with red lava under a smoky sky."""
    s.fade((74, 44, 66), (224, 104, 72), 0, 190)
    x = 96 + s.shift(6)
    for dx, y, radius in ((-2, 46, 20), (14, 24, 25), (-16, 8, 24), (42, 4, 26)):
        s.disc(x + dx, y, radius, (112, 92, 104))
    s.shape([(x - 118, 200), (x - 26, 66), (x + 26, 66), (x + 126, 200)], (60, 46, 56))
    s.shape([(x + 8, 66), (x + 26, 66), (x + 126, 200), (x + 44, 200)], (46, 36, 46))
    lava, bright = (255, 106, 36), (255, 204, 84)
    s.oval(x, 67, 27, 7, bright)
    s.line([(x - 8, 68), (x - 16, 104), (x - 40, 136), (x - 46, 196)], 11, lava)
    s.line([(x + 10, 68), (x + 22, 112), (x + 64, 152), (x + 84, 196)], 9, lava)
    s.line([(x - 8, 70), (x - 16, 104), (x - 40, 136)], 4, bright)
    s.fade((72, 58, 66), (50, 40, 48), 190, SIDE)
    river: list[Pair] = [(168, 190), (188, 190), (224, 214), (SIDE, 226), (SIDE, 248), (206, 226)]
    s.shape(river, lava)
    s.shape([(176, 190), (184, 190), (228, 220), (SIDE, 232), (SIDE, 240), (212, 222)], bright)
    for left, wide, tall in ((0, 44, 26), (206, 60, 20)):
        foot = 214 if left == 0 else 206
        s.shape(
            [(left - 8, foot), (left + wide * 0.3, foot - tall), (left + wide, foot)], (34, 28, 34)
        )
