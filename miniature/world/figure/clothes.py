"""Tops, skirts and patterns, backpacks, bags and scarves."""

from collections.abc import Callable

from miniature.world.figure.drawing import FigurePart, outline_of
from miniature.world.figure.poses import Joint
from miniature.world.vocabulary import Color, Part, darker

_LIGHT: Color = (250, 250, 250)
_DEEP: Color = (64, 64, 76)
_Surface = Callable[[float, float], Joint]


class Clothes(FigurePart):
    """Clothes of a figure's body."""

    @property
    def _pack(self) -> Color:
        like = self.posed.character.top_color in ("orange", "brown")
        return (48, 128, 132) if like else (200, 116, 50)

    @property
    def _bag(self) -> Color:
        like = self.posed.character.top_color in ("brown", "orange", "red")
        return (44, 116, 128) if like else (150, 88, 44)

    @property
    def _hem(self) -> float:
        """Reach of the top below the waist; a coat reaches to the knees unless they are raised."""
        if self.posed.character.top != "coat":
            return 0.03
        raised = self.posed.figure.action in ("sitting", "cycling", "kneeling")
        return 0.05 if raised else 0.3 * self.posed.body.leg

    def draw_behind(self) -> None:
        """Draw a backpack and a hood, as far as they show behind the body."""
        posed, brush = self.posed, self.posed.brush
        neck, wide = posed.bones.neck, posed.body.shoulder
        if posed.character.accessory == "backpack" and not posed.from_behind:
            back, front = -wide - 0.075, wide + 0.075
            if posed.sideways:
                back, front = -0.215, 0.0
            elif posed.turned:
                back, front = -wide - 0.1, wide + 0.03
            top, bottom, lean = neck[1] + 0.03, -0.03, neck[0]
            pack: list[Joint] = [
                (back + lean + 0.03, top),
                (front + lean - 0.03, top),
                (front + lean, top + 0.04),
                (front, bottom),
                (back, bottom),
                (back + lean, top + 0.04),
            ]
            brush.shape(pack, self._pack, Part.BACKPACK, outline_of(self._pack))
        if posed.character.top == "hoodie":
            hood = darker(posed.top, 0.8)
            center = (neck[0] - (0.06 if posed.sideways else 0), neck[1] + 0.005)
            reach = wide * (0.95 if posed.sideways else 1.22)
            brush.oval(center, reach, 0.075, hood, Part.TORSO, outline_of(posed.top))

    def draw(self) -> None:
        """Draw the skirt, then the top with its pattern and its details, then bags and straps."""
        person = self.posed.character
        if person.top == "dress":
            self._skirt(self.posed.top, self.posed.body.thigh * 1.25, person.pattern)
        elif person.bottom == "skirt":
            self._skirt(self.posed.bottom, self.posed.body.thigh * 1.15, "plain")
        self._torso()
        if person.pattern != "plain":
            self._pattern(self.posed.on_torso, 3 if self.posed.sideways else 5, 4)
        self._details()
        if person.accessory == "backpack":
            self._pack_on_top()
        elif person.accessory == "bag":
            self._shoulder_bag()

    def _skirt(self, color: Color, length: float, pattern: str) -> None:
        posed = self.posed
        waist = posed.half_width(0)
        knees = sorted((posed.bones.left_leg[1], posed.bones.right_leg[1]))
        raised = knees[1][1] < 0.6 * posed.body.thigh
        edge = outline_of(color)
        if posed.sideways and raised:
            (back_x, back_y), (front_x, front_y) = knees
            fall = 0.7 * length
            hem: list[Joint] = [
                (-waist, -0.04), (waist, -0.055), (front_x * 0.95, front_y - 0.06),
                (front_x * 0.98, front_y + fall),
                (0.5 * (back_x + front_x) + 0.02, max(0.9 * back_y + 0.02, fall)),
                (min(back_x, 0.0) * 0.8 - waist, max(0.8 * fall, back_y * 0.8)),
            ]  # fmt: skip
            posed.brush.shape(hem, color, Part.SKIRT, edge)
            return
        flare = waist * (1.75 if posed.sideways else 1.7)
        lean = 0.5 * (knees[0][0] + knees[1][0]) * 0.6
        hem = [(-waist, -0.04), (waist, -0.04), (flare + lean, length), (-flare + lean, length)]
        posed.brush.shape(hem, color, Part.SKIRT, edge)

        def on_skirt(across: float, height: float) -> Joint:
            half = flare + (waist - flare) * height
            return (across * half + lean * (1 - height), length * (1 - height))

        if pattern != "plain":
            self._pattern(on_skirt, 5, 3)
        else:
            fold = darker(color, 0.8)
            for across in (-0.45, 0.0, 0.45):
                ends = [on_skirt(across, 0.1), on_skirt(across, 0.55)]
                posed.brush.line(ends, 0.012, fold, Part.SKIRT)

    def _torso(self) -> None:
        posed, color = self.posed, self.posed.top
        hem, at = self._hem, posed.on_torso
        neck, waist = posed.bones.neck, posed.half_width(0)
        flare = waist * (1.0 + 1.6 * hem)
        outline: list[Joint] = [
            (-flare, hem),
            at(-1, 0.25),
            (at(-1, 1)[0], neck[1] + 0.055),
            (at(-0.88, 1)[0], neck[1] + 0.015),
            (at(-0.5, 1)[0], neck[1]),
            (at(0.5, 1)[0], neck[1]),
            (at(0.88, 1)[0], neck[1] + 0.015),
            (at(1, 1)[0], neck[1] + 0.055),
            at(1, 0.25),
            (flare, hem),
        ]
        posed.brush.shape(outline, color, Part.TORSO, outline_of(color))

    def _pattern(self, surface: _Surface, columns: int, rows: int) -> None:
        """Draw stripes, dots or checks on a piece of cloth.

        Args:
            surface: function from a position across (-1 to 1) and a height (0 to 1) to a point.
            columns, rows: number of checks.
        """
        posed, pattern = self.posed, self.posed.character.pattern
        pale = posed.character.top_color in ("white", "yellow", "pink", "gray")
        ink, brush = _DEEP if pale else _LIGHT, posed.brush
        part = Part.TORSO if surface == posed.on_torso else Part.SKIRT
        if pattern == "striped":
            for row in range(3):
                height = 0.1 + 0.31 * row
                brush.line([surface(-0.86, height), surface(0.86, height)], 0.03, ink, part)
        elif pattern == "dotted":
            for row in range(3):
                dots = (-0.36, 0.36) if row == 1 else (-0.68, 0.0, 0.68)
                for across in dots:
                    brush.oval(surface(across, 0.14 + 0.29 * row), 0.023, 0.023, ink, part)
        else:
            for row in range(rows):
                low, high = 0.02 + 0.86 * row / rows, 0.02 + 0.86 * (row + 1) / rows
                for column in range(row % 2, columns, 2):
                    left = -0.92 + 1.84 * column / columns
                    right = left + 1.84 / columns
                    corners = [(left, low), (right, low), (right, high), (left, high)]
                    brush.shape([surface(*corner) for corner in corners], ink, part)

    def _details(self) -> None:
        """Draw the details of a kind of top."""
        posed, brush = self.posed, self.posed.brush
        at, mid, top = posed.on_torso, posed.on_chest, posed.character.top
        shade, edge = darker(posed.top, 0.8), outline_of(posed.top)
        if top == "sweater":
            brush.line([at(-0.9, -0.06), at(0.9, -0.06)], 0.036, shade, Part.TORSO)
            brush.line([mid(-0.42, 0.95), mid(0.42, 0.95)], 0.036, shade, Part.TORSO)
        if posed.from_behind:
            return
        if top == "jacket":
            shirt = (86, 90, 104) if posed.character.top_color == "white" else _LIGHT
            opening = [mid(-0.36, 1), mid(0.36, 1), mid(0.18, -0.14), mid(-0.18, -0.14)]
            brush.shape(opening, shirt, Part.TORSO, edge)
        elif top == "coat":
            low = (0.008 - self._hem) / posed.body.torso
            brush.line([mid(0, 0.95), mid(0, low)], 0.013, edge, Part.TORSO)
            for height in (0.72, 0.36, 0.0):
                brush.oval(mid(0.24, height), 0.017, 0.017, edge, Part.TORSO)
            for side in (-1, 1):
                lapel = [mid(0, 0.62), mid(side * 0.1, 1.0), mid(side * 0.62, 0.96)]
                brush.shape(lapel, shade, Part.TORSO, edge)
        elif top == "hoodie":
            low, high = 0.02, 0.34
            pocket = [mid(-0.42, high), mid(0.42, high), mid(0.64, low), mid(-0.64, low)]
            brush.shape(pocket, shade, Part.TORSO, edge)
            for side in (-1, 1):
                cord = [mid(side * 0.2, 0.94), mid(side * 0.22, 0.66)]
                brush.line(cord, 0.013, _LIGHT, Part.TORSO)

    def _pack_on_top(self) -> None:
        """Draw the pack from behind, or its straps from the front."""
        posed, color = self.posed, self._pack
        at, brush, edge = posed.on_torso, posed.brush, outline_of(self._pack)
        if posed.from_behind:
            pack = [at(-0.8, 0.95), at(0.8, 0.95), at(0.98, 0.7), at(1.02, 0.02), at(-1.02, 0.02)]
            brush.shape([*pack, at(-0.98, 0.7)], color, Part.BACKPACK, edge)
            pocket = [at(-0.6, 0.42), at(0.6, 0.42), at(0.6, 0.1), at(-0.6, 0.1)]
            brush.shape(pocket, darker(color, 0.85), Part.BACKPACK, edge)
            return
        for across in (0.0,) if posed.sideways else (-0.66, 0.66):
            strap = [posed.on_chest(across, 0.95), posed.on_chest(across * 1.1, 0.3)]
            brush.line(strap, 0.036, color, Part.BACKPACK, edge)

    def _shoulder_bag(self) -> None:
        """Draw a bag at the hip on a strap across the chest."""
        posed, color = self.posed, self._bag
        brush, edge = posed.brush, outline_of(self._bag)
        x = -0.02 if posed.sideways else -0.72 * posed.body.waist
        y, wide, high = 0.035, 0.085, 0.06
        start = posed.on_torso(-0.4 if posed.sideways else 0.55, 0.96)
        brush.line([start, (x, y - high)], 0.024, color, Part.BAG, edge)
        pouch: list[Joint] = [
            (x - wide, y - high), (x + wide, y - high), (x + wide, y + high * 0.7),
            (x + wide * 0.8, y + high), (x - wide * 0.8, y + high), (x - wide, y + high * 0.7),
        ]  # fmt: skip
        brush.shape(pouch, color, Part.BAG, edge)
        flap: list[Joint] = [
            (x - wide, y - high), (x + wide, y - high), (x + wide * 0.9, y), (x - wide * 0.9, y),
        ]  # fmt: skip
        brush.shape(flap, darker(color, 0.82), Part.BAG, edge)
        brush.oval((x, y), 0.014, 0.014, (250, 214, 110), Part.BAG)

    def draw_scarf(self) -> None:
        """Draw a scarf around the neck, its end hanging or blowing."""
        posed, brush = self.posed, self.posed.brush
        if posed.character.accessory != "scarf":
            return
        warm = posed.character.top_color in ("red", "pink", "orange", "purple")
        color: Color = (58, 120, 216) if warm else (216, 58, 60)
        edge = outline_of(color)
        x, y = posed.bones.neck
        wide = posed.body.shoulder * 0.78
        if posed.sideways:
            brush.line([(x - wide, y + 0.02), (x - wide - 0.11, y + 0.05)], 0.056, color,
                       Part.SCARF, edge)  # fmt: skip
        brush.line([(x - wide, y + 0.015), (x, y + 0.03), (x + wide, y + 0.015)], 0.072, color,
                   Part.SCARF, edge)  # fmt: skip
        if not posed.sideways:
            side = -1 if posed.from_behind else 1
            tail = [(x + side * wide * 0.5, y + 0.04), (x + side * wide * 0.62, y + 0.15)]
            brush.line(tail, 0.058, color, Part.SCARF, edge)
