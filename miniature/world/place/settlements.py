"""Places outdoors that people built: city, castle, farm, harbor and playground."""

import math

from miniature.world.place.setting import SIDE, WHITE, Pair, Setting
from miniature.world.place.sky import draw_clouds, draw_sky
from miniature.world.vocabulary import Color, darker

_LAMPLIGHT: Color = (255, 222, 120)
_STONE: Color = (172, 174, 184)
_WOOD: Color = (146, 98, 58)
_HALF_TURN = [math.pi * (1 + step / 12) for step in range(13)]


def draw_city(s: Setting) -> None:
    """Draw tall buildings along a road; their windows shine when it is dark."""
    draw_sky(s, 198, ((160, 200, 234), (222, 232, 240)), None, (136, 58), (145, 40))
    light = s.pick((250, 235, 160), (200, 226, 244))
    if s.dark:
        light = _LAMPLIGHT
    walls: tuple[Color, ...] = ((176, 112, 92), (112, 140, 164), (196, 182, 156), (134, 132, 152))
    order = s.rng.permutation(4)
    for number, (x, roof, width) in enumerate(
        ((0, 62, 62), (64, 28, 48), (112, 84, 48), (160, 40, 48), (208, 70, 48))
    ):
        wall = walls[order[number % 4]]
        s.box(x, roof, x + width - 2, 196, wall, darker(wall))
        s.box(x, roof - 1, x + width - 2, roof + 4, s.snowy(darker(wall, 0.8), 1.0))
        columns = max(2, round(s.x(width) / 19))
        rows = s.count_down(24, 176 - roof)
        for row in range(rows):
            for column in range(columns):
                left = (
                    x + (column + 0.5) * (width - 2) / columns - 5 * s.size * SIDE / s.canvas.width
                )
                top = roof + 10 + row * (172 - roof) / rows
                s.tile(left, top, 10, 13, light, lit=s.dark)
    s.box(0, 194, SIDE, 208, s.snowy((186, 184, 178)))
    s.box(0, 208, SIDE, SIDE, s.snowy((90, 92, 98), 0.5))
    count = s.count_across(68)
    for number in range(count):
        s.tile(SIDE * (number + 0.25) / count, 240, 34, 6, (240, 235, 200))


def _battlements(s: Setting, x0: float, x1: float, y: float, color: Color) -> None:
    """Draw a row of merlons with their feet at y."""
    count = max(2, round(s.x(x1 - x0) / 15))
    step = (x1 - x0) / count
    for number in range(count):
        left = x0 + step * (number + 0.18)
        s.box(left, y - 9, left + step * 0.64, y + 1, color)
        s.box(left, y - 10, left + step * 0.64, y - 7, s.snowy(color, 1.0))


def _tower(s: Setting, x: float, half: float, top: float, roof: Color) -> None:
    """Draw a round tower with a pointed roof and a flag."""
    s.box(x - half, top, x + half, 192, _STONE)
    s.box(x + half * 0.35, top, x + half, 192, darker(_STONE, 0.88))
    for y in (top + 22, top + 62):
        s.box(x - 5, y, x + 5, y + 20, _LAMPLIGHT if s.dark else (74, 78, 96), lit=s.dark)
    peak = top - 50
    s.line([(x, peak - 26), (x, peak + 8)], 3, (94, 84, 84))
    s.shape([(x + 1, peak - 26), (x + 24, peak - 18), (x + 1, peak - 9)], (240, 196, 60))
    s.shape([(x - half - 6, top + 2), (x + half + 6, top + 2), (x, peak)], roof)
    if s.weather == "snow":
        s.shape([(x - half * 0.6, top - 22), (x + half * 0.6, top - 22), (x, peak)], WHITE)


def draw_castle(s: Setting) -> None:
    """Draw a stone wall with a gate between two towers."""
    draw_sky(s, 190, ((138, 190, 240), (226, 232, 244)), None, (130, 92), (132, 46))
    draw_clouds(s, (126, 44))
    roof = s.pick((196, 62, 62), (64, 98, 178))
    s.box(40, 112, 226, 192, darker(_STONE, 0.93))
    _battlements(s, 66, 200, 112, darker(_STONE, 0.93))
    _tower(s, 40, 28, 86, roof)
    _tower(s, 224, 23, 98, roof)
    arch = [(167 + 22 * math.cos(turn), 154 + 22 * math.sin(turn)) for turn in _HALF_TURN]
    s.shape([(145, 194), *arch, (189, 194)], _WOOD, (86, 72, 66))
    for x in (156, 167, 178):
        s.line([(x, 140), (x, 192)], 2, (108, 70, 42))
    s.ground((120, 186, 104), (88, 156, 84), 190)
    s.shape([(147, 190), (187, 190), (226, SIDE), (96, SIDE)], s.snowy((222, 204, 164), 0.7))


def draw_farm(s: Setting) -> None:
    """Draw a red barn, a white fence and hay."""
    draw_sky(s, 164, ((132, 200, 246), (226, 240, 246)), None, (176, 128))
    draw_clouds(s, (178, 38))
    s.ground((158, 196, 92), (128, 170, 76), 158)
    red, trim = (188, 54, 48), (246, 240, 232)
    s.shape([(4, 196), (4, 104), (20, 74), (54, 54), (88, 74), (104, 104), (104, 196)], red)
    gable: list[Pair] = [(0, 108), (18, 76), (54, 55), (90, 76), (108, 108)]
    s.line(gable, 7, s.snowy(trim, 1.0))
    s.box(32, 146, 76, 196, darker(red, 0.72), trim)
    s.line([(32, 146), (76, 196)], 3.5, trim)
    s.line([(76, 146), (32, 196)], 3.5, trim)
    s.box(43, 94, 65, 118, _LAMPLIGHT if s.dark else (92, 36, 36), trim, lit=s.dark)
    for y in (166, 182):
        s.box(108, y, SIDE, y + 6, trim)
    count = s.count_across(58)
    for number in range(count):
        x = 112 + 144 * (number + 0.5) / count
        s.box(x - 3.5, 156, x + 3.5, 200, trim)
    s.disc(226, 196, 25, (226, 182, 82))
    s.disc(226, 196, 17, (204, 154, 62))
    s.disc(226, 196, 9, (226, 182, 82))


def draw_harbor(s: Setting) -> None:
    """Draw a wooden pier before sailing boats and a lighthouse."""
    horizon = 116 + s.shift(4)
    draw_sky(s, horizon, ((126, 196, 236), (232, 240, 238)), None, (150, horizon - 8), (84, 38))
    draw_clouds(s, (126, 30))
    s.fade((58, 148, 168), (34, 112, 142), horizon, 196)
    for x, y in ((80, 150), (150, 138), (138, 174)):
        s.line([(x, y), (x + 30, y)], 3, (128, 196, 206))
    _lighthouse(s, 222)
    sail = s.pick((250, 246, 236), (250, 214, 110))
    for x, y, tall in ((48, 168, 1.0), (110, 132, 0.5)):
        boat: list[Pair] = [(-32, 0), (34, 0), (24, 17), (-22, 17)]
        mast: list[Pair] = [(0, 0), (0, -92)]
        s.solid(x, y, [(dx * tall, dy * tall) for dx, dy in boat], (196, 60, 56))
        s.wire(x, y, [(dx * tall, dy * tall) for dx, dy in mast], 4 * tall, (116, 80, 52))
        for cloth in ([(4, -90), (4, -9), (34, -9)], [(-4, -78), (-4, -9), (-26, -9)]):
            s.solid(x, y, [(dx * tall, dy * tall) for dx, dy in cloth], sail)
    s.box(0, 194, SIDE, SIDE, s.snowy((178, 132, 88), 0.8))
    for y in (194, 214, 234):
        s.box(0, y, SIDE, y + 3, s.snowy((128, 90, 60), 0.4))
    for x in (14, 242):
        s.box(x - 8, 178, x + 8, 214, (108, 76, 52))
        s.box(x - 8, 176, x + 8, 182, s.snowy((150, 110, 76), 1.0))


def _lighthouse(s: Setting, x: float) -> None:
    """Draw a red and white lighthouse on a rock; its lamp is lit when it is dark."""
    s.shape([(x - 34, 150), (x - 18, 128), (x + 20, 126), (SIDE, 152)], (104, 108, 116))
    levels = (58, 76, 94, 112, 130)
    for number, (top, low) in enumerate(zip(levels, levels[1:], strict=False)):
        wide, wider = 10 + 0.07 * (top - 58), 10 + 0.07 * (low - 58)
        color = (210, 58, 54) if number % 2 == 0 else (248, 244, 238)
        s.shape([(x - wide, top), (x + wide, top), (x + wider, low), (x - wider, low)], color)
    if s.dark:
        beam = (255, 210, 140) if s.time == "evening" else (142, 134, 112)
        s.shape([(x, 48), (x - 96, 30), (x - 96, 58)], beam, lit=True)
    s.box(x - 8, 40, x + 8, 58, _LAMPLIGHT, lit=s.dark)
    s.box(x - 14, 55, x + 14, 60, (70, 72, 82))
    s.shape([(x - 12, 41), (x + 12, 41), (x, 26)], s.snowy((210, 58, 54)))


def draw_playground(s: Setting) -> None:
    """Draw a slide, swings and a sandbox."""
    draw_sky(s, 160, ((150, 214, 244), (236, 244, 240)), None, (128, 128))
    draw_clouds(s, (120, 34))
    s.shape([(0, 166), (0, 146), (64, 138), (150, 146), (SIDE, 136), (SIDE, 166)], (112, 180, 100))
    s.ground((238, 164, 128), (226, 142, 108), 160)
    blue, red = (52, 116, 204), (222, 62, 66)
    s.box(4, 96, 10, 204, blue)
    s.box(34, 96, 40, 204, blue)
    for y in (126, 146, 166, 186):
        s.box(8, y, 36, y + 4, blue)
    s.shape([(0, 74), (44, 74), (22, 48)], s.snowy(red))
    s.box(4, 74, 9, 98, blue)
    s.box(35, 74, 40, 98, blue)
    s.line([(38, 104), (76, 186), (96, 194)], 13, (250, 204, 60))
    for x, foot in ((176, -12), (246, 12)):
        s.line([(x, 84), (x + foot, 204)], 6, red)
    s.line([(172, 84), (250, 84)], 7, red)
    for x in (198, 226):
        s.line([(x - 7, 86), (x - 7, 166)], 2, (84, 86, 96))
        s.line([(x + 7, 86), (x + 7, 166)], 2, (84, 86, 96))
        s.box(x - 11, 164, x + 11, 170, (250, 204, 60))
    s.shape([(12, 222), (84, 222), (96, 248), (2, 248)], s.snowy((246, 226, 160)), (110, 70, 44))
    s.solid(36, 238, [(-9, -14), (9, -14), (6, 3), (-6, 3)], (60, 160, 96))
