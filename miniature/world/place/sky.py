"""Sky at any time of day, and the weather over a place and behind the figures."""

import math

import numpy as np

from miniature.world.canvas import ellipse, points
from miniature.world.place.setting import WHITE, Pair, Setting, ring
from miniature.world.vocabulary import Color, blend

SUN: Color = (255, 232, 118)
_DAY: tuple[Color, Color, Color] = ((112, 186, 246), (166, 214, 248), (218, 238, 250))
_SKIES: dict[str, tuple[Color, Color, Color]] = {
    "evening": ((98, 72, 152), (236, 120, 128), (255, 194, 108)),
    "night": ((12, 18, 56), (28, 38, 88), (58, 70, 130)),
}
_CLOUDED: dict[tuple[str, str], tuple[Color, Color]] = {
    ("rain", "day"): ((112, 124, 140), (172, 182, 192)),
    ("rain", "evening"): ((92, 78, 106), (204, 138, 116)),
    ("rain", "night"): ((22, 26, 42), (50, 56, 78)),
    ("snow", "day"): ((160, 180, 208), (212, 224, 238)),
    ("snow", "evening"): ((128, 104, 158), (244, 174, 160)),
    ("snow", "night"): ((40, 48, 84), (92, 102, 142)),
    ("fog", "day"): ((192, 202, 208), (222, 228, 230)),
    ("fog", "evening"): ((176, 140, 158), (246, 198, 158)),
    ("fog", "night"): ((48, 58, 88), (104, 117, 150)),
}
_FOG: dict[str, Color] = {
    "day": (224, 229, 232),
    "evening": (244, 202, 170),
    "night": (104, 117, 150),
}
_FOG_SHARES = (0.3, 0.42, 0.56, 0.64, 0.6, 0.42, 0.2, 0.08)  # from the top down
_STREAKS: dict[str, Color] = {
    "day": (226, 236, 246),
    "evening": (238, 206, 200),
    "night": (128, 142, 180),
}
STARS = [
    (42.7 * (column + across), 30 * (row + down), 0.9 + 1.3 * size)
    for row, spots in enumerate(np.random.default_rng(20).uniform(0.05, 0.95, (6, 6, 3)))
    for column, (across, down, size) in enumerate(spots)
]
_DRIFT = np.random.Generator(np.random.PCG64(20).advance(108)).uniform(-1, 1, (9, 9, 3))
"""Offset of each streak and flake from its grid. Its stream starts after 108 numbers of the stars'
seed, however many stars there are."""


def draw_sky(
    s: Setting,
    horizon: float,
    day: tuple[Color, Color] | None = None,
    sun: Pair | None = None,
    low_sun: Pair | None = None,
    moon: Pair = (206, 42),
) -> None:
    """Draw the sky down to the horizon, with sun, moon and stars.

    Args:
        s: the setting.
        horizon: lowest row of the sky, in the square's coordinates.
        day: colours above and below of a clear day, where a place has its own.
        sun: position of the sun on a clear day; None draws no sun by day.
        low_sun: position of the sun in the evening; None puts it on the horizon.
        moon: position of the moon at night.
    """
    if s.weather != "clear":
        above, below = _CLOUDED[s.weather, s.time]
        s.fade(above, below, 0, horizon, lit=True)
        if s.weather != "fog":
            _cloud_bank(s, blend(above, below, 0.35))
        return
    if s.time == "day":
        above, middle, below = _DAY if day is None else (day[0], blend(*day, 0.5), day[1])
    else:
        above, middle, below = _SKIES[s.time]
    s.fade(above, middle, 0, horizon * 0.55, lit=True)
    s.fade(middle, below, horizon * 0.55, horizon, lit=True)
    if s.time == "day" and sun is not None:
        s.disc(*sun, 30, blend(above, SUN, 0.3), lit=True)
        s.disc(*sun, 21, SUN, lit=True)
    elif s.time == "evening":
        x, y = (198.0, horizon - 12) if low_sun is None else low_sun
        s.disc(x, y, 38, (250, 158, 112), lit=True)
        s.disc(x, y, 27, (255, 226, 132), lit=True)
    elif s.time == "night":
        for x, y, radius in STARS:
            s.disc(x, y * horizon / 190, radius, (250, 250, 225), lit=True)
        _crescent(s, *moon)


def draw_clouds(s: Setting, *places: Pair) -> None:
    """Draw white clouds of fair weather; the night shows none."""
    if s.weather != "clear" or s.time == "night":
        return
    color = WHITE if s.time == "day" else (252, 176, 160)
    shift = s.shift(8)
    for x, y in places:
        for dx, dy, rx in ((-19, 0, 18), (19, 0, 18), (0, -8, 20)):
            s.solid(x + shift, y, ring(rx, 12, 20, dx, dy), color, lit=True)


def draw_weather(s: Setting) -> None:
    """Draw rain, snow or fog over a finished place."""
    if s.weather == "rain":
        _rain(s)
    elif s.weather == "snow":
        _snow(s)
    elif s.weather == "fog":
        s.canvas.veil(_FOG[s.time], np.array(_FOG_SHARES, np.float32))


def _crescent(s: Setting, x: float, y: float) -> None:
    """Draw a moon whose right side is dark: an outer arc, and back along a flatter one."""
    turns = [math.pi * step / 14 for step in range(15)]
    outer = [(-23 * math.sin(turn), -23 * math.cos(turn)) for turn in turns]
    inner = [(-9 * math.sin(turn), 23 * math.cos(turn)) for turn in turns]
    tilted = [(dx * 0.94 - dy * 0.34, dx * 0.34 + dy * 0.94) for dx, dy in outer + inner]
    s.solid(x, y, tilted, (252, 244, 200), lit=True)


def _cloud_bank(s: Setting, color: Color) -> None:
    """Draw heavy clouds along the upper edge."""
    for x, y, rx in ((20, 2, 46), (92, -4, 44), (158, 4, 48), (232, -2, 44)):
        s.shape([(x + dx, y + dy) for dx, dy in ring(rx, 24, 20)], color, lit=True)


def _grid(s: Setting, step: float) -> list[tuple[float, float, float]]:
    """Return points off a regular grid over the picture, with a third number in [-1, 1]."""
    across, down = s.count_across(step), max(1, round(s.canvas.height / step))
    wide, high = s.canvas.width / across, s.canvas.height / down
    shift = s.shift(4)
    return [
        (
            (column + 0.5 + 0.36 * _DRIFT[row % 9, column % 9, 0]) * wide + shift,
            (row + 0.5 + 0.36 * _DRIFT[row % 9, column % 9, 1]) * high + shift,
            float(_DRIFT[row % 9, column % 9, 2]),
        )
        for row in range(down)
        for column in range(across)
    ]


def _rain(s: Setting) -> None:
    for x, y, wide in ((52.0, 240.0, 30), (196.0, 234.0, 36), (124.0, 250.0, 26)):
        s.oval(x, y, wide, wide * 0.2, blend(_STREAKS[s.time], (120, 140, 165), 0.45))
    for x, y, other in _grid(s, 42):
        long = 13 + 3 * other
        drop = points([(x + 0.36 * long, y - long), (x - 0.36 * long, y + long)])
        s.canvas.stroke(drop, 2.0, _STREAKS[s.time])


def _snow(s: Setting) -> None:
    color = s.toned((255, 255, 255)) if s.time == "night" else WHITE
    bright = blend(color, WHITE, 0.5)
    for x, y, other in _grid(s, 36):
        radius = 2.9 + 0.8 * other
        s.canvas.polygon(ellipse(x, y, radius, radius), bright)
