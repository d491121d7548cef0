"""Rooms: bedroom, office, library, kitchen, classroom, cafe, living room and stage."""

import numpy as np

from miniature.world.place.setting import SIDE, WHITE, Setting, ring
from miniature.world.vocabulary import Color, blend, darker

_BOOKS = np.random.default_rng(20).permutation(40)
_BOOK_COLORS: tuple[Color, ...] = (
    (180, 60, 55), (205, 150, 60), (70, 120, 85), (70, 95, 165), (125, 75, 140), (220, 205, 170),
)  # fmt: skip
_GLASS: Color = (160, 212, 245)
_RING_17 = ring(17, 17, 20)


def _floor(s: Setting, top: float, color: Color, seam: Color, *lines: float) -> None:
    """Draw a floor with seams between its boards."""
    s.box(0, top, SIDE, SIDE, color)
    for y in lines:
        s.box(0, y, SIDE, y + 2.5, seam)


def _window(s: Setting, x0: float, y0: float, x1: float, y1: float, frame: Color) -> None:
    s.box(x0, y0, x1, y1, _GLASS, frame)
    s.box((x0 + x1) / 2 - 1.5, y0, (x0 + x1) / 2 + 1.5, y1, frame)


def draw_bedroom(s: Setting) -> None:
    """Draw a bed and a window with curtains."""
    wall = s.pick((240, 208, 214), (206, 222, 242), (244, 232, 198))
    quilt = s.pick((205, 80, 92), (80, 122, 196), (112, 166, 122))
    s.box(0, 0, SIDE, 184, wall)
    _floor(s, 184, (182, 136, 94), (152, 110, 76), 208, 232)
    s.box(0, 180, SIDE, 185, WHITE)
    _window(s, 166, 34, 224, 98, WHITE)
    s.box(144, 21, 246, 26, (120, 80, 50))
    s.box(150, 26, 168, 112, quilt)
    s.box(222, 26, 240, 112, quilt)
    s.box(0, 116, 9, 216, (120, 80, 50))
    s.box(9, 162, 104, 206, quilt, darker(quilt))
    s.box(9, 148, 44, 168, WHITE, (170, 170, 170))
    s.box(98, 156, 107, 216, (120, 80, 50))


def draw_office(s: Setting) -> None:
    """Draw a desk with a computer, a plant and big windows."""
    s.box(0, 0, SIDE, 184, s.pick((224, 228, 230), (214, 226, 222)))
    s.box(0, 184, SIDE, SIDE, (120, 132, 148))
    for x in (14, 98, 182):
        _window(s, x, 20, x + 60, 92, (92, 98, 108))
    wood, leg = (166, 116, 72), (110, 76, 46)
    s.box(0, 148, 96, 158, wood, leg)
    for x in (8, 80):
        s.box(x, 158, x + 8, 216, leg)
    s.box(24, 108, 74, 140, (40, 44, 52))
    s.box(28, 112, 70, 136, (110, 184, 224))
    s.box(45, 140, 53, 148, (40, 44, 52))
    s.box(212, 178, 240, 210, (204, 112, 72))
    for dx, dy in ((-13, 8), (13, 8), (0, -12)):
        s.solid(226, 158, [(dx + x, dy + y) for x, y in _RING_17], (60, 140, 80))


def draw_library(s: Setting) -> None:
    """Draw shelves full of books, and a carpet."""
    s.box(0, 0, SIDE, SIDE, (132, 90, 58))
    s.box(0, 192, SIDE, SIDE, (168, 60, 56))
    s.box(0, 246, SIDE, 250, (226, 178, 96))
    first = int(s.rng.integers(4)) * 6
    shelves, books = s.count_down(46, 188), s.count_across(16)
    high, wide = 184 / shelves, SIDE / books
    for shelf in range(shelves):
        y = 8 + high * shelf
        s.box(0, y, SIDE, y + high * 0.83, (82, 52, 36))
        for book in range(books):
            number = int(_BOOKS[(first + 7 * shelf + book) % len(_BOOKS)])
            height = high * (0.56 + 0.09 * (number % 3))
            foot = y + high * 0.83
            color = _BOOK_COLORS[number % len(_BOOK_COLORS)]
            s.box(wide * book, foot - height, wide * (book + 0.88), foot, color)
    for x in (82, 170):
        s.box(x, 0, x + 8, 192, (104, 70, 44))


def draw_kitchen(s: Setting) -> None:
    """Draw cupboards, a stove with a pot, and a tiled floor."""
    s.box(0, 0, SIDE, 190, (250, 240, 215))
    s.box(0, 190, SIDE, SIDE, (208, 203, 192))
    columns = s.count_across(32)
    wide = SIDE / columns
    for row, y in enumerate((190, 212, 234)):
        for column in range(row % 2, columns, 2):
            s.box(wide * column, y, wide * (column + 1), y + 22, (176, 172, 164))
    door = s.pick((110, 168, 152), (196, 112, 92), (110, 142, 184))
    doors = s.count_across(64)
    wide = SIDE / doors
    for number in range(doors):
        x = wide * number
        for y, knob in ((8, 52), (142, 154)):
            s.box(x + 2, y, x + wide - 2, y + 54, door, darker(door))
            s.disc(x + wide - 12, knob, 3.4, (242, 242, 242))
    s.box(0, 130, SIDE, 142, (236, 236, 233), (170, 170, 170))
    s.box(6, 142, 78, 196, (222, 226, 230), (120, 124, 132))
    s.box(16, 156, 68, 186, (58, 62, 72))
    for x in (20, 34, 50, 64):
        s.disc(x, 149, 3.4, (58, 62, 72))
    s.box(22, 102, 56, 130, (90, 95, 106))
    s.box(18, 98, 60, 104, (60, 64, 74))
    s.box(56, 110, 76, 116, (60, 60, 66))


def draw_classroom(s: Setting) -> None:
    """Draw a green blackboard with chalk on it, and school desks."""
    s.box(0, 0, SIDE, 184, s.pick((250, 228, 160), (246, 222, 190)))
    _floor(s, 184, (206, 164, 116), (178, 136, 92), 206, 230)
    s.box(22, 26, 234, 128, (150, 98, 58))
    s.box(29, 33, 227, 121, (44, 100, 78))
    chalk = (236, 244, 236)
    s.wire(52, 66, [(-9, 10), (0, -14), (9, 10)], 3, chalk)
    s.wire(52, 66, [(-5, 2), (5, 2)], 3, chalk)
    s.wire(80, 66, [(-10, 10), (-8, -14), (0, 0), (8, -14), (10, 10)], 3, chalk)
    s.line([(42, 100), (94, 100)], 3, chalk)
    s.disc(202, 66, 10, chalk)
    for x, y in _RING_17[::2]:
        s.wire(202, 66, [(x * 0.82, y * 0.82), (x * 1.15, y * 1.15)], 3, chalk)
    s.box(22, 126, 234, 133, (190, 138, 88))
    for x in (2, 192):
        s.box(x, 172, x + 62, 182, (228, 148, 70), (150, 90, 44))
        for leg in (x + 6, x + 50):
            s.box(leg, 182, leg + 6, 228, (96, 104, 120))
        s.box(x + 18, 164, x + 42, 172, (66, 116, 196))


def draw_cafe(s: Setting) -> None:
    """Draw round tables with cups, under hanging lamps."""
    wall = s.pick((44, 108, 106), (52, 92, 124))
    s.box(0, 0, SIDE, 190, wall)
    s.box(0, 132, SIDE, 190, blend(wall, (20, 40, 50), 0.35))
    s.box(0, 128, SIDE, 134, (206, 160, 106))
    _floor(s, 190, (196, 148, 104), (166, 120, 82), 212, 236)
    for x in (30, 128, 226):
        s.line([(x, 0), (x, 30)], 3, (30, 34, 40))
        s.disc(x, 54, 23, blend(wall, (255, 214, 120), 0.45))
        s.disc(x, 50, 10, (255, 240, 180))
        s.solid(x, 44, [(-22, 8), (22, 8), (11, -16), (-11, -16)], (240, 176, 60))
    s.box(66, 78, 108, 120, (38, 42, 46), (206, 160, 106))
    for y in (88, 99, 110):
        s.line([(74, y), (100, y)], 3, (236, 232, 220))
    for x in (34, 222):
        s.line([(x, 174), (x, 228)], 7, (60, 52, 50))
        s.oval(x, 229, 20, 5, (60, 52, 50))
        s.oval(x, 172, 42, 10, (244, 236, 222))
        s.solid(x, 167, [(-10, -15), (10, -15), (7, 2), (-7, 2)], (214, 84, 68))
        s.wire(x, 167, [(9, -12), (15, -11), (15, -5), (8, -3)], 3, (214, 84, 68))


def draw_living_room(s: Setting) -> None:
    """Draw a sofa, a lamp, a rug and pictures on the wall."""
    wall = s.pick((172, 196, 170), (226, 178, 140))
    s.box(0, 0, SIDE, 186, wall)
    _floor(s, 186, (134, 88, 60), (110, 70, 48), 210, 234)
    s.box(0, 181, SIDE, 187, (246, 240, 228))
    s.oval(128, 228, 92, 19, (232, 218, 190))
    s.oval(128, 228, 74, 13, (204, 96, 76))
    for x, y, wide, sky in ((24, 40, 44, (120, 180, 220)), (80, 48, 30, (246, 206, 110))):
        s.box(x, y, x + wide, y + wide, sky, (90, 62, 44))
        s.shape(
            [(x + 2, y + wide - 2), (x + wide * 0.5, y + wide * 0.4), (x + wide - 2, y + wide - 2)],
            (92, 138, 96),
        )
    sofa = s.pick((216, 158, 52), (52, 124, 136), (150, 76, 100))
    s.box(4, 122, 108, 178, sofa, darker(sofa))
    s.box(0, 162, 116, 194, blend(sofa, (255, 255, 255), 0.14), darker(sofa))
    for x in (-8, 102):
        s.box(x, 144, x + 20, 202, sofa, darker(sofa))
    s.solid(40, 152, [(-14, -12), (12, -14), (14, 12), (-12, 14)], (246, 240, 228))
    s.line([(226, 84), (226, 210)], 5, (66, 56, 52))
    s.oval(226, 211, 18, 5, (66, 56, 52))
    s.disc(226, 76, 44, blend(wall, (255, 240, 180), 0.5))
    s.solid(226, 70, [(-26, 20), (26, 20), (15, -16), (-15, -16)], (255, 244, 206), (206, 160, 96))


def draw_stage(s: Setting) -> None:
    """Draw curtains, spotlights and a wooden floor."""
    back = s.pick((44, 38, 84), (30, 46, 84))
    s.box(0, 0, SIDE, 190, back)
    beam = blend(back, (255, 240, 190), 0.22)
    s.shape([(70, 0), (86, 0), (190, 200), (90, 200)], beam)
    s.shape([(170, 0), (186, 0), (166, 200), (66, 200)], beam)
    both = blend(beam, WHITE, 0.14)
    s.shape([(128, 81), (170, 161), (166, 200), (90, 200), (86, 161)], both)
    _floor(s, 190, (204, 142, 84), (172, 112, 62), 212, 236)
    s.oval(128, 226, 84, 19, (246, 206, 138))
    red, fold = (186, 34, 46), (142, 22, 38)
    for side in (0, 1):
        for number in range(4):
            x = 15.0 * number
            left, right = (x, x + 15) if side == 0 else (SIDE - x - 15, SIDE - x)
            s.box(left, 0, right, 214 - 3 * number, red if number % 2 == 0 else fold)
    scallops = s.count_across(43)
    s.box(0, 0, SIDE, 22, fold)
    wide = SIDE / scallops
    for number in range(scallops):
        x = wide * (number + 0.5)
        arch = [(x + wide * 0.5 * dx / 17, 20 + 22 * dy / 17) for dx, dy in _RING_17 if dy > -1]
        s.shape([(x - wide / 2, 0), (x + wide / 2, 0), *arch], red)
        s.line([(px, py + 1) for px, py in arch], 4, (240, 190, 76))
